"""What tagging and retrieval read of a sentence: made from its words once, and small.

It takes the tokenizers and the settings, and no encoder: whoever has no model can make it for those who hold one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from metaner_core.model.encoding import Encoded, Encoding
from metaner_core.settings import Settings


@dataclass(frozen=True)
class Input:
    """tagging: the sentence as the tagger's encoder sees it. own: its subwords in retrieval's tokenizer, the whole
    sentence; None: that is the tagger's tokenizer, and they are the same."""

    tagging: Encoded
    own: tuple[int, ...] | None = None

    @property
    def retrieval(self) -> tuple[int, ...]:
        """The sentence's subwords for `SentenceVectors`, which puts its prefix before them and cuts at its window.

        Windows are slices of `Encoded.ids`, which has each subword once: there is nothing to put together again.
        """
        return self.tagging.ids if self.own is None else self.own


class Inputs:
    """Words to `Input`. A retrieval that has the tagger's tokenizer costs nothing more."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        settings: Settings,
        *,
        retrieval: PreTrainedTokenizerBase | None = None,
        longest: int | None = None,
    ) -> None:
        """tokenizer: the tagger's. retrieval: retrieval's; None: the same. longest: as `Encoding` has it, which says
        what is raised."""
        self.encode = Encoding(tokenizer, settings, longest=longest)
        self._own = None
        if retrieval is not None and retrieval is not tokenizer:
            self._own = Encoding(retrieval, settings)

    def __call__(self, words: Sequence[str], labels: Sequence[str] | None = None) -> Input:
        """labels: BIO labels, if they are known."""
        return Input(self.encode(words, labels), None if self._own is None else self._own(words).ids)
