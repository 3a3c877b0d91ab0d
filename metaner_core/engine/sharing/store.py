"""Traces of source sentences that are kept from one wave to the next, in memory of a fixed size."""

import math
from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np
import torch

from metaner_core.engine.sharing.order import Unit
from metaner_core.engine.weights.trace import Names, Rows, Trace

K = TypeVar("K")
SLACK = 1.125  # of the rows that are needed: the more, the seldomer they have to be moved together


class Store:
    """What a set's gradient is made of, unit by unit: copied out of the pass that computed it, until it is dropped."""

    def __init__(self, tokens: int, units: int, narrow: frozenset[str]) -> None:
        """tokens, units: the most that it will hold at once. narrow: as a Trace has it."""
        self._narrow = narrow
        self._tokens, self._positions, self._places = (_Rows(math.ceil(SLACK * n)) for n in (tokens, tokens, units))
        self._inputs: dict[Names, torch.Tensor] = {}
        self._gradients: dict[Names, torch.Tensor] = {}
        self._scales: dict[str, torch.Tensor] = {}
        self._biases: dict[Names, torch.Tensor] = {}
        self._squares: dict[Unit, dict[Names, torch.Tensor]] = {}  # found by those who ask for them

    def has(self, units: Iterable[Unit]) -> bool:
        return all(unit in self._tokens.of for unit in units)

    def drop(self, units: Iterable[Unit]) -> None:
        """Let go of those that it has."""
        for unit in units:
            for rows in (self._tokens, self._positions, self._places):
                rows.of.pop(unit, None)
            self._squares.pop(unit, None)

    def clear(self) -> None:
        """Let go of everything, and of the memory."""
        self.drop(list(self._tokens.of))
        for kept in (self._inputs, self._gradients, self._scales, self._biases):
            kept.clear()

    def put(self, units: Sequence[Unit], trace: Trace) -> None:
        """Keep what a pass over these units has left."""
        wide = [names for names in trace.inputs if names[0] not in self._narrow]
        by_token = (self._tokens, trace.tokens.counts, wide)
        by_position = (self._positions, trace.positions.counts, [n for n in trace.inputs if n not in wide])
        for rows, counts, modules in (by_token, by_position):
            both = ((self._inputs, trace.inputs), (self._gradients, trace.gradients))
            kept = [matrices[names] for matrices, _ in both for names in modules if names in matrices]
            places = self._index(rows.give(units, counts, kept), trace)
            for names in modules:
                for matrices, found in both:
                    _copy(matrices, names, found[names], places, rows.many)
        kept = [*self._scales.values(), *self._biases.values()]
        places = self._index(self._places.give(units, [1] * len(units), kept), trace)
        for name, value in trace.scales.items():
            _copy(self._scales, name, value, places, self._places.many)
        for names in trace.inputs:
            _copy(self._biases, names, trace.bias(names), places, self._places.many)

    def trace(self, units: Sequence[Unit], device: torch.device) -> Trace:
        """The trace of some units, in this order: what a pass over them alone would have left, but for where it is."""
        tokens, positions = (self._rows(rows, units, device) for rows in (self._tokens, self._positions))
        places = torch.tensor([self._places.of[unit][0] for unit in units], dtype=torch.long, device=device)
        scales = {name: value[places] for name, value in self._scales.items()}
        biases = {names: value[places] for names, value in self._biases.items()}
        squares = [self._squares.setdefault(unit, {}) for unit in units]
        return Trace(tokens, positions, self._narrow, self._inputs, self._gradients, scales, biases, squares)

    @staticmethod
    def _index(places: Sequence[int], trace: Trace) -> torch.Tensor:
        return torch.from_numpy(np.array(places, np.int64)).to(trace.tokens.device)

    @staticmethod
    def _rows(rows: "_Rows", units: Sequence[Unit], device: torch.device) -> Rows:
        starts, counts = zip(*(rows.of[unit] for unit in units), strict=True)
        return Rows(torch.tensor(counts, dtype=torch.long, device=device), starts)


class _Rows:
    """Stretches of a matrix's rows that are given out and taken back. of: each unit's, start and count."""

    def __init__(self, many: int) -> None:
        self.many = many
        self.of: dict[Unit, tuple[int, int]] = {}

    def give(self, units: Sequence[Unit], counts: Sequence[int], kept: Sequence[torch.Tensor]) -> list[int]:
        """Rows for each unit, all in one list. kept: matrices whose rows are moved together if that is how they fit."""
        places = self._places(counts)
        if places is None:
            self._move(kept)
            places = self._places(counts)
        if places is None:
            raise MemoryError(f"{sum(counts)} more rows than a store of {self.many} has room for")
        self.of.update(zip(units, zip(places, counts, strict=True), strict=True))
        return [row for start, count in zip(places, counts, strict=True) for row in range(start, start + count)]

    def _places(self, counts: Sequence[int]) -> list[int] | None:
        """Gaps that take them, each the first one that does; None: there are none, as things stand."""
        taken = sorted(self.of.values())
        ends = [0, *(start + count for start, count in taken)]
        gaps = [
            [end, start - end] for end, start in zip(ends, [*(start for start, _ in taken), self.many], strict=True)
        ]
        found = []
        for count in counts:
            gap = next((gap for gap in gaps if gap[1] >= count), None)
            if gap is None:
                return None
            found.append(gap[0])
            gap[0] += count
            gap[1] -= count
        return found

    def _move(self, kept: Sequence[torch.Tensor]) -> None:
        """All stretches to the front, one after the other."""
        end = 0
        for unit, (start, count) in sorted(self.of.items(), key=lambda item: item[1]):
            if start > end:
                for matrix in kept:
                    matrix[end : end + count] = matrix[start : start + count].clone()  # the two may overlap
                self.of[unit] = end, count
            end += count


def _copy(kept: dict[K, torch.Tensor], key: K, value: torch.Tensor, rows: torch.Tensor, many: int) -> None:
    """rows: index of where value's go."""
    if key not in kept:
        kept[key] = value.new_empty(many, *value.shape[1:])
    kept[key].index_copy_(0, rows, value)
