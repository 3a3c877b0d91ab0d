"""How an experiment runs: where, on how much, how many trainings at once."""

from dataclasses import dataclass

import ray

from jobs.experiments.grid import Grid
from metaner_core.command import EVERY_SECONDS
from metaner_core.engine.config import BATCHED, EngineConfig

SPARE = 1  # logical CPUs that no training or evaluation takes


@dataclass(frozen=True, kw_only=True)
class Job:
    """A grid and where it goes. Raises ValueError for numbers that cannot be.

    output: folder or s3:// prefix. data: that holds the corpora's folders. workers: of a training. actors: of an
    evaluation. threads: of each without a GPU. at_once: trainings or evaluations at the same time; None: as many as the
    cluster has room for. failures: crashed workers of a training to recover from. extend: the grid may have grown.
    every_seconds: between lines of one training's or evaluation's progress. tensorboard: a folder of this machine.
    """

    grid: Grid
    output: str
    data: str | None = None
    workers: int = 1
    actors: int = 1
    threads: int = 1
    gpu: bool = False
    at_once: int | None = None
    failures: int = 2
    extend: bool = False
    every_seconds: float = 3 * EVERY_SECONDS
    tensorboard: str | None = None
    config: EngineConfig = BATCHED

    def __post_init__(self) -> None:
        numbers = {name: getattr(self, name) for name in ("workers", "actors", "threads", "at_once")}
        bad = [f"{name} is {n}; least is 1" for name, n in numbers.items() if n is not None and n < 1]
        if self.every_seconds <= 0:
            bad.append(f"every_seconds is {self.every_seconds:g}; it must be above 0")
        if bad:
            raise ValueError("experiment:\n  " + "\n  ".join(bad))

    @property
    def need(self) -> int:
        """Processes of one training or evaluation, of one logical CPU or GPU each."""
        return max(self.workers, self.actors)


def room(job: Job) -> int:
    """How many trainings or evaluations go on at once on the connected Ray.

    Raises ValueError when there is no room for one.
    """
    have = ray.cluster_resources()
    kind, n = ("GPU", have.get("GPU", 0)) if job.gpu else ("CPU", have.get("CPU", 0) - SPARE)
    if n < job.need:
        asked = "--gpu asks for a GPU each" if job.gpu else f"and {SPARE} to spare"
        raise ValueError(
            f"{job.need} worker(s) or actor(s) need as many logical {kind}s ({asked}), but this Ray has "
            f"{have.get(kind, 0):g}: set --workers and --actors lower, or use a larger cluster"
        )
    most = int(n) // (job.need * (1 if job.gpu else job.threads))
    return job.at_once or max(1, most)
