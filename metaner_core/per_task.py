"""Layers in which every token meets the weights of its own task: adapted ones, and ones in meta-training.

A task's weights are formed from its trace (metaner_core/trace.py), used and dropped: on a GPU those of many tasks at a
time, on a CPU a few rows of one task's, which are used before they leave the cache.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from metaner_core import optim
from metaner_core.trace import Names, Recorded, Rows, Theta, Trace, chunks, gathered, gradients, multiply

ALL = slice(None)
BLOCK = 2**18  # numbers of a matrix that are formed at once on a CPU, 1 MiB: a few of them fit into its cache


def blocks(matrix: torch.Tensor) -> Iterator[slice]:
    """Rows of a matrix [out, in], BLOCK numbers at a time."""
    rows, width = matrix.shape
    for part in chunks(rows, max(1, BLOCK // width)):
        yield slice(part.start, part.stop)


@dataclass(frozen=True)
class Step:
    """Gradient steps of an optimiser that starts without history. rate: its learning rate. kind: as in the settings."""

    kind: str
    rate: float

    @property
    def whole(self) -> bool:
        """Whether a parameter's gradient must be known as a whole before any of it can be stepped along."""
        return self.kind == "bertadam"

    def clipped_(self, g: torch.Tensor, *, axes: int, parts: Sequence[int]) -> torch.Tensor:
        """Gradients [b, *], in place, as the other methods want them. axes: 2 for a weight, 1 for a vector.

        parts: rows that the parameters have which were put side by side; BertAdam clips the gradient of each by itself.
        """
        if self.whole:
            for part in g.split(list(parts), dim=-axes):
                optim.clip_(part, axes)
        return g

    def first(self, p: torch.Tensor, g: torch.Tensor, *, axes: int, out: torch.Tensor | None = None) -> torch.Tensor:
        """p [*] after the first step along each of the gradients g [b, *]."""
        return optim.first_step(self.kind, p, g, self.rate, decays=axes == 2, out=out)

    def later_(self, p: torch.Tensor, g: torch.Tensor, held: optim.Moments, number: int, *, axes: int) -> None:
        """Step `number` (from 2) of p [b, *] along g [b, *], in place: p and the moments."""
        optim.later_step_(self.kind, p, g, self.rate, held, number, decays=axes == 2)


class PerTask(Recorded):
    """For each unit (a task) weights of its own after a number of inner steps; with a trace.

    After the first step no weights are kept but the gradients that lead there from θ: they are the step's whole
    history, and forming a task's matrix while it is in the cache costs less than fetching it.
    """

    def __init__(self, theta: Theta, step: Step, steps: int, at_once: int) -> None:
        """steps: how many will be taken. at_once: tasks whose products are done together."""
        super().__init__(theta)
        self._step, self._steps, self._at_once = step, steps, at_once
        self._number = 0
        self._linear: dict[Names, list[torch.Tensor]] = {}  # [tasks, out, in], [tasks, out]: gradients, then weights
        self._scales: dict[str, list[torch.Tensor]] = {}  # [tasks, 2, d]: weights, and the first gradients
        self._moments: dict[object, optim.Moments] = {}  # if more than two steps are taken

    def apply(self, names: Names, x: torch.Tensor) -> torch.Tensor:
        weight, bias = self._theta.linear(names)
        found = x.new_empty(len(x), len(bias))
        for chunk in self._chunks():
            own = self._formed(names, 1, chunk)
            if self._at_once > 1:
                multiply(x, self._formed(names, 0, chunk), own, self.rows(names), chunk, found)
                continue
            part = self.rows(names).slice(chunk.start)
            for block in self._blocks(weight):
                w = self._formed(names, 0, chunk, block)[0]
                torch.addmm(own[0, block], x[part], w.T, out=found[part, block])
        return found

    def back(self, names: Names, d: torch.Tensor) -> torch.Tensor:
        weight = self._theta.linear(names)[0]
        found = d.new_empty(len(d), weight.shape[1])
        for chunk in self._chunks():
            if self._at_once > 1:
                multiply(d, self._formed(names, 0, chunk).transpose(1, 2), None, self.rows(names), chunk, found)
                continue
            part = self.rows(names).slice(chunk.start)
            for block in self._blocks(weight):
                w = self._formed(names, 0, chunk, block)[0]
                found[part].addmm_(d[part, block], w, beta=int(block.start > 0))
        return found

    def gain_and_bias(self, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        gain, bias = self._scales[name][0][self.rows((name,)).owner].unbind(1)
        return gain, bias

    @torch.no_grad()
    def move(self, traced: Recorded) -> None:
        """Take the next step along the gradients in a trace: of θ for the first one, else of these weights."""
        self._number += 1
        tasks = len(traced.tokens.counts)
        for names in traced.trace.inputs:
            if self._number == 1:
                self._linear[names] = [p.new_empty(tasks, *p.shape) for p in self._theta.linear(names)]
            for chunk in self._chunks(tasks):
                self._move_linear(traced, names, chunk)
        for name, g in traced.trace.scales.items():
            self._move_scale(name, g)
        self.trace = Trace()

    def _chunks(self, tasks: int | None = None) -> Iterator[range]:
        return chunks(len(self.tokens.counts) if tasks is None else tasks, self._at_once)

    def _blocks(self, weight: torch.Tensor) -> Iterator[slice]:
        """Rows of a task's weight that are formed at once; all, if they lie there already."""
        return iter([slice(0, len(weight))]) if self._number > 1 else blocks(weight)

    def _formed(self, names: Names, kind: int, chunk: range, block: slice = ALL) -> torch.Tensor:
        """The weight (kind 0) or bias (1) of a chunk of tasks, or a block of its rows."""
        kept = self._linear[names][kind][chunk.start : chunk.stop, block]
        if self._number > 1:
            return kept
        return self._step.first(self._theta.linear(names)[kind][block], kept, axes=2 - kind)

    def _move_linear(self, traced: Recorded, names: Names, chunk: range) -> None:
        weight, parts = self._theta.linear(names)[0], self._theta.outputs(names)
        first = self._number == 1
        if self._at_once > 1 or first or self._step.whole:
            out = self._linear[names][0][chunk.start : chunk.stop] if first else None
            g, sums = gradients(traced, names, [[task] for task in chunk], out=out)
            g = self._step.clipped_(g, axes=2, parts=parts)
            if not first:
                self._later(names, 0, chunk, ALL, g)
        else:
            a, d = gathered(traced, names, chunk)
            for block in blocks(weight):
                self._later(names, 0, chunk, block, (d[:, block].T @ a)[None])
            sums = d.sum(0)[None]
        sums = self._step.clipped_(sums, axes=1, parts=parts)
        if first:
            self._linear[names][1][chunk.start : chunk.stop] = sums
        else:
            self._later(names, 1, chunk, ALL, sums)

    def _later(self, names: Names, kind: int, chunk: range, block: slice, g: torch.Tensor) -> None:
        """A step after the first one, of a block of rows."""
        kept, axes = self._linear[names][kind][chunk.start : chunk.stop, block], 2 - kind
        held = self._held((names, kind, chunk.start, block.start), kept)
        if self._number == 2:  # the gradients have become moments; their place is for the weights
            self._step.first(self._theta.linear(names)[kind][block], kept, axes=axes, out=kept)
        self._step.later_(kept, g, held, self._number, axes=axes)

    def _move_scale(self, name: str, g: torch.Tensor) -> None:
        g = self._step.clipped_(g, axes=1, parts=[g.shape[-1]])
        if self._number == 1:
            self._scales[name] = [self._step.first(self._theta.scale(name), g, axes=1), g]
            return
        weights, first = self._scales[name]
        self._step.later_(weights, g, self._held(name, first), self._number, axes=1)

    def _held(self, key: object, first: torch.Tensor) -> optim.Moments:
        """The moments before the next step. first: the first gradients."""
        if self._number > 2:
            return self._moments[key]
        found = optim.moments(first)
        if self._steps > 2:
            self._moments[key] = found
        return found


class Adapted:
    """For each set of units its own weights: θ moved by one step on the set's gradient. Forward only.

    A set's gradient is share · Σ over its units of DᵀA. Tokens stand together by set, in the order of the sets.
    """

    def __init__(
        self,
        theta: Theta,
        step: Step,
        support: Recorded,
        sets: Sequence[Sequence[int]],
        *,
        share: torch.Tensor | None,
        tokens: Rows,
        positions: Rows,
        together: Callable[[int], int],
    ) -> None:
        """support: what recorded the units' trace. sets: units of each. share: [sets], None: 1. tokens, positions: rows
        of each set. together: for matrices of so many numbers, how many sets' are formed at once."""
        self._theta, self._step, self._support, self._sets, self._share = theta, step, support, sets, share
        self._tokens, self._positions = tokens, positions
        self._together = together
        device = tokens.device
        self._pooled = torch.tensor([u for units in sets for u in units], dtype=torch.long, device=device)
        sizes = torch.tensor([len(units) for units in sets], device=device)
        self._pool = torch.repeat_interleave(torch.arange(len(sets), device=device), sizes)

    def _rows(self, names: Names) -> Rows:
        return self._positions if self._theta.narrow(names) else self._tokens

    def linear(self, names: Names, x: torch.Tensor) -> torch.Tensor:
        weight, bias = self._theta.linear(names)
        rows = self._rows(names)
        low = x.dtype == torch.bfloat16
        found = torch.addmm(bias, x, weight.T) if low else x.new_empty(len(x), len(bias))
        if low:  # W - W' is below W's resolution: x W'ᵀ = x Wᵀ + x (W' - W)ᵀ, with θ left out of the step
            weight, bias = weight.new_zeros(()), bias.new_zeros(())
        size = self._theta.linear(names)[0].numel()
        for chunk in self._chunks(size):
            if self._together(size) == 1 and not self._step.whole:
                self._one(names, chunk.start, x, weight, bias, found)
                continue
            g, d = gradients(self._support, names, [self._sets[s] for s in chunk])
            if self._share is not None:
                g.mul_(self._share[chunk.start : chunk.stop, None, None])
                d.mul_(self._share[chunk.start : chunk.stop, None])
            parts = self._theta.outputs(names)
            w = self._step.first(weight, self._step.clipped_(g, axes=2, parts=parts), axes=2)
            b = self._step.first(bias, self._step.clipped_(d, axes=1, parts=parts), axes=1)
            multiply(x, w, b, rows, chunk, found, add=low)
        return found

    def _one(
        self, names: Names, s: int, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, found: torch.Tensor
    ) -> None:
        """found[rows of set s], a block of the weight's rows after the other. weight, bias: as `linear` has them."""
        a, d = gathered(self._support, names, self._sets[s])
        if self._share is not None:
            d = d * self._share[s].to(d.dtype)
        part = self._rows(names).slice(s)
        own = self._step.first(bias, d.sum(0), axes=1)
        for block in blocks(self._theta.linear(names)[0]):
            w = self._step.first(weight[block] if weight.ndim else weight, d[:, block].T @ a, axes=2)
            if weight.ndim:
                torch.addmm(own[block], x[part], w.T, out=found[part, block])
            else:  # θ's own product is in found
                found[part, block] += torch.addmm(own[block], x[part], w.T)

    def _chunks(self, size: int) -> Iterator[range]:
        return chunks(len(self._sets), self._together(size))

    def scale(self, name: str, x: torch.Tensor) -> torch.Tensor:
        units = self._support.trace.scales[name]
        g = units.new_zeros(len(self._sets), *units.shape[1:]).index_add_(0, self._pool, units[self._pooled])
        if self._share is not None:
            g.mul_(self._share[:, None, None])
        g = self._step.clipped_(g, axes=1, parts=[g.shape[-1]])
        moved = self._step.first(self._theta.scale(name), g, axes=1)
        gain, bias = moved[self._rows((name,)).owner].unbind(1)
        return torch.addcmul(bias, x, gain).to(x.dtype)
