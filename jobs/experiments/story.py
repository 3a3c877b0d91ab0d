"""What is told of an experiment while it runs: lines of many trainings and evaluations, each with its name."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from jobs.common.progress import Tell
from jobs.scoring.result import Result
from metaner_core.command import say
from metaner_core.report.units import duration


class Story:
    """Tells it, from any thread. cells: of the grid. done: of those."""

    def __init__(self, cells: int, done: int) -> None:
        self.cells, self.before, self.finished = cells, done, done
        self._lock = threading.Lock()
        self._started, self._worked = time.monotonic(), 0.0

    def tell(self, name: str, line: str) -> None:
        with self._lock:
            say(f"[{name}] {line}")

    def done(self, name: str, result: Result) -> None:
        """A cell is written."""
        f1 = " -> ".join(f"{result.scores(engine).overall.f1:.2f}" for engine in result.counts)
        with self._lock:
            self.finished += 1
            say(f"[{name}] F1 {f1}; {self.finished} of {self.cells} cells done")

    @contextmanager
    def working(self) -> Iterator[None]:
        """While the block runs a training, a fine-tuning or an evaluation goes on."""
        started = time.monotonic()
        yield
        with self._lock:
            self._worked += time.monotonic() - started

    def end(self) -> None:
        """How long it took, and how many things went on at once: what more machines have brought."""
        seconds = max(time.monotonic() - self._started, 1e-9)
        said = f"{self.finished - self.before} cell(s) in {duration(seconds)}, {self._worked / seconds:.1f} at once"
        self.tell("all", said)

    def teller(self, name: str, every: float) -> Tell:
        """Takes lines of progress, and tells one every so many seconds: many tell at once."""
        told = time.monotonic()

        def tell(line: str) -> None:
            nonlocal told
            if time.monotonic() - told >= every:
                told = time.monotonic()
                self.tell(name, line)

        return tell
