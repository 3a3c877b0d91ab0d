"""The Arrow schemas of a run's two tables: tagged documents, and all others with the reason. One row a document.

Tagged:

id          unique in the input
text        the document's text, unaltered
language    code of its language: as given, else as identified, null where neither is known
language_score   probability of the identified language; null where the language was given
sentences   in the order of the text. start, end: characters of the text, end exclusive.
            tokens: its words, with their text (the slice start..end) and BIO label.
            windows: encoder windows that the sentence was cut to.
            neighbours: the source sentences it was adapted on, most similar first. id: line in the bundle's
            support.jsonl, from 0; similarity as the bundle's settings define it. None where nothing was adapted.
entities    in the order of the text. type, text (the original's slice start..end), start, end.
            score: the lowest probability among its words' labels: an entity is as sure as its least sure word.
            sentence: index into sentences.
extra       the input's other columns, a JSON object; null where there are none

Other:

outcome     `empty` (it has no words), `filtered` (by a rule of the run) or `rejected` (it could not be tagged)
stage       what filtered or rejected it: `language`, `length`, `text`, `segmentation`, `model` and so on; null if empty
reason      in words; null if empty
characters  of its text; null where it has no text
excerpt     the first EXCERPT characters of its text, half surrogate pairs written as \\udXXX
id, language, language_score, extra: as above

Offsets count code points (Python's characters), not bytes.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

VERSION = 2  # raise it when a column's name, type or meaning changes
EXCERPT = 200  # characters
TAGGED, EMPTY, FILTERED, REJECTED = OUTCOMES = ("tagged", "empty", "filtered", "rejected")

TOKEN = pa.struct([("text", pa.string()), ("start", pa.int32()), ("end", pa.int32()), ("label", pa.string())])
NEIGHBOUR = pa.struct([("id", pa.int32()), ("similarity", pa.float32())])
SENTENCE = pa.struct(
    [
        ("start", pa.int32()),
        ("end", pa.int32()),
        ("tokens", pa.list_(TOKEN)),
        ("windows", pa.int32()),
        ("neighbours", pa.list_(NEIGHBOUR)),
    ]
)
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
_METADATA = {"metaner_schema": str(VERSION)}
TAGGED_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("language", pa.string()),
        pa.field("language_score", pa.float32()),
        pa.field("sentences", pa.list_(SENTENCE), nullable=False),
        pa.field("entities", pa.list_(ENTITY), nullable=False),
        pa.field("extra", pa.string()),
    ],
    metadata=_METADATA,
)
OTHER_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("stage", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("language", pa.string()),
        pa.field("language_score", pa.float32()),
        pa.field("characters", pa.int64()),
        pa.field("excerpt", pa.string()),
        pa.field("extra", pa.string()),
    ],
    metadata=_METADATA,
)


def tables(rows: Iterable[Mapping[str, Any]]) -> tuple[pa.Table, pa.Table]:
    """Rows of `tagging.tag_documents`, in their order, as a table of TAGGED_SCHEMA and one of OTHER_SCHEMA."""
    tagged: list[Mapping[str, Any]] = []
    other: list[Mapping[str, Any]] = []
    for row in rows:
        (tagged if row["outcome"] == TAGGED else other).append(row)
    return pa.Table.from_pylist(tagged, schema=TAGGED_SCHEMA), pa.Table.from_pylist(other, schema=OTHER_SCHEMA)
