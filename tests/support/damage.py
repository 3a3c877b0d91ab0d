"""Files damaged in the ways files really break, with an account of which bytes are still the original's."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

# The fuzzers' examples: some seconds in all, or as many as one likes (CONTRIBUTING.md).
fuzz = settings(
    max_examples=int(os.environ.get("METANER_FUZZ", "120")),
    deadline=None,
    suppress_health_check=[*HealthCheck],
    print_blob=True,
)


@dataclass(frozen=True)
class Byte:
    """part, at: where of the original it is from; None for one that was put in or changed."""

    value: int
    part: int | None = None
    at: int = 0


@dataclass
class Bytes:
    """A file made of parts that follow one another (records, members, lines)."""

    parts: Sequence[bytes]
    bytes: list[Byte] = field(init=False)

    def __post_init__(self) -> None:
        self.bytes = [Byte(v, n, at) for n, part in enumerate(self.parts) for at, v in enumerate(part)]

    def content(self) -> bytes:
        return bytes(byte.value for byte in self.bytes)

    def whole(self, part: int) -> list[int]:
        """Where this part stands with all its bytes in their order: the places of its first byte."""
        length = len(self.parts[part])
        starts = [n for n, byte in enumerate(self.bytes) if (byte.part, byte.at) == (part, 0)]
        return [n for n in starts if all(self._is(n + k, part, k) for k in range(length))]

    def _is(self, n: int, part: int, at: int) -> bool:
        return n < len(self.bytes) and (self.bytes[n].part, self.bytes[n].at) == (part, at)


def damages(least: int = 1, most: int = 3) -> st.SearchStrategy[list[tuple[str, int, int, bytes]]]:
    """What `damage` does, in this order."""
    kinds = st.sampled_from(["flip", "cut", "truncate", "insert", "double", "pad"])
    return st.lists(
        st.tuples(kinds, st.integers(0, 2**16), st.integers(1, 300), st.binary(min_size=1, max_size=40)),
        min_size=least,
        max_size=most,
    )


def damage(file: Bytes, what: Sequence[tuple[str, int, int, bytes]]) -> Bytes:
    """The same file after that. Places wrap around."""
    for kind, place, size, content in what:
        held = file.bytes
        at = place % (len(held) + 1)
        if kind == "flip":
            for n in range(at, min(at + 1 + size % 4, len(held))):
                held[n] = Byte(held[n].value ^ (content[0] or 1))
        elif kind == "cut":
            del held[at : at + size]
        elif kind == "truncate":
            del held[at:]
        elif kind == "insert":
            held[at:at] = map(Byte, content)
        elif kind == "double":
            held[at:at] = held[max(0, at - size) : at]
        else:
            held += map(Byte, bytes(size))
    return file
