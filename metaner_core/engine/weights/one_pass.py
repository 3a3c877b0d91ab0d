"""Adam's first and second step on a CPU in one pass over memory, compiled by numba.

Written in torch's operations the same arithmetic takes four and eight passes, and between gradients that are formed in
the cache and weights that are not it is the passes that cost (docs/findings/engine.md). `steps` says what both do.
To be imported late: numba takes a third of a second, and not every process takes steps.
"""

import numba
import numpy as np
import torch

# `contract` lets a product and a sum become one instruction; nothing else may be reordered.
_compiled = numba.njit(nogil=True, error_model="numpy", fastmath={"contract"})


def first_adam(
    p: torch.Tensor, g: torch.Tensor, lr: float, epsilon: float, out: torch.Tensor, kept: torch.Tensor | None = None
) -> None:
    """out = p after a first step along g. All of the same size; out may be p. kept: where g is put too."""
    weights, gradient, found = _flat(p), _flat(g), _flat(out)
    numbers = map(weights.dtype.type, (lr, epsilon))
    if kept is None:
        _first(weights, gradient, found, *numbers)
    else:
        _first_kept(weights, gradient, found, _flat(kept), *numbers)


def second_adam_(
    p: torch.Tensor, g: torch.Tensor, before: torch.Tensor, lr: float, betas: tuple[float, float], epsilon: float
) -> None:
    """p, in place, after a second step along g. before: the gradients of the first step, all of Adam's history."""
    weights, gradient, history = _flat(p), _flat(g), _flat(before)
    (old, new), (old_square, new_square) = (_shares(beta) for beta in betas)
    numbers = (lr, epsilon, old, new, old_square, new_square)
    _second(weights, gradient, history, *map(weights.dtype.type, numbers))


def _shares(beta: float) -> tuple[float, float]:
    """Of the first and of the second gradient in a moment after two steps, its bias corrected."""
    return beta * (1 - beta) / (1 - beta**2), (1 - beta) / (1 - beta**2)


def _flat(tensor: torch.Tensor) -> np.ndarray:
    return tensor.view(-1).numpy()


@_compiled
def _first(p, g, out, lr, epsilon):  # type: ignore[no-untyped-def]
    for i in range(p.size):
        out[i] = p[i] - lr * (g[i] / (abs(g[i]) + epsilon))


@_compiled
def _first_kept(p, g, out, kept, lr, epsilon):  # type: ignore[no-untyped-def]
    for i in range(p.size):
        kept[i] = g[i]
        out[i] = p[i] - lr * (g[i] / (abs(g[i]) + epsilon))


@_compiled
def _second(p, g, before, lr, epsilon, old, new, old_square, new_square):  # type: ignore[no-untyped-def]
    for i in range(p.size):
        mean = old * before[i] + new * g[i]
        square = old_square * before[i] * before[i] + new_square * g[i] * g[i]
        p[i] -= lr * (mean / (np.sqrt(square) + epsilon))
