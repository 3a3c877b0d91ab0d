"""How far a student's vectors of sentences and words are from those of its teacher."""

from collections.abc import Callable, Sequence
from itertools import accumulate

import numpy as np
import torch

from metaner_core.pretrain.settings import PretrainSettings
from metaner_core.pretrain.teacher.lessons import Lesson, Sentence
from metaner_core.pretrain.teacher.teacher import Ids

Rows = Sequence[Sequence[Sentence]]
Error = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # [n, d] vectors and aims to [n]
Reader = Callable[[Sequence[Ids]], torch.Tensor]  # sentences' ids to the vectors [N, d] of all their tokens


def lesson_loss(
    student: Reader, teacher: Reader, lesson: Lesson, settings: PretrainSettings, of_sentences: Reader | None = None
) -> torch.Tensor:
    """This worker's part of a lesson's loss: the weighted means of the errors of words and of sentences.

    The parts of all workers add up to the loss. student: gives vectors of the teachers' width. of_sentences: the
    teacher of sentences, whose vectors the student's [CLS] learns; None: the same teacher, both pooled as it is.
    """
    rows, whole = lesson.shared(), lesson.shared_whole()
    theirs = teacher([sentence.teachers for row in rows for sentence in row])
    own = student([sentence.own for row in rows for sentence in row])
    error = relative if settings.teacher_error == "relative" else squared
    loss = settings.word_weight * word_errors(own, theirs, rows, error).sum() / lesson.words
    if not whole:
        return loss
    pooling = settings.teacher_pooling
    read = [sentence for row in whole for sentence in row]
    mine, its = (vectors[: sum(lengths)] for vectors, lengths in zip((own, theirs), _lengths(read), strict=True))
    mine = pooled(mine, _lengths(read)[0], pooling if of_sentences is None else "cls")
    if of_sentences is None:
        aims = pooled(its, _lengths(read)[1], pooling)[_firsts(whole)]
    else:
        english = [row[0].aim for row in whole]
        aims = pooled(of_sentences(english), [len(ids) + 2 for ids in english], pooling)
    errors = error(mine, aims.repeat_interleave(torch.tensor([len(row) for row in whole], device=aims.device), dim=0))
    return loss + settings.sentence_weight * errors.sum() / lesson.sentences


def word_errors(own: torch.Tensor, theirs: torch.Tensor, rows: Rows, error: Error) -> torch.Tensor:
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
    return error(own.index_select(0, places.to(device)), aims / many.to(device)[:, None])


def pooled(vectors: torch.Tensor, lengths: Sequence[int], pooling: str) -> torch.Tensor:
    """[n, d] of sentences from [N, d] of their tokens: the mean of all, or the first, as `SentenceVectors` has it."""
    if pooling == "cls":
        return vectors[torch.from_numpy(_starts(lengths)).to(vectors.device)]
    return torch.stack([tokens.mean(0) for tokens in vectors.split(list(lengths))])


def relative(own: torch.Tensor, aims: torch.Tensor) -> torch.Tensor:
    """|s - t|² / |t|² of each row: 1 for a student that says nothing."""
    return (own.float() - aims.float()).square().sum(-1) / aims.float().square().sum(-1)


def squared(own: torch.Tensor, aims: torch.Tensor) -> torch.Tensor:
    """|s - t|² / d of each row: of standard vectors, whose squares are d on average, what is far from their mean
    counts more."""
    return (own.float() - aims.float()).square().mean(-1)


def _firsts(rows: Rows) -> torch.Tensor:
    """Where each row's first sentence is among all."""
    return torch.from_numpy(_starts([len(row) for row in rows]))


def _lengths(sentences: Sequence[Sentence]) -> tuple[list[int], list[int]]:
    return [len(s.own) + 2 for s in sentences], [len(s.teachers) + 2 for s in sentences]


def _starts(lengths: Sequence[int]) -> np.ndarray:
    return np.array([0, *accumulate(lengths)][: len(lengths)], dtype=np.int64)
