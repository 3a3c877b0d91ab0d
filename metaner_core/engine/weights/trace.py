"""Gradients of many tasks from one forward and backward pass, each task's to itself.

For a linear layer y = x Wᵀ + b the gradient of one task is G = Dᵀ A: A [T, in] are the layer's inputs on the task's
tokens, D [T, out] the loss gradients at its outputs. A pass with weights that record leaves A and D in a `Trace`, and
G is formed from them when it is wanted. LayerNorm's gain and bias have gradients of the same kind, vectors that are
kept ready summed. The mathematics: docs/findings/engine.md.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from metaner_core.model.transformer import CLASSIFIER, Packed, narrow

Names = tuple[str, ...]
ALL = slice(None)
BLOCK = 2**18  # numbers of a matrix that are formed at once on a CPU, 1 MiB: a few of them fit into its cache


@dataclass
class Trace:
    """What a backward pass leaves for each linear module (or modules side by side) and each LayerNorm.

    inputs: A, [N, in]; gradients: D, [N, out]; scales: gradients of gain and bias, [units, 2, d]; biases: gradients of
    the linear modules' biases, [units, out], if they have been asked for. squares: |G|² of each unit for each of the
    modules side by side, likewise; only of what a store keeps. Rows are the batch's tokens or, of modules
    past the last attention (narrow: their names), its positions.
    """

    tokens: "Rows"  # of each unit
    positions: "Rows"
    narrow: frozenset[str]
    inputs: dict[Names, torch.Tensor] = field(default_factory=dict)
    gradients: dict[Names, torch.Tensor] = field(default_factory=dict)
    scales: dict[str, torch.Tensor] = field(default_factory=dict)
    biases: dict[Names, torch.Tensor] = field(default_factory=dict)
    squares: Sequence[dict[Names, torch.Tensor]] = ()

    def bias(self, names: Names) -> torch.Tensor:
        """D summed over each unit's rows, [units, out], in single precision at least."""
        if names not in self.biases:
            rows, d = self.rows(names), self.gradients[names]
            d = d.to(torch.promote_types(d.dtype, torch.float32))
            self.biases[names] = d.new_zeros(len(rows.counts), d.shape[1]).index_add_(0, rows.owner, d)
        return self.biases[names]

    def rows(self, names: Names) -> "Rows":
        return self.positions if names[0] in self.narrow else self.tokens


class Rows:
    """Which rows of an [N, d] matrix belong to which unit: a unit's stand together."""

    def __init__(self, counts: torch.Tensor, starts: Sequence[int] | None = None) -> None:
        """counts: [units] rows of each. starts: where each begins; None: they stand in order and fill the matrix."""
        self.counts = counts.tolist()
        self.starts = (counts.cumsum(0) - counts).tolist() if starts is None else list(starts)
        self.owner = torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)  # if in order
        self.device = counts.device
        self._where = np.array([self.starts, self.counts], np.int64).T
        self._indices: dict[object, Together] = {}

    def slice(self, unit: int) -> slice:
        return slice(self.starts[unit], self.starts[unit] + self.counts[unit])

    def index(self, sets: Sequence[Sequence[int]]) -> "Together":
        """Rows of several units put together. Remembered."""
        key = tuple(map(tuple, sets))
        if key not in self._indices:
            self._indices[key] = self._index(sets)
        return self._indices[key]

    def _index(self, sets: Sequence[Sequence[int]]) -> "Together":
        """By arithmetic on arrays: a wave on a GPU has hundreds of these, of tens of thousands of rows."""
        units = np.fromiter((unit for own in sets for unit in own), np.int64)
        starts, counts = self._where[units].T
        row = np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts - starts, counts)
        of = np.repeat(np.repeat(np.arange(len(sets)), [len(own) for own in sets]), counts)  # its set
        sizes = np.bincount(of, minlength=len(sets))
        column = np.arange(len(row)) - (sizes.cumsum() - sizes)[of]
        index = np.zeros((len(sets), max(sizes, default=0)), np.int64)
        real = np.zeros(index.shape, bool)
        index[of, column], real[of, column] = row, True
        places = of * index.shape[1] + column
        return Together(*(torch.from_numpy(x).to(self.device) for x in (index, real, places, row)))


@dataclass(frozen=True)
class Together:
    """Rows of several sets, padded to the set with most: index [sets, T], and which places are real, [sets, T].

    places: index of the real ones into sets x T, flattened. rows: what `index` has there. Both are known when a GPU
    asks: a mask as an index is an answer that must be waited for.
    """

    index: torch.Tensor
    real: torch.Tensor
    places: torch.Tensor
    rows: torch.Tensor

    def padded(self, x: torch.Tensor) -> torch.Tensor:
        """[sets, T, d] of x [N, d]. Row 0 stands where padding is."""
        return x.index_select(0, self.index.flatten()).unflatten(0, self.index.shape)

    def unpadded(self, y: torch.Tensor) -> torch.Tensor:
        """Of y [sets, T, d] the rows that are real, [rows, d]."""
        return y.flatten(0, 1).index_select(0, self.places)


def rows_of(packed: Packed, units: torch.Tensor, many: int) -> tuple[Rows, Rows]:
    """The tokens and the positions of each unit. units: [sentences of the batch] unit of each, ascending."""
    lengths = torch.tensor(packed.lengths, dtype=torch.long, device=units.device)
    tokens = torch.zeros(many, dtype=torch.long, device=units.device)
    tokens.index_add_(0, units[packed.batch.sentence_of_window], lengths)
    return Rows(tokens), Rows(torch.bincount(units[packed.batch.sentence], minlength=many))


class _Linear(torch.autograd.Function):
    """y = apply(x); on the way back the trace gets A and D, and dx = back(D)."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, handle: torch.Tensor, weights: "Recorded", names: Names) -> torch.Tensor:
        ctx.weights, ctx.names = weights, names
        # Detached, or the graph would hold the trace and the trace the graph, for ever.
        weights.trace.inputs[names] = x.detach()
        return weights.apply(names, x)

    @staticmethod
    def backward(ctx: Any, d: torch.Tensor) -> tuple[torch.Tensor | None, None, None, None]:  # type: ignore[override]
        # Kept as it comes, top layer first. No G is formed here: who wants it knows for which tasks, and when.
        ctx.weights.trace.gradients[ctx.names] = d
        return ctx.weights.back(ctx.names, d) if ctx.needs_input_grad[0] else None, None, None, None


class _Scale(torch.autograd.Function):
    """y = x·gain + bias; on the way back the trace gets both gradients, summed over each unit's rows."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, handle: torch.Tensor, weights: "Recorded", name: str) -> torch.Tensor:
        ctx.weights, ctx.name = weights, name
        ctx.save_for_backward(x)
        gain, bias = weights.gain_and_bias(name)
        return torch.addcmul(bias, x, gain).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, d: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:  # type: ignore[override]
        (x,) = ctx.saved_tensors
        gain = ctx.weights.gain_and_bias(ctx.name)[0]
        both = torch.stack([d * x, d], 1).to(gain.dtype)
        rows = ctx.weights.trace.rows((ctx.name,))
        sums = both.new_zeros(len(rows.counts), *both.shape[1:])  # [units, 2, d]: unlike G small enough to keep ready
        ctx.weights.trace.scales[ctx.name] = sums.index_add_(0, rows.owner, both)
        return (d * gain).to(d.dtype), None, None, None


class Recorded(ABC):
    """Common to weights that record a trace. names: modules whose outputs stand side by side."""

    trace: Trace

    def __init__(self, theta: "Theta") -> None:
        self._theta = theta
        like = theta.linear(CLASSIFIER)[0]
        # Something that wants a gradient, or autograd would not come back to the lowest layer that is trained.
        self._handle = torch.zeros((), dtype=like.dtype, device=like.device, requires_grad=True)

    def record(self, tokens: Rows, positions: Rows) -> None:
        """Begin a new trace, of a batch in which these rows belong to each unit."""
        self.trace = Trace(tokens, positions, self._theta.narrow)

    def linear(self, names: Names, x: torch.Tensor) -> torch.Tensor:
        return _Linear.apply(x, self._handle, self, names)  # type: ignore[no-untyped-call]

    def scale(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return _Scale.apply(x, self._handle, self, name)  # type: ignore[no-untyped-call]

    @abstractmethod
    def apply(self, names: Names, x: torch.Tensor) -> torch.Tensor:
        """y [N, out] from x [N, in]."""

    @abstractmethod
    def back(self, names: Names, d: torch.Tensor) -> torch.Tensor:
        """The loss gradients at x, [N, in], from those at y, [N, out]."""

    @abstractmethod
    def gain_and_bias(self, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Each [d], or [N, d] for every token its own."""


class Theta:
    """A tagger's parameters θ as the matrices that the layers use: modules side by side are put into one.

    dtype: of the linear layers; LayerNorm's parameters, whose steps bf16 could not show, stay as they are.
    """

    def __init__(self, tagger: nn.Module, dtype: torch.dtype | None = None) -> None:
        self._dtype = dtype
        self._modules: dict[str, Any] = dict(tagger.named_modules())
        self._kept: dict[Names, tuple[torch.Tensor, torch.Tensor]] = {}
        self._scales: dict[str, torch.Tensor] = {}
        self.narrow = narrow(tagger)  # modules that see the batch's positions only, and not all its tokens

    def linear(self, names: Names) -> tuple[torch.Tensor, torch.Tensor]:
        """W [out, in] and b [out]. Read once: a Theta must not outlive a change of the parameters."""
        if names not in self._kept:
            parts = [self._modules[name] for name in names]
            weight, bias = parts[0].weight.detach(), parts[0].bias.detach()  # of one, as they are: no copy of the model
            if len(parts) > 1:
                weight = torch.cat([p.weight.detach() for p in parts])
                bias = torch.cat([p.bias.detach() for p in parts])
            self._kept[names] = weight.to(self._dtype or weight.dtype), bias.to(self._dtype or bias.dtype)
        return self._kept[names]

    def scale(self, name: str) -> torch.Tensor:
        """Gain and bias, [2, d]. Read once, too."""
        if name not in self._scales:
            module = self._modules[name]
            self._scales[name] = torch.stack([module.weight.detach(), module.bias.detach()])
        return self._scales[name]

    def outputs(self, names: Names) -> list[int]:
        """Rows of W that each module has."""
        return [self._modules[name].out_features for name in names]


class Fixed:
    """θ for all tokens, without a trace."""

    def __init__(self, theta: Theta) -> None:
        self._theta = theta

    def linear(self, names: Names, x: torch.Tensor) -> torch.Tensor:
        weight, bias = self._theta.linear(names)
        return torch.addmm(bias, x, weight.T)

    def scale(self, name: str, x: torch.Tensor) -> torch.Tensor:
        gain, bias = self._theta.scale(name)
        return torch.addcmul(bias, x, gain).to(x.dtype)


class Traced(Recorded):
    """θ for all tokens, with a trace."""

    def apply(self, names: Names, x: torch.Tensor) -> torch.Tensor:
        weight, bias = self._theta.linear(names)
        return torch.addmm(bias, x, weight.T)

    def back(self, names: Names, d: torch.Tensor) -> torch.Tensor:
        return d @ self._theta.linear(names)[0]

    def gain_and_bias(self, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        gain, bias = self._theta.scale(name)
        return gain, bias


def chunks(many: int, at_once: int) -> Iterator[range]:
    for start in range(0, many, at_once):
        yield range(start, min(start + at_once, many))


def blocks(matrix: torch.Tensor) -> Iterator[slice]:
    """Rows of a matrix [out, in], BLOCK numbers at a time."""
    rows, width = matrix.shape
    for part in chunks(rows, max(1, BLOCK // width)):
        yield slice(part.start, part.stop)


def gathered(trace: Trace, names: Names, units: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """A [T, in] and D [T, out] of some units."""
    rows = trace.rows(names)
    a, d = trace.inputs[names], trace.gradients[names]
    parts = [rows.slice(unit) for unit in units]
    if len(parts) == 1:
        return a[parts[0]], d[parts[0]]
    return torch.cat([a[p] for p in parts]), torch.cat([d[p] for p in parts])


def gradients(
    trace: Trace, names: Names, sets: Sequence[Sequence[int]], *, out: torch.Tensor | None = None
) -> torch.Tensor:
    """G [sets, out, in], summed over the units of a set. out: where it is put."""
    if len(sets) == 1:
        a, d = gathered(trace, names, sets[0])
        return torch.mm(d.T, a, out=None if out is None else out[0])[None]
    at = trace.rows(names).index(sets)
    # Padding points at row 0, which is somebody's: D is zeroed there, and then whatever A holds adds nothing.
    a, d = at.padded(trace.inputs[names]), at.padded(trace.gradients[names]) * at.real.unsqueeze(-1)
    return torch.bmm(d.transpose(1, 2), a, out=out)


def product(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor | None, rows: Rows, chunk: Sequence[int]) -> torch.Tensor:
    """x[rows of s] w[s]ᵀ + b[s] for each s of the chunk, one after another. w: [c, out, in], b: [c, out] or None: 0."""
    at = rows.index([[s] for s in chunk])
    y = at.padded(x) @ w.transpose(1, 2)  # [c, T, out]; what padding comes to is not taken
    if b is not None:
        y += b[:, None]
    return at.unpadded(y)


def add_product_(found: torch.Tensor, x: torch.Tensor, w: torch.Tensor, rows: Rows, chunk: Sequence[int]) -> None:
    """found[rows of s] += x[rows of s] w[s]ᵀ for each s of the chunk."""
    found.index_add_(0, rows.index([[s] for s in chunk]).rows, product(x, w, None, rows, chunk))
