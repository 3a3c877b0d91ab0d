"""JSONL and plain text, a document a line; plain text, a document a file. Memory does not grow with the file."""

import codecs
import io
from collections.abc import Iterator

from metaner_core.reading.json_value import json_value
from metaner_core.reading.partitions import joined, partition
from metaner_core.reading.record import MAX_BYTES, START, Place, document, too_long, unreadable
from metaner_core.reading.source import JSONL, TEXT, Input
from metaner_core.reading.streams import Damaged, opened
from metaner_core.text.document import Document

BINARY = "much of it is NUL: it is binary, or UTF-16 without a byte order mark; save it as UTF-8"
LOOKED_AT = 1_000  # bytes of a text


def documents(found: Input, uri: str, start: Place = START) -> Iterator[tuple[Place, Document]]:
    """The documents from start on, each with its place.

    A line that holds no document becomes one with a problem; so does the place where a compressed file is damaged, as
    nothing after it can be read. Blank lines of JSONL are no documents.
    """
    name, given = found.name(uri), partition(uri)
    number, offset = start.record - start.skip, start.offset
    with opened(uri, offset) as (stream, direct):
        try:
            for line, size in lines(stream):
                place = Place(offset, 0, number) if direct else Place(0, number - 1, number)
                if number >= start.record and (line.strip() or found.format != JSONL):
                    yield place, _document(found, line, size, f"{name}:{number}", given, first=number == 1)
                number, offset = number + 1, offset + size
        except Damaged as error:
            yield Place(0, number - 1, number), unreadable(f"{name}:{number}", _damaged(error))


def whole(found: Input, uri: str, start: Place = START) -> Iterator[tuple[Place, Document]]:
    """The file's one document."""
    if start != START:
        return
    name, content, problem = found.name(uri), bytearray(), None
    with opened(uri) as (stream, _):
        try:
            while len(content) <= MAX_BYTES and (chunk := stream.read1()):
                content += chunk
        except Damaged as error:
            problem = _damaged(error)
    if problem:
        yield START, unreadable(name, problem, bytes(content))
    else:
        yield START, _document(found, bytes(content), len(content), name, partition(uri))


def lines(stream: io.BufferedReader) -> Iterator[tuple[bytes, int]]:
    """Each line, no more of it than MAX_BYTES and one, and its size in bytes with its end."""
    while line := stream.readline(MAX_BYTES + 1):
        part, size = line, len(line)
        while len(part) > MAX_BYTES and not part.endswith(b"\n"):
            part = stream.readline(MAX_BYTES + 1)
            size += len(part)
        yield line, size


def _damaged(error: Damaged) -> str:
    return f"the file is damaged, what follows cannot be read: {error}"


def _document(
    found: Input, line: bytes, size: int, place: str, given: dict[str, str | None], *, first: bool = True
) -> Document:
    """given: the file's columns by the names of its folders. first: whether it begins the file, where a byte order mark
    is no part of the text."""
    if size > MAX_BYTES:
        return unreadable(place, too_long(size), line)
    if found.format == JSONL:
        return _json_document(found, line, place, given)
    if first:
        line = line.removeprefix(codecs.BOM_UTF8)
    if found.format == TEXT:
        line = line.removesuffix(b"\n").removesuffix(b"\r")
    if line.count(0, 0, LOOKED_AT) * 4 > min(len(line), LOOKED_AT):
        return unreadable(place, BINARY, line)
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        return unreadable(place, f"it is not UTF-8: {error}", line)
    extra = dict(given)
    language = extra.pop(found.columns[2], None) if found.columns[2] else None
    return document(None, text, language, extra, otherwise=place)


def _json_document(found: Input, line: bytes, place: str, given: dict[str, str | None]) -> Document:
    values = json_value(line)
    if not isinstance(values, dict):
        what = values if isinstance(values, Exception) else f"expected an object, found {type(values).__name__}"
        return unreadable(place, f"the line is no JSON object: {what}", line)
    values = joined(values, given)
    id_, text, language = (values.pop(name, None) if name else None for name in found.columns)
    return document(id_, text, language, values, otherwise=place)
