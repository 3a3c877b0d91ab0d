"""Lines from workers and actors, told by the driver: so that a job's log holds its own lines and nothing else."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import ray
from ray.actor import ActorHandle

from metaner_core.command import say

POLL_SECONDS = 2.0


class Board:
    """Holds what workers have posted until the driver takes it: lines, sums of counts, why one did not come to be."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.counts: dict[str, int] = {}
        self.refusal: str | None = None

    def refuse(self, why: str) -> None:
        self.refusal = why

    def refused(self) -> str | None:
        return self.refusal

    def post(self, line: str) -> None:
        self.lines.append(line)

    def add(self, counts: dict[str, int]) -> None:
        for name, n in counts.items():
            self.counts[name] = self.counts.get(name, 0) + n

    def take(self) -> list[str]:
        lines, self.lines = self.lines, []
        return lines

    def sums(self) -> dict[str, int]:
        return self.counts


@contextmanager
def told() -> Iterator[ActorHandle]:
    """A board whose lines the driver prints while the block runs."""
    board: ActorHandle = ray.remote(Board).options(num_cpus=0).remote()  # type: ignore[assignment, union-attr]
    done = threading.Event()

    def follow() -> None:
        while not done.wait(POLL_SECONDS):
            _tell(board)

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield board
    finally:
        done.set()
        thread.join()
        _tell(board)
        ray.kill(board)


def _tell(board: ActorHandle) -> None:
    lines: list[str] = ray.get(board.take.remote())
    for line in lines:
        say(line)
