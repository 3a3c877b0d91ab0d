"""The base model (Sec. 3.1, Eq. 1-2), its losses (Eq. 3 and 13) and its predictions."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from metaner_core.encoder import freeze, set_dropout
from metaner_core.encoding import Batch, LabelSet
from metaner_core.settings import Settings


class Tagger(nn.Module):
    """A multilingual encoder and one linear layer over its token vectors."""

    def __init__(self, encoder: PreTrainedModel, labels: int, settings: Settings) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(settings.dropout)
        self.classifier = nn.Linear(encoder.config.hidden_size, labels)
        nn.init.normal_(self.classifier.weight, std=0.02, generator=torch.Generator().manual_seed(settings.seed))
        nn.init.zeros_(self.classifier.bias)
        set_dropout(encoder, settings.dropout)
        freeze(encoder, settings.frozen_layers)

    def forward(self, batch: Batch) -> torch.Tensor:
        """Logits [P, C] at the batch's positions."""
        hidden = self.encoder(input_ids=batch.ids, attention_mask=batch.attention).last_hidden_state
        return self.classifier(self.dropout(hidden[batch.row, batch.col]))

    def trained(self) -> dict[str, nn.Parameter]:
        """The parameters that are not frozen, by name: θ of the paper."""
        return {name: p for name, p in self.named_parameters() if p.requires_grad}


def loss(logits: torch.Tensor, batch: Batch, *, reduction: str, max_loss_weight: float) -> torch.Tensor:
    """The loss of a batch of labelled sentences; with λ = max_loss_weight = 0 this is Eq. 3, else Eq. 13.

    logits: [P, C]. reduction: `sum_of_sentences` adds up `mean + λ max` of each sentence's token losses;
    `mean_of_tokens` is the mean over all tokens of the batch plus λ times the mean over sentences of the max.
    """
    assert batch.labels is not None
    token = F.cross_entropy(logits, batch.labels, reduction="none")
    zeros = token.new_zeros(batch.sentences)
    highest = zeros.scatter_reduce(0, batch.sentence, token, "amax", include_self=False)
    if reduction == "mean_of_tokens":
        return token.mean() + max_loss_weight * highest.mean()
    count = zeros.scatter_add(0, batch.sentence, torch.ones_like(token)).clamp(min=1)
    mean = zeros.scatter_add(0, batch.sentence, token) / count
    return (mean + max_loss_weight * highest).sum()


@dataclass(frozen=True)
class Prediction:
    """Labels of a sentence's words and the model's probability of each label given.

    words: the word that each label is for: 0, 1, 2, ... unless window overlaps were asked for.
    """

    labels: tuple[str, ...] = ()
    probabilities: tuple[float, ...] = ()
    words: tuple[int, ...] = ()


def decode(logits: torch.Tensor, batch: Batch, label_set: LabelSet) -> list[Prediction]:
    """Predictions from logits [P, C] at the batch's positions, one for each sentence; an empty one for no words."""
    best, label = logits.float().softmax(-1).max(-1)
    found: list[list[tuple[str, float, int]]] = [[] for _ in range(batch.sentences)]
    columns = (batch.sentence, batch.word, label, best)
    for sentence, word, label_id, p in zip(*(c.tolist() for c in columns), strict=True):
        found[sentence].append((label_set.bio(label_id), p, word))
    return [Prediction(*zip(*rows, strict=True)) if rows else Prediction() for rows in found]
