"""Bounded sums of unbounded things: how many different ones, the most frequent, a sample. All of them add."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, TypeVar

T = TypeVar("T")
BITS = 53  # of a hash: what every reader of JSON takes for an integer


def digest(text: str) -> int:
    """A number of BITS bits, the same in every process."""
    content = hashlib.blake2b(text.encode(errors="backslashreplace"), digest_size=8).digest()
    return int.from_bytes(content, "big") >> (64 - BITS)


def least(values: Mapping[str, T], most: int) -> dict[str, T]:
    """Of values by key the `most` whose keys have the smallest digests: a random choice that any split agrees on.

    What the choice of the whole holds is in the choice of every part, so nothing of it has ever been left out.
    """
    return {key: values[key] for key in sorted(values, key=lambda key: (digest(key), key))[:most]}


@dataclass(frozen=True)
class Distinct:
    """How many different keys there are: exactly up to SIZE, above that within some 4% (one standard deviation).

    The SIZE smallest digests are kept; how far up the largest of them lies tells how many there are (Bar-Yossef et
    al., 2002). Adding is associative, and how the keys were split leaves no trace.
    """

    SIZE: ClassVar[int] = 512
    hashes: tuple[int, ...] = ()  # ascending

    @staticmethod
    def of(keys: Iterable[str]) -> "Distinct":
        return Distinct(tuple(sorted({digest(key) for key in keys})[: Distinct.SIZE]))

    def __add__(self, other: "Distinct") -> "Distinct":
        return Distinct(tuple(sorted({*self.hashes, *other.hashes})[: Distinct.SIZE]))

    @property
    def exact(self) -> bool:
        return len(self.hashes) < self.SIZE

    def count(self) -> int:
        if self.exact:
            return len(self.hashes)
        return round((self.SIZE - 1) * 2**BITS / (self.hashes[-1] + 1))


@dataclass(frozen=True)
class Frequent:
    """The most frequent keys. A key was seen `counts[key]` times or up to `missed` times more.

    Up to KEPT different keys are kept in memory, and SIZE of them by `shortened`, for a file. What does not fit lowers
    all counts by what the first key left out had, so that missed is at most 1/SIZE of all keys seen (Misra and Gries
    1982; adding: Agarwal et al. 2012). Until then counts are exact and missed is 0; from then on how the keys were
    split decides where between the bounds a count lies.
    """

    SIZE: ClassVar[int] = 1_000
    KEPT: ClassVar[int] = 50_000
    counts: Mapping[str, int] = field(default_factory=dict)
    missed: int = 0

    @staticmethod
    def of(keys: Iterable[str]) -> "Frequent":
        return Frequent(Counter(keys))._lowered(Frequent.KEPT)

    def __add__(self, other: "Frequent") -> "Frequent":
        counts = Counter(self.counts)
        counts.update(other.counts)
        return Frequent(counts, self.missed + other.missed)._lowered(self.KEPT)

    def shortened(self) -> "Frequent":
        return self._lowered(self.SIZE)

    def top(self, n: int) -> list[tuple[str, int]]:
        """The n most frequent, those of one count by name."""
        return sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))[:n]

    def _lowered(self, most: int) -> "Frequent":
        if len(self.counts) <= most:
            return self
        by = sorted(self.counts.values(), reverse=True)[most]
        return Frequent({key: n - by for key, n in self.counts.items() if n > by}, self.missed + by)
