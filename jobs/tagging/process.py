"""The process that has a shard: who it is, what it has taken, and what it tells a supervisor meanwhile."""

import ctypes
import os
import resource
import time
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.actor import ActorHandle

TELL_SECONDS = 2.0


@dataclass(frozen=True)
class Clock:
    """What a process takes from now on."""

    started: float = field(default_factory=time.time)
    cpu: float = field(default_factory=time.process_time)

    def facts(self) -> dict[str, Any]:
        """Unix times of beginning and end, seconds of the processor, and the most memory the process ever held."""
        cpu = round(time.process_time() - self.cpu, 3)
        return {"started": self.started, "finished": time.time(), "cpu_seconds": cpu, "peak_bytes": peak_bytes()}


class Teller:
    """Tells a supervisor of the engine's progress within a batch, so that a large one is not taken for one that hangs.

    Called as engines call `tell`.
    """

    def __init__(self, supervisor: ActorHandle) -> None:
        self._supervisor = supervisor
        self._ahead, self._told, self._shard = 0, 0.0, ""

    def begin(self, shard: str) -> None:
        """A batch of the shard begins."""
        self._ahead, self._shard = 0, shard

    def __call__(self, sentences: int) -> None:
        self._ahead += sentences
        if time.monotonic() - self._told >= TELL_SECONDS:
            self._told = time.monotonic()
            self._supervisor.work.remote(self._shard, self._ahead)


def here() -> tuple[str, ActorHandle]:
    """This actor for people, and for Ray."""
    return _name(), ray.get_runtime_context().current_actor


def here_in_task() -> tuple[str, tuple[str, int]]:
    """This process of a task for people, and how it can be ended: its node and number."""
    return _name(), (ray.get_runtime_context().get_node_id(), os.getpid())


def _name() -> str:
    return f"process {os.getpid()} of node {ray.util.get_node_ip_address()}"


def give_back_memory() -> None:
    """To the system what glibc keeps of it (jobs.common.session.MALLOC), or it gets more and more as sizes differ."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc only
    if trim is not None:
        trim(0)


def peak_bytes() -> int:
    """The most memory that this process has held."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # Linux counts in KiB
