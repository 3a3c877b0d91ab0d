"""Bounded sums: exact where they say so, within their bounds elsewhere, and the same however they are split."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metaner_core.report.sketches import Distinct, Frequent, digest, least


def test_a_digest_is_the_same_everywhere() -> None:
    assert digest("metaner") == 5026124252108051
    assert len({digest(str(i)) for i in range(10_000)}) == 10_000


@pytest.mark.parametrize("n", [0, 1, 511])
def test_few_different_keys_are_counted_exactly(n: int) -> None:
    found = Distinct.of(str(i % n) for i in range(3 * n))
    assert (found.count(), found.exact) == (n, True)


@pytest.mark.parametrize("n", [600, 5_000, 100_000])
def test_many_different_keys_are_counted_closely(n: int) -> None:
    found = Distinct.of(f"{n}-{i}" for i in range(n))
    assert not found.exact
    assert found.count() == pytest.approx(n, rel=0.15)  # over three standard deviations


@settings(deadline=None)
@given(st.lists(st.integers(0, 2_000), max_size=50), st.integers(0, 50))
def test_different_keys_add_up_however_they_are_split(numbers: list[int], at: int) -> None:
    keys = [str(n * k) for n in numbers for k in range(30)]
    assert Distinct.of(keys[:at]) + Distinct.of(keys[at:]) == Distinct.of(keys)


def test_the_least_of_the_whole_are_the_least_of_any_parts() -> None:
    values = {str(i): i for i in range(500)}
    parts = [dict(list(values.items())[at : at + 100]) for at in range(0, 500, 100)]
    merged: dict[str, int] = {}
    for part in parts:
        merged = least({**merged, **least(part, 7)}, 7)
    assert merged == least(values, 7)
    assert len(merged) == 7


def test_the_least_are_no_more_of_one_kind_than_chance_has_it() -> None:
    values = {f"{kind}{i}": kind for kind in "ab" for i in range(5_000)}
    assert 400 < Counter(least(values, 1_000).values())["a"] < 600


def test_few_keys_have_their_exact_counts() -> None:
    keys = random.Random(0).choices(range(1_000), k=20_000)
    found = Frequent.of(map(str, keys[:7_000])) + Frequent.of(map(str, keys[7_000:]))
    assert found == Frequent({str(key): n for key, n in Counter(keys).items()}, 0)


@pytest.mark.parametrize("parts", [1, 2, 50])
def test_counts_of_many_keys_lie_within_the_bound_they_state(parts: int) -> None:
    draw = random.Random(parts)
    keys = [str(int(draw.paretovariate(0.2))) for _ in range(60_000)]
    found = Frequent()
    for part in range(parts):
        found = found + Frequent.of(keys[part::parts]).shortened()
    found = found.shortened()
    true = Counter(keys)
    assert len(true) > 5 * Frequent.SIZE
    assert len(found.counts) <= Frequent.SIZE
    assert 0 < found.missed <= len(keys) / Frequent.SIZE
    assert all(n - found.missed <= found.counts.get(key, 0) <= n for key, n in true.items())


def test_the_top_is_in_order() -> None:
    assert Frequent.of("abbccc").top(2) == [("c", 3), ("b", 2)]
    assert Frequent.of("ba").top(5) == [("a", 1), ("b", 1)]


def test_memory_holds_no_more_than_it_keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Frequent, "KEPT", 10)
    found = Frequent.of("abcdefghij" * 2) + Frequent.of("klmnopqrst")
    assert (len(found.counts), found.missed) == (10, 1)
    assert found.counts == dict.fromkeys("abcdefghij", 1)
