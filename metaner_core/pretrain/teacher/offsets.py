"""Which pieces of two tokenizers belong together: those that share characters of the text."""

from collections.abc import Sequence

import numpy as np

Span = tuple[int, int]


def trimmed(text: str, spans: Sequence[Span]) -> np.ndarray:
    """[n, 2] int64: spans of characters without the spaces at their ends (a SentencePiece takes the one before it)."""
    found = np.array(spans, dtype=np.int64).reshape(-1, 2)
    for row, (start, end) in enumerate(spans):
        while start < end and text[start].isspace():
            start += 1
        while start < end and text[end - 1].isspace():
            end -= 1
        found[row] = start, end
    return found


def shared(own: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every pair of spans that have a character in common, as two int64 arrays of indices; those of `own` ascend.

    own: [n, 2], others: [m, 2], both in the order of the text. A span of no characters is in no pair.
    """
    real = np.flatnonzero(others[:, 0] < others[:, 1])
    starts, ends = others[real].T
    low = np.searchsorted(ends, own[:, 0], side="right")
    high = np.searchsorted(starts, own[:, 1], side="left")
    many = np.where(own[:, 0] < own[:, 1], np.maximum(high - low, 0), 0)
    first = np.repeat(low - (many.cumsum() - many), many)
    return np.repeat(np.arange(len(own)), many), real[np.arange(many.sum()) + first]
