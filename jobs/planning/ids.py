"""Ids that are given twice, found without having all ids in one place.

Each part of the input leaves the digests of its ids, sorted. A task takes all digests that begin with the same bytes,
from every part, and looks for equal neighbours. Two ids of one digest (16 bytes) are taken for the same: among 10^10
ids the odds of a mistake are below 10^-18.
"""

import hashlib
import json
from collections.abc import Sequence
from itertools import islice, pairwise
from typing import NamedTuple

import numpy as np
import ray

from metaner_core import storage
from metaner_core.reading.columns import NONE
from metaner_core.reading.files import Stretch, documents
from metaner_core.reading.source import WET, Input

BUCKET = 4_000_000  # ids that one task compares: about 100 MB
BUCKETS = 256  # by a digest's first byte
NAMED = 3  # ids that an error names
LOOKING = "look for ids given twice"  # what its tasks are called in Ray's dashboard
HEAD = np.dtype((np.uint64, BUCKETS + 1))  # a file's first bytes: where each first byte's digests begin


class Digests:
    """The digests of ids in the order in which they were added."""

    def __init__(self) -> None:
        self._digests = bytearray()

    def add(self, id_: str) -> None:
        self._digests += hashlib.blake2b(id_.encode(), digest_size=16).digest()

    def to_bytes(self) -> bytes:
        """Sorted, [n, 3] of uint64: the digest in two and the place in the order; before that, HEAD."""
        halves = np.frombuffer(bytes(self._digests), ">u8").astype(np.uint64).reshape(-1, 2)
        rows = np.column_stack([halves, np.arange(len(halves), dtype=np.uint64)])
        rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
        starts = np.searchsorted(rows[:, 0] >> np.uint64(56), np.arange(BUCKETS + 1, dtype=np.uint64))
        return starts.astype(np.uint64).tobytes() + rows.tobytes()


class Twice(NamedTuple):
    """An id's two places: part of the input and place in its order."""

    first: tuple[int, int]
    second: tuple[int, int]


def check(found: Input, parts: Sequence[tuple[str, str]]) -> None:
    """Raises ValueError naming ids that are given twice, and where. parts: each one's uris of digests and stretches."""
    uris = [ids for ids, _ in parts]
    total = sum(_rows(uri) for uri in uris)
    buckets = min(BUCKETS, 1 + total // BUCKET)
    edges = [BUCKETS * n // buckets for n in range(buckets + 1)]
    tasks = [_twice.options(name=LOOKING).remote(uris, low, high) for low, high in pairwise(edges)]
    twice: list[Twice] = []
    count = 0
    for n, some in ray.get(tasks):
        count += n
        twice += some
    if count:
        named = "\n  ".join(_told(found, parts, t) for t in twice[:NAMED])
        raise ValueError(
            f"ids must be unique, but {count:,} are given again:\n  {named}\nMake them unique, or {_remedy(found)}"
        )


def _remedy(found: Input) -> str:
    other = "" if found.format == WET else "name another column with --id-column, or "
    return f"{other}give --id-column {NONE}: then documents are named by file and number"


@ray.remote(num_cpus=1, max_retries=3)
def _twice(uris: Sequence[str], low: int, high: int) -> tuple[int, list[Twice]]:
    return twice(uris, low, high)


def twice(uris: Sequence[str], low: int, high: int) -> tuple[int, list[Twice]]:
    """Ids given again among digests whose first byte is from low to high (exclusive): how many, and some of them."""
    rows = [_read(uri, low, high) for uri in uris]
    part = np.repeat(np.arange(len(rows)), [len(r) for r in rows])
    found = np.concatenate(rows)
    order = np.lexsort((found[:, 2], part, found[:, 1], found[:, 0]))
    found, part = found[order], part[order]
    again = np.flatnonzero((found[1:, :2] == found[:-1, :2]).all(axis=1))
    places = [(int(part[at]), int(found[at, 2])) for pair in again[:NAMED] for at in (pair, pair + 1)]
    return len(again), [Twice(*pair) for pair in zip(places[::2], places[1::2], strict=True)]


def _read(uri: str, low: int, high: int) -> np.ndarray:
    fs, path = storage.filesystem(uri)
    with fs.open_input_file(path) as file:
        starts = np.frombuffer(file.read(HEAD.itemsize), np.uint64)
        file.seek(HEAD.itemsize + 24 * int(starts[low]))
        content = file.read(24 * int(starts[high] - starts[low]))
    return np.frombuffer(content, np.uint64).reshape(-1, 3)


def _rows(uri: str) -> int:
    fs, path = storage.filesystem(uri)
    return ((fs.get_file_info(path).size or 0) - HEAD.itemsize) // 24


def _told(found: Input, parts: Sequence[tuple[str, str]], twice: Twice) -> str:
    (id_, first), (_, second) = (_find(found, parts[part][1], at) for part, at in twice)
    return f"{id_!r} in {first} and {second}"


def _find(found: Input, stretches: str, at: int) -> tuple[str, str]:
    """Id and place of a part's document, by its place in the order."""
    for stretch in map(Stretch.from_row, json.loads(storage.read_bytes(stretches))):
        if at < stretch.documents:
            place, document = next(islice(documents(found, stretch.file, stretch.place), at, None))
            return document.id, f"{found.name(found.files[stretch.file])}:{place.record}"
        at -= stretch.documents
    raise AssertionError("every digest's document is in a stretch")
