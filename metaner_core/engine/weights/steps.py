"""Single steps of the optimisers in `method.optim` as functions of gradients alone: for weights no optimiser holds.

A task's weights start without history, so that after a first step all of an optimiser's state is that step's gradient.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.optim.adam import adam

from metaner_core.method.optim import BertAdam, ScaledSGD

ADAM_EPSILON = 1e-8  # torch's own default
THIN = ("sgd", "scaled_sgd")  # a step is G times a number: a layer can take it without forming G


def clip_(g: torch.Tensor, axes: int) -> None:
    """Scale gradients of parameters with so many axes, a batch of them, each to BertAdam's norm if it is longer."""
    norm = torch.linalg.vector_norm(g, dim=tuple(range(-axes, 0)), keepdim=True)
    g.mul_((BertAdam.CLIP / (norm + 1e-6)).clamp(max=1.0))


def scale_(g: torch.Tensor, axes: int) -> None:
    """Scale gradients of parameters with so many axes, a batch of them, each to ScaledSGD's root mean square of 1."""
    dims = tuple(range(-axes, 0))
    g.div_(g.square().mean(dims, keepdim=True).sqrt_().add_(ScaledSGD.EPSILON))


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

    With no history Adam's moments are functions of g alone. BertAdam's g must be clipped already, ScaledSGD's scaled.
    out: written to. kept: where g is put too.
    """
    if kind == "adam" and _one_pass_serves(p, g):
        from metaner_core.engine.weights import one_pass

        found = torch.empty_like(g) if out is None else out
        one_pass.first_adam(p, g, lr, ADAM_EPSILON, found, kept)
        return found
    if kept is not None:
        kept.copy_(g)
    if kind in THIN:
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
    if kind == "adam" and _one_pass_serves(p, g, before):
        from metaner_core.engine.weights import one_pass

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


@dataclass(frozen=True)
class Step:
    """Gradient steps of an optimiser that starts without history. rate: its learning rate. kind: as in the settings."""

    kind: str
    rate: float

    @property
    def whole(self) -> bool:
        """Whether a parameter's gradient must be known as a whole before any of it can be stepped along."""
        return self.kind in ("bertadam", "scaled_sgd")

    @property
    def thin(self) -> bool:
        """Whether it can be taken without G (thin.py)."""
        return self.kind in THIN

    def ready_(self, g: torch.Tensor, *, axes: int, parts: Sequence[int]) -> torch.Tensor:
        """Gradients [b, *], in place, as the other methods want them. axes: 2 for a weight, 1 for a vector.

        parts: rows that the parameters have which were put side by side; each is clipped or scaled by itself.
        """
        if self.whole:
            for part in g.split(list(parts), dim=-axes):
                (clip_ if self.kind == "bertadam" else scale_)(part, axes)
        return g

    def number(self, squares: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
        """What `scaled_sgd` multiplies gradients by that have so many numbers and this sum of their squares."""
        return self.rate / ((squares.clamp(min=0) / sizes).sqrt() + ScaledSGD.EPSILON)

    def first(
        self,
        p: torch.Tensor,
        g: torch.Tensor,
        *,
        axes: int,
        out: torch.Tensor | None = None,
        kept: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """p [*] after the first step along each of the gradients g [b, *]. kept: where these are put too."""
        return first_step(self.kind, p, g, self.rate, decays=axes == 2, out=out, kept=kept)

    def second_(self, p: torch.Tensor, g: torch.Tensor, before: torch.Tensor, *, axes: int) -> None:
        """Step 2, the last one, of p [b, *] along g [b, *], in place. before: the first step's gradients."""
        second_step_(self.kind, p, g, self.rate, before, decays=axes == 2)

    def later_(self, p: torch.Tensor, g: torch.Tensor, held: Moments, number: int, *, axes: int) -> None:
        """Step `number` (from 2) of p [b, *] along g [b, *], in place: p and the moments."""
        later_step_(self.kind, p, g, self.rate, held, number, decays=axes == 2)


def _one_pass_serves(*tensors: torch.Tensor) -> bool:
    """Whether these, p and gradients of one parameter or of a block of it, can be taken by `one_pass`."""
    p = tensors[0]
    return all(
        t.device.type == "cpu"
        and t.dtype == p.dtype
        and t.dtype in (torch.float32, torch.float64)
        and t.numel() == p.numel()
        and t.is_contiguous()
        for t in tensors
    )
