"""Traces of source sentences that are kept from one wave to the next, in memory of a fixed size."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

import torch

from metaner_core.engine.sharing.order import Unit
from metaner_core.engine.trace import Names, Rows, Trace

K = TypeVar("K")


class Store:
    """What a set's gradient is made of, unit by unit: copied out of the pass that computed it, until it is dropped."""

    def __init__(self, tokens: int, units: int, narrow: frozenset[str]) -> None:
        """tokens, units: the most that it will hold at once. narrow: as a Trace has it."""
        self._tokens, self._positions, self._places = _Places(tokens), _Places(tokens), _Places(units)
        self._sizes, self._narrow = (tokens, units), narrow
        self._inputs: dict[Names, torch.Tensor] = {}
        self._gradients: dict[Names, torch.Tensor] = {}
        self._scales: dict[str, torch.Tensor] = {}

    def has(self, units: Iterable[Unit]) -> bool:
        return all(unit in self._tokens.of for unit in units)

    def clear(self) -> None:
        """Let go of everything, and of the memory."""
        self.drop(list(self._tokens.of))
        for kept in (self._inputs, self._gradients, self._scales):
            kept.clear()

    def drop(self, units: Iterable[Unit]) -> None:
        """Let go of those that it has."""
        for unit in units:
            for places in (self._tokens, self._positions, self._places):
                places.free(unit)

    def put(self, units: Sequence[Unit], trace: Trace) -> None:
        """Keep what a pass over these units has left."""
        rows = {  # by whether the module sees positions only
            False: self._tokens.give(units, trace.tokens.counts),
            True: self._positions.give(units, trace.positions.counts),
        }
        for kept, found in ((self._inputs, trace.inputs), (self._gradients, trace.gradients)):
            for names, value in found.items():
                _copy(kept, names, value, rows[names[0] in self._narrow], self._sizes[0])
        own = self._places.give(units, [1] * len(units))
        for name, value in trace.scales.items():
            _copy(self._scales, name, value, own, self._sizes[1])

    def trace(self, units: Sequence[Unit], device: torch.device) -> Trace:
        """The trace of some units, in this order, as a pass over them alone would have left it."""
        tokens, positions = (
            Rows.scattered([p.of[unit] for unit in units], device) for p in (self._tokens, self._positions)
        )
        places = torch.tensor([self._places.of[unit][0] for unit in units], dtype=torch.long, device=device)
        scales = {name: value[places] for name, value in self._scales.items()}
        return Trace(tokens, positions, self._narrow, self._inputs, self._gradients, scales)


class _Places:
    """Rows of a matrix that are given out and taken back."""

    def __init__(self, many: int) -> None:
        self.of: dict[Unit, list[int]] = {}
        self._spare = list(range(many))[::-1]

    def give(self, units: Sequence[Unit], counts: Sequence[int]) -> list[int]:
        """Rows for each unit: of all of them, one after the other."""
        for unit, count in zip(units, counts, strict=True):
            self.of[unit] = [self._spare.pop() for _ in range(count)]
        return [row for unit in units for row in self.of[unit]]

    def free(self, unit: Unit) -> None:
        self._spare += self.of.pop(unit, [])[::-1]


def _copy(kept: dict[K, torch.Tensor], key: K, value: torch.Tensor, rows: Sequence[int], size: int) -> None:
    if key not in kept:
        kept[key] = value.new_empty(size, *value.shape[1:])
    kept[key].index_copy_(0, torch.tensor(rows, dtype=torch.long, device=value.device), value)
