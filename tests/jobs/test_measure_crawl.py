"""The measurement of bulk tagging: what of a run's records it counts."""

import json

import pytest

from jobs.measure_crawl import after_first, lines, make, measured
from metaner_core.report.summary import Counts, Summary


def record(worker, started, seconds, documents=10):
    summary = Summary({"de": Counts(sentences=3 * documents)}).to_dict()
    return {
        "worker": worker,
        "documents": documents,
        "started": started,
        "finished": started + seconds,
        "cpu_seconds": seconds / 2,
        "summary": summary,
    }


def test_each_actors_first_shard_is_left_out_whatever_the_order_of_the_records():
    first, other = record("a", 0.0, 60), record("b", 1.0, 50)
    rest = [record("b", 51.0, 5), record("a", 60.0, 5)]
    assert after_first([*rest, other, first]) == rest


def test_both_paces_are_those_of_the_shards_that_count():
    manifest = {"settings": {"actors": 2}, "counts": {"documents": 20}, "peak_bytes": {"driver": 0, "actor": 2**20}}
    manifest |= {"started": -5.0, "finished": 71.0}
    found = measured(manifest, [record("a", 0.0, 60), record("b", 0.0, 60), *(record(w, 60.0, 4) for w in "ab")])
    assert found["cpu_ms_a_document"] == 200.0
    assert found["sentences_a_second"] == 15.0  # 30 sentences in 4 s, on two actors at a time
    assert found["actor_mib"] == 1.0
    assert [found[f"{part}_s"] for part in ("planning", "tagging", "finishing")] == [5.0, 64.0, 7.0]


def test_a_run_of_one_shard_an_actor_cannot_be_measured():
    with pytest.raises(ValueError, match=r"2 shards for 2 actors.*more --documents"):
        after_first([record("a", 0.0, 1), record("b", 0.0, 1)])


def test_a_crawl_is_made_of_the_lines_that_are_given(tmp_path):
    (tmp_path / "es").write_text("uno\n\n  \ndos\n", encoding="utf-8")
    (tmp_path / "de").write_text("eins\n", encoding="utf-8")
    make(tmp_path / "crawl", 7, 1, lines([f"es={tmp_path / 'es'}", f"de={tmp_path / 'de'}"]))
    rows = [json.loads(line) for line in (tmp_path / "crawl").read_text(encoding="utf-8").splitlines()]
    assert [row["language"] for row in rows] == ["es", "de", "es", "de", "es", "de", "es"]
    assert {row["text"] for row in rows if row["language"] == "es"} == {"uno", "dos"}
    assert {row["text"] for row in rows if row["language"] == "de"} == {"eins"}


@pytest.mark.parametrize(("given", "message"), [("es.txt", "as in es=es.txt"), ("es=empty", "no line with text")])
def test_texts_without_language_or_lines_are_refused(tmp_path, monkeypatch, given, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(ValueError, match=message):
        lines([given])
