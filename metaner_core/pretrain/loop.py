"""The pre-training loop: masked and translation language modelling, data parallel, resumable, without Ray.

Every worker draws the whole batch of a step and computes its own rows; gradients are added up and divided by the
number of targets in the whole batch. With dropout 0 the number of workers leaves no trace but rounding.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers import BertForMaskedLM

from metaner_core import workers
from metaner_core.method import optim
from metaner_core.method.checkpoint import Checkpoints
from metaner_core.model.sentence_vectors import SentenceVectors
from metaner_core.pretrain import word_vectors
from metaner_core.pretrain.batches import Batch, Batches
from metaner_core.pretrain.model import known_model, loss_sum, new_model
from metaner_core.pretrain.packed import Packed
from metaner_core.pretrain.score import held_out, retrieval
from metaner_core.pretrain.settings import PretrainSettings
from metaner_core.pretrain.vocabulary import fast

TENSORS, FACTS = "state.safetensors", "state.json"
MOMENTS = ("step", "exp_avg", "exp_avg_sq")


@dataclass
class State:
    """Where a run is. step: steps done. tokens: read so far, by all workers. history: one entry for each checkpoint.
    loss: sum of the losses since the last entry, on the model's device; losses: how many."""

    model: BertForMaskedLM
    optimizer: torch.optim.Optimizer
    loss: torch.Tensor
    step: int = 0
    tokens: int = 0
    losses: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)

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
        for name, p in self.model.named_parameters():
            tensors[f"model.{name}"] = p.detach()
            for kind in MOMENTS:
                tensors[f"{kind}.{name}"] = self.optimizer.state[p][kind]
        save_file({name: t.contiguous() for name, t in tensors.items()}, folder / TENSORS)
        facts = {"step": self.step, "tokens": self.tokens, "history": self.history}
        (folder / FACTS).write_text(json.dumps(facts), encoding="utf-8")

    @torch.no_grad()
    def load(self, folder: Path) -> None:
        """Raises KeyError when the checkpoint is of another model."""
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        self.step, self.tokens, self.history = facts["step"], facts["tokens"], facts["history"]
        tensors = load_file(folder / TENSORS)
        for name, p in self.model.named_parameters():
            p.copy_(tensors[f"model.{name}"])
            self.optimizer.state[p] = {kind: tensors[f"{kind}.{name}"].to(p.device) for kind in MOMENTS}


@dataclass
class Pretrainer:
    """Pre-trains a new encoder on packed text. on_step: called after every step, on every worker."""

    packed: Packed
    settings: PretrainSettings
    device: torch.device | str = "cpu"
    on_step: Callable[[State], None] = lambda state: None

    def run(self, checkpoints: Checkpoints) -> State:
        """Train to the last step, going on from the newest checkpoint."""
        settings = self.settings
        folder = checkpoints.load()
        state = self.start(fresh=folder is None)
        if folder is not None:
            state.load(folder)
        for batch in self._drawn(state.step):
            self.step(state, batch)
            self.on_step(state)
            if state.step % settings.save_every == 0 or state.step == settings.steps:
                state.close_interval(self._retrieval(state))
                checkpoints.save(state.history[-1], state.save)
        return state

    def start(self, *, fresh: bool = True) -> State:
        """The state before the first step. fresh: from `start_from` or word vectors, which a checkpoint replaces."""
        tokenizer, known = self.packed.tokenizer, fresh and bool(self.settings.start_from)
        model = known_model(self.settings, tokenizer) if known else new_model(self.settings, tokenizer.get_vocab_size())
        model.to(self.device)  # type: ignore[arg-type]
        if fresh and not known and workers.rank() == 0:
            word_vectors.start(model, self.packed, self.settings)
        _as_on_the_first(model)
        return State(model, _optimizer(model, self.settings), torch.zeros((), dtype=torch.float64, device=self.device))

    def _retrieval(self, state: State) -> dict[str, float]:
        state.model.eval()
        vectors = SentenceVectors(state.model.bert, fast(self.packed.tokenizer), pooling="mean")
        found = retrieval(vectors, held_out(self.packed))
        state.model.train()
        return found

    def _drawn(self, first: int) -> Iterator[Batch]:
        """The batches from a step on, the next one drawn while the model works on this one."""
        draw, last = Batches(self.packed, self.settings), self.settings.steps
        if first >= last:
            return
        with ThreadPoolExecutor(1) as thread:
            waiting = thread.submit(draw, first)
            for following in range(first + 1, last + 1):
                batch = waiting.result()
                if following < last:
                    waiting = thread.submit(draw, following)
                yield batch

    def step(self, state: State, batch: Batch) -> None:
        """One AdamW step on the mean loss over the batch's targets."""
        settings, device = self.settings, torch.device(self.device)
        torch.manual_seed(_dropout_seed(settings.seed, state.step))
        targets = max(int(batch.targets.sum()), 1)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=settings.bf16):
            loss = loss_sum(state.model, batch.shared(device)) / targets
        loss.backward()
        loss = loss.detach().double()
        parameters = [p for p in state.model.parameters() if p.grad is not None]
        _add_up(parameters, loss)
        torch.nn.utils.clip_grad_norm_(parameters, settings.clip)
        factor = optim.schedule(state.step, updates=settings.steps, warmup=settings.warmup)
        for group in state.optimizer.param_groups:
            group["lr"] = settings.learning_rate * factor
        state.optimizer.step()
        state.optimizer.zero_grad(set_to_none=True)
        state.loss += loss
        state.losses, state.step, state.tokens = state.losses + 1, state.step + 1, state.tokens + batch.tokens


def _dropout_seed(seed: int, step: int) -> int:
    return int(np.random.SeedSequence([seed, step, workers.rank()]).generate_state(1)[0])


@torch.no_grad()
def _as_on_the_first(model: BertForMaskedLM) -> None:
    """Give every worker rank 0's parameters."""
    for p in model.parameters():
        p.mul_(workers.rank() == 0)
    workers.add_up([p.detach() for p in model.parameters()])


def _optimizer(model: BertForMaskedLM, settings: PretrainSettings) -> torch.optim.Optimizer:
    named = list(model.named_parameters())
    groups = [
        {"params": [p for name, p in named if optim.decays(name)], "weight_decay": settings.weight_decay},
        {"params": [p for name, p in named if not optim.decays(name)], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, settings.beta2), fused=True)


def _add_up(parameters: list[torch.nn.Parameter], loss: torch.Tensor) -> None:
    """Sum gradients and loss over the workers, all gradients in one message."""
    if workers.count() == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([g.reshape(-1) for g in gradients])
    workers.add_up([flat, loss])
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def checkpoint_line(metrics: Mapping[str, Any]) -> str:
    """One line for a checkpoint's metrics."""
    by_language = ", ".join(f"{language} {score:.1f}" for language, score in metrics["retrieval_by_language"].items())
    return "step {step}: {tokens:,} tokens, loss {loss:.3f}, translation retrieval {retrieval:.1f}".format(
        **metrics
    ) + (f" ({by_language})" if by_language else "")


def speed_lines(settings: PretrainSettings, tell: Callable[[str], Any], *, every: float) -> Callable[[State], None]:
    """An on_step that tells every so many seconds how far the run is, its loss and its tokens a second."""
    told, tokens = time.monotonic(), -1

    def on_step(state: State) -> None:
        nonlocal told, tokens
        now = time.monotonic()
        if tokens < 0:  # the first step warms up
            told, tokens = now, state.tokens
        elif now - told >= every:
            speed = (state.tokens - tokens) / (now - told)
            left = (settings.steps - state.step) * state.tokens / state.step / speed / 60
            loss = state.mean_loss()
            tell(f"step {state.step}/{settings.steps}: loss {loss:.3f}, {speed:,.0f} tokens/s, {left:.0f} min left")
            told, tokens = now, state.tokens

    return on_step


def run_name(settings: PretrainSettings, packed: str) -> str:
    """Fingerprint of all that decides the result; a run may only go on from its own checkpoints. packed: the text's."""
    parts = json.dumps([settings.fingerprint(), packed])
    return f"pretrain-{settings.preset}-{hashlib.sha256(parts.encode()).hexdigest()[:12]}"


def facts(state: State, packed: Packed, settings: PretrainSettings) -> dict[str, Any]:
    """What made an encoder: lies beside it."""
    return {
        "settings": settings.to_dict(),
        "packed": dict(packed.manifest),
        "steps": state.step,
        "tokens": state.tokens,
        "parameters": sum(p.numel() for p in state.model.parameters()),
        "history": state.history,
    }
