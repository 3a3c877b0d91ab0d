"""What a training run must remember to go on as if it had never stopped: safetensors and JSON, no pickle."""

import json
import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import load_file, save_file

from metaner_core import workers
from metaner_core.model.tagger import Tagger


class Checkpoints(Protocol):
    """Where training state is kept and progress is told. Every worker calls it, in step with the others."""

    def load(self) -> Path | None:
        """Folder of the newest checkpoint, if there is one."""

    def save(self, metrics: Mapping[str, Any], write: Callable[[Path], None]) -> None:
        """Tell metrics and keep what `write` puts into the folder it is given (called on rank 0 only)."""


class NoCheckpoints:
    """Training that starts at the beginning and keeps nothing."""

    def load(self) -> None:
        return None

    def save(self, metrics: Mapping[str, Any], write: Callable[[Path], None]) -> None:
        return None


class FolderCheckpoints:
    """Keeps the newest checkpoint in folder/checkpoint-<number>. Stopped while it writes, the one before remains.

    tell: called on rank 0 with the metrics of each. counter: the one of them that counts up.
    """

    def __init__(self, folder: Path, tell: Callable[[Mapping[str, Any]], Any], *, counter: str = "update") -> None:
        self._folder, self._tell, self._counter = folder, tell, counter

    def load(self) -> Path | None:
        found = self._kept()
        workers.wait_for_all()  # nobody deletes before all have looked
        return found[-1] if found else None

    def save(self, metrics: Mapping[str, Any], write: Callable[[Path], None]) -> None:
        if workers.rank() != 0:
            return
        self._tell(metrics)
        before, unfinished = self._kept(), self._folder / "unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        write(unfinished)
        unfinished.rename(self._folder / f"checkpoint-{metrics[self._counter]:09}")
        for old in before:
            shutil.rmtree(old)

    def _kept(self) -> list[Path]:
        return sorted(self._folder.glob("checkpoint-*"))


TENSORS, FACTS = "state.safetensors", "state.json"


@dataclass
class TrainingState:
    """update: meta-updates done. best: θ with the highest dev F1 (percent) so far. history: one entry an interval."""

    tagger: Tagger
    optimizer: torch.optim.Optimizer
    update: int = 0
    best_f1: float = -math.inf
    best_update: int = 0
    best: dict[str, torch.Tensor] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)

    @staticmethod
    def start(tagger: Tagger, optimizer: torch.optim.Optimizer) -> "TrainingState":
        return TrainingState(tagger, optimizer, best={n: p.detach().clone() for n, p in tagger.trained().items()})

    def add_loss(self, value: float) -> None:
        self.losses.append(value)

    def close_interval(self, dev_f1: float) -> None:
        """Note the dev F1 after an interval of meta-updates, and keep θ if it is the best (the first of equals)."""
        if dev_f1 > self.best_f1:
            self.best_f1, self.best_update = dev_f1, self.update
            self.best = {name: p.detach().clone() for name, p in self.tagger.trained().items()}
        mean = sum(self.losses) / max(len(self.losses), 1)
        self.losses = []
        entry = {"update": self.update, "loss": mean, "dev_f1": dev_f1}
        self.history.append({**entry, "best_f1": self.best_f1, "best_update": self.best_update})

    def save(self, folder: Path) -> None:
        best = {f"best.{name}": p for name, p in self.best.items()}
        save_tensors(folder, self.tagger, self.optimizer, best)
        facts = {
            "update": self.update,
            "best_f1": self.best_f1,
            "best_update": self.best_update,
            "history": self.history,
        }
        (folder / FACTS).write_text(json.dumps(facts), encoding="utf-8")

    def load(self, folder: Path) -> None:
        """Raises KeyError when the checkpoint is of another model."""
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        self.update, self.history = facts["update"], facts["history"]
        self.best_f1, self.best_update = facts["best_f1"], facts["best_update"]
        tensors = load_tensors(folder, self.tagger, self.optimizer)
        for name, p in self.tagger.trained().items():
            self.best[name] = tensors[f"best.{name}"].to(p.device)


def save_tensors(
    folder: Path, tagger: Tagger, optimizer: torch.optim.Optimizer, more: Mapping[str, torch.Tensor]
) -> None:
    """Write θ, the optimiser's state and more."""
    tensors = dict(more)
    for name, p in tagger.trained().items():
        tensors[f"theta.{name}"] = p.detach()
        for key, value in optimizer.state[p].items():
            tensors[f"optimizer.{key}.{name}"] = value
    save_file({name: t.contiguous() for name, t in tensors.items()}, folder / TENSORS)


@torch.no_grad()
def load_tensors(folder: Path, tagger: Tagger, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Put θ and the optimiser's state back. Returns all that was written. Raises KeyError: it is of another model."""
    tensors = load_file(folder / TENSORS)
    for name, p in tagger.trained().items():
        p.copy_(tensors[f"theta.{name}"])
        optimizer.state[p] = {
            kind: tensors[f"optimizer.{kind}.{name}"].to(p.device)
            for kind in ("step", "exp_avg", "exp_avg_sq")
            if f"optimizer.{kind}.{name}" in tensors
        }
    return tensors
