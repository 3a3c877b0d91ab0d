"""The one Arrow schema of tagged documents: one row a document, whatever became of it.

id          unique in the input
text        the document's text, unaltered; null where the input had no text that Unicode knows
language    code of its language as given, null where unknown
outcome     `tagged`, `empty` (it has no words) or `rejected`
reason      of a rejected document "stage: what is wrong"; else null
sentences   in the order of the text. start, end: characters of the text, end exclusive.
            tokens: its words, with their text (the slice start..end) and BIO label.
            windows: encoder windows that the sentence was cut to.
            neighbours: the source sentences it was adapted on, most similar first. id: line in the bundle's
            support.jsonl, from 0; similarity as the bundle's settings define it. None where nothing was adapted.
entities    in the order of the text. type, text (the original's slice start..end), start, end.
            score: the lowest probability among its words' labels: an entity is as sure as its least sure word.
            sentence: index into sentences.

Offsets count code points (Python's characters), not bytes.
"""

import pyarrow as pa

VERSION = 1  # raise it when a column's name, type or meaning changes
TAGGED, EMPTY, REJECTED = OUTCOMES = ("tagged", "empty", "rejected")

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
SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("text", pa.string()),
        pa.field("language", pa.string()),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("reason", pa.string()),
        pa.field("sentences", pa.list_(SENTENCE), nullable=False),
        pa.field("entities", pa.list_(ENTITY), nullable=False),
    ],
    metadata={"metaner_schema": str(VERSION)},
)
