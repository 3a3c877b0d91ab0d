"""Meta-training (Alg. 1, Eq. 7-12): first-order MAML over pseudo tasks.

The loop runs in one process or in several that share torch.distributed; nothing here knows which. With inner_steps
= 0 the meta-gradient is the plain gradient of a batch of sentences: fine-tuning, the base model.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from metaner_core import workers
from metaner_core.data.scoring import Scores
from metaner_core.method import optim
from metaner_core.method.adapt import Engine, restore, steps
from metaner_core.method.checkpoint import Checkpoints, TrainingState
from metaner_core.method.shared import Gradient, Gradients, score_together, step_together
from metaner_core.method.tasks import Task, Tasks, dropout_seed, task_batch, whole_batch
from metaner_core.model.encoding import Encoded
from metaner_core.model.tagger import loss


@dataclass
class MetaTrainer:
    """Meta-trains `engine.tagger` in place. support: [N, K] neighbours of each source sentence, dev_support likewise
    of each dev sentence (needed only to select on adapted F1). together: an engine's way to the gradients of this
    worker's share of tasks, from (engine, tasks, alpha); None: one task after the other, which it is held to."""

    engine: Engine
    support: np.ndarray
    dev: Sequence[Encoded]
    dev_support: np.ndarray | None = None
    on_update: Callable[[int, float], None] = lambda update, seconds: None
    together: Callable[[Engine, Sequence[Task], float], Gradients] | None = None
    _tasks: Tasks = field(init=False)

    def __post_init__(self) -> None:
        self._tasks = Tasks(self.support, self.engine.settings)

    def run(self, checkpoints: Checkpoints) -> TrainingState:
        """Train to the last meta-update, going on from the newest checkpoint; leaves the best θ in the tagger."""
        settings, tagger = self.engine.settings, self.engine.tagger
        optimizer = optim.fresh(settings.optimizer, tagger.trained(), settings.beta)
        state = TrainingState.start(tagger, optimizer)
        if (folder := checkpoints.load()) is not None:
            state.load(folder)
        started = time.monotonic()
        for update in range(state.update, settings.meta_updates):
            state.add_loss(self.meta_update(update, optimizer))
            state.update = update + 1
            self.on_update(state.update, time.monotonic() - started)
            looks = update if settings.dev_at == "after_first" else state.update
            if looks % settings.dev_every == 0 or state.update == settings.meta_updates:
                state.close_interval(self.dev_scores().overall.f1)
                checkpoints.save(state.history[-1], state.save)
        restore(tagger, state.best)
        return state

    def meta_update(self, update: int, optimizer: torch.optim.Optimizer) -> float:
        """The step of a meta-update, at its rates. Returns the mean query loss."""
        settings = self.engine.settings
        factor = optim.schedule(update, updates=settings.meta_updates, warmup=settings.warmup, kind=settings.schedule)
        alpha = settings.alpha * (factor if settings.alpha_follows_schedule else 1.0)
        return self.step(self._tasks.of_update(update), optimizer, settings.beta * factor, alpha)

    def step(self, tasks: Sequence[Task], optimizer: torch.optim.Optimizer, rate: float, alpha: float = 0.0) -> float:
        """One step on θ with the sum of the tasks' gradients (Eq. 10, 12). Returns the mean query loss."""
        query_loss = step_together(self.engine.tagger, self.gradients(tasks, alpha), optimizer, rate)
        return query_loss / (len(tasks) if whole_batch(self.engine, tasks) is None else 1)

    def gradients(self, tasks: Sequence[Task], alpha: float) -> Gradients:
        """Gradients and query losses of this worker's share: of each task, or sums over those taken together."""
        if self.together is not None:
            return self.together(self.engine, tasks, alpha)
        batch = whole_batch(self.engine, tasks)
        return (self.task_gradient(task, alpha, batch) for task in workers.share(tasks))

    def task_gradient(self, task: Task, alpha: float, batch: tuple[int, int] | None = None) -> tuple[Gradient, float]:
        """g_i = ∇ L_test(θ'_i) with θ'_i = U^n(θ; α) on the support set (Eq. 7, 8, 12); θ is left as it was.

        batch: see `whole_batch`.
        """
        engine, settings = self.engine, self.engine.settings
        trained = engine.tagger.trained()
        theta = {name: p.detach().clone() for name, p in trained.items()}
        dropout = torch.Generator(engine.device).manual_seed(dropout_seed(task, settings))
        inner = optim.fresh(settings.optimizer, trained, alpha)
        objective = self._objective(task.support, task, dropout, masking="support")
        steps(engine.tagger, objective, inner, settings.inner_steps)
        value = self._objective((task.query,), task, dropout, masking="query", of=batch)()
        value.backward()
        gradient = {name: p.grad for name, p in trained.items() if p.grad is not None}
        engine.tagger.zero_grad(set_to_none=True)
        restore(engine.tagger, theta)
        return gradient, value.item()

    def _objective(
        self,
        examples: Sequence[int],
        task: Task,
        dropout: torch.Generator,
        *,
        masking: str,
        of: tuple[int, int] | None = None,
    ) -> Callable[[], torch.Tensor]:
        engine, settings = self.engine, self.engine.settings
        batch = task_batch(engine, [(i, task.epoch) for i in examples], masking=masking)
        kind, weight = settings.batch_loss, settings.max_loss_weight
        return lambda: loss(engine.tagger(batch, dropout), batch, reduction=kind, max_loss_weight=weight, of=of)

    def dev_scores(self) -> Scores:
        """Phrase-level scores on the dev sentences, shared out over the workers."""
        rows = list(workers.share(range(len(self.dev))))
        sentences = [self.dev[i] for i in rows]
        if self.engine.settings.select_on == "adapted":
            assert self.dev_support is not None
            predictions = self.engine.adapted(sentences, self.dev_support[rows])
        else:
            predictions = self.engine.plain(sentences)
        return score_together(self.engine, sentences, predictions)
