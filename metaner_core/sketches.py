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
    """The most frequent keys, SIZE of them. A key was seen `counts[key]` times or up to `missed` times more.

    Exact (missed is 0) while there are at most SIZE different keys. Beyond, counts are lowered by what the first key
    left out had, so that missed is at most 1/SIZE of all keys seen (Misra and Gries 1982; merging: Agarwal et al.
    2012): how the keys were split then decides where between the bounds a count lies.
    """

    SIZE: ClassVar[int] = 1000
    counts: Mapping[str, int] = field(default_factory=dict)
    missed: int = 0

    @staticmethod
    def of(keys: Iterable[str]) -> "Frequent":
        return _lowered(Counter(keys), 0)

    def __add__(self, other: "Frequent") -> "Frequent":
        return _lowered(Counter(self.counts) + Counter(other.counts), self.missed + other.missed)

    def top(self, n: int) -> list[tuple[str, int]]:
        """The n most frequent, those of one count by name."""
        return sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))[:n]


def _lowered(counts: Mapping[str, int], missed: int) -> Frequent:
    if len(counts) <= Frequent.SIZE:
        return Frequent(dict(counts), missed)
    by = sorted(counts.values(), reverse=True)[Frequent.SIZE]
    return Frequent({key: n - by for key, n in counts.items() if n > by}, missed + by)
