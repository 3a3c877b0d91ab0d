"""What tagging gives to a Python program: typed documents, which say the same as the rows of `text.schema`.

`text.schema.MEANINGS` tells more of each field. Offsets count code points, as Python's strings do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from metaner_core.data.columns import Sentence
from metaner_core.text.document import Row

Outcome = Literal["tagged", "empty", "filtered", "rejected"]


@dataclass(frozen=True, slots=True)
class Token:
    """A word, the text's slice start..end, and its BIO label."""

    text: str
    start: int
    end: int
    label: str


@dataclass(frozen=True, slots=True)
class Entity:
    """A name, the text's slice start..end. score: the lowest probability among its words' labels. sentence: index."""

    type: str
    text: str
    start: int
    end: int
    score: float
    sentence: int


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A source sentence that the model was adapted on. id: its line in the bundle's support.jsonl, from 0.

    similarity: as the bundle's settings define it. labels: BIO, one a word, as people gave them.
    """

    id: int
    similarity: float
    words: tuple[str, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TaggedSentence:
    """The text's slice start..end, with at least one token. windows: of the encoder, that it was cut to.

    neighbours: most similar first; none if nothing was adapted.
    """

    start: int
    end: int
    tokens: tuple[Token, ...]
    windows: int
    neighbours: tuple[Neighbour, ...]


@dataclass(frozen=True, slots=True)
class TaggedDocument:
    """A text and what became of it.

    text: as it was given; None where what was given is no string. language: as given, else as identified, None where
    neither is known. language_score: probability of an identified language. outcome: `tagged`, `empty` (it has no
    words), `filtered` (by a rule) or `rejected` (it could not be tagged). stage, reason: what filtered or rejected it,
    and why. Only a tagged document has sentences and entities.
    """

    text: str | None
    language: str | None
    language_score: float | None
    sentences: tuple[TaggedSentence, ...] = ()
    entities: tuple[Entity, ...] = ()
    outcome: Outcome = "tagged"
    stage: str | None = None
    reason: str | None = None


def tagged_document(row: Row, text: object, source: Sequence[Sentence]) -> TaggedDocument:
    """A row of `pipeline.tag_documents`. text: what was given. source: the bundle's, which neighbours' ids point to."""
    return TaggedDocument(
        text=text if isinstance(text, str) else None,
        language=row["language"],
        language_score=row["language_score"],
        sentences=tuple(_sentence(sentence, source) for sentence in row.get("sentences", ())),
        entities=tuple(Entity(**entity) for entity in row.get("entities", ())),
        outcome=row["outcome"],
        stage=row.get("stage"),
        reason=row.get("reason"),
    )


def _sentence(sentence: Row, source: Sequence[Sentence]) -> TaggedSentence:
    return TaggedSentence(
        start=sentence["start"],
        end=sentence["end"],
        tokens=tuple(Token(**token) for token in sentence["tokens"]),
        windows=sentence["windows"],
        neighbours=neighbours(sentence, source),
    )


def neighbours(sentence: Row, source: Sequence[Sentence]) -> tuple[Neighbour, ...]:
    """Those of a row's sentence, with their words and labels."""
    found = ((source[neighbour["id"]], neighbour) for neighbour in sentence["neighbours"])
    return tuple(Neighbour(n["id"], n["similarity"], s.words, s.labels) for s, n in found)
