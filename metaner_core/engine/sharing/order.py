"""The order in which support sets are taken, so that those with a source sentence in common stand near each other.

The sentences of a set have to be at hand together, and not all sentences can be. Sets are the edges of a graph on the
source sentences, and what is wanted is a walk along all edges that comes back least often to a sentence that it has
left. This one goes by a rule of thumb: of the sentences at hand, finish with the one that has the fewest sets left.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator

Unit = tuple[int, Hashable]  # id of a source sentence, and what sets it apart: nothing, or the dropout of one set
Set = tuple[Unit, ...]  # units of a support set
LOOK = 64  # sets of a sentence among which the next one is sought


def in_order(sets: Iterable[Set], size: Callable[[Unit], int], room: int) -> list[Set]:
    """The distinct sets in a good order if units of so many tokens are at hand. size: tokens of a unit.

    The same for the same sets in the same order. Takes about n log n steps.
    """
    return list(_Walk(sets, size, room))


class _Walk:
    """What is left to do, and what is at hand."""

    def __init__(self, sets: Iterable[Set], size: Callable[[Unit], int], room: int) -> None:
        self._size, self._room = size, room
        distinct = dict.fromkeys(sets)
        asked = Counter(unit for units in distinct for unit in units)
        self._left: dict[Unit, dict[Set, None]] = {unit: {} for unit in asked}  # sets, those with frequent units first
        for units in sorted(distinct, key=lambda units: -sum(asked[unit] for unit in units)):
            for unit in units:
                self._left[unit][units] = None
        self._hubs = iter(sorted(asked, key=lambda unit: -asked[unit]))
        self._hub = next(self._hubs, None)
        self._near: dict[Unit, None] = {}  # at hand, with sets left, the one that was not used for longest first
        self._used = 0  # tokens of those
        self._fewest: list[tuple[int, int, Unit]] = []  # a heap of (sets left, when, unit), some out of date
        self._clock = 0

    def __iter__(self) -> Iterator[Set]:
        while (unit := self._next_unit()) is not None:
            units = self._next_set(unit)
            self._take(units)
            yield units

    def _next_unit(self) -> Unit | None:
        """The one at hand with the fewest sets left; if there is none, the one that had most sets of all."""
        while self._fewest:
            count, _, unit = self._fewest[0]
            if unit in self._near and len(self._left[unit]) == count:
                return unit
            heapq.heappop(self._fewest)
        while self._hub is not None and not self._left[self._hub]:
            self._hub = next(self._hubs, None)
        return self._hub

    def _next_set(self, unit: Unit) -> Set:
        """Of the unit's sets the one that lacks the fewest tokens."""
        some = [units for units, _ in zip(self._left[unit], range(LOOK), strict=False)]
        return min(some, key=lambda units: sum(self._size(u) for u in units if u not in self._near))

    def _take(self, units: Set) -> None:
        self._clock += 1
        for unit in dict.fromkeys(units):
            del self._left[unit][units]
            if unit in self._near:
                self._drop(unit)
            if self._left[unit]:
                self._near[unit] = None
                self._used += self._size(unit)
                heapq.heappush(self._fewest, (len(self._left[unit]), self._clock, unit))
        while self._used > self._room:
            self._drop(next(iter(self._near)))

    def _drop(self, unit: Unit) -> None:
        del self._near[unit]
        self._used -= self._size(unit)
