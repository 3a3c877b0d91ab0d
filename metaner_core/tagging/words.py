"""Sentences that come as words: checked, tagged as they are, and told of by the words' indices.

Nothing is segmented, so nothing is cut: every word that is given is one word to the model, whatever is in it. The
pipeline wants text with offsets; it gets the words with a blank between them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

from metaner_core.data.columns import Sentence
from metaner_core.tagging.documents import Neighbour, Outcome, neighbours
from metaner_core.text import schema
from metaner_core.text.document import Document, Row, Word
from metaner_core.text.outcomes import Ready

MAX_CHARACTERS = 50_000  # of a sentence: it goes through the encoder as a whole, in windows


@dataclass(frozen=True, slots=True)
class WordEntity:
    """A name: the words from index `first` to index `last`, both of them its own.

    text: these words with a blank between them. score: the lowest probability among their labels.
    """

    type: str
    text: str
    first: int
    last: int
    score: float


@dataclass(frozen=True, slots=True)
class TaggedWords:
    """A sentence of words and what became of it; fields that TaggedDocument has too mean the same.

    words: as they were given; none if what was given are not words. labels: BIO, one a word if it was tagged, else
    none.
    """

    words: tuple[str, ...]
    labels: tuple[str, ...] = ()
    entities: tuple[WordEntity, ...] = ()
    windows: int = 0
    neighbours: tuple[Neighbour, ...] = ()
    outcome: Outcome = "tagged"
    stage: str | None = None
    reason: str | None = None


def listed(value: object) -> list[object] | None:
    """The items of what has items in an order; None for all else, and for a string, whose items are its letters."""
    if isinstance(value, str | bytes | Mapping | Set) or not isinstance(value, Iterable):
        return None
    return list(value)


def screen_words(given: object) -> Ready | TaggedWords:
    """The sentence as a document of that one sentence, or what else becomes of it."""
    words = listed(given)
    if words is None:
        reason = f"expected a list of words, found {type(given).__name__}"
        return TaggedWords((), outcome="rejected", stage="words", reason=reason)
    strings = tuple(word for word in words if isinstance(word, str))
    if len(strings) < len(words):
        at, found = next((n, type(word).__name__) for n, word in enumerate(words) if not isinstance(word, str))
        reason = f"word {at}: expected a string, found {found}"
        return TaggedWords((), outcome="rejected", stage="words", reason=reason)
    if not strings:
        return TaggedWords((), outcome="empty")
    text = " ".join(strings)
    if len(text) > MAX_CHARACTERS:
        reason = f"{len(text)} characters in one sentence, most is {MAX_CHARACTERS}"
        return TaggedWords(strings, outcome="filtered", stage="length", reason=reason)
    broken = next((n for n, word in enumerate(strings) if not _encodable(word)), None)
    if broken is not None:
        reason = f"word {broken}: half of a surrogate pair, which is no text"
        return TaggedWords(strings, outcome="rejected", stage="text", reason=reason)
    return Ready(Document("", text), [list(_placed(strings))], None, None)


def tagged_words(row: Row, ready: Ready, source: Sequence[Sentence]) -> TaggedWords:
    """A row of the pipeline for what `screen_words` made ready. source: the bundle's."""
    words = ready.sentences[0]
    strings = tuple(word.text for word in words)
    if row["outcome"] != schema.TAGGED:
        return TaggedWords(strings, outcome=row["outcome"], stage=row["stage"], reason=row["reason"])
    (sentence,) = row["sentences"]
    first, last = ({getattr(word, side): n for n, word in enumerate(words)} for side in ("start", "end"))
    return TaggedWords(
        words=strings,
        labels=tuple(token["label"] for token in sentence["tokens"]),
        entities=tuple(
            WordEntity(e["type"], e["text"], first[e["start"]], last[e["end"]], e["score"]) for e in row["entities"]
        ),
        windows=sentence["windows"],
        neighbours=neighbours(sentence, source),
    )


def _placed(words: Sequence[str]) -> Iterator[Word]:
    """With their offsets in the text of all with a blank between them; an empty word has a place there too."""
    start = 0
    for word in words:
        yield Word(word, start, start + len(word))
        start += len(word) + 1


def _encodable(word: str) -> bool:
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True
