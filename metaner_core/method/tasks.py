"""Pseudo-meta-NER tasks (Sec. 3.2): their order, and the masking of entities.

Both depend on the seed, the epoch and the example alone, never on which worker asks or how often.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metaner_core.method.adapt import Engine
from metaner_core.method.seeds import DROPOUT, MASK, ORDER
from metaner_core.model.encoding import Batch, Encoded, collate
from metaner_core.settings import Settings


@dataclass(frozen=True)
class Task:
    """One task: the query x_i is its test set, its top-K neighbours are its support set (Eq. 4)."""

    epoch: int
    query: int
    support: tuple[int, ...]


class Tasks:
    """The tasks of every meta-update."""

    def __init__(self, support: np.ndarray, settings: Settings) -> None:
        """support: [N, K] indices of each source sentence's neighbours."""
        self.support, self.settings = support, settings

    def of_update(self, update: int) -> list[Task]:
        """The tasks of one meta-update: the next ones in a stream of shuffled epochs."""
        per = self.settings.tasks_per_update
        return [self._task(position) for position in range(update * per, (update + 1) * per)]

    def _task(self, position: int) -> Task:
        epoch, place = divmod(position, len(self.support))
        query = int(self.order(epoch)[place])
        return Task(epoch, query, tuple(int(i) for i in self.support[query]))

    def order(self, epoch: int) -> np.ndarray:
        """All examples, shuffled anew in every epoch."""
        if getattr(self, "_cached", (None,))[0] != epoch:
            order = np.random.default_rng([self.settings.seed, ORDER, epoch]).permutation(len(self.support))
            self._cached = (epoch, order)
        return self._cached[1]


def masked(sentence: Encoded, example: int, epoch: int, mask_id: int, settings: Settings) -> tuple[int, ...]:
    """The subword ids of a source sentence with entity subwords replaced by [MASK], each with chance mask_ratio.

    A subword's chance is drawn by its place: which others may be masked (`masked_tokens`) changes nothing for it.
    """
    assert sentence.labels is not None
    if settings.mask_ratio == 0 or set(sentence.labels) <= {"O"}:
        return sentence.ids
    draws = np.random.default_rng([settings.seed, MASK, epoch, example]).random(len(sentence.ids))
    inside = [sentence.labels[w] != "O" for w in sentence.word]
    if settings.masked_tokens == "first":
        inside = [
            entity and sentence.first[w] == i for i, (w, entity) in enumerate(zip(sentence.word, inside, strict=True))
        ]
    chosen = zip(sentence.ids, inside, draws < settings.mask_ratio, strict=True)
    return tuple(mask_id if entity and hit else i for i, entity, hit in chosen)


def task_batch(engine: Engine, examples: Sequence[tuple[int, int]], *, masking: str) -> Batch:
    """Source sentences (id, epoch) as one batch, masked if the settings have them masked. masking: support or query."""
    settings = engine.settings
    mask_id: int = engine.tokenizer.mask_token_id  # type: ignore[assignment]
    sentences = [engine.source[i] for i, _ in examples]
    ids = None
    if masking in settings.masked_sets:
        pairs = zip(sentences, examples, strict=True)
        ids = [masked(s, i, epoch, mask_id, settings) for s, (i, epoch) in pairs]
    return collate(sentences, engine.tokenizer, label_set=engine.label_set, ids=ids, device=engine.device)


def whole_batch(engine: Engine, tasks: Sequence[Task]) -> tuple[int, int] | None:
    """Tokens in the loss of all query sets together, and their sentences, where the loss is a mean over all of them.

    So it is for the base model with `mean_of_tokens`, whose batch is the queries of a meta-update. None: each task's
    loss is a mean by itself.
    """
    if engine.settings.inner_steps or engine.settings.batch_loss != "mean_of_tokens":
        return None
    return sum(engine.positions(task.query) for task in tasks), len(tasks)


def dropout_seed(task: Task, settings: Settings) -> int:
    """Seed of torch's generator for one task in one epoch."""
    return int(np.random.default_rng([settings.seed, DROPOUT, task.epoch, task.query]).integers(2**62))
