"""Phrase counts sentence by sentence, and such columns of whole numbers packed small enough for a line of JSON.

Totals give a score; only the counts of each sentence say how sure it is (metaner_core/experiments/significance.py).
"""

import base64
import zlib
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, chain

import numpy as np

from metaner_core.data.labels import Span, spans

Phrases = Sequence[set[Span]]  # of each sentence


def phrases(sentences: Sequence[Sequence[str]], *, as_one: bool = False) -> list[set[Span]]:
    """The phrases of each sentence, given in BIO labels; a phrase's places count from its sentence's start.

    as_one: the sentences have no ends between them, as in the authors' files: what runs on is the sentence's it began
    in.
    """
    if not as_one:
        return [set(spans(labels)) for labels in sentences]
    starts = [0, *accumulate(map(len, sentences))]
    found: list[set[Span]] = [set() for _ in sentences]
    for span in spans(list(chain(*sentences))):
        i = bisect_right(starts, span.start) - 1
        found[i].add(Span(span.type, span.start - starts[i], span.end - starts[i]))
    return found


def changes(gold: set[Span], before: set[Span], after: set[Span]) -> dict[str, set[Span]]:
    """What another tagger makes of a sentence: right phrases gained and lost, wrong ones that are new and gone."""
    return {
        "gained": (gold & after) - before,
        "lost": (gold & before) - after,
        "wrong, new": (after - gold) - before,
        "wrong, gone": (before - gold) - after,
    }


def matched(gold: Phrases, found: Phrases) -> tuple[np.ndarray, np.ndarray]:
    """[n] how many phrases are found in each sentence, and how many of them are gold ones."""
    predicted, correct = [len(p) for p in found], [len(g & p) for g, p in zip(gold, found, strict=True)]
    return np.array(predicted, np.int64), np.array(correct, np.int64)


def packed(column: np.ndarray) -> str:
    """Whole numbers [n] below 2^31 as text: a few bits for each where they repeat."""
    return base64.b64encode(zlib.compress(np.asarray(column).astype("<i4").tobytes(), 9)).decode("ascii")


def unpacked(text: str) -> np.ndarray:
    """The inverse of `packed`: [n], int64. Raises ValueError for what it did not make."""
    try:
        return np.frombuffer(zlib.decompress(base64.b64decode(text, validate=True)), "<i4").astype(np.int64)
    except (ValueError, zlib.error) as error:
        raise ValueError(f"a column of counts cannot be read ({error}): the file was altered; score again") from None
