"""Words to subwords, windows over them, and batches of windows as tensors.

A sentence is a flat sequence of subwords. Windows are slices of it: each holds at most `window` subwords and repeats
the last `context` subwords of the one before (Sec. 4.2), so every subword is *fresh* in exactly one window and every
word is predicted exactly once: where the subword that carries it, its first, is fresh.

A pre-trained encoder knows text as it is written. A SentencePiece tokenizer puts a space, ▁, before each word that it
is given, so words that touch on paper, as Chinese characters do, go to it as one text (`subwords.py`) and may share a
subword. Its label in training is that of the first word it carries. In prediction that word gets the subword's label,
and the further ones what continues it: I-X after B-X or I-X, else O.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedTokenizerBase

from metaner_core.data.labels import bio_labels
from metaner_core.model.subwords import Subwords
from metaner_core.settings import Settings


@dataclass(frozen=True)
class LabelSet:
    """Label names by id, and the names that tokens get which are no word's first subword (None: no loss there)."""

    names: tuple[str, ...]
    further: str | None = None
    cls: str | None = None
    sep: str | None = None

    @staticmethod
    def of(settings: Settings) -> "LabelSet":
        """BIO labels; where every token is in the loss, as in the authors' code: an unused id 0, then O, ..., X."""
        bio = bio_labels(settings.types)
        if settings.loss_tokens == "first":
            return LabelSet(bio)
        return LabelSet(("[PAD]", *bio, "X", "[CLS]", "[SEP]"), "X", "[CLS]", "[SEP]")

    def id(self, name: str) -> int:
        return self.names.index(name)

    @property
    def words(self) -> tuple[str, ...]:
        """The labels that a word may get, BIO, by the place that each has in a distribution."""
        return tuple(name for name in self.names if name == "O" or name[:2] in ("B-", "I-"))

    def bio(self, label_id: int) -> str:
        """The label a word gets: a name that is none of a word's (id 0, X, ...) reads as O."""
        name = self.names[label_id]
        return name if name[:2] in ("B-", "I-") else "O"


@dataclass(frozen=True)
class Window:
    """Subwords start..stop of a sentence; those from `fresh` on are in no earlier window."""

    start: int
    stop: int
    fresh: int


@dataclass(frozen=True)
class Encoded:
    """A sentence as the encoder sees it.

    ids: L subword ids, no special tokens. word: for each subword the index of its word: the first that it carries, else
    one that it goes on with. first: for each word the index of its first subword, which carries it; ascending, equal
    for words that share it. labels: BIO names, one a word, or None. No words means no subwords and no windows.
    """

    ids: tuple[int, ...]
    word: tuple[int, ...]
    first: tuple[int, ...]
    labels: tuple[str, ...] | None
    windows: tuple[Window, ...]

    @property
    def tokens(self) -> int:
        """Subwords and special tokens of its windows."""
        return sum(window.stop - window.start + 2 for window in self.windows)


def windows(length: int, size: int, context: int, *, after_full: bool = False) -> tuple[Window, ...]:
    """Windows over `length` subwords: every subword is fresh in exactly one.

    after_full: of several windows, after a last one that is full there is one more, of its context alone.
    """
    found: list[Window] = []
    done = 0
    while done < length:
        start = done - context if done else 0
        stop = min(start + size, length)
        found.append(Window(start, stop, done))
        done = stop
    if after_full and len(found) > 1 and found[-1].stop - found[-1].start == size:
        found.append(Window(done - context, done, done))
    return tuple(found)


class Encoding:
    """A tokenizer with the window settings: words to `Encoded`."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, settings: Settings, *, longest: int | None = None) -> None:
        """longest: positions the encoder has. Raises ValueError when a window would not fit into them."""
        if longest is not None and settings.window + 2 > longest:
            raise ValueError(f"window is {settings.window} subwords, but the encoder takes at most {longest - 2}")
        self.subwords = Subwords(tokenizer, together=settings.touching_words == "together")
        self._size, self._context = settings.window, settings.window_context
        self._after_full = settings.last_window == "after_full"

    def __call__(self, words: Sequence[str], labels: Sequence[str] | None = None) -> Encoded:
        """Encode one sentence of words, with BIO labels if they are known."""
        if labels is not None and len(labels) != len(words):
            raise ValueError(f"a sentence has {len(words)} words but {len(labels)} labels: {' '.join(words)[:80]!r}")
        cut = self.subwords(words)
        names = None if labels is None else tuple(labels)
        return Encoded(tuple(cut.ids), tuple(cut.word), tuple(cut.first), names, self.windows(len(cut.ids)))

    def windows(self, length: int) -> tuple[Window, ...]:
        """Those of a sentence of so many subwords."""
        return windows(length, self._size, self._context, after_full=self._after_full)


@dataclass(frozen=True)
class Batch:
    """Windows of n sentences as tensors, and which of their positions matter.

    ids, attention: [W, T]. row, col: [P] positions in the batch that carry a loss or a prediction. sentence: [P] the
    sentence (0..n-1) a position belongs to. labels: [P] label ids, or None. word: [P] index of the word in its
    sentence, -1 for a position that is no word's first subword. words: [P] how many words the position carries: `word`
    and those after it. sentence_of_window: [W].
    """

    ids: torch.Tensor
    attention: torch.Tensor
    row: torch.Tensor
    col: torch.Tensor
    sentence: torch.Tensor
    labels: torch.Tensor | None
    word: torch.Tensor
    words: torch.Tensor
    sentences: int
    sentence_of_window: torch.Tensor


def collate(
    sentences: Sequence[Encoded],
    tokenizer: PreTrainedTokenizerBase,
    *,
    label_set: LabelSet | None = None,
    ids: Sequence[Sequence[int]] | None = None,
    overlaps: bool = False,
    device: torch.device | str = "cpu",
) -> Batch:
    """Put sentences into one padded batch. With a label set, positions are those of the loss; else of the words.

    ids: the subword ids to use in place of each sentence's own (masked ones). overlaps: list first subwords in the
    repeated part of a window too.
    """
    cls, sep, pad = tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id
    rows: list[list[int]] = []
    owners: list[int] = []
    at: list[tuple[int, int, int, int, int, str]] = []  # row, column, sentence, word, words, label
    for n, sentence in enumerate(sentences):
        own = ids[n] if ids is not None else sentence.ids
        for window in sentence.windows:
            at.extend(_positions(sentence, window, n, len(rows), label_set, overlaps))
            rows.append([cls, *own[window.start : window.stop], sep])
            owners.append(n)
    width = max(map(len, rows), default=0)
    padded = torch.tensor([row + [pad] * (width - len(row)) for row in rows], dtype=torch.long)
    attention = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], dtype=torch.long)
    index = torch.tensor([a[:5] for a in at], dtype=torch.long).reshape(len(at), 5).T
    labels = None if label_set is None else torch.tensor([label_set.id(a[5]) for a in at], device=device)
    row, col, sentence_of, word, words = index.to(device)
    shape = (len(rows), width)  # said outright, for a batch of no rows has none of its own
    padded, attention = padded.reshape(shape).to(device), attention.reshape(shape).to(device)
    owner = torch.tensor(owners, dtype=torch.long, device=device)
    return Batch(padded, attention, row, col, sentence_of, labels, word, words, len(sentences), owner)


def _positions(
    sentence: Encoded, window: Window, n: int, row: int, label_set: LabelSet | None, overlaps: bool
) -> list[tuple[int, int, int, int, int, str]]:
    every = label_set is not None and label_set.further is not None
    found = []
    for i in range(window.start if every or overlaps else window.fresh, window.stop):
        word = sentence.word[i]
        is_first = sentence.first[word] == i
        if is_first or every:
            label = sentence.labels[word] if is_first and sentence.labels else "O" if is_first else "X"
            words = bisect_right(sentence.first, i, word) - word if is_first else 0
            found.append((row, i - window.start + 1, n, word if is_first else -1, words, label))
    if every and label_set is not None:
        found.insert(0, (row, 0, n, -1, 0, str(label_set.cls)))
        found.append((row, window.stop - window.start + 1, n, -1, 0, str(label_set.sep)))
    return found
