"""WARC records out of bytes that may be damaged anywhere (ISO 28500): each is whole, or a stretch of bytes that is not.

A record is whole when its header can be read, says its length, and a record's end (two line ends) stands where that
length says. Else the next record is looked for by its first two lines, from just behind the header on; so a length that
is wrong costs its own record only. The usual readers (warcio, fastwarc) trust the length.
"""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from metaner_core.reading.streams import CHUNK_BYTES, Damaged

HEADER_BYTES = 64 * 2**10  # a longer header is none
EXCERPT_BYTES = 1_000
SEEN_BYTES = 4 * 2**10  # looked at of what stands behind a record, if that is no record
EDGE_BYTES = 128  # how long BEGINNING's match is at most
BEGINNING = re.compile(rb"WARC/\d\.\d\r?\n[!-9;-~]{1,80}:")  # a record's first line and the name of a header
LINE = re.compile(rb"WARC/\d\.\d(\r?\n)")
HEADER = re.compile(rb"[!-9;-~]+:.*", re.DOTALL)
HEADER_OF_WARC = re.compile(rb"^(WARC-[A-Za-z-]+|Content-(Length|Type)):", re.MULTILINE)
ID = "warc-record-id"
ONCE = ("warc-type", ID, "content-length")  # in a record's header
PADDING = re.compile(rb"[\0\r\n \t]*")


@dataclass(frozen=True)
class Record:
    """at: its first byte. headers: by their names in small letters. content: its beginning if it is not whole.

    problem: why it is not whole. size: bytes of content, as its header has it.
    """

    at: int
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes = b""
    size: int = 0
    problem: str | None = None


class Window:
    """A stream's bytes from some place on, held as far as they were asked for. at: of the first one that is held."""

    def __init__(self, stream: io.RawIOBase | io.BufferedIOBase, at: int = 0) -> None:
        self._stream, self._ended = stream, False
        self.held, self.at = bytearray(), at
        self.damage: str | None = None  # why nothing follows what is held, if it is not the end

    def fill(self, size: int) -> int:
        """Hold so many bytes, or all there are. Returns how many are held."""
        while len(self.held) < size and not self._ended:
            try:
                chunk = self._stream.read(CHUNK_BYTES) or b""
            except Damaged as error:
                self.damage, chunk = str(error), b""
            self._ended = not chunk
            self.held += chunk
        return len(self.held)

    def skip(self, size: int) -> None:
        del self.held[:size]
        self.at += size


def records(window: Window, *, most: int) -> Iterator[Record]:
    """All records of a window. most: bytes of content, of which no more is held."""
    while window.fill(1):
        if LINE.match(window.held, 0, window.fill(EDGE_BYTES)):
            yield _record(window, most)
        elif not _skip_padding(window):
            yield _broken(window, 0, "no record begins here")


def _skip_padding(window: Window) -> bool:
    """Whether zeros or blank lines stood here: between records and at the end they are nothing."""
    match = PADDING.match(window.held)
    end = match.end() if match else 0
    window.skip(end)
    return end > 0


def _record(window: Window, most: int) -> Record:
    """The record at the window's beginning, which is left behind."""
    line = LINE.match(window.held, 0, EDGE_BYTES)
    assert line
    end_of_line = line[1]
    window.fill(HEADER_BYTES)
    end = window.held.find(2 * end_of_line, 0, HEADER_BYTES)
    headers = parsed(bytes(window.held[line.end() : end]), end_of_line) if end >= 0 else None
    if headers is None:
        return _broken(window, line.end(), "its header cannot be read")
    start = end + 2 * len(end_of_line)
    size = length(headers)
    if size is None:
        return _broken(window, start, "its header does not say its length", headers)
    if size > most:
        return _broken(window, start, None, headers, size)
    window.fill(start + size + SEEN_BYTES)
    problem = _problem(window, start, size, 2 * end_of_line, most)
    if problem:
        return _broken(window, start, problem, headers, size)
    record = Record(window.at, headers, bytes(window.held[start : start + size]), size)
    window.skip(start + size + 2 * len(end_of_line))
    return record


def _problem(window: Window, start: int, size: int, end: bytes, most: int) -> str | None:
    """Why the record whose content begins at start is not whole."""
    held, last = window.held, start + size
    if len(held) < last + len(end):
        cut = max(0, len(held) - start)
        return f"it breaks off after {cut:,} of {size:,} bytes" if cut < size else "it breaks off at its end"
    if not held.startswith(end, last):
        return "no record's end stands where its length says"
    behind = bytes(held[last + len(end) : last + len(end) + SEEN_BYTES])
    if (found := BEGINNING.search(behind)) is not None:
        behind = behind[: found.start()]
    if not (PADDING.fullmatch(behind) or LINE.match(behind) or HEADER_OF_WARC.search(behind)):
        return "more text than its length says stands behind it"
    inner = held.find(b"WARC/", start, last) >= 0 and [found.start() for found in BEGINNING.finditer(held, start, last)]
    if inner and any(_is_whole(window, at, last, most) for at in inner):
        return "its length says that other records are part of it"
    return None


def _is_whole(window: Window, at: int, last: int, most: int) -> bool:
    """Whether a record begins here that is whole by itself, or ends just at `last`: then no other reaches to there.

    One without an id, which every record must have (ISO 28500, 5.2), is something that a page quotes.
    """
    held, line = window.held, LINE.match(window.held, at)
    assert line
    end_of_line = line[1]
    end = held.find(2 * end_of_line, at, at + HEADER_BYTES)
    headers = parsed(bytes(held[line.end() : end]), end_of_line) if end >= 0 else None
    size = length(headers) if headers else None
    if headers is None or size is None or size > most or ID not in headers:
        return False
    end += 2 * len(end_of_line) + size
    following = end + 2 * len(end_of_line)
    if end == last or window.fill(following + EDGE_BYTES) < following:
        return end == last
    return held.startswith(2 * end_of_line, end) and (len(held) == following or bool(LINE.match(held, following)))


def _broken(
    window: Window, start: int, problem: str | None, headers: dict[str, str] | None = None, size: int = 0
) -> Record:
    """What is no whole record, up to the next that begins at start or later. problem: None if it is only too long."""
    at = window.at
    window.fill(start + EXCERPT_BYTES)
    content = bytes(window.held[start : start + EXCERPT_BYTES])
    _skip_to_next(window, start)
    content = content[: max(0, window.at - at - start)]
    return Record(at, headers or {}, content.rstrip(b"\r\n"), size, problem)


def _skip_to_next(window: Window, start: int) -> None:
    while (found := BEGINNING.search(window.held, start)) is None:
        held = len(window.held)
        if window.fill(held + CHUNK_BYTES) == held:
            window.skip(held)
            return
        window.skip(max(start, held - EDGE_BYTES))
        start = 0
    window.skip(found.start())


def parsed(header: bytes, end_of_line: bytes) -> dict[str, str] | None:
    """Headers by their names in small letters, the first of each name; None if they are not those of one record."""
    found: dict[str, str] = {}
    last = None
    for line in header.split(end_of_line):
        if line[:1] in (b" ", b"\t") and last is not None:  # goes on with the line before
            found[last] += " " + _text(line)
        elif HEADER.fullmatch(line):
            name, _, value = line.partition(b":")
            last = name.decode("ascii").lower()
            if last in found and last in ONCE:  # two headers that ran into each other
                return None
            found.setdefault(last, _text(value))
        else:
            return None
    return found


def length(headers: dict[str, str]) -> int | None:
    """Bytes of content."""
    value = headers.get("content-length", "")
    return int(value) if re.fullmatch("[0-9]{1,18}", value) else None


def _text(value: bytes) -> str:
    value = value.strip()
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
