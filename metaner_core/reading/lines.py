"""JSONL and plain text, a document a line; plain text, a document a file. Memory does not grow with the file."""

import codecs
import io
import json
from collections.abc import Iterator
from typing import Any, BinaryIO

import pyarrow.fs as pafs

from metaner_core import storage
from metaner_core.reading.record import MAX_BYTES, START, Place, document, is_damage, too_long, unreadable
from metaner_core.reading.source import COMPRESSED, JSONL, TEXT, Input
from metaner_core.text.document import Document

BUFFER_BYTES = 4 * 2**20  # read at once: each read is a request to object storage
CHUNK_BYTES = 64 * 2**10  # decompressed at once: what is lost before damage


def documents(found: Input, uri: str, start: Place = START) -> Iterator[tuple[Place, Document]]:
    """The documents from start on, each with its place.

    A line that holds no document becomes one with a problem; so does the place where a compressed file is damaged, as
    nothing after it can be read. Blank lines of JSONL are no documents.
    """
    fs, path = storage.filesystem(uri)
    name, compressed = found.name(uri), path.endswith(COMPRESSED)
    number, offset = start.record - start.skip, start.offset
    with _open(fs, path, compressed, offset) as stream:
        try:
            for line, size in lines(stream):
                place = Place(0, number - 1, number) if compressed else Place(offset, 0, number)
                if number >= start.record and (line.strip() or found.format != JSONL):
                    yield place, _document(found, line, size, f"{name}:{number}", first=number == 1)
                number, offset = number + 1, offset + size
        except OSError as error:
            if not (compressed and is_damage(error)):
                raise
            damaged = f"the file is damaged, what follows cannot be read: {error}"
            yield Place(0, number - 1, number), unreadable(f"{name}:{number}", damaged)


def whole(found: Input, uri: str, start: Place = START) -> Iterator[tuple[Place, Document]]:
    """The file's one document."""
    fs, path = storage.filesystem(uri)
    with fs.open_input_stream(path) as stream:
        content = stream.read(MAX_BYTES + 1)
    if start == START:
        yield START, _document(found, content, len(content), found.name(uri))


def lines(stream: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Each line, no more of it than MAX_BYTES and one, and its size in bytes with its end."""
    while line := stream.readline(MAX_BYTES + 1):
        part, size = line, len(line)
        while len(part) > MAX_BYTES and not part.endswith(b"\n"):
            part = stream.readline(MAX_BYTES + 1)
            size += len(part)
        yield line, size


def json_value(line: bytes) -> Any:
    """The line's value, or the error that it is none."""
    try:
        return json.loads(line.removeprefix(codecs.BOM_UTF8))
    except (ValueError, RecursionError) as error:
        return error


def _open(fs: pafs.FileSystem, path: str, compressed: bool, offset: int) -> io.BufferedReader:
    if compressed:
        stream = fs.open_input_stream(path, compression="detect", buffer_size=BUFFER_BYTES)
        return io.BufferedReader(stream, CHUNK_BYTES)
    stream = fs.open_input_file(path)
    stream.seek(offset)
    return io.BufferedReader(stream, BUFFER_BYTES)


def _document(found: Input, line: bytes, size: int, place: str, *, first: bool = True) -> Document:
    """first: whether it begins the file, where a byte order mark is no part of the text."""
    if size > MAX_BYTES:
        return unreadable(place, too_long(size), line)
    if found.format == JSONL:
        return _json_document(found, line, place)
    if first:
        line = line.removeprefix(codecs.BOM_UTF8)
    if found.format == TEXT:
        line = line.removesuffix(b"\n").removesuffix(b"\r")
    try:
        return Document(place, line.decode())
    except UnicodeDecodeError as error:
        return unreadable(place, f"it is not UTF-8: {error}", line)


def _json_document(found: Input, line: bytes, place: str) -> Document:
    values = json_value(line)
    if not isinstance(values, dict):
        what = values if isinstance(values, Exception) else f"expected an object, found {type(values).__name__}"
        return unreadable(place, f"the line is no JSON object: {what}", line)
    id_, text, language = (values.pop(name, None) if name else None for name in found.columns)
    return document(id_, text, language, values, otherwise=place)
