"""What the readers of all formats share: places to read from, and how a value of the input becomes a document."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from metaner_core.reading.extra import encoded, kept
from metaner_core.text.document import Document
from metaner_core.text.languages import primary

MAX_BYTES = 64 * 2**20  # of one document; a longer one is not held in memory but rejected
EXCERPT_BYTES = 1_000  # of a document that cannot be read


class Undecoded(bytes):
    """What the input says is text, and is no UTF-8."""


class Place(NamedTuple):
    """Where one document begins, so that reading can start there.

    offset: byte of the file, or row group of a Parquet file. skip: records to pass over from there. record: its number
    in the file from 1: line, row or WET record.
    """

    offset: int
    skip: int
    record: int


START = Place(0, 0, 1)


def document(
    id_: object, text: object, language: object, extra: Mapping[str, Any] | None, *, otherwise: str
) -> Document:
    """A document of values that may be anything. otherwise: its id if it gives none."""
    usable = isinstance(id_, str | int) and not isinstance(id_, bool) and is_unicode(str(id_)) and str(id_) != ""
    name = str(id_) if usable else otherwise
    if id_ is not None and not usable:
        extra = kept("id", id_, extra)  # not an id to find a row by, but nothing that the input says is lost
    code = language if isinstance(language, str) and primary(language) else None
    if code is None and language not in (None, ""):
        extra = kept("language", language, extra)  # to be identified, and what was given is not lost either
    passed = encoded(extra) if extra else None
    if isinstance(text, Undecoded):
        return unreadable(name, "the text is not UTF-8", text, language=code, extra=passed)
    if not isinstance(text, str):
        return Document(name, None, code, passed, f"text: expected a string, found {_kind(text)}")
    return Document(name, text, code, passed)


def unreadable(
    id_: str, problem: str, content: bytes = b"", *, language: str | None = None, extra: str | None = None
) -> Document:
    """A document that could not be read: its beginning, as far as that is text, and why."""
    excerpt = content[:EXCERPT_BYTES].decode(errors="replace")
    return Document(id_, excerpt or None, language, extra, f"reading: {problem}")


def too_long(size: int) -> str:
    return f"it has {size:,} bytes, at most {MAX_BYTES:,} are read"


def is_storages(error: Exception) -> bool:
    """Whether it is the storage that failed, and the file may be whole; else what it holds is damaged."""
    return isinstance(error, OSError) and (error.errno is not None or "AWS Error" in str(error))


def is_unicode(text: str) -> bool:
    """False for half of a surrogate pair, which no file can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _kind(value: object) -> str:
    return "null" if value is None else type(value).__name__
