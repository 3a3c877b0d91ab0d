"""The optimisers of the inner steps, the meta-update and the adaptation, and the learning-rate schedule."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn
from torch.optim.adam import adam

from metaner_core.engine import one_pass

ADAM_EPSILON = 1e-8  # torch's own default


class BertAdam(torch.optim.Optimizer):
    """Adam as the authors' code has it: no bias correction, decoupled weight decay, each gradient clipped by itself.

    A first step therefore moves a weight by about lr·0.1/√0.001 ≈ 3.16·lr.
    """

    BETAS = (0.9, 0.999)
    EPSILON = 1e-6
    DECAY = 0.01  # except biases and LayerNorm
    CLIP = 1.0  # norm of one parameter's gradient

    def __init__(self, params: Iterable[Any], lr: float) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": self.DECAY})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        assert closure is None
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._step(p, group["lr"], group["weight_decay"])

    def _step(self, p: torch.Tensor, lr: float, decay: float) -> None:
        assert p.grad is not None
        state = self.state[p]
        if not state:
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(p), torch.zeros_like(p)
        gradient = p.grad * (self.CLIP / (p.grad.norm() + 1e-6)).clamp(max=1.0)
        first, second = self.BETAS
        state["exp_avg"].lerp_(gradient, 1 - first)
        state["exp_avg_sq"].mul_(second).addcmul_(gradient, gradient, value=1 - second)
        p -= lr * (state["exp_avg"] / (state["exp_avg_sq"].sqrt() + self.EPSILON) + decay * p)


def clip_(g: torch.Tensor, axes: int) -> None:
    """Scale gradients of parameters with so many axes, a batch of them, each to BertAdam's norm if it is longer."""
    norm = torch.linalg.vector_norm(g, dim=tuple(range(-axes, 0)), keepdim=True)
    g.mul_((BertAdam.CLIP / (norm + 1e-6)).clamp(max=1.0))


def first_step(
    kind: str,
    p: torch.Tensor,
    g: torch.Tensor,
    lr: float,
    *,
    decays: bool,
    out: torch.Tensor | None = None,
    kept: torch.Tensor | None = None,
) -> torch.Tensor:
    """p after the first step of `fresh(kind, ...)` with gradients g, one for each of a batch: [*p] and [b, *p].

    With no history Adam's moments are functions of g alone. BertAdam's g must be clipped already. out: written to.
    kept: where g is put too.
    """
    if kind == "adam" and one_pass.serves(p, g):
        found = torch.empty_like(g) if out is None else out
        one_pass.first_adam(p, g, lr, ADAM_EPSILON, found, kept)
        return found
    if kept is not None:
        kept.copy_(g)
    if kind == "sgd":
        return torch.add(p, g, alpha=-lr, out=out)
    if kind == "adam":
        return torch.addcdiv(p, g, g.abs().add_(ADAM_EPSILON), value=-lr, out=out)
    first, second = BertAdam.BETAS
    size = g.abs().mul_(math.sqrt(1 - second)).add_(BertAdam.EPSILON)
    decayed = p * (1 - lr * BertAdam.DECAY) if decays else p
    return torch.addcdiv(decayed, g, size, value=-lr * (1 - first), out=out)


Moments = tuple[torch.Tensor, torch.Tensor]


def moments(g: torch.Tensor) -> Moments:
    """Both moments after a first step with gradients g."""
    first, second = BertAdam.BETAS  # Adam's own defaults too
    return g * (1 - first), (g * g).mul_(1 - second)


def second_step_(kind: str, p: torch.Tensor, g: torch.Tensor, lr: float, before: torch.Tensor, *, decays: bool) -> None:
    """Step 2 in place, when no third one follows. before: the gradients of the first step. g: as in `first_step`."""
    if kind == "adam" and one_pass.serves(p, g, before):
        one_pass.second_adam_(p, g, before, lr, BertAdam.BETAS, ADAM_EPSILON)
        return
    later_step_(kind, p, g, lr, moments(before), 2, decays=decays)


def later_step_(
    kind: str, p: torch.Tensor, g: torch.Tensor, lr: float, held: Moments, number: int, *, decays: bool
) -> None:
    """Step `number` (from 2) of `fresh(kind, ...)` in place: p and the moments. BertAdam's g is clipped already."""
    if kind == "sgd":
        p.sub_(g, alpha=lr)
        return
    mean, square = held
    first, second = BertAdam.BETAS
    if kind == "adam":
        before = torch.full((), number - 1.0, device=p.device)
        kind_of = {"amsgrad": False, "maximize": False, "weight_decay": 0.0, "foreach": False, "fused": True}
        rates = {"lr": lr, "beta1": first, "beta2": second, "eps": ADAM_EPSILON}
        adam([p], [g], [mean], [square], [], [before], **kind_of, **rates)  # type: ignore[arg-type]
        return
    mean.lerp_(g, 1 - first)
    square.mul_(second).addcmul_(g, g, value=1 - second)
    if decays:
        p.mul_(1 - lr * BertAdam.DECAY)
    p.addcdiv_(mean, square.sqrt().add_(BertAdam.EPSILON), value=-lr)


def decays(name: str) -> bool:
    """Whether BertAdam's weight decay applies to a parameter of this name."""
    return not (name.endswith("bias") or "LayerNorm" in name)


def fresh(kind: str, parameters: Mapping[str, nn.Parameter], lr: float) -> torch.optim.Optimizer:
    """An optimiser (`adam`, `bertadam` or `sgd`) without history over named parameters."""
    if kind == "sgd":
        return torch.optim.SGD(parameters.values(), lr=lr)
    if kind == "adam":
        return torch.optim.Adam(parameters.values(), lr=lr, fused=True)
    groups: list[dict[str, Any]] = [
        {"params": [p for name, p in parameters.items() if decays(name)]},
        {"params": [p for name, p in parameters.items() if not decays(name)], "weight_decay": 0.0},
    ]
    return BertAdam([g for g in groups if g["params"]], lr)


def schedule(update: int, *, updates: int, warmup: float) -> float:
    """Factor on the learning rate at meta-update 0..updates-1: linear warm-up, then linear decay; never 0."""
    warm = math.ceil(round(updates * warmup, 6))  # 100 * 0.07 is a little more than 7
    if update < warm:
        return (update + 1) / warm
    return (updates - update) / max(updates - warm, 1)
