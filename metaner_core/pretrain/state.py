"""Where a pre-training run is: weights, optimiser and history, as a checkpoint keeps them, and what they become."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import BertForMaskedLM, PreTrainedModel

from metaner_core.pretrain.packed import Packed
from metaner_core.pretrain.settings import PretrainSettings

TENSORS, FACTS = "state.safetensors", "state.json"
MOMENTS = ("step", "exp_avg", "exp_avg_sq")


@dataclass
class State:
    """Where a run is. step: steps done. tokens: read so far, by all workers. history: one entry for each checkpoint.
    loss: sum of the losses since the last entry, on the model's device; losses: how many. projection: from the width of
    the model to that of its teacher; without parameters where they agree."""

    model: BertForMaskedLM
    optimizer: torch.optim.Optimizer
    loss: torch.Tensor
    step: int = 0
    tokens: int = 0
    losses: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    projection: nn.Module = field(default_factory=nn.Identity)

    def named(self) -> Iterator[tuple[str, nn.Parameter]]:
        """All parameters by name, those that are not trained too."""
        yield from self.model.named_parameters()
        yield from self.projection.named_parameters(prefix="projection")

    def mean_loss(self) -> float:
        """Nats a target since the last checkpoint."""
        return self.loss.item() / max(self.losses, 1)

    def close_interval(self, retrieved: dict[str, float]) -> None:
        mean = sum(retrieved.values()) / len(retrieved) if retrieved else 0.0
        entry = {"step": self.step, "tokens": self.tokens, "loss": self.mean_loss(), "retrieval": mean}
        self.history.append({**entry, "retrieval_by_language": retrieved})
        self.loss.zero_()
        self.losses = 0

    def save(self, folder: Path) -> None:
        tensors = {}
        for name, p in self.named():
            tensors[f"model.{name}"] = p.detach()
            for kind, moment in self.optimizer.state.get(p, {}).items():  # none before its first gradient
                tensors[f"{kind}.{name}"] = moment
        save_file({name: t.contiguous() for name, t in tensors.items()}, folder / TENSORS)
        facts = {"step": self.step, "tokens": self.tokens, "history": self.history}
        (folder / FACTS).write_text(json.dumps(facts), encoding="utf-8")

    @torch.no_grad()
    def load(self, folder: Path) -> None:
        """Raises KeyError when the checkpoint is of another model."""
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        self.step, self.tokens, self.history = facts["step"], facts["tokens"], facts["history"]
        tensors = load_file(folder / TENSORS)
        for name, p in self.named():
            p.copy_(tensors[f"model.{name}"])
            if f"{MOMENTS[0]}.{name}" in tensors:
                self.optimizer.state[p] = {kind: tensors[f"{kind}.{name}"].to(p.device) for kind in MOMENTS}


def run_name(settings: PretrainSettings, packed: str) -> str:
    """Fingerprint of all that decides the result; a run may only go on from its own checkpoints. packed: the text's."""
    parts = json.dumps([settings.fingerprint(), packed])
    return f"pretrain-{settings.preset}-{hashlib.sha256(parts.encode()).hexdigest()[:12]}"


def written(state: State, settings: PretrainSettings) -> PreTrainedModel:
    """What of the model is the encoder: all, or what is below a masked-LM head that was never trained."""
    return state.model if settings.masks_words else state.model.bert


def facts(state: State, packed: Packed, settings: PretrainSettings) -> dict[str, Any]:
    """What made an encoder: lies beside it."""
    return {
        "settings": settings.to_dict(),
        "packed": dict(packed.manifest),
        "steps": state.step,
        "tokens": state.tokens,
        "parameters": sum(p.numel() for p in written(state, settings).parameters()),
        "history": state.history,
    }
