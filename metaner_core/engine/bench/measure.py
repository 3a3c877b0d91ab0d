"""Calls timed in turn with each other, and the memory that each takes."""

import ctypes
import gc
import statistics
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

Todo = Mapping[str, tuple[str, float, Callable[[], Any]]]  # by name: the unit, how many of it a call computes, the call


@dataclass(frozen=True)
class Row:
    """A measurement: each round's seconds for a sentence (or meta-update of 32 tasks); the most memory taken, MiB."""

    name: str
    unit: str
    taken: tuple[float, ...]
    memory: float

    @property
    def seconds(self) -> float:
        return statistics.median(self.taken)

    @property
    def rate(self) -> float:
        return 1 / self.seconds

    def times(self, other: "Row") -> list[float]:
        """How many times the other's seconds these are, round by round."""
        return [mine / its for mine, its in zip(self.taken, other.taken, strict=True)]


def run(todo: Todo, *, rounds: int, tell: Callable[[str], None]) -> list[Row]:
    """Every measurement `rounds` times, in turn, after a round to warm up."""
    taken: dict[str, list[float]] = {name: [] for name in todo}
    memory = dict.fromkeys(todo, 0.0)
    for number in range(rounds + 1):
        for name, (_, units, call) in todo.items():
            tell(f"round {number}/{rounds}: {name}")
            if not number:  # the first round warms up, and shows how much memory it takes
                memory[name] = most_memory(call)
                continue
            started = time.perf_counter()
            call()
            wait()
            taken[name].append((time.perf_counter() - started) / units)
    return [Row(name, todo[name][0], tuple(seconds), memory[name]) for name, seconds in taken.items()]


def wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def most_memory(call: Callable[[], Any]) -> float:
    """The most memory in MiB that a call takes beyond what is taken before: of the GPU if there is one, else of glibc's
    malloc, looked at every other millisecond."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    gc.collect()  # else what was dropped earlier may go meanwhile
    before = most = _allocated()
    ended = threading.Event()

    def watch() -> None:
        nonlocal most
        while not ended.wait(0.002):
            most = max(most, _allocated())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        call()
    finally:
        ended.set()
        thread.join()
    return (most - before) / 2**20


class _Mallinfo(ctypes.Structure):
    """glibc's struct mallinfo2."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


def _allocated() -> int:
    """Bytes that the process has from glibc and has not given back; the process's own size says nothing, for freed
    memory is kept for the next tensor."""
    ask = ctypes.CDLL(None).mallinfo2
    ask.restype = _Mallinfo
    found = ask()
    return int(found.uordblks + found.hblkhd)
