"""Lines from workers and actors, told by the driver: so that a job's log holds its own lines and nothing else."""

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import ray
from ray.actor import ActorHandle
from rich.progress import BarColumn, Progress, TextColumn

from jobs.common.machines import Machines, here
from metaner_core.command import EVERY_SECONDS, say
from metaner_core.report.units import duration

POLL_SECONDS = 2.0
Tell = Callable[[str], object]  # takes a line
Watch = Callable[[Mapping[str, int]], object]  # takes the sums of what workers counted


class Board:
    """Holds what workers have posted until the driver takes it: lines, sums of counts, why one did not come to be, and
    what they are in the middle of."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.counts: dict[str, int] = {}
        self.refusal: str | None = None
        self.begun: dict[str, int] = {}

    def begin(self, what: str) -> int:
        """How often this has been begun before and not been ended: workers that ended in the middle of it."""
        self.begun[what] = self.begun.get(what, 0) + 1
        return self.begun[what] - 1

    def end(self, what: str) -> None:
        self.begun.pop(what, None)

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
def told(tell: Tell = say, watch: Watch | None = None, *, machines: bool = False) -> Iterator[ActorHandle]:
    """A board whose lines go to `tell` while the block runs, and whose sums go to `watch` every so often.

    machines: tell of those that come and those that are lost, too.
    """
    options = {"num_cpus": 0, "scheduling_strategy": here(), "max_restarts": -1, "max_task_retries": -1}
    board: ActorHandle = ray.remote(Board).options(**options).remote()  # type: ignore[assignment, union-attr]
    done = threading.Event()

    known = Machines() if machines else None

    def follow() -> None:
        while not done.wait(POLL_SECONDS):
            for change in known.changes() if known else ():
                tell(change)
            _tell(board, tell, watch)

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield board
    finally:
        done.set()
        thread.join()
        _tell(board, tell, watch)
        ray.kill(board)


def _tell(board: ActorHandle, tell: Tell, watch: Watch | None) -> None:
    lines: list[str] = ray.get(board.take.remote())
    for line in lines:
        tell(line)
    if watch is not None:
        watch(ray.get(board.sums.remote()))


class Pace:
    """How far work of a known size is, in words. name: of what is counted. before: done before it began."""

    def __init__(self, name: str, total: int, before: int = 0) -> None:
        self.name, self.total, self.before = name, total, before
        self._started = time.monotonic()

    def line(self, counts: Mapping[str, int]) -> str:
        """Done, pace, time left. The pace counts from the last moment at which nothing was done."""
        now = counts.get(self.name, 0)
        if not now:
            self._started = time.monotonic()
            return f"starting; {self.total - self.before:,} {self.name} to do"
        done, seconds = self.before + now, max(time.monotonic() - self._started, 1e-9)
        left = duration(seconds * max(0, self.total - done) / now)
        share = 100 * done / max(1, self.total)
        return f"{done:,}/{self.total:,} {self.name} ({share:.0f}%); {now / seconds:.1f}/s; {left} left"


@contextmanager
def shown(pace: Pace, tell: Tell | None = None, *, every: float = EVERY_SECONDS) -> Iterator[Watch]:
    """What shows how far work is: a bar in a terminal; else, or where `tell` takes the lines, one every so many
    seconds."""
    if tell is None and sys.stdout.isatty():
        with Progress(BarColumn(), TextColumn("{task.description}")) as bar:
            task = bar.add_task("starting", total=pace.total, completed=pace.before)
            yield lambda counts: bar.update(
                task, description=pace.line(counts), completed=pace.before + counts.get(pace.name, 0)
            )
        return
    said, last = time.monotonic(), ""

    def watch(counts: Mapping[str, int]) -> None:
        nonlocal said, last
        line = pace.line(counts)
        if time.monotonic() - said >= every and line != last:  # while actors start there is nothing new
            said, last = time.monotonic(), line
            (tell or say)(line)

    yield watch
