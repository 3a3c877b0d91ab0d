"""WET files of Common Crawl: the plain text of web pages as WARC records of type `conversion`, a gzip member each.

Format: https://commoncrawl.org/get-started (WET) and ISO 28500 (WARC). A file may as well be one gzip member, not
compressed, or compressed otherwise.
"""

import io
import re
import zlib
from collections.abc import Iterator

from metaner_core import storage
from metaner_core.reading.formats.warc import Record, Window, records
from metaner_core.reading.partitions import partition
from metaner_core.reading.record import MAX_BYTES, START, Place, Undecoded, document, too_long, unreadable
from metaner_core.reading.source import Input
from metaner_core.reading.streams import (
    BEGINNING_BYTES,
    BUFFER_BYTES,
    CHUNK_BYTES,
    GZIP,
    Damaged,
    Inflater,
    compression,
    opened,
)
from metaner_core.text.document import Document

EXTRA = {
    "url": "warc-target-uri",
    "date": "warc-date",
    "content_type": "content-type",
    "content_languages": "warc-identified-content-language",
}
PAGE = "conversion"
OTHER_TYPES = ("warcinfo", "response", "resource", "request", "metadata", "revisit", "continuation")
# a gzip member's first bytes, those that are free left out: three alone stand in much that is compressed
MEMBER = re.compile(GZIP + rb"[\x00-\x1f].{4}[\x00\x02\x04][\x00-\x0d\xff]", re.DOTALL)
MEMBER_BYTES = 10


def documents(found: Input, uri: str, start: Place = START) -> Iterator[tuple[Place, Document]]:
    """The documents from start on, each with its place. Ids are the records' own, else `file:number`.

    What is damaged, cut off or says a wrong length becomes one document with a problem, and reading goes on at the next
    record that can be found; where gzip is damaged, at the next member.
    """
    fs, path = storage.filesystem(uri)
    with io.BufferedReader(fs.open_input_file(path), BUFFER_BYTES) as stream:
        kind = compression(path, stream.peek(BEGINNING_BYTES)[:BEGINNING_BYTES])
        if kind == "gz":
            places = _gzip(stream, start)
        elif kind is None:
            places = _plain(stream, start)
        else:
            places = _otherwise(uri)
        for place, record in places:
            if place.record >= start.record and (read := _document(found, uri, record, place.record)):
                yield place, read


def _plain(stream: io.BufferedReader, start: Place) -> Iterator[tuple[Place, Record]]:
    stream.seek(start.offset)
    window = Window(stream, start.offset)
    for number, record in enumerate(records(window, most=MAX_BYTES), start.record - start.skip):
        yield Place(record.at, 0, number), record


def _otherwise(uri: str) -> Iterator[tuple[Place, Record]]:
    with opened(uri) as (stream, _):
        window, number = Window(stream), 0
        for number, record in enumerate(records(window, most=MAX_BYTES), 1):
            yield Place(0, number - 1, number), record
    if window.damage:
        yield Place(0, number, number + 1), Record(window.at, problem=f"what follows is lost: {window.damage}")


def _gzip(stream: io.BufferedReader, start: Place) -> Iterator[tuple[Place, Record]]:
    """Member by member; zeros between them are padding."""
    number, offset = start.record - start.skip, start.offset
    while (offset := _after_zeros(stream, offset)) is not None:  # type: ignore[assignment]
        member = _Member(stream, offset)
        first = number
        for record in _of_member(member):
            yield Place(offset, number - first, number), record
            number += 1
        offset = _next(stream, offset + 1) if member.damage else member.end()


def _of_member(member: "_Member") -> Iterator[Record]:
    """A member's records, and one for its damage if that is not what the last of them is about.

    The checksum at a member's end covers all of it; so a member's only record is held back until that holds.
    """
    window, held, count = Window(member), None, 0
    for record in records(window, most=MAX_BYTES):
        if held:
            yield held
        held, count = record, count + 1
    if window.damage is None or (held and held.problem):
        if held:
            yield held if window.damage is None else _marked(held, window.damage)
    elif held and count == 1:
        yield _marked(held, window.damage)
    else:
        if held:
            yield held
        yield Record(window.at, problem=f"damaged or cut off: {window.damage}")


def _marked(record: Record, damage: str) -> Record:
    return Record(record.at, record.headers, record.content, record.size, f"damaged or cut off: {damage}")


class _Member(io.RawIOBase):
    """One gzip member as a stream. Reading raises Damaged, each time, once it cannot go on."""

    def __init__(self, stream: io.BufferedReader, offset: int) -> None:
        self._stream, self._gzip, self._input = stream, Inflater(), b""
        self.damage: str | None = None
        stream.seek(offset)

    def end(self) -> int:
        """Where it ends, once all of it is read."""
        return self._stream.tell() - len(self._gzip.unused_data)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while self.damage is None and not self._gzip.eof:
            given, self._input = self._input, b""
            try:
                content = self._gzip.decompress(given, size)
            except zlib.error as error:
                self.damage = str(error)
                break
            if content:
                return content
            if not self._gzip.eof:
                self._input = self._stream.read(CHUNK_BYTES)
                self.damage = None if self._input else "the file ends in the middle of a gzip member"
        if self.damage is not None:
            raise Damaged(self.damage)
        return b""


def _after_zeros(stream: io.BufferedReader, offset: int) -> int | None:
    """The first byte from an offset on that is not zero; None at the file's end."""
    stream.seek(offset)
    while chunk := stream.read(CHUNK_BYTES):
        if left := chunk.lstrip(b"\0"):
            return offset + len(chunk) - len(left)
        offset += len(chunk)
    return None


def _next(stream: io.BufferedReader, offset: int) -> int:
    """Where the next gzip member begins, from an offset on; the file's end if none does."""
    stream.seek(offset)
    before = b""
    while chunk := stream.read(CHUNK_BYTES):
        if found := MEMBER.search(before + chunk):
            return offset - len(before) + found.start()
        offset += len(chunk)
        before = (before + chunk)[1 - MEMBER_BYTES :]
    return offset


def _document(found: Input, uri: str, record: Record, number: int) -> Document | None:
    """None for a record that is no page."""
    headers, place = record.headers, f"{found.name(uri)}:{number}"
    type_ = headers.get("warc-type", "").lower()
    if type_ in OTHER_TYPES and record.problem is None:
        return None
    extra = {key: value for key, header in EXTRA.items() if (value := headers.get(header))} | partition(uri)
    id_ = headers.get("warc-record-id", "").strip("<> ") or None
    if found.ids_by_place:
        extra, id_ = extra | ({"record_id": id_} if id_ else {}), None
    language = extra.pop(found.columns[2], None) if found.columns[2] else None
    read = document(id_, _text(record), language, extra, otherwise=place)
    if problem := _problem(record, type_):
        return unreadable(read.id, problem, record.content, language=read.language, extra=read.extra)
    return read


def _problem(record: Record, type_: str) -> str | None:
    """Why a record is no page that can be tagged."""
    if record.problem:
        return record.problem if record.problem.startswith("damaged") else f"damaged or cut off: {record.problem}"
    if record.size > MAX_BYTES:
        return too_long(record.size)
    if type_ != PAGE:
        return f"the record's type is {type_!r}, none that there is" if type_ else "the record does not say its type"
    if "warc-segment-number" in record.headers:
        return "the record is a part of a page that is stored in several"
    return None


def _text(record: Record) -> str | Undecoded:
    try:
        return record.content.decode()
    except UnicodeDecodeError:
        return Undecoded(record.content)
