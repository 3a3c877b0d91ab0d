"""The gradients of many meta-training tasks at once: the same sum as `MetaTrainer.task_gradient` gives one by one.

All tasks of a chunk go through each inner step together, every task with weights of its own (Eq. 7). The meta-gradient
is their sum (Eq. 12), so at the query sets it is one product over all tasks' tokens (docs/findings/engine.md).
"""

import math
from collections.abc import Sequence

import torch

from metaner_core import threads, workers
from metaner_core.engine import memory
from metaner_core.engine.weights.per_task import PerTask, Step
from metaner_core.engine.weights.trace import Fixed, Theta, Trace, Traced, rows_of
from metaner_core.method.adapt import Engine
from metaner_core.method.shared import Gradient, Gradients
from metaner_core.method.tasks import Task, dropout_seed, task_batch, whole_batch
from metaner_core.model.tagger import losses
from metaner_core.model.transformer import Noise, embed, finish, pack, run_layers

CPU_TASKS, GPU_TASKS = 8, 64  # that go through the inner steps together, at most
# Kept for a chunk at most, 2 GiB in fp32 or a quarter of a GPU's memory: for each task its weights and the first step's
# gradients.
CPU_NUMBERS, GPU_SHARE = 2**29, 4

Weights = Traced | PerTask


def tasks_at_once(engine: Engine, tasks: int) -> int:
    """Size of a chunk, for a meta-update of so many tasks that all workers and their threads are to share evenly."""
    cpu = torch.device(engine.device).type == "cpu"
    most, room = (CPU_TASKS, CPU_NUMBERS) if cpu else (GPU_TASKS, memory.numbers(engine.device, GPU_SHARE))
    kept = 2 * sum(p.numel() for p in engine.tagger.trained().values())
    most = max(1, min(most, room // kept))
    share = math.ceil(tasks / (workers.count() * threads.count(engine.device)))
    return math.ceil(share / math.ceil(share / most))  # as few chunks as may be, of one size


def dealt(engine: Engine, tasks: Sequence[Task]) -> list[list[Task]]:
    """The tasks in chunks of about the same work, so that no worker or thread waits long for another."""
    size = tasks_at_once(engine, len(tasks))
    found: list[list[Task]] = [[] for _ in range(math.ceil(len(tasks) / size))]
    tokens = [0] * len(found)
    for cost, task in sorted(((_tokens(engine, t), t) for t in tasks), key=lambda pair: -pair[0]):
        least = min((n for n in range(len(found)) if len(found[n]) < size), key=tokens.__getitem__)
        found[least].append(task)
        tokens[least] += cost
    return found


def _tokens(engine: Engine, task: Task) -> int:
    """That go forward and backward for a task."""
    support = sum(engine.source[i].tokens for i in task.support)
    return engine.settings.inner_steps * support + engine.source[task.query].tokens


def in_chunks(engine: Engine, tasks: Sequence[Task], alpha: float) -> Gradients:
    """`MetaTrainer.together`: sums over chunks of tasks, some chunks at a time on the CPU's threads.

    Chunks are shared out whole. Which tasks were together, and so the number of workers, leaves its trace in the
    rounding.
    """
    own, batch = list(workers.share(dealt(engine, tasks))), whole_batch(engine, tasks)
    return threads.each(lambda part: chunk_gradient(engine, part, alpha, batch), own, device=engine.device)


def chunk_gradient(
    engine: Engine, tasks: Sequence[Task], alpha: float, batch: tuple[int, int] | None = None
) -> tuple[Gradient, torch.Tensor]:
    """Σ g_i over the tasks of a chunk by parameter name, and the sum of their query losses; θ is left as it was.

    batch: see `whole_batch`.
    """
    return _Chunk(engine, tasks).gradient(alpha, batch)


class _Chunk:
    """Some tasks on their way through the inner steps."""

    def __init__(self, engine: Engine, tasks: Sequence[Task]) -> None:
        self._engine, self._tasks = engine, tasks
        self._theta = Theta(engine.tagger)
        self._at_once = 1 if torch.device(engine.device).type == "cpu" else len(tasks)
        seeds = (dropout_seed(task, engine.settings) for task in tasks)
        self._generators = [torch.Generator(engine.device).manual_seed(seed) for seed in seeds]

    def gradient(self, alpha: float, of: tuple[int, int] | None) -> tuple[Gradient, torch.Tensor]:
        settings = self._engine.settings
        moved = PerTask(self._theta, Step(settings.optimizer, alpha), settings.inner_steps, self._at_once)
        weights: Weights = Traced(self._theta)
        for _ in range(settings.inner_steps):
            # The generators go on from step to step and into the query: the loop draws in this order too.
            self._trace([task.support for task in self._tasks], weights, masking="support")
            moved.move(weights.trace)
            weights = moved
        value = self._trace([(task.query,) for task in self._tasks], weights, masking="query", of=of)
        return self._at_query(weights.trace), value

    def _trace(
        self,
        examples: Sequence[Sequence[int]],
        weights: Weights,
        *,
        masking: str,
        of: tuple[int, int] | None = None,
    ) -> torch.Tensor:
        """Forward and backward of each task's examples with its weights, which get the trace. Returns Σ loss."""
        engine, settings = self._engine, self._engine.settings
        pairs = [(i, task.epoch) for task, ids in zip(self._tasks, examples, strict=True) for i in ids]
        batch = task_batch(engine, pairs, masking=masking)
        packed = pack(batch)
        owners = [n for n, ids in enumerate(examples) for _ in ids]
        task = torch.tensor(owners, dtype=torch.long, device=engine.device)
        weights.record(*rows_of(packed, task, len(examples)))
        noise = Noise(settings.dropout, self._generators, packed, owners, engine.tagger) if settings.dropout else None
        with torch.no_grad():
            x = embed(engine.tagger, packed, noise)
            x = run_layers(engine.tagger, packed, x, Fixed(self._theta), noise, last=settings.frozen_layers)
        logits = finish(engine.tagger, packed, x, weights, noise, first=settings.frozen_layers)
        kind, weight = settings.batch_loss, settings.max_loss_weight
        value = losses(logits, batch, task, len(examples), reduction=kind, max_loss_weight=weight, of=of).sum()
        value.backward()
        return value.detach()

    def _at_query(self, trace: Trace) -> Gradient:
        """The sum over all tasks, by parameter name."""
        found: Gradient = {}
        # First-order: the gradient at θ' is taken for θ's, so one product over all tasks' tokens, each D at its own θ'.
        for names, a in trace.inputs.items():
            d, sizes = trace.gradients[names], self._theta.outputs(names)
            parts = zip(names, (d.T @ a).split(sizes), d.sum(0).split(sizes), strict=True)
            for name, weight, bias in parts:
                found[f"{name}.weight"], found[f"{name}.bias"] = weight, bias
        for name, both in trace.scales.items():
            found[f"{name}.weight"], found[f"{name}.bias"] = both.sum(0)
        return found
