"""Reads labelled sentences from column files: one word a line, its tag last, a blank line after each sentence.

Two to five columns, separated by tabs or spaces, UTF-8, tags in any scheme that `labels.to_bio` reads.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from metaner_core.data.labels import TYPES, split_tag, to_bio
from metaner_core.storage import read_bytes

DOCSTART = "-DOCSTART-"
MIN_COLUMNS, MAX_COLUMNS = 2, 5

# Only these separate columns: str.split() would also cut a word at a no-break or ideographic space.
_SEPARATOR = re.compile(r"[ \t]+")
_SHOWN = 60  # characters of an offending line that an error repeats


@dataclass(frozen=True)
class Sentence:
    """Words and their BIO labels, equally many.

    `docstart` marks a sentence that is a `-DOCSTART-` line and nothing else. The corpora's published sizes count it;
    training and scoring leave it out.
    """

    words: tuple[str, ...]
    labels: tuple[str, ...]
    docstart: bool = False

    def __post_init__(self) -> None:
        if len(self.words) != len(self.labels):
            raise ValueError(f"{len(self.words)} words, {len(self.labels)} labels: give every word exactly one label")


class _Row(NamedTuple):
    line: int
    word: str
    tag: str


def read_sentences(
    path: str | Path,
    *,
    types: Collection[str] = TYPES,
    sentence_end: str | None = None,
    allow_no_entities: bool = False,
) -> list[Sentence]:
    """All of `read_columns`, as a list."""
    return list(read_columns(path, types=types, sentence_end=sentence_end, allow_no_entities=allow_no_entities))


def read_columns(
    path: str | Path,
    *,
    types: Collection[str] = TYPES,
    sentence_end: str | None = None,
    allow_no_entities: bool = False,
) -> Iterator[Sentence]:
    """Sentences of a local or `s3://` column file, in file order, labels in BIO.

    Args:
        path: the file.
        types: the entity types a tag may have.
        sentence_end: for a file without blank lines, the word after which a sentence ends; what follows the last one
            belongs to the last sentence. An entity that runs over such an end becomes two.
        allow_no_entities: accept a file whose words are all O, which otherwise betrays a wrong column or format.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is empty, not UTF-8, without an entity, or has a malformed line; the message starts with
            `path:` or `path:line:`. Checks of the whole file come after its last sentence.
    """
    count, has_entity = 0, False
    for block in _blocks(_rows(str(path), types)):
        for sentence in _sentences(str(path), block, sentence_end):
            count += 1
            has_entity = has_entity or any(label != "O" for label in sentence.labels)
            yield sentence
    if not count:
        raise ValueError(f"{path}: no sentence, expected at least one; give the path of a labelled file")
    if not has_entity and not allow_no_entities:
        raise ValueError(
            f"{path}: none of its {count:,} sentences has an entity, expected some tag other than O; "
            "check that the last column holds the tags, or allow files without entities (allow_no_entities)"
        )


def _lines(path: str) -> Iterator[tuple[int, str]]:
    """Numbered lines. Only a line feed ends one: `str.splitlines` would also break at characters within words."""
    content = read_bytes(path).removeprefix(codecs.BOM_UTF8)
    for number, raw in enumerate(content.split(b"\n"), start=1):
        try:
            yield number, raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{path}:{number}: byte 0x{raw[error.start]:02x} at column {error.start + 1} is not UTF-8; "
                "convert the file, for example with iconv -f ISO-8859-1 -t UTF-8"
            ) from error


def _rows(path: str, types: Collection[str]) -> Iterator[_Row | None]:
    """One row a line, None for a blank line."""
    first: tuple[int, int] | None = None  # line and number of columns that all others have to match
    for line, text in _lines(path):
        if not text.strip():
            yield None
            continue
        columns = _SEPARATOR.split(text.strip(" \t\r"))
        if columns[0] == DOCSTART:
            yield _Row(line, DOCSTART, "O")
            continue
        first = first or (line, len(columns))
        _check_columns(f"{path}:{line}", columns, first)
        _check_tag(f"{path}:{line}", columns[-1], types)
        yield _Row(line, columns[0], columns[-1])


def _check_columns(where: str, columns: list[str], first: tuple[int, int]) -> None:
    first_line, expected = first
    if MIN_COLUMNS <= len(columns) == expected <= MAX_COLUMNS:
        return
    found = f"{where}: {len(columns)} column{'s' * (len(columns) != 1)} in {' '.join(columns)[:_SHOWN]!r}"
    if len(columns) == expected:
        raise ValueError(
            f"{found}, expected {MIN_COLUMNS} to {MAX_COLUMNS}: the word first, its tag last; "
            "separate them by tabs or spaces and sentences by blank lines"
        )
    raise ValueError(
        f"{found}, expected {expected} as on line {first_line}; fill empty columns (for example with _) "
        "and remove spaces within words"
    )


def _check_tag(where: str, tag: str, types: Collection[str]) -> None:
    try:
        prefix, type_ = split_tag(tag)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    if prefix != "O" and type_ not in types:
        raise ValueError(
            f"{where}: tag {tag!r} has type {type_!r}, expected one of {', '.join(types)}; "
            "rename it or name it among the types (--types, for meta-train --set types=...)"
        )


def _blocks(rows: Iterator[_Row | None]) -> Iterator[list[_Row]]:
    """Rows between blank lines; several blank lines in a row are as one."""
    for _, group in groupby(rows, key=lambda row: row is None):
        block = [row for row in group if row is not None]
        if block:
            yield block


def _sentences(path: str, block: list[_Row], sentence_end: str | None) -> Iterator[Sentence]:
    if len(block) == 1 and block[0].word == DOCSTART:
        yield Sentence((DOCSTART,), ("O",), docstart=True)
        return
    # CoNLL-2002 Dutch puts the line at the head of a document's first sentence.
    rows = block[1:] if block[0].word == DOCSTART else block
    for row in rows:
        if row.word == DOCSTART:
            raise ValueError(
                f"{path}:{row.line}: {DOCSTART} within a sentence, expected at the head of one or alone; "
                "put a blank line before it"
            )
    for part in _cut(rows, sentence_end):
        yield Sentence(tuple(row.word for row in part), tuple(to_bio([row.tag for row in part])))


def _cut(rows: list[_Row], sentence_end: str | None) -> Iterator[list[_Row]]:
    """Cuts after every word equal to `sentence_end`; the rest after the last one stays with the part before it."""
    ends = [i for i, row in enumerate(rows, start=1) if row.word == sentence_end]
    starts = [0, *ends[:-1]]
    for start, end in zip(starts, [*ends[:-1], len(rows)], strict=True):
        yield rows[start:end]
