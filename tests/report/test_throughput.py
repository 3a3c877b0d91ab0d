"""Throughput over time: nothing tagged is lost or doubled, whatever the shards' times."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaner_core.report.throughput import Shard, over_time

TIMES = st.floats(0, 10**7)
SHARDS = st.lists(
    st.builds(
        lambda start, seconds, documents, sentences: Shard(
            "s", 1e9 + start, 1e9 + start + seconds, documents, sentences
        ),
        TIMES,
        TIMES,
        st.integers(0, 1000),
        st.integers(0, 10_000),
    ),
    min_size=1,
    max_size=20,
)


@given(SHARDS)
def test_spans_cover_the_time_and_hold_all_that_was_tagged(shards: list[Shard]) -> None:
    spans = over_time(shards)
    assert 1 <= len(spans) <= 61
    assert sum(span.documents for span in spans) == pytest.approx(sum(shard.documents for shard in shards))
    assert sum(span.sentences for span in spans) == pytest.approx(sum(shard.sentences for shard in shards))
    assert spans[0].start == min(shard.started for shard in shards)
    assert all(span.seconds > 0 for span in spans)
    for before, after in itertools.pairwise(spans):
        assert before.start + before.seconds == pytest.approx(after.start, rel=1e-12)
    assert spans[-1].start + spans[-1].seconds == pytest.approx(max(shard.finished for shard in shards), abs=0.01)


def test_a_steady_run_has_one_rate() -> None:
    shards = [Shard(str(i), 100.0 + i, 102.0 + i, 10, 40) for i in range(0, 600, 2)]
    spans = over_time(shards)
    assert len(spans) == 60
    assert {round(span.rate, 6) for span in spans} == {20}


def test_actors_add_up_and_a_pause_shows() -> None:
    spans = over_time([Shard("a", 0, 10, 1, 100), Shard("b", 0, 10, 1, 100), Shard("c", 50, 60, 1, 50)])
    rates = [span.rate for span in spans]
    assert rates == pytest.approx([20] * 10 + [0] * 40 + [5] * 10)


def test_the_last_span_s_rate_is_of_its_own_time() -> None:
    spans = over_time([Shard("a", 0, 61, 1, 610)])
    assert (spans[-1].seconds, spans[-1].rate) == (pytest.approx(1), pytest.approx(10))


def test_no_shards_have_no_time() -> None:
    assert over_time([]) == []
