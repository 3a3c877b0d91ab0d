"""A Ray to run on: joined, or started on this machine, with what its processes need in their environment."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray.exceptions import RayTaskError

from jobs.common.address import require_answering
from jobs.common.room import Room
from metaner_core.command import USERS_ERRORS, Ended, told

# glibc gives freed tensors back to the system and faults every page in again; on virtual machines that costs a factor
# of 3 to 8. These keep the memory. (torch's THP_MEM_ALLOC_ENABLE brings the faults back.)
MALLOC = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "100000000000",
    "MALLOC_TOP_PAD_": "100000000",
}
SLOW = "timed out during startup"  # of what Ray says when it was not ready in time
# No secrets among them.
PASSED_ON = ("HF_HUB_OFFLINE", "HF_HOME", "METANER_CACHE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")


def environment() -> dict[str, str]:
    """Environment variables that workers and actors need."""
    return MALLOC | {name: os.environ[name] for name in PASSED_ON if name in os.environ}


def connect(address: str | None = None, *, cpus: int | None = None, room: Room | None = None) -> None:
    """Join a running Ray, or start one on this machine (logical CPUs: the cores and two to spare for Ray Data).

    room: what is needed there; on a Ray that runs already it is waited for. Of a Ray that this process has joined
    before nothing is asked. Raises ValueError when there is less, or no Ray at the address, Ended when this machine is
    too busy to start one.
    """
    if ray.is_initialized():
        return
    options: dict[str, Any] = {"runtime_env": {"env_vars": environment()}, "logging_level": logging.ERROR}
    options["log_to_driver"] = False  # what workers have to say, they post on a board (jobs/common/progress.py)
    options["address"] = address or os.environ.get("RAY_ADDRESS") or "local"
    require_answering(options["address"])
    if options["address"] == "local":
        options |= {"num_cpus": cpus or (os.cpu_count() or 1) + 2, "include_dashboard": False}
    try:
        ray.init(**options)
    except Exception as error:  # Ray's own, of no kind of its own
        if options["address"] == "local" and SLOW in str(error):
            raise Ended(
                "Ray did not get ready on this machine within the 30 seconds that it gives itself: other work takes "
                "the processors or the disk; wait until they are quieter, or join a Ray that runs (--address)"
            ) from error
        raise
    quiet()
    if room is not None and options["address"] == "local":
        room.require()
    elif room is not None:
        room.wait()


def quiet() -> None:
    """Leave the log to the job's own lines."""
    for name in ("ray.data", "ray.data._internal.progress", "ray.train"):
        logging.getLogger(name).setLevel(logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False


@contextmanager
def refusing(tell: Callable[[str], object]) -> Iterator[None]:
    """In an actor's constructor, tell the driver of a user's error: Ray keeps a text of the traceback, no error."""
    try:
        yield
    except USERS_ERRORS as error:
        tell(told(error))
        raise


def got(answer: Any) -> Any:
    """What Ray tasks return, in place of `ray.get`. Raises what they raised, as they raised it."""
    try:
        return ray.get(answer)
    except RayTaskError as error:
        raise (error.cause or error) from None
