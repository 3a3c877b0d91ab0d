"""The measurement of bulk tagging: what of a run's records it counts."""

import pytest

from jobs.measure_crawl import after_first, measured
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
    found = measured(manifest, [record("a", 0.0, 60), record("b", 0.0, 60), *(record(w, 60.0, 4) for w in "ab")])
    assert found["cpu_ms_a_document"] == 200.0
    assert found["sentences_a_second"] == 15.0  # 30 sentences in 4 s, on two actors at a time
    assert found["actor_mib"] == 1.0


def test_a_run_of_one_shard_an_actor_cannot_be_measured():
    with pytest.raises(ValueError, match=r"2 shards for 2 actors.*more --documents"):
        after_first([record("a", 0.0, 1), record("b", 0.0, 1)])
