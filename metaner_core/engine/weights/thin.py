"""Adapted layers without adapted weights, for steps that are the gradient times a number.

With G = DᵀA the adapted layer is x W'ᵀ = x Wᵀ − γ (x Aᵀ) D: two products with matrices as thin as the support set has
tokens, beside one product with θ for all tokens at once. `scaled_sgd` wants |G|² too: it is the sum of
(A Aᵀ) ∘ (D Dᵀ), which is as thin (docs/findings/engine.md).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import torch

from metaner_core.engine.weights.adapted import Adapted
from metaner_core.engine.weights.trace import ALL, Names

Part = tuple[torch.Tensor, torch.Tensor]  # A and D of one unit


@dataclass(frozen=True)
class _Pairs:
    """Pairs of units whose products add up to the sets' |G|². distinct: each once. Of each pair in each set: place, its
    index among those; times, how often the set has it; owner, the set."""

    distinct: list[tuple[int, int]]
    place: torch.Tensor
    times: torch.Tensor
    owner: torch.Tensor


class Thin(Adapted):
    """With G never formed, nor anything of a weight's size."""

    def linear(self, names: Names, x: torch.Tensor) -> torch.Tensor:
        weight, bias = self._theta.linear(names)
        rows = self._rows(names)
        if self._together(1) == 1:  # on a CPU
            dtype = _wide(x)
            if x.dtype == dtype:  # a row begins as its set's own bias: no pass over memory more than θ's own takes
                found = self._of_bias(names, bias).index_select(0, rows.owner).addmm_(x, weight.T)
            else:
                found = torch.addmm(bias, x, weight.T).to(dtype)
                for y, step in zip(found.split(rows.counts), self._steps(names).to(dtype), strict=True):
                    y += step
            parts = self._parts(names, dtype)
            numbers = self._numbers(names, self._squares(names, parts) if self._step.whole else None)
            self._in_turn(names, parts, numbers, x.to(dtype), found)
            return found.to(x.dtype)
        found = torch.addmm(bias, x, weight.T)
        found += self._steps(names).to(found.dtype)[rows.owner]
        width = sum(weight.shape)
        for chunk in self._chunks(names, lambda support, own: (support + own) * width + support * own):
            self._at_once(names, chunk, x, found)
        return found

    def _steps(self, names: Names) -> torch.Tensor:
        """Of the biases, [sets, out]. In bf16 they are added to what θ gives, never to θ, which could not show them."""
        return self._of_bias(names, self._theta.linear(names)[1].new_zeros(()))

    def _parts(self, names: Names, dtype: torch.dtype) -> list[Part]:
        """A and D of each unit: views, but of a trace in bf16 copies in single precision, for in bf16 a product of so
        few rows takes a CPU longer."""
        a, d = self._support.inputs[names], self._support.gradients[names]
        rows = self._support.rows(names)
        return [(a[own].to(dtype), d[own].to(dtype)) for own in map(rows.slice, range(len(rows.counts)))]

    def _in_turn(
        self, names: Names, parts: Sequence[Part], numbers: torch.Tensor, x: torch.Tensor, found: torch.Tensor
    ) -> None:
        """found −= number · (x Aᵀ) D, a unit after the other, for as many sets at once as stand together and have it:
        nothing of x or the trace is padded. numbers: [sets, modules or 1]. x, found: in single precision at least."""
        rows, modules = self._rows(names), numbers.shape[1]
        of_sets, of_rows = numbers.tolist(), numbers.to(x.dtype)[rows.owner]
        xs, ys = x.split(rows.counts), found.split(rows.counts)
        for unit, sets in self._runs:
            a, d = parts[unit]
            if len(sets) == 1 and modules == 1:
                s = sets[0]
                ys[s].addmm_(xs[s] @ a.T, d, alpha=-of_sets[s][0])
                continue
            own = slice(rows.slice(sets[0]).start, rows.slice(sets[-1]).stop)
            h = x[own] @ a.T
            if modules == 1:
                found[own].addmm_(h.mul_(of_rows[own]), d, alpha=-1)
            else:  # queries, keys and values, of one width
                y, step = (z.unflatten(1, (modules, -1)) for z in (found[own], h @ d))
                y.addcmul_(step, of_rows[own, :, None], value=-1)

    @cached_property
    def _kept_sizes(self) -> dict[Names, torch.Tensor]:
        return {}

    @cached_property
    def _runs(self) -> list[tuple[int, range]]:
        """Each unit with each stretch of sets that have it; one that is in a set twice has two."""
        found: list[tuple[int, range]] = []
        began: dict[tuple[int, int], int] = {}  # the stretches that go on: of a unit, by how many times a set has it
        for s, units in enumerate([*self._sets, ()]):
            here = [(unit, units[:n].count(unit)) for n, unit in enumerate(units)]
            for key in [key for key in began if key not in here]:
                found.append((key[0], range(began.pop(key), s)))
            for key in here:
                began.setdefault(key, s)
        return found

    def _squares(self, names: Names, parts: Sequence[Part]) -> torch.Tensor:
        """|G|² before the share, [sets, modules]: the sum of <G, G'> over the pairs of units in a set."""
        pairs = self._pairs
        inner = torch.stack([self._inner(names, parts, *pair) for pair in pairs.distinct]).to(torch.float64)
        sums = inner.new_zeros(len(self._sets), inner.shape[1])
        return sums.index_add_(0, pairs.owner, inner[pairs.place] * pairs.times[:, None])

    @cached_property
    def _pairs(self) -> _Pairs:
        """The same for all layers."""
        of_sets = [Counter(_pair(*units) for units in product(units, units)) for units in self._sets]
        places = {pair: n for n, pair in enumerate(dict.fromkeys(pair for of in of_sets for pair in of))}
        place = torch.tensor([places[pair] for of in of_sets for pair in of])
        times = torch.tensor([times for of in of_sets for times in of.values()], dtype=torch.float64)
        owner = torch.tensor([s for s, of in enumerate(of_sets) for _ in of])
        return _Pairs(list(places), place, times, owner)

    def _inner(self, names: Names, parts: Sequence[Part], u: int, v: int) -> torch.Tensor:
        """<G, G'> of two units for each module, [modules]; of a unit with itself kept as long as its trace is."""
        kept = self._support.squares[u]
        if u == v and names in kept:
            return kept[names]
        (a, d), (a_, d_) = parts[u], parts[v]
        h = (a @ a_.T).view(-1)
        if len(names) == 1:
            found = h.dot((d @ d_.T).view(-1))[None]
        else:  # queries, keys and values, of one width
            d, d_ = (z.unflatten(1, (len(names), -1)).transpose(0, 1) for z in (d, d_))
            found = torch.bmm(d, d_.mT).flatten(1) @ h
        if u == v:
            kept[names] = found
        return found

    def _at_once(self, names: Names, chunk: Sequence[int], x: torch.Tensor, found: torch.Tensor) -> None:
        """The same of several sets, padded to the one with most tokens."""
        support = self._support.rows(names).index([self._sets[s] for s in chunk])  # [c, T]
        own = self._rows(names).index([[s] for s in chunk])  # [c, Q]
        # Padding points at row 0, which is somebody's: D is zeroed there, and then whatever A holds adds nothing.
        a = support.padded(self._support.inputs[names])
        d = support.padded(self._support.gradients[names]) * support.real.unsqueeze(-1)
        squares = None
        if self._step.whole:
            h, parts = (a @ a.mT).to(_wide(a)).flatten(1), d.split(self._theta.outputs(names), dim=-1)
            squares = torch.stack([_dot(h, (p @ p.mT).to(h.dtype).flatten(1)) for p in parts], 1)
        h = own.padded(x) @ a.mT  # [c, Q, T]
        if squares is None and self._share is None:  # one number for all: it waits for the sum
            found.index_add_(0, own.rows, own.unpadded(h @ d), alpha=-self._step.rate)
            return
        numbers = self._numbers(names, squares, chunk).to(d.dtype)
        for n, cut in enumerate(self._columns(names)):
            d[:, :, cut].mul_(numbers[:, n, None, None])
        found.index_add_(0, own.rows, own.unpadded(h @ d), alpha=-1)

    def _numbers(self, names: Names, squares: torch.Tensor | None, chunk: Sequence[int] | None = None) -> torch.Tensor:
        """What DᵀA of these sets is multiplied by, [sets, modules]; where all modules' is the same, [sets, 1]."""
        sets = list(range(len(self._sets)) if chunk is None else chunk)
        share = None if self._share is None else self._share[sets, None]
        if squares is None:
            ones = torch.ones(len(sets), 1, dtype=torch.float64, device=self._tokens.device)
            return self._step.rate * (ones if share is None else share)
        if share is None:
            return self._step.number(squares, self._sizes(names))
        return share * self._step.number(share.square() * squares, self._sizes(names))

    def _sizes(self, names: Names) -> torch.Tensor:
        """Numbers of each module's weight, [modules]. Remembered: a GPU is not to be handed them for every chunk."""
        if names not in self._kept_sizes:
            width = self._theta.linear(names)[0].shape[1]
            sizes = [rows * width for rows in self._theta.outputs(names)]
            self._kept_sizes[names] = torch.tensor(sizes, device=self._tokens.device)
        return self._kept_sizes[names]

    def _columns(self, names: Names) -> list[slice]:
        """Outputs that have a number of their own: of each module if steps are scaled, else all."""
        if not self._step.whole:
            return [ALL]
        found, start = [], 0
        for rows in self._theta.outputs(names):
            found.append(slice(start, start + rows))
            start += rows
        return found


def _pair(u: int, v: int) -> tuple[int, int]:
    return min(u, v), max(u, v)


def _dot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Row by row, [c] from [c, n] twice."""
    return torch.bmm(a[:, None], b[:, :, None]).flatten()


def _wide(tensor: torch.Tensor) -> torch.dtype:
    """What is precise enough to add up in."""
    return torch.promote_types(tensor.dtype, torch.float32)
