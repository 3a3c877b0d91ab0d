"""What the store gives back is what was put in, whatever was dropped in between."""

import pytest
import torch

from metaner_core.engine.sharing.store import Store
from metaner_core.engine.weights.trace import Rows, Trace, gathered, gradients

NARROW, WIDE = ("top",), ("q", "k")
CPU = torch.device("cpu")


def trace_of(counts, generator):
    """A trace of units with so many tokens, of which one less are positions."""
    tokens = Rows(torch.tensor(counts))
    positions = Rows(torch.tensor([n - 1 for n in counts]))

    def drawn(rows, width):
        return torch.randn(sum(rows.counts), width, generator=generator, dtype=torch.float64)

    return Trace(
        tokens,
        positions,
        frozenset({"top"}),
        {WIDE: drawn(tokens, 4), NARROW: drawn(positions, 3)},
        {WIDE: drawn(tokens, 5), NARROW: drawn(positions, 2)},
        {"norm": torch.randn(len(counts), 2, 4, generator=generator, dtype=torch.float64)},
    )


@pytest.fixture
def filled():
    """A store, and what was put into it: the traces of six units in three passes, one dropped in between."""
    generator = torch.Generator().manual_seed(0)
    store, own = Store(20, 5, frozenset({"top"})), {}
    for units, counts, dropped in (((0, 1), (4, 7), ()), ((2, 3), (2, 3), (0,)), ((4, 5), (5, 3), ())):
        store.drop([(i, None) for i in dropped])
        found = trace_of(counts, generator)
        store.put([(i, None) for i in units], found)
        own |= {i: (found, n) for n, i in enumerate(units)}
    return store, own


@pytest.mark.parametrize("names", [WIDE, NARROW])
def test_a_unit_s_rows_are_those_that_were_put_in(filled, names):
    store, own = filled
    order = [5, 2, 1, 4, 3]
    trace = store.trace([(i, None) for i in order], CPU)
    for n, i in enumerate(order):
        found, place = own[i]
        for kept, put in zip(gathered(trace, names, [n]), gathered(found, names, [place]), strict=True):
            torch.testing.assert_close(kept, put, rtol=0, atol=0)
        torch.testing.assert_close(trace.scales["norm"][n], found.scales["norm"][place], rtol=0, atol=0)


@pytest.mark.parametrize("names", [WIDE, NARROW])
def test_gradients_of_sets_are_sums_of_what_was_put_in(filled, names):
    store, own = filled
    trace = store.trace([(i, None) for i in (1, 2, 4)], CPU)
    sets = [[0, 1], [2], [2, 0]]
    for many in (sets, sets[:1]):
        g = gradients(trace, names, many)
        for row, units in enumerate(many):
            parts = [gathered(own[i][0], names, [own[i][1]]) for i in ((1, 2, 4)[u] for u in units)]
            torch.testing.assert_close(g[row], sum(d.T @ a for a, d in parts))
            torch.testing.assert_close(trace.bias(names)[list(units)].sum(0), sum(d.sum(0) for _, d in parts))


def test_what_stays_is_moved_together_when_that_makes_room(filled):
    store, own = filled
    store.drop([(1, None), (3, None), (5, None)])  # 23 rows: 7 of 2 and 4 somewhere, and the gaps between
    found = trace_of((15,), torch.Generator().manual_seed(1))
    store.put([(9, None)], found)
    own[9] = (found, 0)
    trace = store.trace([(i, None) for i in (4, 9, 2)], CPU)
    for n, i in enumerate((4, 9, 2)):
        for names in (WIDE, NARROW):
            torch.testing.assert_close(gathered(trace, names, [n]), gathered(own[i][0], names, [own[i][1]]))
            torch.testing.assert_close(trace.bias(names)[n], gathered(trace, names, [n])[1].sum(0))


def test_it_knows_what_it_has(filled):
    store, _ = filled
    assert store.has([(1, None), (5, None)])
    assert not store.has([(1, None), (0, None)])
    store.clear()
    assert not store.has([(1, None)])
    store.put([(8, None)], trace_of((20,), torch.Generator()))
    assert store.has([(8, None)])


def test_more_than_it_was_made_for_does_not_fit(filled):
    store, _ = filled
    store.drop([(1, None), (2, None)])
    with pytest.raises(MemoryError, match="a store of 23 has room for"):
        store.put([(9, None)], trace_of((13,), torch.Generator()))
