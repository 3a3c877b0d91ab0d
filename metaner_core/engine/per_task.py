"""Layers in which every token meets the weights of its own task: adapted ones, and ones in meta-training.

Weights are formed from a trace (trace.py), on a GPU those of many tasks at a time, on a CPU a few rows of one task's.
In adaptation they are used at once, before they leave the cache, and dropped; in meta-training a task's are kept until
it is done.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from metaner_core.engine.steps import Moments, clip_, first_step, later_step_, moments, second_step_
from metaner_core.engine.trace import Names, Recorded, Rows, Theta, Trace, chunks, gathered, gradients, multiply

Pair = tuple[torch.Tensor, torch.Tensor]
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
                clip_(part, axes)
        return g

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


class PerTask(Recorded):
    """For each unit (a task) weights of its own after a number of inner steps; with a trace.

    Of the first step the gradients are kept too, for they are all of its history, until the second one is taken, if
    one is.
    """

    def __init__(self, theta: Theta, step: Step, steps: int, at_once: int) -> None:
        """steps: how many will be taken. at_once: tasks whose products are done together."""
        super().__init__(theta)
        self._step, self._steps, self._at_once = step, steps, at_once
        self._number = 0  # of the step that was taken last
        self._linear: dict[Names, Pair] = {}
        self._first: dict[Names, Pair] = {}  # the first gradients
        self._scales: dict[str, Pair] = {}  # [tasks, 2, d]: weights, and the first gradients
        self._moments: dict[object, Moments] = {}  # if more than two steps are taken

    @torch.no_grad()
    def move(self, trace: Trace) -> None:
        """Take the next step along the gradients in a trace: of θ for the first one, else of these weights."""
        self._number += 1
        for names in trace.inputs:
            if self._number == 1:
                self._linear[names] = self._empty(names, trace)
            if self._keeps:
                self._first[names] = self._empty(names, trace)
            for chunk in self._chunks(trace):
                self._move_linear(trace, names, chunk)
            if self._number == 2:  # dropped module by module: they are half of what a chunk keeps
                del self._first[names]
        for name, g in trace.scales.items():
            self._move_scale(name, g)

    def apply(self, names: Names, x: torch.Tensor) -> torch.Tensor:
        w, b = self._linear[names]
        found = x.new_empty(len(x), b.shape[1])
        for chunk in self._chunks(self.trace):
            if self._at_once > 1:
                multiply(x, w[_of(chunk)], b[_of(chunk)], self.trace.rows(names), chunk, found)
                continue
            task, part = chunk.start, self.trace.rows(names).slice(chunk.start)
            torch.addmm(b[task], x[part], w[task].T, out=found[part])
        return found

    def back(self, names: Names, d: torch.Tensor) -> torch.Tensor:
        w = self._linear[names][0]
        found = d.new_empty(len(d), w.shape[2])
        for chunk in self._chunks(self.trace):
            if self._at_once > 1:
                multiply(d, w[_of(chunk)].transpose(1, 2), None, self.trace.rows(names), chunk, found)
                continue
            part = self.trace.rows(names).slice(chunk.start)
            torch.mm(d[part], w[chunk.start], out=found[part])
        return found

    def gain_and_bias(self, name: str) -> Pair:
        gain, bias = self._scales[name][0][self.trace.rows((name,)).owner].unbind(1)
        return gain, bias

    @property
    def _keeps(self) -> bool:
        """Whether the step that is being taken is the first one, and a second one will want its gradients."""
        return self._number == 1 and self._steps > 1

    def _chunks(self, trace: Trace) -> Iterator[range]:
        return chunks(len(trace.tokens.counts), self._at_once)

    def _empty(self, names: Names, trace: Trace) -> Pair:
        """Room for each task's weight [tasks, out, in] and bias [tasks, out]."""
        tasks = len(trace.tokens.counts)
        weight, bias = self._theta.linear(names)
        return weight.new_empty(tasks, *weight.shape), bias.new_empty(tasks, *bias.shape)

    def _move_linear(self, trace: Trace, names: Names, chunk: range) -> None:
        parts, place = self._theta.outputs(names), _of(chunk)
        if self._at_once > 1 or self._step.whole:
            # G is formed where it is to be kept. BertAdam then clips it there: it is the clipped one that is history.
            first = self._first[names][0][place] if self._keeps else None
            g, sums = gradients(trace, names, [[task] for task in chunk], out=first)
            self._move(names, 0, place, ALL, self._step.clipped_(g, axes=2, parts=parts))
        else:
            a, d = gathered(trace, names, chunk)
            for block in blocks(self._theta.linear(names)[0]):  # in the cache; kept from there on the way
                self._move(names, 0, place, block, torch.mm(d[:, block].T, a)[None], keep=self._keeps)
            sums = d.sum(0)[None]
        self._move(names, 1, place, ALL, self._step.clipped_(sums, axes=1, parts=parts), keep=self._keeps)

    def _move(
        self, names: Names, kind: int, tasks: slice, block: slice, g: torch.Tensor, *, keep: bool = False
    ) -> None:
        """A step of some tasks' weight (kind 0) or bias (1), or a block of its rows, along g. keep: g, the first."""
        axes, own = 2 - kind, self._linear[names][kind][tasks, block]
        if self._number == 1:
            kept = self._first[names][kind][tasks, block] if keep else None
            self._step.first(self._theta.linear(names)[kind][block], g, axes=axes, out=own, kept=kept)
            return
        first = self._first[names][kind][tasks, block] if self._number == 2 else None
        self._later((names, kind, tasks.start, block.start), own, g, first, axes)

    def _move_scale(self, name: str, g: torch.Tensor) -> None:
        g = self._step.clipped_(g, axes=1, parts=[g.shape[-1]])
        if self._number == 1:
            self._scales[name] = self._step.first(self._theta.scale(name), g, axes=1), g
            return
        weights, first = self._scales[name]
        self._later(name, weights, g, first, axes=1)

    def _later(self, key: object, p: torch.Tensor, g: torch.Tensor, first: torch.Tensor | None, axes: int) -> None:
        """Step 2 or a later one of p along g, in place. first: the first gradients, if it is the second."""
        if self._number == 2:
            assert first is not None
            if self._steps == 2:
                self._step.second_(p, g, first, axes=axes)
                return
            self._moments[key] = moments(first)
        self._step.later_(p, g, self._moments[key], self._number, axes=axes)


def _of(chunk: range) -> slice:
    return slice(chunk.start, chunk.stop)


class Adapted:
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

    def _rows(self, names: Names) -> Rows:
        return self._positions if names[0] in self._theta.narrow else self._tokens

    def linear(self, names: Names, x: torch.Tensor) -> torch.Tensor:
        weight, bias = self._theta.linear(names)
        rows = self._rows(names)
        low = x.dtype == torch.bfloat16
        found = torch.addmm(bias, x, weight.T) if low else x.new_empty(len(x), len(bias))
        if low:  # W - W' is below W's resolution: x W'ᵀ = x Wᵀ + x (W' - W)ᵀ, with θ left out of the step
            weight, bias = weight.new_zeros(()), bias.new_zeros(())
        size = self._theta.linear(names)[0].numel()  # θ's own: `weight` may be a single 0 by now
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
        units = self._support.scales[name]
        g = units.new_zeros(len(self._sets), *units.shape[1:]).index_add_(0, self._pool, units[self._pooled])
        if self._share is not None:
            g.mul_(self._share[:, None, None])
        g = self._step.clipped_(g, axes=1, parts=[g.shape[-1]])
        moved = self._step.first(self._theta.scale(name), g, axes=1)
        gain, bias = moved[self._rows((name,)).owner].unbind(1)
        return torch.addcmul(bias, x, gain).to(x.dtype)
