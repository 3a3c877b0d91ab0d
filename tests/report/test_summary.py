"""Sums of rows: right, the same however the rows are split, small."""

import functools
import itertools
import json
import operator
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metaner_core.report import summary
from metaner_core.report.summary import Summary
from metaner_core.text import schema
from tests.support import rows

ROWS = rows.crawl(400)
TAGGED = [row for row in ROWS if row["outcome"] == "tagged"]
SENTENCES = [sentence for row in TAGGED for sentence in row["sentences"]]
ENTITIES = [entity for row in TAGGED for entity in row["entities"]]


@pytest.fixture(scope="module")
def whole() -> Summary:
    return Summary.of(ROWS)


def test_outcomes_add_up_to_the_documents(whole: Summary) -> None:
    assert whole.outcomes == {name: sum(row["outcome"] == name for row in ROWS) for name in schema.OUTCOMES}
    assert sum(whole.outcomes.values()) == whole.documents == len(ROWS)


def test_totals_are_those_of_the_rows(whole: Summary) -> None:
    found = whole.total
    assert found.sentences == len(SENTENCES)
    assert found.words == sum(len(sentence["tokens"]) for sentence in SENTENCES)
    assert found.cut == sum(sentence["windows"] == 3 for sentence in SENTENCES) > 0
    assert found.entities == Counter(entity["type"] for entity in ENTITIES)
    characters = sum(len(row["text"]) if row["outcome"] == "tagged" else row["characters"] for row in ROWS)
    assert found.characters == characters


def test_variants_of_a_language_are_counted_together(whole: Summary) -> None:
    assert set(whole.languages) == {"es", "de", "zh", "he", ""}
    german = [row for row in ROWS if row["language"] in ("de", "de-AT")]
    assert whole.languages["de"].documents == len(german)
    assert whole.languages["de"].entities.total() == sum(len(row.get("entities", ())) for row in german)


def test_every_score_is_in_its_bin(whole: Summary) -> None:
    for type_, bins in whole.scores.items():
        scores = [entity["score"] for entity in ENTITIES if entity["type"] == type_]
        assert list(bins) == [sum(i / 20 <= score < (i + 1) / 20 for score in scores) for i in range(20)]


def test_certainty_is_in_the_last_bin() -> None:
    assert Summary.of([rows.tagged("x", [("Ana", "PER", 1.0)])]).scores["PER"][-1] == 1


def test_reasons_are_told_apart_but_for_their_numbers(whole: Summary) -> None:
    short = [row for row in ROWS if row.get("stage") == "length" and "least is 20" in row["reason"]]
    filtered = [row for row in short if row["outcome"] == "filtered"]
    kind = whole.kinds["filtered/length: n characters, least is n"]
    assert (kind.outcome, kind.stage, kind.documents) == ("filtered", "length", len(filtered))
    assert kind.example["id"] in {row["id"] for row in filtered}
    assert sum(kind.documents for kind in whole.kinds.values()) == whole.documents - sum(
        whole.outcomes[name] for name in ("tagged", "empty")
    )


def test_frequent_entities_are_counted_by_type_and_text(whole: Summary) -> None:
    sure = [entity for entity in ENTITIES if entity["score"] >= schema.SURE]
    assert whole.frequent.counts == Counter(f"{entity['type']} {entity['text']}" for entity in sure)
    assert whole.frequent.missed == 0
    assert 0 < len(sure) < len(ENTITIES)


def test_what_the_model_is_not_sure_of_is_not_frequent() -> None:
    many = [rows.tagged(f"d{i}", [("de", "LOC", 0.79), " ", ("Lyon", "LOC", 0.8)]) for i in range(3)]
    found = Summary.of(many)
    assert found.frequent.counts == {"LOC Lyon": 3}
    assert found.total.entities == {"LOC": 6}


def test_a_name_is_one_however_its_accents_are_coded() -> None:
    row = rows.tagged("x", [("Bogot\u00e1", "LOC"), " ", ("Bogota\u0301", "LOC")])
    assert Summary.of([row]).frequent.counts == {"LOC Bogot\u00e1": 2}


def test_neighbours_are_counted_as_sets(whole: Summary) -> None:
    sets = {frozenset(neighbour["id"] for neighbour in sentence["neighbours"]) for sentence in SENTENCES}
    assert (whole.adapted, whole.support.count()) == (len(SENTENCES), len(sets))
    assert Summary.of([rows.tagged("x", ["Ana."])]).adapted == 0


def test_samples_are_beginnings_of_tagged_documents(whole: Summary) -> None:
    by_id = {row["id"]: row for row in TAGGED}
    assert len(whole.samples) == summary.SAMPLES
    for name, sample in whole.samples.items():
        assert by_id[name]["text"].startswith(sample["text"])
        assert sample["characters"] == len(by_id[name]["text"])
        assert len(sample["entities"]) == len(by_id[name]["entities"])


def test_a_long_sample_ends_with_a_sentence_and_holds_no_half_entity() -> None:
    row = rows.tagged("x", *[["a" * 500, ("Ana", "PER")]] * 4)
    sample = Summary.of([row]).samples["x"]
    assert (len(sample["text"]), sample["characters"], len(sample["entities"])) == (1_007, len(row["text"]), 2)
    row = rows.tagged("x", ["a" * 1_199, ("Ana", "PER")])
    assert Summary.of([row]).samples["x"]["entities"] == []


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, len(ROWS)), max_size=6), st.randoms(use_true_random=False))
def test_how_rows_were_split_leaves_no_trace(cuts: list[int], draw: Any) -> None:
    shuffled = draw.sample(ROWS, len(ROWS))
    edges = [0, *sorted(cuts), len(ROWS)]
    parts = [Summary.of(shuffled[a:b]) for a, b in itertools.pairwise(edges)]
    whole = Summary.of(ROWS).to_dict()
    assert functools.reduce(operator.add, parts).to_dict() == whole
    assert functools.reduce(lambda a, b: b + a, reversed(parts)).to_dict() == whole  # from the other end
    assert (functools.reduce(operator.add, parts, Summary()) + Summary()).to_dict() == whole


def test_it_survives_json(whole: Summary) -> None:
    written = json.loads(json.dumps(whole.to_dict()))
    assert Summary.from_dict(written).to_dict() == written == whole.to_dict()
    part = Summary.of(ROWS[:50])
    assert (Summary.from_dict(json.loads(json.dumps(part.to_dict()))) + Summary.of(ROWS[50:])).to_dict() == written


def test_it_stays_small_whatever_it_sums() -> None:
    many = [
        rows.tagged(f"{i}" * 20, [f"x{i} " * 400, (f"name {i}" * 40, "PER")], language=f"{chr(97 + i % 26)}x")
        for i in range(2_000)
    ]
    many += [rows.other(f"o{i}", "rejected", "model", f"no {chr(97 + i % 26)}{chr(97 + i // 26)}") for i in range(500)]
    assert len(json.dumps(Summary.of(many).to_dict())) < 300_000


def test_no_rows_give_zeros() -> None:
    empty = Summary.of([])
    assert empty.to_dict() == Summary().to_dict()
    assert (empty.documents, empty.outcomes) == (0, dict.fromkeys(schema.OUTCOMES, 0))
