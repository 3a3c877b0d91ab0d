"""The order of tagged sentences, and which of them are taken, against a plain reading of the rows."""

import json
import math
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from metaner_core.data.labels import spans, to_bio
from metaner_core.distilling.outputs import read
from metaner_core.distilling.selection import told
from metaner_core.distilling.settings import Distillation
from metaner_core.distilling.stream import Place, Sentence, Stream
from tests.support.tagged import save_manifest

SMALL = {"mixed": 2, "seed": 3}


def stream(uri: str, place: Place | None = None, **changes: Any) -> Stream:
    settings = Distillation(**{**SMALL, **changes})
    return Stream([read(uri, settings)], settings, place)


def rows(uri: str) -> list[dict[str, Any]]:
    """Every sentence with its distributions and language."""
    found = []
    for path in sorted(Path(uri).rglob("*.parquet")):
        for row in pq.read_table(path).to_pylist():
            for sentence in row["sentences"]:
                words = tuple(token["text"] for token in sentence["tokens"])
                kept = {c: np.array(sentence[c]).reshape(len(words), -1) for c in ("probabilities", "unadapted")}
                found.append({"words": words, "language": row["language"], **kept})
    return found


def one_pass(dealt: Stream, of: int, batch: int = 5) -> list[Sentence]:
    return [sentence for _ in range(of // batch) for sentence in dealt.take(batch)] + dealt.take(of % batch)


@pytest.mark.parametrize(("teacher", "column"), [("as_tagged", "probabilities"), ("unadapted", "unadapted")])
def test_a_pass_has_every_sentence_once_with_its_distributions(tagged: str, teacher: str, column: str) -> None:
    expected = rows(tagged)
    found = one_pass(stream(tagged, teacher=teacher), len(expected))
    assert len(expected) > 60
    pairs = [(s.words, s.teacher) for s in found]
    assert Counter(words for words, _ in pairs) == Counter(row["words"] for row in expected)
    of_words = {row["words"]: row[column] for row in expected}
    for words, p in pairs:
        np.testing.assert_allclose(p, of_words[words], atol=2e-3)
        np.testing.assert_allclose(p.sum(1), 1, atol=1e-6)


def test_passes_differ_and_a_seed_decides_them(tagged: str) -> None:
    def order(**changes: Any) -> list[tuple[str, ...]]:
        return [s.words for s in one_pass(stream(tagged, **changes), 2 * many)]

    many = len(rows(tagged))
    first = order()
    assert first == order()
    assert first[:many] != first[many:]
    assert sorted(first[:many]) == sorted(first[many:])
    assert order(seed=4) != first
    assert first[:many] != [row["words"] for row in rows(tagged)]


@pytest.mark.parametrize("after", [0, 1, 7, 33, 64, 70])
def test_from_any_place_on_it_deals_the_same(tagged: str, after: int) -> None:
    changes: dict[str, Any] = {"most_of_language": 9, "nameless": 0.5}
    whole = stream(tagged, **changes)
    one_pass(whole, after, batch=7)
    place = Place(**json.loads(json.dumps(whole.place.__dict__)))
    again = stream(tagged, place, **changes)
    for _ in range(12):
        assert [s.words for s in whole.take(6)] == [s.words for s in again.take(6)]
    assert (whole.counts, whole.whole, whole.place) == (again.counts, again.whole, again.place)


def plain_reason(row: dict[str, Any], settings: Distillation, labels: tuple[str, ...]) -> str:
    """Why a sentence is left out, one at a time, without caps."""
    p = row["probabilities"].tolist()
    best = [max(range(len(d)), key=d.__getitem__) for d in p]
    entropy = [-sum(x * math.log(x) for x in d if x) / math.log(len(labels)) for d in p]
    names = spans(to_bio([labels[i] for i in best]))
    if len(row["words"]) > settings.most_words:
        return "long"
    if min(map(max, p)) < settings.least_certain:
        return "uncertain"
    if sum(entropy) / len(entropy) > settings.most_entropy:
        return "entropy"
    if settings.agree and best != row["unadapted"].argmax(1).tolist():
        return "disagreement"
    return "nameless" if not names and not settings.nameless else "kept"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"most_words": 12},
        {"least_certain": 0.4},
        {"most_entropy": 0.3},
        {"agree": True},
        {"nameless": 0.0},
        {"most_words": 20, "least_certain": 0.3, "most_entropy": 0.3, "agree": True, "nameless": 0.0},
    ],
)
def test_what_is_trusted_and_counted_is_what_a_plain_reading_says(tagged: str, changes: dict[str, Any]) -> None:
    settings = Distillation(**{**SMALL, **changes})
    output = read(tagged, settings)
    every = rows(tagged)
    reasons = [plain_reason(row, settings, output.labels) for row in every]
    assert 0 < reasons.count("kept") <= len(every) - bool(changes) * 3
    dealt = Stream([output], settings)
    found = one_pass(dealt, reasons.count("kept"))
    kept = [row["words"] for row, reason in zip(every, reasons, strict=True) if reason == "kept"]
    assert sorted(s.words for s in found) == sorted(kept)
    dealt.take(1)
    assert dealt.whole
    assert {o: e["sentences"] for o, e in dealt.counts.items()} == Counter(reasons)
    for outcome, entry in dealt.counts.items():
        part = [row for row, reason in zip(every, reasons, strict=True) if reason == outcome]
        assert entry["tokens"] == sum(len(row["words"]) for row in part)
        assert entry["languages"] == Counter(row["language"] for row in part)
        best = [[output.labels[i] for i in row["probabilities"].argmax(1)] for row in part]
        assert entry["names"] == Counter(span.type for labels in best for span in spans(to_bio(labels)))
    assert told(dealt.counts)[0].startswith("kept ")


def test_a_language_has_no_more_sentences_than_it_may_in_a_pass(tagged: str) -> None:
    dealt = stream(tagged, most_of_language=5)
    dealt.take(20)
    assert not dealt.whole
    dealt.take(20)
    assert dealt.counts["kept"]["languages"] == {"es": 5, "de": 5, "nl": 5, "fr": 5}
    assert dealt.counts["language"]["sentences"] == len(rows(tagged)) - 20


def test_a_sentence_all_of_whose_types_have_enough_names_is_left_out(tagged: str) -> None:
    dealt = stream(tagged, most_of_type=6, nameless=0.0)
    dealt.take(len(rows(tagged)))
    kept, left = dealt.counts["kept"]["names"], dealt.counts["type"]["names"]
    assert min(kept[type_] for type_ in left) >= 6
    without = stream(tagged, nameless=0.0)
    without.take(len(rows(tagged)))
    assert kept == {t: n for t, n in kept.items() if n <= without.counts["kept"]["names"][t]}
    assert without.counts["kept"]["sentences"] == dealt.counts["kept"]["sentences"] + dealt.counts["type"]["sentences"]


def test_languages_of_an_output_that_is_partitioned_by_them(tagged: str, tiny_bundle: str, tmp_path: Path) -> None:
    table = pq.read_table(next(Path(tagged).rglob("*.parquet"))).drop_columns(["language"])
    (tmp_path / "tagged" / "language=pt-BR").mkdir(parents=True)
    pq.write_table(table, tmp_path / "tagged" / "language=pt-BR" / "part-0000000.parquet")
    save_manifest(tmp_path, tiny_bundle)
    dealt = stream(str(tmp_path))
    dealt.take(1)
    assert list(dealt.counts["kept"]["languages"]) == ["pt-BR"]


def test_when_nothing_is_trusted_it_is_said_why(tagged: str) -> None:
    with pytest.raises(
        ValueError, match=r"no tagged sentence is left to learn from: uncertain +6. sentences.*ask less"
    ):
        stream(tagged, least_certain=1.0).take(1)


def test_what_is_no_distribution_is_never_learnt(tagged: str, tiny_bundle: str, tmp_path: Path) -> None:
    """A model in half precision may have said NaN."""
    table = pq.read_table(next(Path(tagged).rglob("*.parquet")))
    documents = table.to_pylist()
    documents[1]["sentences"][0]["probabilities"][4] = math.nan
    (tmp_path / "tagged").mkdir()
    pq.write_table(pa.Table.from_pylist(documents, table.schema), tmp_path / "tagged" / "part-0000000.parquet")
    save_manifest(tmp_path, tiny_bundle)
    dealt = stream(str(tmp_path))
    many = sum(len(row["sentences"]) for row in documents)
    assert all(np.isfinite(s.teacher).all() for s in dealt.take(2 * many))
    assert dealt.counts["uncertain"]["sentences"] == 1


def test_a_damaged_file_is_named(tagged: str, tmp_path: Path) -> None:
    shutil.copytree(tagged, tmp_path / "copy")
    path = next((tmp_path / "copy").rglob("part-0000001.parquet"))
    content = path.read_bytes()
    path.write_bytes(b"\0" * len(content))
    with pytest.raises(ValueError, match=r"part-0000001\.parquet is damaged, or was not written by metaner tag"):
        stream(str(tmp_path / "copy")).take(64)
