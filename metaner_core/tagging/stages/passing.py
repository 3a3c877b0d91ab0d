"""What one stage passes to the next, as Arrow tables: flat columns of numbers, cheap to send and to take apart.

TEXTS is what rows are made of, INPUTS what the model reads, FOUND what it found. Each has a row for every document, in
one order. Words are offsets into the text; windows are not there, for they follow from a sentence's length. Strings
that may hold half of a surrogate pair, which Arrow's cannot, are in JSON, as are rows that are not to be tagged.
"""

import functools
import json
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from metaner_core.tagging.stages.parts import Found, Made, Problem
from metaner_core.text import schema
from metaner_core.text.document import Document, Row, Word
from metaner_core.text.outcomes import Ready

if TYPE_CHECKING:
    from metaner_core.model.encoding import Encoding
    from metaner_core.model.inputs import Input

_NUMBERS = pa.list_(pa.int32())
_HALVES = pa.list_(pa.list_(pa.float16()))
TEXTS = pa.schema(
    [
        ("row", pa.string()),  # of a document that is not to be tagged; null: it is, and `document` is not null
        ("document", pa.string()),  # a list: id, language as given, extra; language, score
        ("text", pa.string()),
        ("words", _NUMBERS),  # of each sentence, how many
        ("starts", _NUMBERS),  # of each word, in all sentences
        ("ends", _NUMBERS),
    ]
)
INPUTS = pa.schema(
    [
        ("outcome", pa.string()),
        ("characters", pa.int64()),
        ("problem", pa.string()),
        ("words", _NUMBERS),
        ("subwords", _NUMBERS),  # of each sentence, how many
        ("ids", _NUMBERS),  # of each subword; so `word`, and for each word `first`: see model.encoding.Encoded
        ("word", _NUMBERS),
        ("first", _NUMBERS),
        ("owned", _NUMBERS),  # of each sentence how many it has in retrieval's own tokenizer, -1: that is the tagger's
        ("own", _NUMBERS),
    ]
)
FOUND = pa.schema(
    [
        ("problem", pa.string()),
        ("windows", _NUMBERS),  # of each sentence
        ("labels", pa.list_(pa.string())),  # of each word
        ("probabilities", pa.list_(pa.float32())),
        ("near", _NUMBERS),  # of each sentence, how many neighbours
        ("ids", _NUMBERS),  # of each neighbour
        ("similarities", pa.list_(pa.float64())),
        ("distributions", _HALVES),  # of each sentence those of its words one after another; null: not kept
        ("unadapted", _HALVES),
    ]
)


def texts(made: Made) -> pa.Table:
    """A table of TEXTS; `documents` is the way back."""
    return pa.Table.from_pylist([_text(d) for d in made.documents], schema=TEXTS)


def _text(document: Ready | Row) -> Row:
    if not isinstance(document, Ready):
        return {"row": json.dumps(document)}
    given, words = document.document, [word for sentence in document.sentences for word in sentence]
    return {
        "document": json.dumps([given.id, given.language, given.extra, document.language, document.score]),
        "text": given.text,
        "words": [len(sentence) for sentence in document.sentences],
        "starts": [word.start for word in words],
        "ends": [word.end for word in words],
    }


def documents(table: pa.Table) -> list[Ready | Row]:
    """The documents of a table of TEXTS."""
    flat = {name: _column(table, name) for name in ("words", "starts", "ends")}
    many = _lengths(table["words"])
    plain = (table[name].to_pylist() for name in ("row", "document", "text"))
    return [
        json.loads(row) if row is not None else _ready(document, text, list(islice(flat["words"], n)), flat)
        for row, document, text, n in zip(*plain, many, strict=True)
    ]


def _ready(document: str, text: str, words: Sequence[int], flat: dict[str, Iterator[Any]]) -> Ready:
    id_, given, extra, language, score = json.loads(document)
    slices = zip(flat["starts"], flat["ends"])  # noqa: B905  # not to their ends
    cut = [[Word(text[start:end], start, end) for start, end in islice(slices, n)] for n in words]
    return Ready(Document(id_, text, given, extra), cut, language, score)


def inputs(made: Made) -> pa.Table:
    """A table of INPUTS; `sentences` is the way back."""
    pairs = zip(made.documents, made.inputs, strict=True)
    return pa.Table.from_pylist([_input(*pair) for pair in pairs], schema=INPUTS)


def _input(document: Ready | Row, sentences: "Sequence[Input] | Problem") -> Row:
    if isinstance(document, Ready):
        fixed: Row = {"outcome": schema.TAGGED, "characters": len(document.document.text or "")}  # unless it fails yet
    else:
        fixed = {"outcome": document["outcome"], "characters": document["characters"] or 0}
    if isinstance(sentences, Problem):
        return {**fixed, "problem": json.dumps(sentences)}
    encoded = [sentence.tagging for sentence in sentences]
    return {
        **fixed,
        "words": [len(sentence.first) for sentence in encoded],
        "subwords": [len(sentence.ids) for sentence in encoded],
        "ids": _flat(sentence.ids for sentence in encoded),
        "word": _flat(sentence.word for sentence in encoded),
        "first": _flat(sentence.first for sentence in encoded),
        "owned": [-1 if sentence.own is None else len(sentence.own) for sentence in sentences],
        "own": _flat(sentence.own or () for sentence in sentences),
    }


def _flat(parts: Any) -> list[Any]:
    return [one for part in parts for one in part]


def sentences(table: pa.Table, encoding: "Encoding") -> "list[list[Input] | Problem]":
    """What a table of INPUTS has of each document's sentences. encoding: that of the tagger, for its windows."""
    rest = _sentences({name: _column(table, name) for name in INPUTS.names[3:]}, encoding)
    problems = table["problem"].to_pylist()
    return [
        list(islice(rest, n)) if problem is None else json.loads(problem)
        for n, problem in zip(_lengths(table["words"]), problems, strict=True)
    ]


def _sentences(flat: dict[str, Iterator[Any]], encoding: "Encoding") -> "Iterator[Input]":
    from metaner_core.model.encoding import Encoded  # late: with it come torch and transformers, which a writer has not
    from metaner_core.model.inputs import Input

    cut = functools.cache(encoding.windows)

    def some(name: str, n: int) -> tuple[int, ...]:
        return tuple(islice(flat[name], n))

    for words, subwords, owned in zip(flat["words"], flat["subwords"], flat["owned"], strict=True):
        ids, word, first = some("ids", subwords), some("word", subwords), some("first", words)
        own = None if owned < 0 else some("own", owned)
        yield Input(Encoded(ids, word, first, None, cut(subwords)), own)


def found_table(found: Sequence[Sequence[Found] | Problem]) -> pa.Table:
    """A table of FOUND; `found` is the way back."""
    return pa.Table.from_pylist([_of_found(its) for its in found], schema=FOUND)


def _of_found(found: Sequence[Found] | Problem) -> Row:
    if isinstance(found, Problem):
        return {"problem": json.dumps(found)}
    return {
        "windows": [sentence.windows for sentence in found],
        "labels": _flat(sentence.labels for sentence in found),
        "probabilities": _flat(sentence.probabilities for sentence in found),
        "near": [len(sentence.neighbours) for sentence in found],
        "ids": [id_ for sentence in found for id_, _ in sentence.neighbours],
        "similarities": [similarity for sentence in found for _, similarity in sentence.neighbours],
        "distributions": [_flattened(sentence.distributions) for sentence in found],
        "unadapted": [_flattened(sentence.unadapted) for sentence in found],
    }


def _flattened(kept: np.ndarray | None) -> np.ndarray | None:
    return None if kept is None else kept.reshape(-1)


def found(table: pa.Table, words: Sequence[Sequence[int]]) -> list[list[Found] | Problem]:
    """What a table of FOUND has of each document. words: of its sentences, how many each has."""
    rest = {name: _column(table, name) for name in FOUND.names[1:-2]}
    rest |= {name: _halves(table, name) for name in FOUND.names[-2:]}
    problems = table["problem"].to_pylist()
    return [
        [_one(rest, n) for n in its] if problem is None else json.loads(problem)
        for its, problem in zip(words, problems, strict=True)
    ]


def _one(rest: dict[str, Iterator[Any]], words: int) -> Found:
    labels, probabilities = (tuple(islice(rest[name], words)) for name in ("labels", "probabilities"))
    near = next(rest["near"])
    neighbours = tuple(zip(*(islice(rest[name], near) for name in ("ids", "similarities")), strict=True))
    kept = (_unflattened(next(rest[name]), words) for name in ("distributions", "unadapted"))
    return Found(next(rest["windows"]), labels, probabilities, neighbours, *kept)


def _unflattened(kept: np.ndarray | None, words: int) -> np.ndarray | None:
    return None if kept is None else kept.reshape(words, len(kept) // max(words, 1))


def _lengths(lists: pa.ChunkedArray) -> list[int]:
    """Of each list; of none 0."""
    return pc.fill_null(pc.list_value_length(lists), 0).to_pylist()  # type: ignore[no-any-return]


def _halves(table: pa.Table, name: str) -> Iterator[np.ndarray | None]:
    """What a column of _HALVES holds of one sentence after another."""
    for part in pc.list_flatten(table[name]).chunks:
        values, ends = part.flatten().to_numpy(), pc.fill_null(pc.list_value_length(part), 0).to_numpy().cumsum()
        for absent, own in zip(part.is_null().to_pylist(), np.split(values, ends[:-1]), strict=True):
            yield None if absent else own


def _column(table: pa.Table, name: str) -> Iterator[Any]:
    """All that the lists of a column hold, one after another."""
    values = pc.list_flatten(table[name])
    return iter(values.to_pylist() if pa.types.is_string(values.type) else values.to_numpy().tolist())
