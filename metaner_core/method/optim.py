"""The optimisers of the inner steps, the meta-update and the adaptation, and the learning-rate schedule."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn


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


class ScaledSGD(torch.optim.Optimizer):
    """Gradient descent with each parameter's step scaled to a root mean square of lr, whatever its gradient's size.

    Adam's first step has just that size, ±lr everywhere; this one keeps the gradient's own direction.
    """

    EPSILON = 1e-8  # so that a gradient which is rounding noise, or nothing, moves nothing

    def __init__(self, params: Iterable[Any], lr: float) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        assert closure is None
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p -= group["lr"] * p.grad / (p.grad.square().mean().sqrt() + self.EPSILON)


def decays(name: str) -> bool:
    """Whether BertAdam's weight decay applies to a parameter of this name."""
    return not (name.endswith("bias") or "LayerNorm" in name)


def fresh(kind: str, parameters: Mapping[str, nn.Parameter], lr: float) -> torch.optim.Optimizer:
    """An optimiser (`adam`, `bertadam`, `sgd` or `scaled_sgd`) without history over named parameters."""
    if kind == "sgd":
        return torch.optim.SGD(parameters.values(), lr=lr)
    if kind == "scaled_sgd":
        return ScaledSGD(parameters.values(), lr)
    if kind == "adam":
        return torch.optim.Adam(parameters.values(), lr=lr, fused=True)
    groups: list[dict[str, Any]] = [
        {"params": [p for name, p in parameters.items() if decays(name)]},
        {"params": [p for name, p in parameters.items() if not decays(name)], "weight_decay": 0.0},
    ]
    return BertAdam([g for g in groups if g["params"]], lr)


def schedule(update: int, *, updates: int, warmup: float, kind: str = "from_first_step") -> float:
    """Factor on the learning rate at meta-update 0..updates-1: linear warm-up, then linear decay.

    kind: `from_first_step` is never 0; `from_zero` is at the first and the last meta-update, as in the authors' code.
    """
    if kind == "from_zero":
        done = update / max(updates - 1, 1)
        return done / warmup if done < warmup else (1 - done) / (1 - warmup) if warmup < 1 else 0.0
    warm = math.ceil(round(updates * warmup, 6))  # 100 * 0.07 is a little more than 7
    if update < warm:
        return (update + 1) / warm
    return (updates - update) / max(updates - warm, 1)
