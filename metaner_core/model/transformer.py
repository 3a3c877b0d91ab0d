"""The tagger's forward pass over packed tokens: every matrix product sees real tokens only, and no padding.

It is what transformers' BertModel and XLMRobertaModel compute (the tests hold it to them), written so that whoever
calls it decides which weights a token meets (`Weights`) and which noise (`Noise`). The engine needs both: tokens of
many tasks go through one layer together, each task's with weights and dropout of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from typing import Any, Protocol

import torch
from torch import nn
from torch.nn import functional as F

from metaner_core.encoders.encoder import layers
from metaner_core.model.encoding import Batch

# Windows of up to so many times the tokens, and so many more, share one padded attention.
CPU_ALIKE, GPU_ALIKE = (1.25, 8), (2.0, 16)
# On a GPU so many windows do whatever their lengths: padding costs less there than another group's launches.
GPU_WINDOWS = 128
# Windows of up to so many tokens attend by plain products on a CPU: torch's own attention takes as long or up to twice
# that, and its backward in bf16 five times.
SHORT = 160
STACK = "encoder.encoder.layer."  # where a tagger has its layers, by number
QKV = ("attention.self.query", "attention.self.key", "attention.self.value")
CLASSIFIER = ("classifier",)
NARROW = (
    "attention.output.dense",
    "attention.output.LayerNorm",
    "intermediate.dense",
    "output.dense",
    "output.LayerNorm",
)


class Weights(Protocol):
    """Applies the parameters of modules, by name; of several linear modules the outputs are put side by side."""

    def linear(self, names: tuple[str, ...], x: torch.Tensor) -> torch.Tensor: ...

    def scale(self, name: str, x: torch.Tensor) -> torch.Tensor:
        """A LayerNorm's gain and bias, on normalised x."""


@dataclass(frozen=True)
class Alike:
    """w windows of similar length, which share one padded attention.

    windows: [w], which they are. index: [w, T] into the batch's tokens, padding at the end of a row. padding: [w, 1, 1,
    T], what is added to the scores of attention: 0, and -inf where padding is; None if there is none.
    """

    windows: torch.Tensor
    index: torch.Tensor
    padding: torch.Tensor | None


@dataclass(frozen=True)
class Packed:
    """A batch's real tokens one after another, N in all, window by window.

    lengths: tokens of each window. where: [N] index into the padded windows, flattened. positions: [P] index among
    the tokens of the batch's positions. alike: each window once. back: [N] index into the groups' padded tokens, one
    group after another, of the batch's tokens.
    """

    batch: Batch
    lengths: tuple[int, ...]
    where: torch.Tensor
    positions: torch.Tensor
    alike: tuple[Alike, ...]
    back: torch.Tensor

    @property
    def tokens(self) -> int:
        return len(self.where)


def pack(batch: Batch) -> Packed:
    lengths = batch.attention.sum(1)  # [W]: padding is at the end of a row only
    starts = lengths.cumsum(0) - lengths
    where = batch.attention.flatten().nonzero().squeeze(1)
    alike, back = _alike(lengths, starts)
    return Packed(batch, tuple(lengths.tolist()), where, starts[batch.row] + batch.col, alike, back)


def _alike(lengths: torch.Tensor, starts: torch.Tensor) -> tuple[tuple[Alike, ...], torch.Tensor]:
    """The groups, and `back`. Where padding is is asked once: on a GPU the answer must be waited for."""
    order = lengths.argsort(stable=True)
    sizes = lengths[order].tolist()
    found, real = [], [lengths.new_zeros(0, dtype=torch.bool)]
    for a, b in _cuts(sizes, lengths.device.type):
        windows = order[a:b]
        columns = torch.arange(sizes[b - 1], device=lengths.device)
        real.append(columns < lengths[windows, None])
        index = starts[windows, None] + torch.where(real[-1], columns, 0)
        padding = torch.where(real[-1], 0.0, -torch.inf)[:, None, None] if sizes[a] < sizes[b - 1] else None
        found.append(Alike(windows, index, padding))
    places = torch.cat([mask.flatten() for mask in real]).nonzero().squeeze(1)
    flat = torch.cat([lengths[:0], *(group.index.flatten() for group in found)]).index_select(0, places)
    return tuple(found), places.index_select(0, flat.argsort())


def _cuts(sizes: Sequence[int], device: str) -> list[tuple[int, int]]:
    """Where each group begins and ends among windows of these lengths, ascending."""
    (times, more), least = (CPU_ALIKE, 0) if device == "cpu" else (GPU_ALIKE, GPU_WINDOWS)
    starts: list[int] = []
    for i, size in enumerate(sizes):
        if not starts or (size > times * sizes[starts[-1]] + more and i - starts[-1] >= least):
            starts.append(i)
    return list(zip(starts, [*starts[1:], len(sizes)], strict=False))


class Noise:
    """Dropout whose masks belong to owners (tasks, sentences), whatever batch they are in.

    An owner's masks come from a generator of its own: those of its tokens in all places of the forward pass, then those
    of each of its windows' attention in all layers, then those at its positions. So one owner alone and many together
    see the same noise. All are drawn at the start, for on a GPU every draw costs as much as a small matrix product;
    each is used once, in the order of the forward pass.
    """

    def __init__(
        self,
        p: float,
        generators: Sequence[torch.Generator],
        packed: Packed,
        owners: Sequence[int],
        tagger: nn.Module,
    ) -> None:
        """owners: for each sentence of the batch the index of its generator, ascending."""
        encoder: Any = tagger.get_submodule("encoder")
        config, stack = encoder.config, layers(encoder)
        like: Any = tagger.get_submodule(CLASSIFIER[0]).weight
        heads = config.num_attention_heads
        tokens = like.new_zeros(1 + 2 * len(stack), packed.tokens, config.hidden_size)
        positions = like.new_zeros(len(packed.positions), config.hidden_size)
        attention = [like.new_zeros(len(stack), len(g.index), heads, *g.index.shape[1:] * 2) for g in packed.alike]
        of_each = _of_each_owner(len(generators), owners, packed, tokens, attention, positions)
        for generator, masks in zip(generators, of_each, strict=True):
            for mask in masks:
                mask.bernoulli_(1 - p, generator=generator)
        for drawn in (tokens, positions, *attention):
            drawn.div_(1 - p)
        self._positions, self._tokens = positions, iter(tokens)
        self._attention = iter(zip(*attention, strict=True))

    def tokens(self, x: torch.Tensor, at: torch.Tensor | None = None) -> torch.Tensor:
        """On vectors of all tokens, [N, d], or of those at an index [P]: each sees what it would among all."""
        mask = next(self._tokens)
        return x * (mask if at is None else mask.index_select(0, at)).to(x.dtype)

    def positions(self, x: torch.Tensor) -> torch.Tensor:
        """On vectors of the batch's positions, [P, d]."""
        return x * self._positions.to(x.dtype)

    def attention(self) -> Sequence[torch.Tensor]:
        """The next layer's masks, for each of the batch's groups of windows [w, heads, T, T]; 0 where padding is."""
        return next(self._attention)


def _of_each_owner(
    many: int,
    owners: Sequence[int],
    packed: Packed,
    tokens: torch.Tensor,
    attention: Sequence[torch.Tensor],
    positions: torch.Tensor,
) -> list[list[torch.Tensor]]:
    """What of these masks each owner has, in the order in which it is drawn: views."""
    found: list[list[torch.Tensor]] = [[] for _ in range(many)]
    place = {w: (g, n) for g, group in enumerate(packed.alike) for n, w in enumerate(group.windows.tolist())}
    starts = list(accumulate(packed.lengths, initial=0))
    owner = torch.tensor(owners)
    of_window = owner[packed.batch.sentence_of_window.cpu()].tolist()
    for mine, windows in groupby(range(len(of_window)), of_window.__getitem__):
        first, *others = windows
        found[mine].append(tokens[:, starts[first] : starts[first + len(others) + 1]])
        for window in (first, *others):
            (group, n), length = place[window], packed.lengths[window]
            found[mine].append(attention[group][:, n, :, :length, :length])
    counts = owner[packed.batch.sentence.cpu()].bincount(minlength=many).tolist()
    for masks, own in zip(found, positions.split(counts), strict=True):
        masks.append(own)
    return found


class ModuleWeights:
    """A tagger's own parameters, through autograd."""

    def __init__(self, tagger: nn.Module) -> None:
        self._modules: dict[str, Any] = dict(tagger.named_modules())

    def linear(self, names: tuple[str, ...], x: torch.Tensor) -> torch.Tensor:
        found = [F.linear(x, self._modules[name].weight, self._modules[name].bias) for name in names]
        return found[0] if len(found) == 1 else torch.cat(found, -1)

    def scale(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return x * self._modules[name].weight + self._modules[name].bias


def embed(tagger: nn.Module, packed: Packed, noise: Noise | None = None) -> torch.Tensor:
    """[N, d] embeddings of the tokens."""
    embeddings: Any = tagger.get_submodule("encoder.embeddings")
    x = embeddings(input_ids=packed.batch.ids).flatten(0, 1)[packed.where]
    return x if noise is None else noise.tokens(x)


def run_layers(
    tagger: nn.Module,
    packed: Packed,
    x: torch.Tensor,
    weights: Weights,
    noise: Noise | None = None,
    *,
    first: int = 0,
    last: int | None = None,
) -> torch.Tensor:
    """[N, d] through the layers first .. last (exclusive; None: to the top)."""
    stack = layers(tagger.get_submodule("encoder"))
    for number in range(first, len(stack) if last is None else last):
        x = _layer(stack[number], f"{STACK}{number}.", packed, x, weights, noise)
    return x


def classify(packed: Packed, x: torch.Tensor, weights: Weights, noise: Noise | None = None) -> torch.Tensor:
    """Logits [P, C] at the batch's positions, from the top layer's vectors [N, d]."""
    x = x.index_select(0, packed.positions)
    return weights.linear(CLASSIFIER, x if noise is None else noise.positions(x))


def finish(
    tagger: nn.Module, packed: Packed, x: torch.Tensor, weights: Weights, noise: Noise | None = None, *, first: int
) -> torch.Tensor:
    """Logits [P, C] from the tokens' vectors [N, d] below layer `first`: `run_layers` and `classify` in less time."""
    x = at_positions(tagger, packed, x, weights, noise, first=first)
    return weights.linear(CLASSIFIER, x if noise is None else noise.positions(x))


def at_positions(
    tagger: nn.Module,
    packed: Packed,
    x: torch.Tensor,
    weights: Weights,
    noise: Noise | None = None,
    *,
    first: int,
    last: int | None = None,
) -> torch.Tensor:
    """[P, d], what `run_layers` finds at the batch's positions.

    Past the last attention tokens do not meet any more, so only those at the positions go on: what `narrow` names sees
    P rows, not N. What the others would come to has no part in logits, loss or gradient.
    """
    stack = layers(tagger.get_submodule("encoder"))
    last = len(stack) if last is None else last
    if first >= last:
        return x.index_select(0, packed.positions)
    top = last - 1
    x = run_layers(tagger, packed, x, weights, noise, first=first, last=top)
    return _layer(stack[top], f"{STACK}{top}.", packed, x, weights, noise, at=packed.positions)


def narrow(tagger: nn.Module) -> frozenset[str]:
    """The modules that `finish` applies at the batch's positions only."""
    top = len(layers(tagger.get_submodule("encoder"))) - 1
    return frozenset((*CLASSIFIER, *(f"{STACK}{top}.{name}" for name in NARROW)))


def _layer(
    layer: Any,
    prefix: str,
    packed: Packed,
    x: torch.Tensor,
    weights: Weights,
    noise: Noise | None,
    at: torch.Tensor | None = None,
) -> torch.Tensor:
    """at: index [P] of the tokens that are wanted; None: all."""

    def dense(name: str, x: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
        y = weights.linear((f"{prefix}{name}.dense",), x)
        y = residual + (y if noise is None else noise.tokens(y, at))
        norm = layer.get_submodule(f"{name}.LayerNorm")
        return weights.scale(f"{prefix}{name}.LayerNorm", F.layer_norm(y, y.shape[-1:], eps=norm.eps))

    qkv = weights.linear(tuple(prefix + name for name in QKV), x)  # [N, 3d]: all tokens meet in attention, `at` or not
    context = _attention(qkv, packed, layer.attention.self.num_attention_heads, noise)
    x = dense("attention.output", *(y if at is None else y.index_select(0, at) for y in (context, x)))
    inner = layer.intermediate.intermediate_act_fn(weights.linear((f"{prefix}intermediate.dense",), x))
    return dense("output", inner, x)


def _attention(qkv: torch.Tensor, packed: Packed, heads: int, noise: Noise | None) -> torch.Tensor:
    """Context vectors [N, d] from queries, keys and values side by side, [N, 3d]."""
    width = qkv.shape[1] // 3
    masks = [None] * len(packed.alike) if noise is None else noise.attention()
    found = []
    for group, mask in zip(packed.alike, masks, strict=True):
        # [w, T, 3d] -> [3, w, heads, T, d / heads]
        padded = qkv.index_select(0, group.index.flatten()).unflatten(0, group.index.shape)
        each = padded.unflatten(-1, (3, heads, width // heads)).permute(2, 0, 3, 1, 4)
        padding = None if group.padding is None else group.padding.to(each.dtype)
        if mask is None and not (qkv.device.type == "cpu" and group.index.shape[1] <= SHORT):
            q, k, v = each
            context = F.scaled_dot_product_attention(q, k, v, attn_mask=padding)
        else:
            q, k, v = each.contiguous()  # one copy here, or each product makes one of its own
            context = _by_products(q, k, v, padding, mask)
        found.append(context.transpose(1, 2).flatten(2).flatten(0, 1))
    if not found:
        return qkv.new_zeros(0, width)
    return (found[0] if len(found) == 1 else torch.cat(found)).index_select(0, packed.back)


def _by_products(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, padding: torch.Tensor | None, mask: torch.Tensor | None
) -> torch.Tensor:
    scores, scale = q @ k.transpose(-1, -2), q.shape[-1] ** -0.5
    scores = scores * scale if padding is None else torch.add(padding, scores, alpha=scale)
    shares = scores.softmax(-1)
    return (shares if mask is None else shares * mask.to(q.dtype)) @ v
