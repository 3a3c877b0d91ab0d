"""Training state kept by Ray Train under a run's storage path: what a training job's loop calls `Checkpoints`."""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ray import train
from ray.train import Checkpoint

from metaner_core import workers


class RayCheckpoints:
    """Every worker of a Ray Train run has one. tell: called on rank 0 with the metrics of each checkpoint."""

    def __init__(self, tell: Callable[[Mapping[str, Any]], Any]) -> None:
        self._tell = tell
        self._kept: tempfile.TemporaryDirectory[str] | None = None

    def load(self) -> Path | None:
        checkpoint = train.get_checkpoint()
        if checkpoint is None:
            return None
        self._kept = tempfile.TemporaryDirectory(prefix="metaner-checkpoint-")
        return Path(checkpoint.to_directory(self._kept.name))

    def save(self, metrics: Mapping[str, Any], write: Callable[[Path], None]) -> None:
        if workers.rank() != 0:
            train.report(dict(metrics))
            return
        self._tell(metrics)
        with tempfile.TemporaryDirectory(prefix="metaner-checkpoint-") as folder:
            write(Path(folder))
            train.report(dict(metrics), checkpoint=Checkpoint.from_directory(folder))
