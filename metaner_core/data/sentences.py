"""What a run takes of labelled sentences, and how it names them. Imports no torch: a job's driver needs it too."""

import hashlib
import json
import random
from collections.abc import Collection, Sequence

from metaner_core.data.columns import Sentence
from metaner_core.data.labels import relabel


def usable(sentences: Sequence[Sentence], types: Collection[str]) -> list[Sentence]:
    """Sentences without document marks and empty ones, with entities of these types only."""
    return [Sentence(s.words, tuple(relabel(s.labels, types))) for s in sentences if s.words and not s.docstart]


def drawn(sentences: Sequence[Sentence], share: float, seed: int) -> list[Sentence]:
    """So many percent of the sentences with words, at least one, drawn at random, in their order.

    A smaller share of one seed is a part of each larger one.
    """
    some = [s for s in sentences if s.words and not s.docstart]
    order = random.Random(seed).sample(range(len(some)), len(some))
    return [some[i] for i in sorted(order[: max(1, round(len(some) * share / 100))])]


def fingerprint(sentences: Sequence[Sentence]) -> str:
    """Twelve hex digits that change when a word or a label does."""
    digest = hashlib.sha256()
    for sentence in sentences:
        digest.update(json.dumps([sentence.words, sentence.labels]).encode())
    return digest.hexdigest()[:12]
