"""Layers in which every sentence's tokens meet θ moved by one step on its own support set's gradient.

`Formed` makes the moved weights, layer by layer, uses them before they leave the cache, and drops them: Adam needs
that, for its step is no multiple of the gradient. thin.py does without.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence

import torch

from metaner_core.engine.weights.steps import Step
from metaner_core.engine.weights.trace import (
    Names,
    Rows,
    Theta,
    Trace,
    add_product_,
    blocks,
    chunks,
    gathered,
    gradients,
)

# On a GPU sets go together whose rows are at most so many, or at most TIMES as many, and so on: the padding costs less
# than calls for more groups would.
SUPPORT, OWN, TIMES = 64, 32, 4


class Adapted(ABC):
    """For each set of units its own weights: θ moved by one step on the set's gradient. Forward only.

    A set's gradient is share · Σ over its units of DᵀA. Tokens stand together by set, in the order of the sets.
    """

    def __init__(
        self,
        theta: Theta,
        step: Step,
        support: Trace,
        sets: Sequence[Sequence[int]],
        *,
        share: torch.Tensor | None,
        tokens: Rows,
        positions: Rows,
        together: Callable[[int], int],
    ) -> None:
        """support: the trace of the units. sets: units of each. share: [sets], None: 1. tokens, positions: rows
        of each set. together: for matrices of so many numbers, how many sets' are formed at once."""
        self._theta, self._step, self._support, self._sets, self._share = theta, step, support, sets, share
        self._tokens, self._positions = tokens, positions
        self._together = together
        device = tokens.device
        # Units of all sets in one list, and the set of each: a unit stands in it once for every set that it is in.
        self._pooled = torch.tensor([u for units in sets for u in units], dtype=torch.long, device=device)
        sizes = torch.tensor([len(units) for units in sets], device=device)
        self._pool = torch.repeat_interleave(torch.arange(len(sets), device=device), sizes)
        self._kept_groups: dict[bool, list[tuple[Sequence[int], int, int]]] = {}

    @abstractmethod
    def linear(self, names: Names, x: torch.Tensor) -> torch.Tensor:
        """As `transformer.Weights.linear`, each row with the weights of its set."""

    def scale(self, name: str, x: torch.Tensor) -> torch.Tensor:
        g = self._sums(self._support.scales[name])
        g = self._step.ready_(g, axes=1, parts=[g.shape[-1]])
        moved = self._step.first(self._theta.scale(name), g, axes=1)
        rows = self._rows((name,))
        if self._together(1) == 1:  # on a CPU: gain and bias for each token would take more memory traffic than x does
            found = torch.empty_like(x)
            for y, part, (gain, bias) in zip(found.split(rows.counts), x.split(rows.counts), moved, strict=True):
                torch.addcmul(bias, part, gain, out=y)
            return found
        gain, bias = moved[rows.owner].unbind(1)
        return torch.addcmul(bias, x, gain).to(x.dtype)

    def _rows(self, names: Names) -> Rows:
        return self._positions if names[0] in self._theta.narrow else self._tokens

    def _sums(self, units: torch.Tensor) -> torch.Tensor:
        """The gradient of each set, [sets, *], from that of each unit, [units, *]."""
        g = units.new_zeros(len(self._sets), *units.shape[1:]).index_add_(0, self._pool, units[self._pooled])
        if self._share is not None:
            g.mul_(self._share.view(-1, *[1] * (g.ndim - 1)))
        return g

    def _of_bias(self, names: Names, theta: torch.Tensor) -> torch.Tensor:
        """A bias after the step, [sets, out]. theta: its value in θ; a single 0 for what the step adds."""
        g = self._step.ready_(self._sums(self._support.bias(names)), axes=1, parts=self._theta.outputs(names))
        return self._step.first(theta, g, axes=1)

    def _chunks(self, names: Names, size: Callable[[int, int], int]) -> Iterator[Sequence[int]]:
        """The sets, as many at a time as are formed together. size: numbers that a set of so many support rows and so
        many of its own takes."""
        for sets, support, own in self._groups(names):
            for part in chunks(len(sets), self._together(size(support, own))):
                yield sets[part.start : part.stop]

    def _groups(self, names: Names) -> list[tuple[Sequence[int], int, int]]:
        """The sets with the most support rows and the most of its own that one has: all in their order on a CPU, where
        each is by itself; else those of similar size, for they are padded to the largest."""
        narrow = names[0] in self._theta.narrow
        if narrow not in self._kept_groups:
            rows, own = self._support.rows(names).counts, self._rows(names).counts
            counts = [(sum(rows[u] for u in units), own[s]) for s, units in enumerate(self._sets)]
            found: dict[tuple[int, int], list[int]] = {}
            for s, (support, queries) in enumerate(counts):
                key = (0, 0) if self._together(1) == 1 else (_bucket(support, SUPPORT), _bucket(queries, OWN))
                found.setdefault(key, []).append(s)
            self._kept_groups[narrow] = [
                (sets, max(counts[s][0] for s in sets), max(counts[s][1] for s in sets)) for sets in found.values()
            ]
        return self._kept_groups[narrow]


def _bucket(rows: int, least: int) -> int:
    """0 for so many rows at most, 1 for TIMES as many, and so on."""
    found = 0
    while rows > least:
        least, found = least * TIMES, found + 1
    return found


class Formed(Adapted):
    """With W' formed, of any optimiser."""

    def linear(self, names: Names, x: torch.Tensor) -> torch.Tensor:
        weight, bias = self._theta.linear(names)
        size, rows, low = weight.numel(), self._rows(names), x.dtype == torch.bfloat16
        found = torch.addmm(bias, x, weight.T) if low else x.new_empty(len(x), len(bias))
        if low:  # W - W' is below W's resolution: x W'ᵀ = x Wᵀ + x (W' - W)ᵀ, with θ left out of the step
            weight, bias = weight.new_zeros(()), bias.new_zeros(())
        own = self._of_bias(names, bias).to(x.dtype)  # [sets, out]
        if self._together(size) == 1 and not self._step.whole:
            for s in range(len(self._sets)):
                self._one(names, s, x, weight, own[s], found)
            return found
        of_tokens = own.index_select(0, rows.owner)
        found = found.add_(of_tokens) if low else of_tokens
        for chunk in self._chunks(names, lambda support, own: size):
            g = gradients(self._support, names, [self._sets[s] for s in chunk])
            if self._share is not None:
                g.mul_(self._share[list(chunk), None, None])
            w = self._step.first(weight, self._step.ready_(g, axes=2, parts=self._theta.outputs(names)), axes=2)
            add_product_(found, x, w, rows, chunk)
        return found

    def _one(
        self, names: Names, s: int, x: torch.Tensor, weight: torch.Tensor, own: torch.Tensor, found: torch.Tensor
    ) -> None:
        """found[rows of set s], a block of the weight's rows after the other. weight, own: as `linear` has them."""
        a, d = gathered(self._support, names, self._sets[s])
        if self._share is not None:
            d = d * self._share[s].to(d.dtype)
        part = self._rows(names).slice(s)
        for block in blocks(self._theta.linear(names)[0]):
            w = self._step.first(weight[block] if weight.ndim else weight, d[:, block].T @ a, axes=2)
            if weight.ndim:
                torch.addmm(own[block], x[part], w.T, out=found[part, block])
            else:  # θ's own product is in found
                found[part, block] += torch.addmm(own[block], x[part], w.T)
