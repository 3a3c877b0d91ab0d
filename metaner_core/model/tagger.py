"""The base model (Sec. 3.1, Eq. 1-2), its losses (Eq. 3 and 13) and its predictions."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from metaner_core.data.labels import continued
from metaner_core.encoders.encoder import freeze
from metaner_core.model.encoding import Batch, LabelSet
from metaner_core.model.transformer import ModuleWeights, Noise, classify, embed, pack, run_layers
from metaner_core.settings import Settings


class Tagger(nn.Module):
    """A multilingual encoder and one linear layer over its token vectors."""

    def __init__(self, encoder: PreTrainedModel, labels: int, settings: Settings) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = settings.dropout
        self.classifier = nn.Linear(encoder.config.hidden_size, labels)
        nn.init.normal_(self.classifier.weight, std=0.02, generator=torch.Generator().manual_seed(settings.seed))
        nn.init.zeros_(self.classifier.bias)
        freeze(encoder, settings.frozen_layers)
        self.train(False)

    def train(self, mode: bool = True) -> "Tagger":
        """Without effect: dropout is asked for in `forward` and is never that of the encoder's own modules."""
        return super().train(False)

    def forward(self, batch: Batch, dropout: torch.Generator | Sequence[torch.Generator] | None = None) -> torch.Tensor:
        """Logits [P, C] at the batch's positions. dropout: where its random numbers come from, of the batch or of each
        of its sentences by itself; None: no dropout."""
        if dropout is None or not self.dropout:
            hidden = self.encoder(input_ids=batch.ids, attention_mask=batch.attention).last_hidden_state
            return self.classifier(hidden[batch.row, batch.col])
        packed, weights = pack(batch), ModuleWeights(self)
        if isinstance(dropout, torch.Generator):
            generators, owners = [dropout], [0] * batch.sentences
        else:
            generators, owners = list(dropout), list(range(batch.sentences))
        noise = Noise(self.dropout, generators, packed, owners, self)
        x = run_layers(self, packed, embed(self, packed, noise), weights, noise)
        return classify(packed, x, weights, noise)

    def trained(self) -> dict[str, nn.Parameter]:
        """The parameters that are not frozen, by name: θ of the paper."""
        return {name: p for name, p in self.named_parameters() if p.requires_grad}


def loss(
    logits: torch.Tensor,
    batch: Batch,
    *,
    reduction: str,
    max_loss_weight: float,
    of: tuple[int, int] | None = None,
) -> torch.Tensor:
    """The loss of a batch of labelled sentences; with λ = max_loss_weight = 0 this is Eq. 3, else Eq. 13.

    logits: [P, C]. reduction: `sum_of_sentences` adds up `mean + λ max` of each sentence's token losses;
    `mean_of_tokens` is the mean over all tokens of the batch plus λ times the mean over sentences of the max. of:
    tokens and sentences of a larger batch that this one is a part of; the means are then its part in those of that.
    """
    one = torch.zeros(batch.sentences, dtype=torch.long, device=logits.device)
    return losses(logits, batch, one, 1, reduction=reduction, max_loss_weight=max_loss_weight, of=of).sum()


def losses(
    logits: torch.Tensor,
    batch: Batch,
    task: torch.Tensor,
    tasks: int,
    *,
    reduction: str,
    max_loss_weight: float,
    of: tuple[int, int] | None = None,
) -> torch.Tensor:
    """`loss` of each task by itself, [tasks]. task: [sentences] the task of each sentence."""
    assert batch.labels is not None
    token = F.cross_entropy(logits, batch.labels, reduction="none")
    highest = token.new_zeros(batch.sentences)
    highest = highest.scatter_reduce(0, batch.sentence, token, "amax", include_self=False)
    if reduction == "mean_of_tokens":
        tokens, sentences = of or (None, None)
        return _means(token, task[batch.sentence], tasks, tokens) + max_loss_weight * _means(
            highest, task, tasks, sentences
        )
    value = _means(token, batch.sentence, batch.sentences) + max_loss_weight * highest
    return token.new_zeros(tasks).scatter_add(0, task, value)


def _means(values: torch.Tensor, group: torch.Tensor, groups: int, of: int | None = None) -> torch.Tensor:
    """Mean of each group's values, [groups]; 0 for none. of: divide by this many instead."""
    zeros = values.new_zeros(groups)
    count = zeros.scatter_add(0, group, torch.ones_like(values)).clamp(min=1)
    return zeros.scatter_add(0, group, values) / (count if of is None else of)


@dataclass(frozen=True)
class Prediction:
    """Labels of a sentence's words and the model's probability of each label given.

    words: the word that each label is for: 0, 1, 2, ... unless window overlaps were asked for. distributions: [words,
    labels a word may get] float16, as `LabelSet.words` has them; None unless they were asked for.
    """

    labels: tuple[str, ...] = ()
    probabilities: tuple[float, ...] = ()
    words: tuple[int, ...] = ()
    distributions: np.ndarray | None = field(default=None, compare=False)


def decode(logits: torch.Tensor, batch: Batch, label_set: LabelSet, *, every: bool = False) -> list[Prediction]:
    """Predictions from logits [P, C] at the batch's positions, one for each sentence; an empty one for no words.

    Where a subword carries several words, the first gets its label, the further ones what continues that. every: with
    the distributions over all labels.
    """
    chances = logits.float().softmax(-1)
    best, label = chances.max(-1)
    found: list[list[tuple[str, float, int]]] = [[] for _ in range(batch.sentences)]
    columns = (batch.sentence, batch.word, batch.words, label, best)
    for sentence, word, words, label_id, p in zip(*(c.tolist() for c in columns), strict=True):
        name = label_set.bio(label_id)
        found[sentence].append((name, p, word))
        for further in range(word + 1, word + words):
            found[sentence].append((continued(name), p, further))
    each = _distributions(chances, batch, label_set) if every else [None] * len(found)
    return [_prediction(rows, own) for rows, own in zip(found, each, strict=True)]


def _prediction(rows: Sequence[tuple[str, float, int]], distributions: np.ndarray | None) -> Prediction:
    labels, probabilities, words = zip(*rows, strict=True) if rows else ((), (), ())
    return Prediction(labels, probabilities, words, distributions)


def _distributions(p: torch.Tensor, batch: Batch, label_set: LabelSet) -> Sequence[np.ndarray]:
    """Of each sentence's words, from probabilities [P, C]. What no word's label has (id 0, X, ...) is O's; of a word
    that shares its subword with one before it, what continues a name has what begins one too."""
    names = label_set.words
    place = [names.index(label_set.bio(label_id)) for label_id in range(len(label_set.names))]
    of_position = p.new_zeros(len(p), len(names)).index_add_(1, torch.tensor(place, device=p.device), p).cpu().numpy()
    times = batch.words.cpu().numpy()
    position = np.repeat(np.arange(len(times)), times)
    further = np.arange(len(position)) > np.repeat(times.cumsum() - times, times)
    of_word = of_position[position]
    for begins in (n for n, name in enumerate(names) if name.startswith("B-")):
        goes_on = names.index(continued(names[begins]))
        of_word[further, goes_on] += of_word[further, begins]
        of_word[further, begins] = 0
    ends = np.bincount(batch.sentence.cpu().numpy()[position], minlength=batch.sentences).cumsum()
    return np.split(of_word.astype(np.float16), ends)[:-1]
