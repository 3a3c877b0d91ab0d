"""Waves keep within their room, and what is let go is what is wanted again last."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from metaner_core.engine.sharing.waves import Query, Room, ordered, parts, plan, units_of
from metaner_core.model.encoding import Encoded, Window


def sentence(length):
    return Encoded(tuple(range(length)), (), (), None, (Window(0, length, 0),))


RNG = np.random.default_rng(0)
SOURCE = [sentence(int(n)) for n in RNG.integers(1, 40, size=30)]
QUERIES = [
    Query(sentence(int(n)), tuple(sorted(RNG.choice(20, 2, replace=False).tolist()))) for n in RNG.integers(1, 60, 150)
]
ROOMS = [Room(1, 1, 1), Room(100, 40, 100), Room(200, 200, 300), Room(400, 50, 10**6), Room(10**6, 10**6, 10**6)]


def cost(units):
    return sum(SOURCE[i].tokens for i, _ in units)


def played(found):
    """What is at hand and what is new in each wave, when its plan is followed."""
    kept = set()
    for wave in found.waves:
        kept -= set(wave.dropped)
        units = {unit for query in wave.queries for unit in query.units}
        new = units - kept
        kept |= new
        yield wave, set(kept), new


@pytest.mark.parametrize("room", ROOMS)
def test_each_query_comes_once_and_its_set_together(room):
    order = ordered(QUERIES, SOURCE, room)
    assert sorted(order, key=repr) == sorted(QUERIES, key=repr)
    assert len([1 for a, b in pairwise(order) if a.units != b.units]) == len({q.units for q in QUERIES}) - 1
    assert [query for wave in plan(order, SOURCE, room).waves for query in wave.queries] == order


@pytest.mark.parametrize("room", ROOMS)
def test_a_wave_keeps_within_its_room_but_for_what_one_set_needs(room):
    found = plan(ordered(QUERIES, SOURCE, room), SOURCE, room)
    for wave, kept, new in played(found):
        alone = len({query.units for query in wave.queries}) == 1
        assert cost(kept) <= room.kept or alone
        assert cost(new) <= room.passed or new <= set(wave.queries[0].units)
        assert sum(query.tokens for query in wave.queries) <= room.queries or len(wave.queries) == 1
    assert found.tokens == max(cost(kept) for _, kept, _ in played(found))
    assert found.units == max(len(kept) for _, kept, _ in played(found))


def test_nothing_is_let_go_while_there_is_room():
    found = plan(ordered(QUERIES, SOURCE, ROOMS[-1]), SOURCE, ROOMS[-1])
    assert len(found.waves) == 1
    many = Room(10**6, 10**6, 100)
    assert not any(wave.dropped for wave in plan(ordered(QUERIES, SOURCE, many), SOURCE, many).waves)


@given(
    pairs=some.lists(some.tuples(some.integers(0, 7), some.integers(8, 14)), min_size=1, max_size=14),
    kept=some.integers(2, 6),
)
def test_no_other_choice_of_what_to_let_go_computes_less(pairs, kept):
    """Source sentences of one length, a set a wave: against all choices there are."""
    source = [sentence(1)] * 15
    queries = [Query(sentence(n + 1), pair) for n, pair in enumerate(pairs)]
    found = plan(queries, source, Room(3 * kept, 10**6, 1))
    computed = sum(len(new) for _, _, new in played(found))
    assert computed == fewest([set(query.units) for query in queries], kept)


def fewest(sets, kept):
    """The least number of sentences that have to be computed, with so many kept at a time."""
    states = {frozenset(): 0}
    for units in sets:
        following = {}
        for have, so_far in states.items():
            new = units - have
            everything = have | units
            for left in smaller(everything, units, kept):
                following[left] = min(following.get(left, math.inf), so_far + len(new))
        states = following
    return min(states.values())


def smaller(everything, units, kept):
    """The ways to keep at most so many, those of the set among them; more than needed are never let go."""
    if len(everything) <= kept:
        yield frozenset(everything)
        return
    for unit in everything - units:
        yield from smaller(everything - {unit}, units, kept)


def test_under_dropout_each_set_has_units_of_its_own():
    assert units_of((3, 4), 0) == ((3, None), (4, None))
    own = [units_of((3, 4), 7), units_of((3, 4), 8), units_of((3, 5), 7)]
    assert len({unit for units in own for unit in units}) == 6


def test_parts_are_of_about_as_much_work_and_in_order():
    """A source sentence counts where it is wanted first, there and back."""
    most = max(query.tokens for query in QUERIES) + 2 * 2 * max(s.tokens for s in SOURCE)
    for many in (1, 2, 3, 7):
        found = parts(QUERIES, SOURCE, many)
        assert [query for part in found for query in part] == QUERIES
        met, work = set(), []
        for part in found:
            first = {i for query in part for i in query.support} - met
            met |= first
            work.append(sum(query.tokens for query in part) + 2 * sum(SOURCE[i].tokens for i in first))
        assert len(found) == many
        assert max(work) - min(work) <= 2 * most
    assert parts(QUERIES[:1], SOURCE, 4) == [QUERIES[:1]]
    assert parts([], SOURCE, 4) == []


def test_where_source_sentences_come_first_a_part_has_fewer_queries():
    sets = [(i, i + 1) for i in range(0, 20, 2)] + [(0, 1)] * 30
    queries = [Query(sentence(10), support) for support in sets]
    first, second = parts(queries, SOURCE, 2)
    assert len(first) < 12 < len(second)
