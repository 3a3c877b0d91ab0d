"""Fine-tuning θ* on labels of the target language, in place of adapting to each sentence (Sec. 4.6)."""

from collections.abc import Callable, Iterator
from statistics import fmean

import numpy as np

from metaner_core.method import optim
from metaner_core.method.meta_train import MetaTrainer
from metaner_core.method.tasks import Task, Tasks
from metaner_core.tuning import Tuning


def fine_tune(trainer: MetaTrainer, tuning: Tuning, told: Callable[[int, float], object]) -> list[float]:
    """Fine-tune `trainer.engine.tagger` in place on all of the engine's source. Returns each epoch's mean loss.

    trainer: its settings are `tuning.plain`, and it needs no support. told: called with the epochs done and the last
    one's loss. Processes that share torch.distributed call it in step, and share each batch.
    """
    assert tuning.rate is not None, "of `Tuning.of`"
    settings, trained = trainer.engine.settings, trainer.engine.tagger.trained()
    tasks = Tasks(np.zeros((len(trainer.engine.source), 0), int), settings)
    optimizer = optim.fresh(tuning.optimizer, trained, tuning.rate)
    losses = []
    for epoch in range(tuning.epochs):
        found = []
        for batch in batches(tasks, epoch, tuning.batch):
            if tuning.state == "fresh":
                optimizer = optim.fresh(tuning.optimizer, trained, tuning.rate)
            found.append(trainer.step(batch, optimizer, tuning.rate))
        losses.append(fmean(found))
        told(epoch + 1, losses[-1])
    return losses


def batches(tasks: Tasks, epoch: int, size: int) -> Iterator[list[Task]]:
    """All sentences of an epoch, each a query that has no support set: with no inner steps, a plain example."""
    order = tasks.order(epoch)
    for first in range(0, len(order), size):
        yield [Task(epoch, int(i), ()) for i in order[first : first + size]]
