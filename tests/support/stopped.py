"""A run that ends where a test wants it to."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


class Stop(Exception):
    """Stands for the process's death."""


class Kept:
    """Checkpoints in a folder; raises Stop once it has kept so many."""

    def __init__(self, folder: Path, stop_after: int | None = None) -> None:
        self.folder, self.stop_after, self.saves = folder, stop_after, 0

    def load(self) -> Path | None:
        return self.folder if (self.folder / "state.json").exists() else None

    def save(self, metrics: Mapping[str, Any], write: Callable[[Path], None]) -> None:
        write(self.folder)
        self.saves += 1
        if self.saves == self.stop_after:
            raise Stop
