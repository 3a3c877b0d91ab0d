"""What jobs have in common that learn, and whose outcome is a bundle: meta-training, fine-tuning, distilling."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ray

from jobs.common.imports import gc_paused
from jobs.common.progress import Tell, told
from jobs.training.options import TrainingRun
from jobs.training.trainer import device_of_worker, fit
from metaner_core import storage

if TYPE_CHECKING:
    import torch

    from metaner_core.method.checkpoint import Checkpoints


@dataclass(frozen=True, kw_only=True)
class Learning(TrainingRun, ABC):
    """A training run and, by the class of the core that goes before it among a job's bases, what it learns."""

    @abstractmethod
    def name(self) -> str:
        """Fingerprint of all that decides the result."""

    @abstractmethod
    def written(self, output: str) -> dict[str, Any] | None:
        """The manifest of the bundle that this very run has written there; None: it is to be made."""

    @abstractmethod
    def run(
        self,
        output: str,
        checkpoints: "Checkpoints",
        *,
        device: "torch.device | str",
        tell: Callable[[str], Any],
        facts: Mapping[str, Any],
    ) -> None:
        """Learn and write the bundle. Every worker calls it, in step."""

    def line(self, metrics: Mapping[str, Any]) -> str | None:
        """What is told of a checkpoint; None: nothing."""
        return None


def learn(job: Learning, tell: Tell) -> dict[str, Any]:
    """Run the job on the connected Ray and write the bundle, unless it has written it. Returns the bundle's manifest.

    tell: takes lines of progress. Raises what the job's `written` does.
    """
    if (manifest := job.written(job.output)) is not None:
        return manifest
    with told(tell, machines=True) as board:
        fit(job, job.name(), worker, {"job": ray.put(job), "board": board})
    return json.loads(storage.read_bytes(storage.join(job.output, storage.MANIFEST)))  # type: ignore[no-any-return]


def worker(config: Mapping[str, Any]) -> None:
    """What each Ray Train worker does: all of the learning, in step with the others."""
    with gc_paused():  # late: the driver needs none of it
        import metaner_core.bundles.prepare  # noqa: F401
        from jobs.training.checkpoints import RayCheckpoints

    job: Learning = ray.get(config["job"])
    post = config["board"].post.remote

    def kept(metrics: Mapping[str, Any]) -> None:
        if (line := job.line(metrics)) is not None:
            post(line)

    device = device_of_worker(job, post)
    facts = {"workers": job.workers, "config": job.config}
    job.run(job.output, RayCheckpoints(kept), device=device, tell=post, facts=facts)
