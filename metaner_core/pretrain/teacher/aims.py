"""How far a student's vectors of sentences and words are from those of its teacher."""

from collections.abc import Callable, Sequence
from itertools import accumulate

import numpy as np
import torch

from metaner_core.pretrain.settings import PretrainSettings
from metaner_core.pretrain.teacher.lessons import Lesson, Sentence
from metaner_core.pretrain.teacher.teacher import Ids

Rows = Sequence[Sequence[Sentence]]
Reader = Callable[[Sequence[Ids]], torch.Tensor]  # sentences' ids to the vectors [N, d] of all their tokens


def lesson_loss(student: Reader, teacher: Reader, lesson: Lesson, settings: PretrainSettings) -> torch.Tensor:
    """This worker's part of a lesson's loss: the weighted means of the errors of words and of sentences.

    The parts of all workers add up to the loss. student: gives vectors of the teacher's width.
    """
    rows = lesson.shared()
    theirs = teacher([sentence.teachers for row in rows for sentence in row])
    own = student([sentence.own for row in rows for sentence in row])
    words = word_errors(own, theirs, rows).sum() / lesson.words
    sentences = sentence_errors(own, theirs, rows, settings.teacher_pooling).sum() / lesson.sentences
    return settings.word_weight * words + settings.sentence_weight * sentences


def word_errors(own: torch.Tensor, theirs: torch.Tensor, rows: Rows) -> torch.Tensor:
    """The error of each of the student's tokens that share characters with the teacher's: its aim is their mean.

    own, theirs: [N, d], [M, d] vectors of all tokens of the rows, [CLS] and [SEP] of each sentence among them.
    """
    sentences = [sentence for row in rows for sentence in row]
    starts = [_starts(lengths) for lengths in _lengths(sentences)]
    met, by = (
        torch.from_numpy(np.concatenate([start + part for start, part in zip(begin, parts, strict=True)]))
        for begin, parts in zip(starts, ([s.met for s in sentences], [s.by for s in sentences]), strict=True)
    )
    places, which, many = met.unique_consecutive(return_inverse=True, return_counts=True)
    device = own.device
    aims = theirs.new_zeros(len(places), theirs.shape[1])
    aims.index_add_(0, which.to(device), theirs.index_select(0, by.to(device)))
    return relative(own.index_select(0, places.to(device)), aims / many.to(device)[:, None])


def sentence_errors(own: torch.Tensor, theirs: torch.Tensor, rows: Rows, pooling: str) -> torch.Tensor:
    """The error of each sentence. A row's aim is the teacher's vector of its first sentence, the English one."""
    sentences = [sentence for row in rows for sentence in row]
    mine, aims = (
        pooled(vectors, lengths, pooling) for vectors, lengths in zip((own, theirs), _lengths(sentences), strict=True)
    )
    first = np.repeat(_starts([len(row) for row in rows]), [len(row) for row in rows])
    return relative(mine, aims[torch.from_numpy(first).to(aims.device)])


def pooled(vectors: torch.Tensor, lengths: Sequence[int], pooling: str) -> torch.Tensor:
    """[n, d] of sentences from [N, d] of their tokens: the mean of all, or the first, as `SentenceVectors` has it."""
    if pooling == "cls":
        return vectors[torch.from_numpy(_starts(lengths)).to(vectors.device)]
    return torch.stack([tokens.mean(0) for tokens in vectors.split(list(lengths))])


def relative(own: torch.Tensor, aims: torch.Tensor) -> torch.Tensor:
    """|s - t|² / |t|² of each row: 1 for a student that says nothing."""
    return (own.float() - aims.float()).square().sum(-1) / aims.float().square().sum(-1)


def _lengths(sentences: Sequence[Sentence]) -> tuple[list[int], list[int]]:
    return [len(s.own) + 2 for s in sentences], [len(s.teachers) + 2 for s in sentences]


def _starts(lengths: Sequence[int]) -> np.ndarray:
    return np.array([0, *accumulate(lengths)][: len(lengths)], dtype=np.int64)
