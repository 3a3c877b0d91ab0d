"""The teacher: an encoder that is not trained, and the vectors of tokens that either reads."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from metaner_core.encoders.encoder import load_encoder, longest_input
from metaner_core.model.encoding import Encoded, Window, collate
from metaner_core.model.transformer import ModuleWeights, embed, pack, run_layers

Ids = tuple[int, ...]


@dataclass(frozen=True)
class Teacher:
    """prefix: text before every sentence that it reads. mean, spread: [d], of its vectors as they come; None: they are
    left so."""

    encoder: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    prefix: str = ""
    mean: torch.Tensor | None = None
    spread: torch.Tensor | None = None

    @property
    def longest(self) -> int:
        """Tokens that it takes at once, special ones included."""
        return longest_input(self.encoder)

    @property
    def width(self) -> int:
        return self.encoder.config.hidden_size

    @torch.no_grad()
    def __call__(self, sentences: Sequence[Ids]) -> torch.Tensor:
        """[N, d], as `token_vectors`, in the precision of its weights."""
        with torch.autocast(self.encoder.device.type, enabled=False):
            found = token_vectors(self.encoder, self.tokenizer, sentences)
        return found if self.mean is None or self.spread is None else (found - self.mean) / self.spread

    def standard(self, sentences: Sequence[Ids]) -> "Teacher":
        """The same, whose vectors of these sentences' tokens have mean 0 and variance 1 in every dimension.

        An encoder's vectors may lie so near each other (E5's do) that what tells words apart is a small part of them,
        which a tagger's first hundred steps do not find. A layer's last gain and bias undo that without loss.
        """
        found = self(sentences)
        return dataclasses.replace(self, mean=found.mean(0), spread=found.std(0).clamp(min=1e-6))


def load_teacher(source: str, prefix: str, device: torch.device | str) -> Teacher:
    """Raises ValueError for an encoder that `load_encoder` refuses, and for a tokenizer without offsets."""
    encoder, tokenizer = load_encoder(source)
    if not tokenizer.is_fast:
        raise ValueError(f"teacher {source!r} has no fast tokenizer, whose offsets tell which words its vectors are of")
    encoder.requires_grad_(False)
    return Teacher(encoder.to(device), tokenizer, prefix)  # type: ignore[arg-type]


def token_vectors(
    encoder: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, sentences: Sequence[Ids]
) -> torch.Tensor:
    """[N, d] last layer's vectors of all sentences' tokens: [CLS], the ids, [SEP], sentence by sentence."""
    holder = nn.ModuleDict({"encoder": encoder})  # the name by which `transformer` asks a tagger for it
    whole = [Encoded(ids, (), (), None, (Window(0, len(ids), len(ids)),)) for ids in sentences]
    packed = pack(collate(whole, tokenizer, device=encoder.device))
    return run_layers(holder, packed, embed(holder, packed), ModuleWeights(holder))
