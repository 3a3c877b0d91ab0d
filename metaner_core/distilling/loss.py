"""What a student minimises: nearness to its teacher's distributions, word by word, and to gold labels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from metaner_core.distilling.settings import Distillation
from metaner_core.model.encoding import Batch, Encoded, LabelSet


@dataclass(frozen=True)
class Lesson:
    """A sentence and what it teaches.

    target: [words, C] a distribution of each word over `LabelSet.words`. gold: it is of labels, all of it on one.
    weight: of the sentence in the step's loss. seed: of its dropout. trusted: [words] bool, which teach; None: all.
    """

    encoded: Encoded
    target: np.ndarray
    gold: bool
    weight: float
    seed: int
    trusted: np.ndarray | None = None


def one_hot(labels: Sequence[str], label_set: LabelSet) -> np.ndarray:
    """[words, C] distributions of gold labels."""
    return np.eye(len(label_set.words), dtype=np.float32)[[label_set.words.index(label) for label in labels]]


def lessons_loss(
    logits: torch.Tensor, batch: Batch, lessons: Sequence[Lesson], label_set: LabelSet, settings: Distillation
) -> torch.Tensor:
    """Σ weight · mean over the sentence's words that teach.

    logits: [P, labels] at the batch's positions, which are the words'; of words that share a subword the first one
    teaches, as in all training.
    """
    sentence, device = batch.sentence, logits.device
    row = np.cumsum([0, *(len(lesson.target) for lesson in lessons)])[:-1]
    place = torch.as_tensor(row, device=device)[sentence] + batch.word
    target = logits.new_zeros(len(logits), logits.shape[1])
    of_words = torch.as_tensor(np.concatenate([lesson.target for lesson in lessons]), device=device).to(logits.dtype)
    target[:, [label_set.id(name) for name in label_set.words]] = of_words[place]
    gold = torch.tensor([lesson.gold for lesson in lessons], device=device)[sentence]
    hard = F.cross_entropy(logits, target, reduction="none")
    soft = soft_loss(logits, target, kind=settings.loss, temperature=settings.temperature)
    weight = torch.tensor([lesson.weight for lesson in lessons], dtype=logits.dtype, device=device)
    every = [np.ones(len(x.target), bool) if x.trusted is None else x.trusted for x in lessons]
    teaches = torch.as_tensor(np.concatenate(every), device=device)[place].to(logits.dtype)
    words = logits.new_zeros(len(lessons)).index_add_(0, sentence, teaches)
    return (torch.where(gold, hard, soft) * teaches * (weight / words.clamp(min=1))[sentence]).sum()


def soft_loss(logits: torch.Tensor, target: torch.Tensor, *, kind: str, temperature: float) -> torch.Tensor:
    """[P] how far softmax(logits) is from the target [P, C], both at a temperature.

    cross_entropy: times its square, so that gradients keep their size (Hinton et al. 2015). squared_error: mean over
    the labels.
    """
    flat = tempered(target, temperature)
    if kind == "squared_error":
        return ((logits / temperature).softmax(-1) - flat).square().mean(-1)
    return temperature**2 * F.cross_entropy(logits / temperature, flat, reduction="none")


def tempered(p: torch.Tensor, temperature: float) -> torch.Tensor:
    """softmax(z / T) from softmax(z). What has no probability in half precision gets none."""
    raised = p ** (1 / temperature)
    return raised / raised.sum(-1, keepdim=True)
