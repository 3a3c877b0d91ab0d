"""What every job does first and last: options that they share, a Ray to run on, a readable log. Quick to import."""

import argparse
import logging
import os
import sys
from collections.abc import Callable
from typing import Any

import ray

from metaner_core.engine.config import KINDS, PRECISIONS

# glibc gives freed tensors back to the system and faults every page in again; on virtual machines that costs a factor
# of 3 to 8. These keep the memory. (torch's THP_MEM_ALLOC_ENABLE brings the faults back.)
MALLOC = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "100000000000",
    "MALLOC_TOP_PAD_": "100000000",
}
USERS_ERRORS = (ValueError, FileNotFoundError, FileExistsError)
PASSED_ON = ("HF_HUB_OFFLINE", "HF_HOME", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")  # no secrets among them


def add_ray_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("Ray")
    group.add_argument("--address", help="a running Ray; default: RAY_ADDRESS, else a Ray of its own on this machine")
    group.add_argument("--gpu", action="store_true", help="one GPU for each worker or actor")


def add_engine_option(parser: argparse.ArgumentParser, *, precision: bool = True) -> None:
    parser.add_argument(
        "--engine",
        default="batched",
        choices=KINDS,
        help="reference: one sentence or task at a time, for checking (default: batched)",
    )
    if precision:
        parser.add_argument(
            "--precision",
            default="fp32",
            choices=PRECISIONS,
            help="of the batched engine's matrix products; docs/engine.md says what bf16 changes (default: fp32)",
        )


def environment() -> dict[str, str]:
    """Environment variables that workers and actors need."""
    return MALLOC | {name: os.environ[name] for name in PASSED_ON if name in os.environ}


def connect(address: str | None = None, *, cpus: int | None = None) -> None:
    """Join a running Ray, or start one on this machine (logical CPUs: the cores and two to spare for Ray Data)."""
    if ray.is_initialized():
        return
    options: dict[str, Any] = {"runtime_env": {"env_vars": environment()}, "logging_level": logging.ERROR}
    options["log_to_driver"] = False  # what workers have to say, they post on a board (jobs/common/progress.py)
    options["address"] = address or os.environ.get("RAY_ADDRESS") or "local"
    if options["address"] == "local":
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # its core's log goes to the session's files
        options |= {"num_cpus": cpus or (os.cpu_count() or 1) + 2, "include_dashboard": False}
    ray.init(**options)
    quiet()


def quiet() -> None:
    """Leave the log to the job's own lines."""
    for name in ("ray.data", "ray.data._internal.progress", "ray.train"):
        logging.getLogger(name).setLevel(logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False


def say(*parts: object) -> None:
    """One line of log, at once."""
    print(*parts, flush=True)


def run(main: Callable[[], None]) -> None:
    """Run a job's main function; an error of the user's ends it in one readable line and exit status 2."""
    try:
        main()
    except USERS_ERRORS as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
