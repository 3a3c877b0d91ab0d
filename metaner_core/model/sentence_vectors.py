"""Vectors of sentences: what retrieval, and the scorer of pre-training, compare sentences by."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from metaner_core import threads, workers
from metaner_core.encoders.encoder import layers, longest_input
from metaner_core.model.bottoms import Bottoms, Ids
from metaner_core.model.encoding import Encoded, Window, collate
from metaner_core.model.transformer import ModuleWeights, Packed, at_positions, embed, pack, run_layers

POOLINGS = ("cls", "mean")
CPU_BATCH, GPU_BATCH = 2**11, 2**15  # tokens that go through the encoder together


@dataclass(frozen=True)
class SentenceVectors:
    """Subwords of sentences to vectors, by an encoder that is not trained any more. One input a sentence:
    [CLS], the prefix, as much of the sentence as there is room for, [SEP].

    pooling: `cls`, the vector of [CLS] (Eq. 5), or `mean`, of all tokens of the input, [CLS], prefix and [SEP] among
    them. layer: whose vectors; -1 and the number of layers: the last one's, 0: the embeddings. prefix: text before
    every sentence. window: subwords of a sentence at most; None: as many as the encoder has positions for. half: the
    layers' matrix products, attention's among them, are in bf16, all else is as it was.

    Raises ValueError for a pooling or layer that there is not, and for a prefix that is too long.
    """

    encoder: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    pooling: str = "cls"
    layer: int = -1
    prefix: str = ""
    window: int | None = None
    half: bool = False

    def __post_init__(self) -> None:
        if self.pooling not in POOLINGS:
            raise ValueError(f"pooling is {self.pooling!r}; it must be one of {', '.join(POOLINGS)}")
        many = len(layers(self.encoder))
        if not -many <= self.layer <= many:
            raise ValueError(
                f"layer is {self.layer}, but the retrieval encoder has {many} layers: give 1 to {many}, "
                f"-{many} to -1 from the last one down, or 0 for the embeddings"
            )
        length, positions = len(self._prefix), longest_input(self.encoder)
        if self.window is not None and length > self.window:
            raise ValueError(
                f"prefix {self.prefix[:80]!r} has {length} subwords, more than a window ({self.window}): "
                "give a shorter one, or set window higher"
            )
        if length + 2 >= positions:
            raise ValueError(
                f"prefix {self.prefix[:80]!r} has {length} subwords, which leaves a sentence no room in the retrieval "
                f"encoder's {positions} positions: give a shorter one"
            )

    def __call__(
        self,
        sentences: Sequence[Sequence[int]],
        *,
        batch: int | None = None,
        bottoms: Bottoms | None = None,
        tell: Callable[[], object] = lambda: None,
    ) -> np.ndarray:
        """[n, d] float32 from each sentence's subword ids, no special tokens among them; of no subwords: [CLS] [SEP].

        Equal sentences get bit-equal vectors. The batches are shared out over the workers of torch.distributed, if it
        runs, and over torch's threads; they are the same for any number of them. batch: tokens in one at most; None:
        what suits the device. bottoms: keeps the tokens' vectors of as many batches as it has room for; only where
        `passes` is true. tell: called after each batch, as a sign of life.
        """
        own = [tuple(ids[: self._room]) for ids in sentences]
        distinct = sorted(set(own), key=lambda ids: (len(ids), ids))
        device = next(self.encoder.parameters()).device
        most = batch or (CPU_BATCH if device.type == "cpu" else GPU_BATCH)
        found = torch.zeros(len(distinct), self.encoder.config.hidden_size, device=device)
        self.encoder.eval()
        batches = list(workers.share(self._batches(distinct, most)))
        pieces = [distinct[rows.start : rows.stop] for rows in batches]
        keeping = [bottoms if bottoms and bottoms.reserve(sum(map(self._tokens, its))) else None for its in pieces]
        todo = list(zip(pieces, keeping, strict=True))
        done = threads.each(lambda piece: self._vectors(*piece, device), todo, device=device)
        for rows, vectors in zip(batches, done, strict=True):
            found[rows.start : rows.stop] = vectors
            tell()
        workers.add_up([found])
        place = {ids: n for n, ids in enumerate(distinct)}
        return found.cpu().numpy()[[place[ids] for ids in own]]

    def _batches(self, sentences: Sequence[Ids], most: int) -> Iterator[range]:
        """Of at most so many tokens, or of one sentence."""
        start = tokens = 0
        for at, ids in enumerate(sentences):
            cost = self._tokens(ids)
            if at > start and tokens + cost > most:
                yield range(start, at)
                start, tokens = at, 0
            tokens += cost
        if start < len(sentences):
            yield range(start, len(sentences))

    def passes(self, encoder: nn.Module, depth: int) -> bool:
        """Whether sentences go through the same embeddings and `depth` layers here as in another encoder, and come
        out with the same numbers. The same: one copy is in memory, as `trainable_copy` has it."""

        def bottom(of: nn.Module) -> list[int]:
            modules = (of.get_submodule("embeddings"), *layers(of)[:depth])
            return [p.data_ptr() for module in modules for p in module.parameters()]

        alike = not self.half and not self._prefix and depth <= self._last
        return alike and bottom(self.encoder) == bottom(encoder)

    @torch.no_grad()
    def _vectors(self, sentences: Sequence[Ids], bottoms: Bottoms | None, device: torch.device) -> torch.Tensor:
        """Of one batch, maybe on a thread of its own: what torch is told for one thread, others do not hear of."""
        packed = self._packed(sentences, device)
        weights, first, last = ModuleWeights(self._holder), 0, self._last
        with torch.autocast(device.type, torch.bfloat16, enabled=self.half):
            x = embed(self._holder, packed)
            if bottoms is not None:
                first = bottoms.depth
                x = run_layers(self._holder, packed, x, weights, last=first)
                bottoms.keep(sentences, x, packed.lengths)
            if self.pooling == "cls":
                return at_positions(self._holder, packed, x, weights, first=first, last=last)
            x = run_layers(self._holder, packed, x, weights, first=first, last=last)
            return torch.stack([tokens.mean(0) for tokens in x.split(packed.lengths)])

    def _packed(self, sentences: Sequence[Ids], device: torch.device) -> Packed:
        """Each sentence as one window, prefix and all; the positions are those of [CLS]."""
        batch = collate([_bare(self._prefix + ids) for ids in sentences], self.tokenizer, device=device)
        row = torch.arange(len(sentences), device=device)
        return pack(dataclasses.replace(batch, row=row, col=torch.zeros_like(row)))

    def _tokens(self, ids: Ids) -> int:
        return len(self._prefix) + len(ids) + 2

    @functools.cached_property
    def _holder(self) -> nn.Module:
        """Something that has the encoder under the name by which `transformer` asks a tagger for it."""
        return nn.ModuleDict({"encoder": self.encoder})

    @functools.cached_property
    def _last(self) -> int:
        """Layers that are gone through."""
        return self.layer if self.layer >= 0 else len(layers(self.encoder)) + 1 + self.layer

    @functools.cached_property
    def _prefix(self) -> Ids:
        words = self.prefix.split()
        if not words:
            return ()
        found = self.tokenizer(words, is_split_into_words=True, add_special_tokens=False, verbose=False)
        return tuple(found["input_ids"])

    @functools.cached_property
    def _room(self) -> int:
        room = longest_input(self.encoder) - 2 - len(self._prefix)
        return room if self.window is None else min(room, self.window)


def _bare(ids: Ids) -> Encoded:
    return Encoded(ids, (), (), None, (Window(0, len(ids), len(ids)),))
