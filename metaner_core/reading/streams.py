"""A file's bytes: decompressed, and as UTF-8 if a byte order mark says that they are UTF-16 or UTF-32.

Damage is told from storage that fails: after the one the file can never be read, after the other it may be whole.
"""

import bz2
import codecs
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pyarrow as pa

from metaner_core import storage

BUFFER_BYTES = 4 * 2**20  # read at once: each read is a request to object storage
CHUNK_BYTES = 64 * 2**10  # decompressed at once: what is lost before damage
GZIP = b"\x1f\x8b\x08"
# How a file begins that is compressed, whatever it is called; bz2 has text before its second mark.
BEGINNINGS = {
    "gz": (GZIP,),
    "zst": (b"\x28\xb5\x2f\xfd",),
    "bz2": tuple(b"BZh%d" % n + mark for n in range(1, 10) for mark in (b"1AY&SY", b"\x17rE8P\x90")),
    "xz": (b"\xfd7zXZ\x00",),
    "lz4": (b"\x04\x22\x4d\x18",),
}
COMPRESSED = tuple(f".{kind}" for kind in BEGINNINGS)
BEGINNING_BYTES = 16
# UTF-32's marks first: one of them begins with UTF-16's
MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


class Damaged(Exception):
    """What was compressed cannot be read here; nor can what follows."""


class _StorageFailed(Exception):
    """Carries the storage's own error past decompressors, whose errors are of the same type."""


@contextmanager
def opened(uri: str, offset: int = 0) -> Iterator[tuple[io.BufferedReader, bool]]:
    """The file's content from offset on, and whether offsets are the file's own.

    They are not if it is compressed or transcoded: then the content is given from its beginning. Reading it raises
    Damaged, each time, once it has come to what cannot be decompressed.
    """
    fs, path = storage.filesystem(uri)
    with fs.open_input_file(path) as file:
        beginning = file.read(BEGINNING_BYTES)
        file.seek(0)
        kind = compression(path, beginning)
        if kind is None and _encoding(beginning) is None:
            file.seek(offset)
            yield io.BufferedReader(file, BUFFER_BYTES), True
            return
        content: Any = io.BufferedReader(_Checked(_Raw(file), kind), CHUNK_BYTES)
        if (encoding := _encoding(_peek(content))) is not None:
            content = io.BufferedReader(_Recoded(content, encoding), CHUNK_BYTES)
        yield content, False


def compression(name: str, beginning: bytes) -> str | None:
    """How a file is compressed: what its first bytes say, else its name."""
    for kind, marks in BEGINNINGS.items():
        if beginning.startswith(marks):
            return kind
    if beginning.startswith(b"WARC/"):  # a page that was decompressed on its way here and kept its name
        return None
    return next((kind for kind in BEGINNINGS if name.lower().endswith(f".{kind}")), None)


def _encoding(beginning: bytes) -> str | None:
    return next((name for mark, name in MARKS.items() if beginning.startswith(mark)), None)


def _peek(stream: Any) -> bytes:
    try:
        return stream.peek(BEGINNING_BYTES)
    except Damaged:  # is raised again by whoever reads
        return b""


class _Raw(io.RawIOBase):
    """A file as decompressors take it."""

    def __init__(self, file: pa.NativeFile) -> None:
        self._file = io.BufferedReader(file, BUFFER_BYTES)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        try:
            return self._file.read(size)
        except OSError as error:
            raise _StorageFailed(error) from None


class _Checked(io.RawIOBase):
    """What a file holds when decompressed; kind: None for a file that is not compressed."""

    def __init__(self, raw: _Raw, kind: str | None) -> None:
        codec = {"zst": "zstd", "lz4": "lz4"}.get(kind or "")
        if codec:
            self._read: Callable[[int], bytes] = pa.CompressedInputStream(pa.PythonFile(raw, "r"), codec).read
        else:
            self._read = _Members(raw, _FRESH[kind]).read if kind else raw.read
        self._damage: Damaged | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if self._damage:
            raise self._damage
        try:
            content = self._read(len(buffer))
        except _StorageFailed as failed:
            raise failed.args[0] from None
        except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
            self._damage = Damaged(str(error))
            raise self._damage from None
        buffer[: len(content)] = content
        return len(content)


class Inflater:
    """One gzip member, with the manners of bz2's and lzma's decompressors: what is given and not used is kept.

    Where it is damaged all that comes before is given out first; zlib itself would keep what it has of that to itself.
    """

    def __init__(self) -> None:
        self._zlib, self._error = zlib.decompressobj(wbits=31), None  # type: tuple[Any, zlib.error | None]

    @property
    def eof(self) -> bool:
        return bool(self._zlib.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._zlib.unused_data)

    def decompress(self, content: bytes, size: int) -> bytes:
        """At most so many bytes; none if it needs more content. Raises zlib.error."""
        if self._error:
            raise self._error
        before, content = self._zlib.copy(), self._zlib.unconsumed_tail + content
        try:
            return bytes(self._zlib.decompress(content, size))
        except zlib.error as error:
            self._error = error
        found = bytearray()
        try:
            for n in range(len(content)):  # byte by byte: what a call has made when it fails is lost
                given = content[n : n + 1]
                while byte := before.decompress(given, 1):
                    found += byte
                    given = before.unconsumed_tail
        except zlib.error:
            pass
        return bytes(found) or self.decompress(b"", size)


_FRESH: dict[str | None, Callable[[], Any]] = {
    "gz": Inflater,
    "bz2": bz2.BZ2Decompressor,
    "xz": partial(lzma.LZMADecompressor, format=lzma.FORMAT_XZ),
}


class _Members:
    """Compressed members that follow one another. Zeros after a member are padding, as zcat has it; bz2's and lzma's
    own files would take a member that does not begin as it should for the end, in silence."""

    def __init__(self, raw: _Raw, fresh: Callable[[], Any]) -> None:
        self._raw, self._fresh, self._member, self._given = raw, fresh, fresh(), b""

    def read(self, size: int) -> bytes:
        """Empty at the end. Raises EOFError if it is cut off; zlib.error, OSError or LZMAError if damaged."""
        while True:
            if self._member.eof and not self._next():
                return b""
            given, self._given = self._given, b""
            if content := self._member.decompress(given, size):
                return content  # type: ignore[no-any-return]
            if not self._member.eof:
                self._given = self._raw.read(CHUNK_BYTES)
                if not self._given:
                    raise EOFError("it ends in the middle of what was compressed")

    def _next(self) -> bool:
        """Whether another member begins."""
        left = self._member.unused_data.lstrip(b"\0")
        while not left and (chunk := self._raw.read(CHUNK_BYTES)):
            left = chunk.lstrip(b"\0")
        self._member, self._given = self._fresh() if left else self._member, left
        return bool(left)


class _Recoded(io.RawIOBase):
    """Text of another encoding as UTF-8. What is wrong in it is no UTF-8 either, at its place."""

    def __init__(self, stream: io.BufferedReader, encoding: str) -> None:
        self._stream, self._left, self._ended = stream, b"", False
        self._decoder = codecs.getincrementaldecoder(encoding)(WRONG)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._left and not self._ended:
            chunk = self._stream.read1(CHUNK_BYTES)
            self._ended = not chunk
            self._left = self._decoder.decode(chunk, final=not chunk).encode(errors="surrogatepass")
        content, self._left = self._left[: len(buffer)], self._left[len(buffer) :]
        buffer[: len(content)] = content
        return len(content)


def _wrong(error: UnicodeError) -> tuple[str, int]:
    """Half a surrogate pair for what cannot be decoded: written as it stands, that is no UTF-8."""
    assert isinstance(error, UnicodeDecodeError)
    return "\ud800", error.end


WRONG = "metaner.wrong"
codecs.register_error(WRONG, _wrong)
