"""Words to subwords, and which subword carries each word: the one whose label is the word's."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, NamedTuple

from transformers import PreTrainedTokenizerBase

from metaner_core.text import scripts
from metaner_core.text.canonical import normal

CHUNK = 512  # words handed to the tokenizer at once: bounds its memory on a pathological sentence; a run is cut there
SPACE = "▁"  # SentencePiece's sign for a space


class Subword(NamedTuple):
    """A piece of a text, and which of the text's characters it stands for. bare: it is a ▁ and nothing else."""

    id: int
    start: int
    stop: int
    bare: bool = False


@dataclass(frozen=True)
class Cut:
    """A sentence's subwords. ids, word: one for each subword; first: one for each word; all as in `Encoded`."""

    ids: list[int] = field(default_factory=list)
    word: list[int] = field(default_factory=list)
    first: list[int] = field(default_factory=list)


class Subwords:
    """Cuts words into subwords, special tokens left out. A word of no subword becomes [UNK]."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, together: bool) -> None:
        """together: words that touch (`scripts.runs`) are cut as one text, if the tokenizer would put ▁ between them.

        A subword may then carry several words, as 大学 does where each character is a word.
        """
        self._tokenizer = tokenizer
        self._together = together and _marks_spaces(tokenizer)
        self._special = set(tokenizer.all_special_ids)  # a word that reads [SEP] must not end the sentence
        self._unknown: Any = tokenizer.unk_token_id

    def __call__(self, words: Sequence[str]) -> Cut:
        # Canonically equal words are the same to the model. A lone surrogate, which JSON can carry, is no text to it.
        words = [normal(word).encode(errors="replace").decode() for word in words]
        cut = Cut()
        if self._together and scripts.without_spaces("".join(words)):
            for runs in _portions(scripts.runs(words, CHUNK)):
                self._add_runs(cut, words, runs)
        else:
            for at in range(0, len(words), CHUNK):
                self._add_words(cut, at, words[at : at + CHUNK])
        return cut

    def _add_words(self, cut: Cut, at: int, words: Sequence[str]) -> None:
        """Words that each stand alone: what `_add_runs` would do, in less time, for that is most text."""
        found = self._tokenizer(words, is_split_into_words=True, add_special_tokens=False, verbose=False)
        spread: list[list[int]] = [[] for _ in words]
        for subword, index in zip(found["input_ids"], found.word_ids(), strict=True):
            spread[index].append(self._unknown if subword in self._special else subword)
        for word, subwords in enumerate(spread, start=at):
            subwords = subwords or [self._unknown]
            cut.first.append(len(cut.ids))
            cut.word.extend([word] * len(subwords))
            cut.ids.extend(subwords)

    def _add_runs(self, cut: Cut, words: Sequence[str], runs: Sequence[range]) -> None:
        """Runs of `words`, each cut as one text; the tokenizer's offsets say which of its words a subword has."""
        texts = ["".join(words[run.start : run.stop]) for run in runs]
        found = self._tokenizer(texts, is_split_into_words=True, add_special_tokens=False, verbose=False)
        spread: list[list[Subword]] = [[] for _ in runs]
        encoding = found.encodings[0]
        parts = zip(encoding.ids, encoding.tokens, encoding.offsets, encoding.word_ids, strict=True)
        for id_, token, (start, stop), index in parts:
            known = self._unknown if id_ in self._special else id_
            spread[index].append(Subword(known, start, stop, bare=token == SPACE))
        for run, text, subwords in zip(runs, texts, spread, strict=True):
            subwords = subwords or [Subword(self._unknown, 0, 0)]
            alone = len(run) == 1 and not scripts.without_spaces(text)  # a Latin word, as training knows it
            word, first = ([0] * len(subwords), [0]) if alone else _carried(subwords, [words[at] for at in run])
            begin = len(cut.ids)
            cut.ids.extend(subword.id for subword in subwords)
            cut.word.extend(run.start + w for w in word)
            cut.first.extend(begin + i for i in first)


def _marks_spaces(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether it is a SentencePiece tokenizer: one that takes each word it is given to have a space before it."""
    pre_tokenizer = tokenizer.backend_tokenizer.pre_tokenizer  # type: ignore[attr-defined]
    return pre_tokenizer is not None and b'"Metaspace"' in pre_tokenizer.__getstate__()


def _portions(runs: Iterable[range]) -> Iterator[list[range]]:
    """Runs in lists of at most CHUNK words; no run has more."""
    portion: list[range] = []
    many = 0
    for run in runs:
        if many + len(run) > CHUNK:
            yield portion
            portion, many = [], 0
        portion.append(run)
        many += len(run)
    if portion:
        yield portion


def _carried(subwords: Sequence[Subword], words: Sequence[str]) -> tuple[list[int], list[int]]:
    """`word` and `first` of one text, each counted from 0.

    A word's carrier is the first subword that has some of it; a bare ▁, which is the same before every word, only
    where there is no other. A word of which the tokenizer has nothing left goes with the word before it.
    """
    owner = [w for w, word in enumerate(words) for _ in word]  # of each character
    found: dict[int, int] = {}
    for i in sorted(range(len(subwords)), key=lambda i: subwords[i].bare):
        for w in owner[subwords[i].start : subwords[i].stop]:
            found.setdefault(w, i)
    first = [found.get(w, -1) for w in range(len(words))]
    begin = next((i for i in first if i >= 0), 0)
    first = list(accumulate(first, max, initial=begin))[1:]
    return [_word(first, i) for i in range(len(subwords))], first


def _word(first: Sequence[int], i: int) -> int:
    """The first word that subword i carries; if it carries none, the last one before."""
    word = bisect_left(first, i)
    return word if word < len(first) and first[word] == i else max(word - 1, 0)
