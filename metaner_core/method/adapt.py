"""Tagging without adaptation, and the plain way of adapting: one sentence at a time (Alg. 1, lines 14-20).

The second is the reference that every faster engine is checked against.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from metaner_core.method import optim
from metaner_core.method.retrieval import Retrieval
from metaner_core.method.seeds import adaptation_seed
from metaner_core.model.bottoms import Bottoms
from metaner_core.model.encoding import Encoded, LabelSet, collate
from metaner_core.model.tagger import Prediction, Tagger, decode, loss
from metaner_core.settings import Settings

CPU_BATCH, GPU_BATCH = 2**11, 2**15  # subwords in one batch of unadapted tagging


def silent(sentences: int) -> None:
    """Tells nobody."""


@dataclass(frozen=True)
class Engine:
    """A tagger ready to predict. source: the labelled source sentences that support ids point to.

    tell: called time and again, maybe from several threads, with how many more sentences are tagged. distributions:
    predictions have each word's over all labels.
    """

    tagger: Tagger
    tokenizer: PreTrainedTokenizerBase
    label_set: LabelSet
    settings: Settings
    source: Sequence[Encoded]
    device: torch.device | str = "cpu"
    tell: Callable[[int], object] = silent
    distributions: bool = False

    def work(self) -> dict[str, int]:
        """What an engine that shares work has counted of it since it was made; the reference shares none."""
        return {}

    def bottoms(self, retrieval: Retrieval) -> Bottoms | None:
        """For `Retrieval.support`, which keeps in it what `adapted` then need not compute again; None: nothing is."""
        return None

    def positions(self, i: int) -> int:
        """Tokens of a source sentence that have a loss."""
        sentence = self.source[i]
        if self.label_set.further is None:
            # Words may share a subword; those of a window that is an example may be context, or begin before it.
            return len({i for i in sentence.first if i >= sentence.windows[0].fresh})
        return sentence.tokens

    def plain(self, sentences: Sequence[Encoded], *, overlaps: bool = False) -> list[Prediction]:
        """Predictions of θ* itself, computed in batches of similar length, returned in the order given.

        overlaps: predict words in the repeated part of a window a second time, as the authors' scoring does.
        """
        found = [Prediction()] * len(sentences)
        for rows in by_length(sentences, batch_subwords(self.device)):
            for row, prediction in zip(rows, self._predict([sentences[i] for i in rows], overlaps), strict=True):
                found[row] = prediction
            self.tell(len(rows))
        return found

    def adapted(
        self,
        sentences: Sequence[Encoded],
        support: np.ndarray,
        *,
        overlaps: bool = False,
        bottoms: Bottoms | None = None,
    ) -> list[Prediction]:
        """Predictions of each sentence's own adapted model. support: [n, K] ids of its neighbours in the source.
        bottoms: what retrieval kept."""
        theta = {name: p.detach().clone() for name, p in self.tagger.trained().items()}
        found = []
        for sentence, ids in zip(sentences, support, strict=True):
            try:
                if sentence.ids:
                    dropout = torch.Generator(self.device).manual_seed(adaptation_seed(sentence, self.settings))
                    self._adapt([self.source[i] for i in ids], dropout if self.settings.adapt_dropout else None)
                found.extend(self._predict([sentence], overlaps))
            finally:  # whatever happens, the next sentence starts from θ*
                restore(self.tagger, theta)
            self.tell(1)
        return found

    def _adapt(self, support: Sequence[Encoded], dropout: torch.Generator | None) -> None:
        """One step (or adapt_steps) from θ* with γ on the loss of Eq. 3: no masking, no max term."""
        batch = collate(support, self.tokenizer, label_set=self.label_set, device=self.device)
        steps(
            self.tagger,
            lambda: loss(self.tagger(batch, dropout), batch, reduction=self.settings.batch_loss, max_loss_weight=0.0),
            optim.fresh(self.settings.adapts_with, self.tagger.trained(), self.settings.gamma),
            self.settings.adapt_steps,
        )

    @torch.no_grad()
    def _predict(self, sentences: Sequence[Encoded], overlaps: bool) -> list[Prediction]:
        batch = collate(sentences, self.tokenizer, overlaps=overlaps, device=self.device)
        if not len(batch.row):
            return [Prediction()] * len(sentences)
        return decode(self.tagger(batch), batch, self.label_set, every=self.distributions)


def steps(tagger: Tagger, objective: Callable[[], torch.Tensor], optimizer: torch.optim.Optimizer, n: int) -> None:
    """n gradient steps of the optimiser, in place."""
    for _ in range(n):
        tagger.zero_grad(set_to_none=True)
        objective().backward()
        optimizer.step()
    tagger.zero_grad(set_to_none=True)


@torch.no_grad()
def restore(tagger: Tagger, theta: dict[str, torch.Tensor]) -> None:
    """Put the parameters named in theta back, and no gradient with them."""
    tagger.zero_grad(set_to_none=True)
    for name, p in tagger.trained().items():
        p.copy_(theta[name])


def batch_subwords(device: torch.device | str) -> int:
    """Subwords of a batch that is quick on the device."""
    return CPU_BATCH if torch.device(device).type == "cpu" else GPU_BATCH


def by_length(sentences: Sequence[Encoded], most: int) -> Iterator[list[int]]:
    """Indices of the sentences in batches of similar length, of at most so many subwords or one sentence."""
    order = sorted(range(len(sentences)), key=lambda i: len(sentences[i].ids))
    rows: list[int] = []
    used = 0
    for i in order:
        cost = sentences[i].tokens
        if rows and used + cost > most:
            yield rows
            rows, used = [], 0
        rows.append(i)
        used += cost
    if rows:
        yield rows
