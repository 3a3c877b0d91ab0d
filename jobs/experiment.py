"""A grid of trainings and evaluations, encoders x variants x seeds x tests, to tables with intervals and a report.

    laptop    python -m jobs.experiment minute --output out/minute
    one GPU   python -m jobs.experiment paper --gpu --data DATA --output out/paper
    cluster   ray job submit --working-dir . -- python -m jobs.experiment paper --gpu --data s3://bucket/data \\
                  --output s3://bucket/paper

A grid is a TOML file (jobs/experiments/grid.py has its keys), or the name of one in jobs/grids. Stopped at any moment,
driver, workers or machines, the same command goes on from the cells that are done, the newest checkpoints, and what is
scored. What fails is named at the end, and tried again by the same command. `--dry-run` says what would run.
"""

import os
import sys
from collections.abc import Sequence
from typing import Any

import ray

from jobs.common.config import OptionsParser
from jobs.common.options import add_engine_option, add_ray_options
from jobs.common.room import Room
from jobs.common.session import connect
from jobs.experiments import estimate
from jobs.experiments.cells import left
from jobs.experiments.claim import changed
from jobs.experiments.data import read
from jobs.experiments.grid import load, shipped
from jobs.experiments.job import SPARE, Job
from jobs.experiments.report import report
from jobs.experiments.run import experiment
from metaner_core import storage
from metaner_core.command import run, say
from metaner_core.engine.config import EngineConfig
from metaner_core.experiments import tensorboard

EXAMPLES = ("minute --output out/minute", "grid.toml --data DATA --output out/grid --dry-run")


def parse(arguments: Sequence[str] | None = None) -> tuple[Job, Any]:
    """Command line to job, and the options that say what to do with it."""
    parser = OptionsParser("jobs.experiment", "Train and score a whole grid, to a report.", EXAMPLES)
    parser.add_argument("grid", metavar="GRID", help=f"a .toml file, local or s3://, or one of {', '.join(shipped())}")
    where = "folder or s3:// prefix: unused, or of the grid to go on with"
    parser.add_argument("--output", required=True, help=where)
    parser.add_argument("--data", help="folder or s3:// prefix that holds the corpora's folders")
    group = parser.add_argument_group("what to do")
    group.add_argument("--dry-run", action="store_true", help="say what would run and how long it would take, no more")
    group.add_argument("--report", action="store_true", help="make the report of the cells that are done, no more")
    group.add_argument("--extend", action="store_true", help="the grid has more than it had: add that to what there is")
    parser.add_argument(
        "--tensorboard", metavar="FOLDER", help="curves and scores for TensorBoard too, at every report"
    )
    group = parser.add_argument_group("how it runs")
    group.add_argument("--workers", type=int, default=1, help="of each training (default: 1)")
    group.add_argument("--actors", type=int, default=1, help="of each evaluation (default: 1)")
    group.add_argument("--threads", type=int, default=1, help="of each of them without GPU (default: 1)")
    group.add_argument("--at-once", type=int, help="trainings and evaluations (default: as the cluster has room)")
    group.add_argument("--max-failures", type=int, default=2, help="of a training's workers to recover from")
    every = "between lines of each one's progress (default: 30)"
    group.add_argument("--every-seconds", type=float, default=30, help=every)
    add_engine_option(parser)
    add_ray_options(parser)
    options = parser.parse(arguments)
    if options.tensorboard is not None:
        tensorboard.require(options.tensorboard)
    same = ("data", "tensorboard", "workers", "actors", "threads", "gpu", "at_once", "extend", "every_seconds")
    job = Job(
        grid=load(options.grid),
        output=storage.absolute(options.output),
        failures=options.max_failures,
        config=EngineConfig(options.engine, options.precision),
        **{name: getattr(options, name) for name in same},
    )
    return job, options


def main() -> None:
    job, options = parse()
    if options.dry_run:
        _say_what_would_run(job)
    elif options.report:
        say(report(job))
    else:
        _run(job, options.address, options.wait_minutes)


def _say_what_would_run(job: Job) -> None:
    data = read(job)
    every, todo = left(job)
    sizes = {name: len(test.scored()) for name, test in data.tests.items()}
    targets = {name: len(sentences) for name, sentences in data.targets.items()}
    lines = estimate.told(job, every, todo, sizes, targets)
    if different := changed(job.output, data.facts(job)):
        lines += [f"{job.output} is of a grid that differs in", *(f"  {line}" for line in different)]
    say("\n".join(lines))


def _run(job: Job, address: str | None, minutes: float) -> None:
    gpus = job.need if job.gpu else 0
    wanted = Room(f"{job.need} worker(s) or actor(s)", job.need, gpus, "--workers and --actors", minutes)
    try:
        errors = experiment(job, lambda: connect(address, cpus=_cpus(job), room=wanted))
    except KeyboardInterrupt:
        say("stopped; the same command goes on from what is done")
        ray.shutdown()
        os._exit(130)  # threads that wait for trainings would hold it up
    say(report(job))
    if errors:
        say(f"{len(errors)} cell(s) failed; the same command tries them again:")
        for name, error in errors.items():
            say(f"  {name}: {error}")
        sys.exit(1)


def _cpus(job: Job) -> int:
    """Logical CPUs of a Ray on this machine: so many trainings at once that its cores have work."""
    cores = os.cpu_count() or 1
    at_once = job.at_once or max(1, cores // (job.need * job.threads))
    return at_once * job.need * job.threads + SPARE


if __name__ == "__main__":
    run(main)
