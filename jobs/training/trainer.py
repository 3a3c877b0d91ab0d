"""What training jobs share: where a run goes and on what, the options that say so, and its Ray Train trainer."""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer

from jobs.common.session import add_ray_options
from metaner_core import storage

EVERY_SECONDS = 10  # between two lines of progress


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """Where one training run puts things and what it runs on. None of this changes what it computes."""

    output: str
    storage: str
    workers: int = 1
    gpu: bool = False
    threads: int = 1
    max_failures: int = 2


def add_training_options(parser: argparse.ArgumentParser, *, output: str, storage: str) -> None:
    """output, storage: what goes there."""
    parser.add_argument("--output", required=True, help=f"{output}: an unused folder or s3:// prefix")
    parser.add_argument("--storage", default="out/runs", help=f"{storage}: folder or s3:// prefix")
    parser.add_argument("--workers", type=int, default=1, help="Ray Train workers (default: 1)")
    parser.add_argument("--threads", type=int, default=1, help="threads of a worker without GPU (default: 1)")
    parser.add_argument("--max-failures", type=int, default=2, help="crashed workers to recover from (default: 2)")
    add_ray_options(parser)


def training_run(options: argparse.Namespace) -> dict[str, Any]:
    """The fields of a TrainingRun from parsed options."""
    places = {"output": storage.absolute(options.output), "storage": storage.absolute(options.storage)}
    return places | {name: getattr(options, name) for name in ("workers", "gpu", "threads", "max_failures")}


def trainer(
    job: TrainingRun, name: str, worker: Callable[[Mapping[str, Any]], None], config: Mapping[str, Any]
) -> TorchTrainer:
    """A trainer that runs `worker(config)` on each of the job's workers. name: checkpoints of this name are its own."""
    fs, path = storage.filesystem(job.storage)
    resources = {"CPU": 1.0, "GPU": 1.0} if job.gpu else {"CPU": 1.0}
    return TorchTrainer(
        worker,
        train_loop_config=dict(config),
        torch_config=TorchConfig(backend="nccl" if job.gpu else "gloo"),
        scaling_config=ScalingConfig(num_workers=job.workers, use_gpu=job.gpu, resources_per_worker=resources),
        run_config=RunConfig(
            name=name,
            storage_path=path,
            storage_filesystem=fs,
            failure_config=FailureConfig(max_failures=job.max_failures),
            checkpoint_config=CheckpointConfig(num_to_keep=2),
        ),
    )
