"""Which sentences the engine takes together: those that share most, up to a budget of tokens."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from metaner_core.model.encoding import Encoded

Support = tuple[int, ...]  # ids of source sentences
QUERIES = 8  # query tokens that take the memory of a support token, whose trace is kept for as long as the wave lasts


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
    def tokens(self) -> int:
        return tokens_of(self.sentence)


def in_order(queries: Sequence[Query]) -> list[Query]:
    """Those with one support set stand together, sets with a frequent source sentence in common near each other."""
    asked = Counter(i for support, _ in {query.set for query in queries} for i in support)
    hubs = {query.set: sorted((-asked[i], i) for i in query.support) for query in queries}
    return sorted(queries, key=lambda q: (hubs[q.set], q.noise, q.tokens))


def waves(queries: Sequence[Query], source: Sequence[Encoded], budget: int) -> Iterator[list[Query]]:
    """Queries, in their order, in waves of at most `budget` tokens, or of one query that alone has more.

    A token of a source sentence counts as one, of a query as one QUERIES-th.
    """
    wave: list[Query] = []
    used, inside = 0, set[object]()
    for query in queries:
        units = units_of(*query.set)
        cost = _cost(query, (unit for unit in units if unit not in inside), source)
        if wave and used + cost > QUERIES * budget:
            yield wave
            wave, used, inside = [], 0, set()
            cost = _cost(query, units, source)
        wave.append(query)
        inside |= set(units)
        used += cost
    if wave:
        yield wave


def _cost(query: Query, units: Iterable[tuple[int, object]], source: Sequence[Encoded]) -> int:
    return QUERIES * sum(tokens_of(source[i]) for i, _ in units) + query.tokens


def units_of(support: Support, noise: int) -> list[tuple[int, object]]:
    """What has to go forward and backward for a set: its sentences, each once for all sets unless dropout differs."""
    return [(i, (noise, n) if noise else None) for n, i in enumerate(support)]


def tokens_of(sentence: Encoded) -> int:
    """Tokens of a sentence's windows, special ones included."""
    return sum(w.stop - w.start + 2 for w in sentence.windows)
