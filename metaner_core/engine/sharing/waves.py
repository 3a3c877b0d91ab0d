"""Which sentences the engine takes together, and which source sentences' traces it keeps from one wave to the next.

All that is to be done is known beforehand. So what is let go, when room is needed, is what is wanted again last
(Belady's rule, which no other beats for a given order).
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from metaner_core.engine.sharing.order import Set, Unit, in_order
from metaner_core.model.encoding import Encoded

Support = tuple[int, ...]  # ids of source sentences
BACK = 2  # times a forward pass: a forward and a backward one that forms no weight's gradient


@dataclass(frozen=True)
class Room:
    """Tokens, special ones among them. kept: of source sentences whose traces are at hand. passed: of those that go
    forward and backward in one wave. queries: that are tagged in one wave."""

    kept: int
    passed: int
    queries: int


@dataclass(frozen=True)
class Query:
    """A distinct sentence with its support set; `noise` sets it apart when each is adapted under its own dropout."""

    sentence: Encoded
    support: Support
    noise: int = 0

    @property
    def set(self) -> tuple[Support, int]:
        return self.support, self.noise

    @property
    def units(self) -> Set:
        return units_of(*self.set)

    @property
    def tokens(self) -> int:
        return self.sentence.tokens


@dataclass(frozen=True)
class Wave:
    """queries: in their order, those of one set together. dropped: units that are let go before it begins."""

    queries: Sequence[Query]
    dropped: Sequence[Unit] = ()


@dataclass
class Plan:
    """Waves, and the most that is at hand at once: tokens and units."""

    waves: list[Wave] = field(default_factory=list)
    tokens: int = 0
    units: int = 0


def ordered(queries: Iterable[Query], source: Sequence[Encoded], room: Room) -> list[Query]:
    """The queries set by set, sets with source sentences in common near each other."""
    own: dict[Set, list[Query]] = {}
    for query in queries:
        own.setdefault(query.units, []).append(query)
    order = in_order(own, lambda unit: _tokens(unit, source), room.kept)
    return [query for units in order for query in sorted(own[units], key=lambda query: query.tokens)]


def parts(queries: Sequence[Query], source: Sequence[Encoded], many: int) -> list[list[Query]]:
    """The queries in their order, cut into so many stretches of about as much work, or fewer: none is empty.

    A query's tokens go forward; those of a source sentence, where it is wanted first, there and back. Cut by
    queries alone the first stretch would have most to do, for it meets most sentences for the first time.
    """
    met: set[Unit] = set()
    work = []
    for query in queries:
        new = set(query.units) - met
        met |= new
        work.append(query.tokens + BACK * sum(_tokens(unit, source) for unit in new))
    cuts: list[list[Query]] = [[] for _ in range(many)]
    whole, before = sum(work), 0
    for query, its in zip(queries, work, strict=True):
        cuts[min(many - 1, before * many // whole)].append(query)
        before += its
    return [part for part in cuts if part]


def plan(queries: Sequence[Query], source: Sequence[Encoded], room: Room) -> Plan:
    """The queries, in their order, in waves that have the room, or of one query that alone needs more."""
    return _Planner(queries, lambda unit: _tokens(unit, source), room).plan


class _Planner:
    def __init__(self, queries: Sequence[Query], size: Callable[[Unit], int], room: Room) -> None:
        self.plan = Plan()
        self._size, self._room = size, room
        self._kept: dict[Unit, None] = {}
        self._used = 0
        self._begin()
        groups = [(units, list(group)) for units, group in groupby(queries, key=lambda query: query.units)]
        self._uses: dict[Unit, deque[int]] = {}  # of each unit: the sets, by their place, that still want it
        for place, (units, _) in enumerate(groups):
            for unit in dict.fromkeys(units):
                self._uses.setdefault(unit, deque()).append(place)
        for units, group in groups:
            self._have(units, group[0])
            for query in group:
                self._add(query)
            for unit in dict.fromkeys(units):
                self._uses[unit].popleft()
        self._close()

    def _begin(self) -> None:
        self._queries: list[Query] = []
        self._dropped: list[Unit] = []
        self._inside: set[Unit] = set()  # units of the wave
        self._held = self._passed = self._tagged = 0  # tokens: of those, of what is new among them, of queries

    def _close(self) -> None:
        if self._queries:
            self.plan.waves.append(Wave(self._queries, self._dropped))
            self.plan.tokens = max(self.plan.tokens, self._used)
            self.plan.units = max(self.plan.units, len(self._kept))
            self._begin()

    def _have(self, units: Set, first: Query) -> None:
        """Have the units of the next set at hand, in a new wave if this one cannot take them or the first query."""
        new = [unit for unit in dict.fromkeys(units) if unit not in self._kept]
        cost = self._tokens(new)
        together = self._held + self._tokens(set(units) - self._inside)
        if self._passed + cost > self._room.passed or together > self._room.kept or not self._takes(first):
            self._close()
        self._hold(units)
        while self._used + cost > self._room.kept and (spare := self._spare()):
            self._drop(max(spare, key=self._next_use))
        self._kept.update(dict.fromkeys(new))
        self._used += cost
        self._passed += cost

    def _add(self, query: Query) -> None:
        if not self._takes(query):
            self._close()
            self._hold(query.units)
        self._queries.append(query)
        self._tagged += query.tokens

    def _takes(self, query: Query) -> bool:
        return not self._queries or self._tagged + query.tokens <= self._room.queries

    def _hold(self, units: Set) -> None:
        more = set(units) - self._inside
        self._held += self._tokens(more)
        self._inside |= more

    def _spare(self) -> list[Unit]:
        return [unit for unit in self._kept if unit not in self._inside]

    def _drop(self, unit: Unit) -> None:
        del self._kept[unit]
        self._used -= self._size(unit)
        self._dropped.append(unit)

    def _next_use(self, unit: Unit) -> float:
        return self._uses[unit][0] if self._uses[unit] else math.inf

    def _tokens(self, units: Iterable[Unit]) -> int:
        return sum(map(self._size, units))


def units_of(support: Support, noise: int) -> Set:
    """What has to go forward and backward for a set: its sentences, each once for all sets unless dropout differs."""
    return tuple((i, (noise, support, n) if noise else None) for n, i in enumerate(support))


def _tokens(unit: Unit, source: Sequence[Encoded]) -> int:
    return source[unit[0]].tokens
