"""Fine-tuning θ* on labels of the target language, in place of adapting to each sentence (Sec. 4.6)."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

import numpy as np
import torch

from metaner_core.method import optim
from metaner_core.method.checkpoint import FACTS, Checkpoints, NoCheckpoints, load_tensors, save_tensors
from metaner_core.method.meta_train import MetaTrainer
from metaner_core.method.tasks import Task, Tasks
from metaner_core.model.tagger import Tagger
from metaner_core.tuning import Tuning

KEPT_AFTER = 100  # batches, at least: keeping what fewer came to costs more than doing them again


@dataclass
class State:
    """losses: the mean of every epoch that is done."""

    tagger: Tagger
    optimizer: torch.optim.Optimizer
    losses: list[float] = field(default_factory=list)

    def save(self, folder: Path) -> None:
        save_tensors(folder, self.tagger, self.optimizer, {})
        (folder / FACTS).write_text(json.dumps({"losses": self.losses}), encoding="utf-8")

    def load(self, folder: Path) -> None:
        load_tensors(folder, self.tagger, self.optimizer)
        self.losses = json.loads((folder / FACTS).read_text(encoding="utf-8"))["losses"]


def fine_tune(
    trainer: MetaTrainer,
    tuning: Tuning,
    told: Callable[[int, float], object],
    checkpoints: Checkpoints | None = None,
) -> list[float]:
    """Fine-tune `trainer.engine.tagger` in place on all of the engine's source. Returns each epoch's mean loss.

    trainer: its settings are `tuning.plain`, and it needs no support. told: called with the epochs done and the last
    one's loss. checkpoints: gone on from, and kept after epochs, but no more often than every so many batches.
    Processes that share torch.distributed call it in step, and share each batch.
    """
    checkpoints = checkpoints or NoCheckpoints()
    tasks = Tasks(np.zeros((len(trainer.engine.source), 0), int), trainer.engine.settings)
    state = State(trainer.engine.tagger, _optimizer(trainer, tuning))
    if (folder := checkpoints.load()) is not None:
        state.load(folder)
    done = 0  # since the last checkpoint
    for epoch in range(len(state.losses), tuning.epochs):
        found = [_step(trainer, batch, state, tuning) for batch in batches(tasks, epoch, tuning.batch)]
        state.losses.append(fmean(found))
        told(epoch + 1, state.losses[-1])
        done += len(found)
        if done >= KEPT_AFTER and epoch + 1 < tuning.epochs:
            checkpoints.save({"epoch": epoch + 1, "loss": state.losses[-1]}, state.save)
            done = 0
    return state.losses


def _step(trainer: MetaTrainer, batch: Sequence[Task], state: State, tuning: Tuning) -> float:
    assert tuning.rate is not None, "of `Tuning.of`"
    if tuning.state == "fresh":
        state.optimizer = _optimizer(trainer, tuning)
    return trainer.step(batch, state.optimizer, tuning.rate)


def _optimizer(trainer: MetaTrainer, tuning: Tuning) -> torch.optim.Optimizer:
    assert tuning.rate is not None, "of `Tuning.of`"
    return optim.fresh(tuning.optimizer, trainer.engine.tagger.trained(), tuning.rate)


def batches(tasks: Tasks, epoch: int, size: int) -> Iterator[list[Task]]:
    """All sentences of an epoch, each a query that has no support set: with no inner steps, a plain example."""
    order = tasks.order(epoch)
    for first in range(0, len(order), size):
        yield [Task(epoch, int(i), ()) for i in order[first : first + size]]
