"""Every set once, and near the sets that it shares sentences with."""

import time
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from metaner_core.engine.sharing.order import in_order

SIZES = np.random.default_rng(5).integers(3, 60, 10_000).tolist()


def size(unit):
    return SIZES[unit[0]]


def sets_of(pairs):
    return [tuple((i, None) for i in pair) for pair in pairs]


def hubs(many, sources, seed=0):
    """Sets of two, in which some sources are far more frequent than others, as nearest neighbours are."""
    rng = np.random.default_rng(seed)
    drawn = (rng.zipf(1.6, (many, 2)) - 1) % sources
    return sets_of([pair for pair in drawn.tolist() if pair[0] != pair[1]])


def computed(order, room):
    """Tokens that go through the encoder if what was not used for longest is let go."""
    kept, used, cost = OrderedDict(), 0, 0
    for units in order:
        for unit in units:
            if unit in kept:
                kept.move_to_end(unit)
                continue
            kept[unit] = None
            used += size(unit)
            cost += size(unit)
        while used > room and len(kept) > len(units):
            used -= size(kept.popitem(last=False)[0])
    return cost


@given(
    pairs=some.lists(some.lists(some.integers(0, 12), min_size=1, max_size=4).map(tuple), max_size=60),
    room=some.integers(0, 300),
)
def test_each_distinct_set_comes_once(pairs, room):
    sets = sets_of(pairs)
    order = in_order(sets, size, room)
    assert sorted(order) == sorted(set(sets))
    assert in_order(sets, size, room) == order


@pytest.mark.parametrize("room", [200, 1_000, 5_000])
def test_less_is_computed_than_in_the_order_of_the_most_frequent(room):
    sets = list(dict.fromkeys(hubs(4_000, 1_500)))
    asked = dict.fromkeys(range(1_500), 0)
    for units in sets:
        for i, _ in units:
            asked[i] += 1
    by_hub = sorted(sets, key=lambda units: sorted((-asked[i], i) for i, _ in units))
    assert computed(in_order(sets, size, room), room) < 0.9 * computed(by_hub, room) < computed(sets, room)


def test_with_room_for_all_each_sentence_is_computed_once():
    sets = hubs(500, 100)
    assert computed(in_order(sets, size, 10**6), 10**6) == sum(
        size(unit) for unit in {u for units in sets for u in units}
    )


def test_islands_are_left_one_after_the_other():
    """Two groups that share nothing, mixed: the order finishes with one before it begins the other."""
    pairs = [(i, j) for i in range(5) for j in range(i)]
    mixed = [pair for a, b in pairs for pair in ((a, b), (a + 50, b + 50))]
    order = [units[0][0] >= 50 for units in in_order(sets_of(mixed), size, 10**6)]
    assert order in (sorted(order), sorted(order, reverse=True))


def test_a_sentence_that_all_sets_have_takes_no_longer():
    started = time.perf_counter()
    in_order(sets_of([(0, i) for i in range(1, 9_000)]), size, 500)
    assert time.perf_counter() - started < 10
