"""What is told of an experiment while it runs: lines of many trainings and evaluations, each with its name."""

import threading
import time

from jobs.common.progress import Tell
from jobs.scoring.result import Result
from metaner_core.command import say


class Story:
    """Tells it, from any thread. cells: of the grid. done: of those."""

    def __init__(self, cells: int, done: int) -> None:
        self.cells, self.finished = cells, done
        self._lock = threading.Lock()

    def tell(self, name: str, line: str) -> None:
        with self._lock:
            say(f"[{name}] {line}")

    def done(self, name: str, result: Result) -> None:
        """A cell is written."""
        f1 = " -> ".join(f"{result.scores(engine).overall.f1:.2f}" for engine in result.counts)
        with self._lock:
            self.finished += 1
            say(f"[{name}] F1 {f1}; {self.finished} of {self.cells} cells done")

    def teller(self, name: str, every: float) -> Tell:
        """Takes lines of progress, and tells one every so many seconds: many tell at once."""
        told = time.monotonic()

        def tell(line: str) -> None:
            nonlocal told
            if time.monotonic() - told >= every:
                told = time.monotonic()
                self.tell(name, line)

        return tell
