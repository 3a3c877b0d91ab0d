"""Layers in which every token meets the weights of its own task, in meta-training: they are kept until it is done.

Weights are formed from a trace (trace.py), on a GPU those of many tasks at a time, on a CPU a few rows of one task's.
"""

from collections.abc import Iterator

import torch

from metaner_core.engine.weights.steps import Moments, Step, moments
from metaner_core.engine.weights.trace import (
    ALL,
    Names,
    Recorded,
    Theta,
    Trace,
    blocks,
    chunks,
    gathered,
    gradients,
    product,
)


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
        self._weights: dict[Names, torch.Tensor] = {}  # [tasks, out, in]
        self._first: dict[Names, torch.Tensor] = {}  # the first gradients
        # Biases, and LayerNorms' gains and biases: they are small and there are many, so they lie side by side.
        self._vectors = self._first_vectors = torch.empty(0)  # [tasks, numbers], and the first gradients
        self._biases: dict[Names, torch.Tensor] = {}  # [tasks, out]: views of these, like the next
        self._scales: dict[str, torch.Tensor] = {}  # [tasks, 2, d]
        self._moments: dict[object, Moments] = {}  # if more than two steps are taken

    @torch.no_grad()
    def move(self, trace: Trace) -> None:
        """Take the next step along the gradients in a trace: of θ for the first one, else of these weights."""
        self._number += 1
        for names in trace.inputs:
            self._move_weight(trace, names)
        self._move_vectors({names: trace.bias(names) for names in trace.inputs}, trace.scales)

    def apply(self, names: Names, x: torch.Tensor) -> torch.Tensor:
        w, b, rows = self._weights[names], self._biases[names], self.trace.rows(names)
        if self._at_once > 1:
            parts = [product(x, w[_of(c)], b[_of(c)], rows, c) for c in self._chunks(self.trace)]
            return parts[0] if len(parts) == 1 else torch.cat(parts)  # tasks' rows stand in order
        found = x.new_empty(len(x), b.shape[1])
        for task in range(len(rows.counts)):
            torch.addmm(b[task], x[rows.slice(task)], w[task].T, out=found[rows.slice(task)])
        return found

    def back(self, names: Names, d: torch.Tensor) -> torch.Tensor:
        w, rows = self._weights[names], self.trace.rows(names)
        if self._at_once > 1:
            parts = [product(d, w[_of(c)].transpose(1, 2), None, rows, c) for c in self._chunks(self.trace)]
            return parts[0] if len(parts) == 1 else torch.cat(parts)
        found = d.new_empty(len(d), w.shape[2])
        for task in range(len(rows.counts)):
            torch.mm(d[rows.slice(task)], w[task], out=found[rows.slice(task)])
        return found

    def gain_and_bias(self, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        gain, bias = self._scales[name].index_select(0, self.trace.rows((name,)).owner).unbind(1)
        return gain, bias

    @property
    def _keeps(self) -> bool:
        """Whether the step that is being taken is the first one, and a second one will want its gradients."""
        return self._number == 1 and self._steps > 1

    def _chunks(self, trace: Trace) -> Iterator[range]:
        return chunks(len(trace.tokens.counts), self._at_once)

    def _move_weight(self, trace: Trace, names: Names) -> None:
        if self._number == 1:
            self._weights[names] = self._empty(names, trace)
            if self._steps > 1:
                self._first[names] = self._empty(names, trace)
        for chunk in self._chunks(trace):
            self._move_chunk(trace, names, chunk)
        if self._number == 2:  # dropped module by module: they are half of what a chunk keeps
            del self._first[names]

    def _empty(self, names: Names, trace: Trace) -> torch.Tensor:
        """Room for each task's weight."""
        weight = self._theta.linear(names)[0]
        return weight.new_empty(len(trace.tokens.counts), *weight.shape)

    def _move_chunk(self, trace: Trace, names: Names, chunk: range) -> None:
        parts, tasks, theta = self._theta.outputs(names), _of(chunk), self._theta.linear(names)[0]
        if self._at_once > 1 or self._step.whole:
            # G is formed where it is to be kept. BertAdam then clips it there: it is the clipped one that is history.
            first = self._first[names][tasks] if self._keeps else None
            g = gradients(trace, names, [[task] for task in chunk], out=first)
            self._move(names, tasks, ALL, theta, self._step.ready_(g, axes=2, parts=parts), keep=False)
        else:
            a, d = gathered(trace, names, chunk)
            for block in blocks(theta):  # in the cache; kept from there on the way
                g = torch.mm(d[:, block].T, a)[None]
                self._move(names, tasks, block, theta, g, keep=self._keeps)

    def _move(
        self, names: Names, tasks: slice, block: slice, theta: torch.Tensor, g: torch.Tensor, *, keep: bool
    ) -> None:
        """A step of some tasks' weight, or a block of its rows, along g. keep: g, which is the first."""
        own = self._weights[names][tasks, block]
        if self._number == 1:
            kept = self._first[names][tasks, block] if keep else None
            self._step.first(theta[block], g, axes=2, out=own, kept=kept)
            return
        first = self._first[names][tasks, block] if self._number == 2 else None
        self._later((names, tasks.start, block.start), own, g, first, axes=2)

    def _move_vectors(self, biases: dict[Names, torch.Tensor], scales: dict[str, torch.Tensor]) -> None:
        """A step along these gradients. biases: [tasks, out]. scales: [tasks, 2, d] of gain and bias."""
        ready = [self._step.ready_(g, axes=1, parts=self._theta.outputs(names)) for names, g in biases.items()]
        ready += [self._step.ready_(g, axes=1, parts=[g.shape[-1]]).flatten(1) for g in scales.values()]
        g = torch.cat(ready, 1)
        if self._number > 1:
            self._later("vectors", self._vectors, g, self._first_vectors, axes=1)
            return
        theta = [*(self._theta.linear(names)[1] for names in biases), *(self._theta.scale(n).flatten() for n in scales)]
        self._vectors, self._first_vectors = self._step.first(torch.cat(theta), g, axes=1), g
        own = iter(self._vectors.split([len(t) for t in theta], 1))
        self._biases = {names: next(own) for names in biases}
        self._scales = {name: next(own).unflatten(1, (2, -1)) for name in scales}

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
