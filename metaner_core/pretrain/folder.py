"""Checkpoints in a local folder, for training without Ray."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from metaner_core import workers


class FolderCheckpoints:
    """Keeps the newest checkpoint in folder/checkpoint-<step>. Stopped while it writes, the one before remains."""

    def __init__(self, folder: Path, tell: Callable[[str], Any]) -> None:
        self._folder, self._tell = folder, tell

    def load(self) -> Path | None:
        found = self._kept()
        workers.wait_for_all()  # nobody deletes before all have looked
        return found[-1] if found else None

    def save(self, metrics: Mapping[str, Any], write: Callable[[Path], None]) -> None:
        if workers.rank() != 0:
            return
        self._tell(told(metrics))
        before, unfinished = self._kept(), self._folder / "unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        write(unfinished)
        unfinished.rename(self._folder / f"checkpoint-{metrics['step']:09}")
        for old in before:
            shutil.rmtree(old)

    def _kept(self) -> list[Path]:
        return sorted(self._folder.glob("checkpoint-*"))


def told(metrics: Mapping[str, Any]) -> str:
    """One line for a checkpoint's metrics."""
    by_language = ", ".join(f"{language} {score:.1f}" for language, score in metrics["retrieval_by_language"].items())
    return "step {step}: {tokens:,} tokens, loss {loss:.3f}, translation retrieval {retrieval:.1f}".format(
        **metrics
    ) + (f" ({by_language})" if by_language else "")
