"""What has a vector, neighbours, a task and an adapted model of its own: a sentence, or each window of a long one.

The paper's text speaks of sentences. The authors' published code cuts its corpora into windows before all else, and
never puts them together again (`long_sentences="windows"`).
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from metaner_core.model.encoding import Encoded, Window
from metaner_core.model.inputs import Input
from metaner_core.model.tagger import Prediction
from metaner_core.settings import Settings


@dataclass(frozen=True)
class Examples:
    """Examples of n sentences, in their order. sentence: of each the place of its sentence. word: of each, in that
    sentence, the place of its first word."""

    inputs: Sequence[Input]
    sentence: Sequence[int]
    word: Sequence[int]

    @staticmethod
    def of(sentences: Sequence[Input], settings: Settings) -> "Examples":
        if settings.long_sentences == "whole":
            return Examples(sentences, range(len(sentences)), [0] * len(sentences))
        found = [(part, n, word) for n, s in enumerate(sentences) for part, word in apart(s.tagging)]
        return Examples([Input(part) for part, _, _ in found], [n for _, n, _ in found], [w for _, _, w in found])

    @property
    def encoded(self) -> list[Encoded]:
        return [example.tagging for example in self.inputs]

    @property
    def first(self) -> list[int]:
        """The first example of each sentence."""
        return [next(group)[0] for _, group in groupby(enumerate(self.sentence), key=lambda pair: pair[1])]

    def joined(self, predictions: Sequence[Prediction]) -> list[Prediction]:
        """Predictions of the sentences, from those of the examples."""
        if len(self.first) == len(predictions):
            return list(predictions)
        parts = zip(self.sentence, self.word, predictions, strict=True)
        return [_joined([(word, p) for _, word, p in group]) for _, group in groupby(parts, key=lambda part: part[0])]


def _joined(parts: Sequence[tuple[int, Prediction]]) -> Prediction:
    return Prediction(
        tuple(label for _, p in parts for label in p.labels),
        tuple(probability for _, p in parts for probability in p.probabilities),
        tuple(first + word for first, p in parts for word in p.words),
        _stacked([p.distributions for _, p in parts]),
    )


def _stacked(parts: Sequence[np.ndarray | None]) -> np.ndarray | None:
    whole = [part for part in parts if part is not None]
    return np.concatenate(whole) if whole else None


def apart(sentence: Encoded) -> Iterator[tuple[Encoded, int]]:
    """Each window as a sentence of its own, with the place of its first word in the whole; a short one as it is.

    A word that an earlier window begins has its first subword before this one's: at -1 or less.
    """
    if len(sentence.windows) < 2:
        yield sentence, 0
        return
    for window in sentence.windows:
        start, stop = window.start, window.stop
        first, last = sentence.word[start], bisect_right(sentence.first, stop - 1)
        yield (
            Encoded(
                sentence.ids[start:stop],
                tuple(word - first for word in sentence.word[start:stop]),
                tuple(i - start for i in sentence.first[first:last]),
                None if sentence.labels is None else sentence.labels[first:last],
                (Window(0, stop - start, window.fresh - start),),
            ),
            first,
        )
