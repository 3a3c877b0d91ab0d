"""The Arrow schemas of a run's two tables: tagged documents, and all others with the reason. One row a document.

MEANINGS says what each column holds. Offsets count code points (Python's characters), not bytes.
"""

import dataclasses
import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

VERSION, KEEPING = 2, 3  # without and with what `Keep` adds; raise both when a column's name, type or meaning changes
ROWS = 2  # raise it when the same documents, bundle and options may give other rows: other rules, sentences, ids
EXCERPT = 200  # characters
UNSURE = 0.6  # an entity with a lower score is drawn fainter where people see it
SURE = 0.8  # the least score of what is counted as a frequent entity, and in the guides' queries
TAGGED, EMPTY, FILTERED, REJECTED = OUTCOMES = ("tagged", "empty", "filtered", "rejected")

MEANINGS = {  # by the column's name, and for what is nested in it after a dot
    "id": "the document's, unique in the input",
    "text": "the document's text, unaltered",
    "language": "as given, if it can be read as one, else the code of the one identified; null if neither is known",
    "language_score": "probability of the identified language; null where the language was given",
    "sentences": "in the order of the text",
    "sentences.start": "first character in the text, from 0",
    "sentences.end": "character after its last",
    "sentences.tokens": "its words; one longer than 256 characters is cut to several",
    "sentences.tokens.text": "the text's slice start..end",
    "sentences.tokens.start": "first character in the text, from 0",
    "sentences.tokens.end": "character after its last",
    "sentences.tokens.label": "BIO label: `O`, or `B-` or `I-` and the type",
    "sentences.windows": "windows of the encoder that the sentence was cut to; 1: it was read at once",
    "sentences.neighbours": "the source sentences it was adapted on, most similar first; none if nothing was adapted",
    "sentences.neighbours.id": "line in the bundle's support.jsonl, from 0",
    "sentences.neighbours.similarity": "as the bundle's settings define it",
    "sentences.probabilities": "word by word the probability of each label, in the order of the manifest's `labels`",
    "sentences.unadapted": "the same before the model was adapted",
    "entities": "in the order of the text",
    "entities.type": "one of the bundle's types",
    "entities.text": "the text's slice start..end",
    "entities.start": "first character in the text, from 0",
    "entities.end": "character after its last",
    "entities.score": "lowest probability among its words' labels: an entity is as sure as its least sure word",
    "entities.sentence": "index into sentences, from 0",
    "extra": "the input's other columns, a JSON object; null where there are none",
    "outcome": "`empty` (it has no words), `filtered` (by a rule of the run) or `rejected` (it could not be tagged)",
    "stage": "what filtered or rejected it: `language`, `length`, `text`, `segmentation`, `model` and so on; else null",
    "reason": "why, in words; null if it is empty",
    "characters": "of its text; null where it has none",
    "excerpt": "first 200 characters of its text, half a surrogate pair written as \\udXXX",
}


@dataclass(frozen=True)
class Keep:
    """What of the model's certainty goes into rows, beyond an entity's score. probabilities: of each word, over all
    labels. unadapted: the same of θ* itself, beside those of the adapted model."""

    probabilities: bool = False
    unadapted: bool = False

    @property
    def names(self) -> list[str]:
        return [name for name, kept in dataclasses.asdict(self).items() if kept]

    @property
    def version(self) -> int:
        """Of the schema of rows that have it."""
        return KEEPING if self.names else VERSION


NOTHING = Keep()

TOKEN = pa.struct([("text", pa.string()), ("start", pa.int32()), ("end", pa.int32()), ("label", pa.string())])
NEIGHBOUR = pa.struct([("id", pa.int32()), ("similarity", pa.float32())])
SENTENCE = [
    ("start", pa.int32()),
    ("end", pa.int32()),
    ("tokens", pa.list_(TOKEN)),
    ("windows", pa.int32()),
    ("neighbours", pa.list_(NEIGHBOUR)),
]
ENTITY = pa.struct(
    [
        ("type", pa.string()),
        ("text", pa.string()),
        ("start", pa.int32()),
        ("end", pa.int32()),
        ("score", pa.float32()),
        ("sentence", pa.int32()),
    ]
)


@functools.cache
def tagged_schema(keep: Keep = NOTHING) -> pa.Schema:
    """Of tagged documents, with what is kept in their sentences."""
    sentence = pa.struct([*SENTENCE, *((name, pa.list_(pa.float16())) for name in keep.names)])
    fields = [
        pa.field("id", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("language", pa.string()),
        pa.field("language_score", pa.float32()),
        pa.field("sentences", pa.list_(sentence), nullable=False),
        pa.field("entities", pa.list_(ENTITY), nullable=False),
        pa.field("extra", pa.string()),
    ]
    return pa.schema(fields, metadata=_metadata(keep))


@functools.cache
def other_schema(keep: Keep = NOTHING) -> pa.Schema:
    """Of all other documents."""
    fields = [
        pa.field("id", pa.string(), nullable=False),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("stage", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("language", pa.string()),
        pa.field("language_score", pa.float32()),
        pa.field("characters", pa.int64()),
        pa.field("excerpt", pa.string()),
        pa.field("extra", pa.string()),
    ]
    return pa.schema(fields, metadata=_metadata(keep))


def _metadata(keep: Keep) -> dict[str, str]:
    return {"metaner_schema": str(keep.version)}


TAGGED_SCHEMA, OTHER_SCHEMA = tagged_schema(), other_schema()


def tables(rows: Iterable[Mapping[str, Any]], keep: Keep = NOTHING) -> tuple[pa.Table, pa.Table]:
    """Rows of `tagging.tag_documents`, in their order, as a table of `tagged_schema` and one of `other_schema`."""
    tagged: list[Mapping[str, Any]] = []
    other: list[Mapping[str, Any]] = []
    for row in rows:
        (tagged if row["outcome"] == TAGGED else other).append(row)
    parts = (tagged, tagged_schema(keep)), (other, other_schema(keep))
    first, second = (pa.Table.from_pylist(part, schema=fields) for part, fields in parts)
    return first, second
