"""What is said of a corpus's neighbours, against counts by hand."""

import json
from pathlib import Path

import numpy as np
import pytest

from metaner_core.bundles import bundle, neighbours
from metaner_core.bundles.neighbours import measure
from metaner_core.data import corpora
from metaner_core.data.corpora import Sentence


def sentence(*labels: str) -> Sentence:
    return Sentence(tuple("x" * len(labels)), labels)


SOURCE = [sentence("B-PER", "I-PER", "O"), sentence("B-LOC", "B-PER"), sentence("O"), sentence("B-MISC", "B-ORG")]
GIVEN = [sentence("B-PER", "B-LOC"), sentence("O", "O"), sentence("B-ORG"), sentence("B-MISC", "B-MISC", "O")]
IDS, SIMILARITIES = np.array([[0, 2], [1, 0], [3, 2], [2, 0]]), np.array([[0.5, 0.1], [0.75, 0], [1, 0.9], [0.25, 0.2]])


def test_the_figures_are_those_counted_by_hand() -> None:
    found = measure(lambda words: (IDS, SIMILARITIES), SOURCE, GIVEN, ("PER", "LOC", "ORG", "MISC"))
    # Types of the sentences and of their neighbours: PER LOC, PER; -, LOC PER; ORG, MISC ORG; MISC, PER
    assert found == {
        "sentences": 4,
        "similarity": 0.625,
        "support_sets": 3,
        "sources": 4,
        "type_recall": pytest.approx(100 * 2 / 4),
        "type_precision": pytest.approx(100 * 2 / 6),
    }


def test_types_that_a_corpus_is_not_annotated_with_do_not_count() -> None:
    found = measure(lambda words: (IDS, SIMILARITIES), SOURCE, GIVEN, ("PER", "LOC", "ORG"))
    assert (found["type_recall"], found["type_precision"]) == (pytest.approx(100 * 2 / 3), pytest.approx(100 * 2 / 5))


def test_a_corpus_of_no_sentences_has_no_figures() -> None:
    empty = np.zeros((0, 2), np.int64), np.zeros((0, 2))
    found = measure(lambda words: empty, SOURCE, [], ("PER",))
    assert set(found.values()) == {0}


def test_a_bundles_neighbours(tiny_bundle: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "neighbours.json"
    neighbours.main(["--bundle", tiny_bundle, "--limit", "20", "--output", str(output), "--set", "neighbours=3"])
    shown = capsys.readouterr().out
    found = json.loads(output.read_text())
    assert [row["corpus"] for row in found["corpora"]] == list(neighbours.DEFAULT)
    assert [row["split"] for row in found["corpora"]] == ["dev", *5 * ["test"]]
    assert found["settings"]["neighbours"] == 3
    loaded = bundle.load(tiny_bundle, changes={"neighbours": 3})
    ids, similarities = loaded.support([s.words for s in corpora.load("embedded-es", "test")[:20]])
    spanish = found["corpora"][1]
    assert spanish["similarity"] == pytest.approx(similarities[:, 0].mean(), abs=1e-5)
    assert spanish["sources"] == len(set(ids.flatten().tolist()))
    assert f"{spanish['type_recall']:.1f}" in shown


def test_an_encoder_that_is_in_no_bundle_yet(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    rows = []
    for pooling in ("cls", "mean"):
        output = tmp_path / f"{pooling}.json"
        options = ["--encoder", "embedded", "--set", f"pooling={pooling}", "--corpus", "embedded-de", "--limit", "30"]
        neighbours.main([*options, "--output", str(output)])
        rows += json.loads(output.read_text())["corpora"]
    assert rows[0]["similarity"] != rows[1]["similarity"]
    assert capsys.readouterr().out.count("embedded-de") == 2


def test_a_corpus_that_there_is_not_is_named(tiny_bundle: str) -> None:
    with pytest.raises(ValueError, match="no corpus is named 'embedded-xx'"):
        neighbours.main(["--bundle", tiny_bundle, "--corpus", "embedded-xx"])
