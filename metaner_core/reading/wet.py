"""WET files of Common Crawl: the plain text of web pages as WARC records of type `conversion`, a gzip member each.

Format: https://commoncrawl.org/get-started (WET) and ISO 28500 (WARC). The library warcio reads records; where a gzip
member begins and whether it is whole is found out here, for warcio passes over what is cut off or damaged in silence.
"""

import io
import zlib
from collections.abc import Iterator

from warcio.archiveiterator import WARCIterator
from warcio.exceptions import ArchiveLoadFailed
from warcio.recordloader import ArcWarcRecord

from metaner_core import storage
from metaner_core.reading.lines import BUFFER_BYTES
from metaner_core.reading.record import MAX_BYTES, START, Place, document, too_long, unreadable
from metaner_core.reading.source import Input
from metaner_core.text.document import Document

EXTRA = {
    "url": "WARC-Target-URI",
    "date": "WARC-Date",
    "content_type": "Content-Type",
    "content_languages": "WARC-Identified-Content-Language",
}
GZIP, PLAIN = b"\x1f\x8b\x08", b"WARC/1."  # how a member and how a record begins
CHUNK_BYTES = 64 * 2**10


class Damaged(Exception):
    """The file cannot be read here; it may go on after this."""


def documents(found: Input, uri: str, start: Place = START) -> Iterator[tuple[Place, Document]]:
    """The documents from start on, each with its place. Ids are the records' own, else `file:number`.

    What is damaged or cut off becomes one document with a problem, and reading goes on at the next gzip member (in a
    file that is not compressed: the next record) that can be found.
    """
    fs, path = storage.filesystem(uri)
    name, number, offset = found.name(uri), start.record - start.skip, start.offset
    with io.BufferedReader(fs.open_input_file(path), BUFFER_BYTES) as stream:
        mark = GZIP if stream.peek(3)[:3] == GZIP else PLAIN
        while offset < fs.get_file_info(path).size:
            part = _Member(stream, offset) if mark == GZIP else _Plain(stream, offset)
            held = None  # until it is known that it is whole
            try:
                for place, record in part.records(number):
                    if held:
                        yield held
                    number, held = place.record + 1, None
                    if record.rec_type == "conversion" and place.record >= start.record:
                        held = place, _document(record, f"{name}:{place.record}")
                offset = part.end()
                if held:
                    yield held
            except (Damaged, ArchiveLoadFailed) as error:
                reason = f"damaged or cut off: {str(error)[:100]!r}"
                place, broken = held or (part.place(number), unreadable(f"{name}:{number}", reason))
                yield place, unreadable(broken.id, reason, (broken.text or "").encode(), extra=broken.extra)
                number += held is None
                offset = _next(stream, part.at + 1, mark)


class _Plain:
    """Records of a file that is not compressed, from an offset on."""

    def __init__(self, stream: io.BufferedReader, offset: int) -> None:
        self.at, self._stream = offset, stream
        stream.seek(offset)

    def records(self, number: int) -> Iterator[tuple[Place, ArcWarcRecord]]:
        records = WARCIterator(self._stream, no_record_parse=True)
        for at, record in enumerate(records, number):
            self.at = records.offset
            yield self.place(at), record

    def place(self, number: int) -> Place:
        return Place(self.at, 0, number)

    def end(self) -> int:
        return self._stream.seek(0, io.SEEK_END)


class _Member(io.RawIOBase):
    """The records of one gzip member: one, as a rule. The member as a stream; reading raises Damaged."""

    def __init__(self, stream: io.BufferedReader, offset: int) -> None:
        self.at, self._stream, self._first = offset, stream, 0
        self._gzip, self._input = zlib.decompressobj(wbits=31), b""
        stream.seek(offset)

    def records(self, number: int) -> Iterator[tuple[Place, ArcWarcRecord]]:
        self._first = number
        for at, record in enumerate(WARCIterator(io.BufferedReader(self, CHUNK_BYTES), no_record_parse=True), number):
            yield self.place(at), record

    def place(self, number: int) -> Place:
        return Place(self.at, number - self._first, number)

    def end(self) -> int:
        """Where it ends, once all of it is read and its checksum holds."""
        while self.read(CHUNK_BYTES):
            pass
        return self._stream.tell() - len(self._gzip.unused_data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._gzip.eof:
            try:
                content = self._gzip.decompress(self._input, len(buffer))
            except zlib.error as error:
                raise Damaged(str(error)) from None
            self._input = self._gzip.unconsumed_tail
            if content:
                buffer[: len(content)] = content
                return len(content)
            if not self._gzip.eof and not self._input:
                self._input = self._stream.read(CHUNK_BYTES)
                if not self._input:
                    raise Damaged("the file ends in the middle of a gzip member")
        return 0


def _next(stream: io.BufferedReader, offset: int, mark: bytes) -> int:
    """Where the mark stands next from an offset on; the file's end if it does not."""
    stream.seek(offset)
    before = b""
    while chunk := stream.read(CHUNK_BYTES):
        at = (before + chunk).find(mark)
        if at >= 0:
            return offset - len(before) + at
        offset += len(chunk)
        before = chunk[1 - len(mark) :]
    return offset


def _document(record: ArcWarcRecord, place: str) -> Document:
    headers = record.rec_headers
    id_ = (headers.get_header("WARC-Record-ID") or "").strip("<> ")
    extra = {key: value for key, header in EXTRA.items() if (value := headers.get_header(header))}
    if record.length is None:
        return unreadable(id_ or place, "the record does not say its length")
    content = record.raw_stream.read(min(record.length, MAX_BYTES)) if record.length else b""
    text: str | bytes
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = content
    read = document(id_, text, None, extra, otherwise=place)
    if record.length > MAX_BYTES:
        return unreadable(read.id, too_long(record.length), content, extra=read.extra)
    if len(content) < record.length:
        broken = f"the record breaks off after {len(content):,} of {record.length:,} bytes"
        return unreadable(read.id, broken, content, extra=read.extra)
    return read
