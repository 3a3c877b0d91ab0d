"""Where a training run goes and on what it runs, and the options that say so."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jobs.common.options import Many, OneOrTwo, add_ray_options, require_at_least, room
from jobs.common.room import Room
from metaner_core import storage


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """Where one training run puts things and what it runs on. None of this changes what it computes.

    workers: so many, or the least and the most: then as many as the cluster has machines for, fewer after one is lost,
    more when others come.
    """

    output: str
    storage: str
    workers: Many = 1
    gpu: bool = False
    threads: int = 1
    max_failures: int = 2
    room: Room | None = None  # on the cluster; None: as it comes
    config: Mapping[str, Any] = field(default_factory=dict, compare=False)  # the options that it was started with


def add_training_options(parser: argparse.ArgumentParser, *, output: str, storage: str) -> None:
    """output, storage: what goes there."""
    parser.add_argument("--output", required=True, help=f"{output}: an unused folder or s3:// prefix")
    parser.add_argument("--storage", default="out/runs", help=f"{storage}: folder or s3:// prefix")
    workers = "Ray Train workers; MIN MAX: as many as the cluster has machines for, as they come and go (default: 1)"
    parser.add_argument("--workers", action=OneOrTwo, default=1, help=workers)
    parser.add_argument("--threads", type=int, default=1, help="threads of a worker without GPU (default: 1)")
    parser.add_argument(
        "--max-failures",
        type=int,
        default=2,
        help="crashes of workers, lost machines among them, to recover from; -1: any number (default: 2)",
    )
    add_ray_options(parser)


def training_run(options: argparse.Namespace) -> dict[str, Any]:
    """The fields of a TrainingRun from parsed options. Raises ValueError listing every number that cannot be."""
    require_at_least(options, workers=1, threads=1, max_failures=-1)
    places = {"output": storage.absolute(options.output), "storage": storage.absolute(options.storage)}
    same = {name: getattr(options, name) for name in ("workers", "gpu", "threads", "max_failures")}
    return places | same | {"room": room(options, "workers")}
