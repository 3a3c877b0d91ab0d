"""Tokens' vectors below a layer, kept from one pass over sentences for another that begins in the same way."""

from collections.abc import Sequence

import torch

Ids = tuple[int, ...]


class Bottoms:
    """Of sentences in one window: [CLS], the sentence's subwords and [SEP], and nothing else.

    depth: layers below it. room: tokens of which vectors are kept at most; of a sentence that finds no room there are
    none, and the second pass makes them anew.
    """

    def __init__(self, depth: int, room: int) -> None:
        self.depth = depth
        self._room = room
        self._kept: dict[Ids, torch.Tensor] = {}

    def reserve(self, tokens: int) -> bool:
        """Whether there is room for so many more tokens; if so, it is taken."""
        if tokens > self._room:
            return False
        self._room -= tokens
        return True

    def keep(self, sentences: Sequence[Ids], x: torch.Tensor, lengths: Sequence[int]) -> None:
        """x: [N, d], the sentences' tokens one after another. lengths: of each its tokens; there is room for them."""
        self._kept.update(zip(sentences, x.split(list(lengths)), strict=True))

    def of(self, ids: Ids) -> torch.Tensor | None:
        """[tokens, d] of a sentence's subwords, special ones among the tokens; None: they were not kept."""
        return self._kept.get(ids)
