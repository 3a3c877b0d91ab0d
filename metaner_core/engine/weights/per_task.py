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
    multiply,
)

Pair = tuple[torch.Tensor, torch.Tensor]


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
            self._move(names, 0, place, ALL, self._step.ready_(g, axes=2, parts=parts))
        else:
            a, d = gathered(trace, names, chunk)
            for block in blocks(self._theta.linear(names)[0]):  # in the cache; kept from there on the way
                self._move(names, 0, place, block, torch.mm(d[:, block].T, a)[None], keep=self._keeps)
            sums = d.sum(0)[None]
        self._move(names, 1, place, ALL, self._step.ready_(sums, axes=1, parts=parts), keep=self._keeps)

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
        g = self._step.ready_(g, axes=1, parts=[g.shape[-1]])
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
