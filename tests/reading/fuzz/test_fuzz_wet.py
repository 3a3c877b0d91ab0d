"""WET files damaged anywhere: records that are whole come out as they are, and no text is cut in silence."""

import bz2
import gzip
import lzma
import zlib
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from metaner_core.reading.files import documents
from metaner_core.reading.source import Input
from metaner_core.reading.streams import BEGINNING_BYTES, compression
from metaner_core.text.document import Document
from tests.support.damage import Bytes, damage, damages, fuzz

LINE = b"WARC/1.0\r\n"
QUOTED = ["WARC/1.0\r\n", "WARC-Type: conversion\r\n", "Content-Length: 5\r\n", "\r\n", "\n\n", "\0", "Wien 1. Mai "]
TEXTS = st.lists(
    st.lists(st.sampled_from(QUOTED) | st.text(st.characters(codec="utf-8"), max_size=30), max_size=8).map("".join),
    min_size=1,
    max_size=5,
)
HEADERS = [b"WARC-Type", b"WARC-Record-ID", b"WARC-Target-URI", b"Content-Length", b"Content-Type"]


def record(name: str, text: str, *, type_: str = "conversion", wrong: int = 0, without: bytes | None = None) -> bytes:
    """A record of WET; wrong: added to its length. without: a header that is left out."""
    content = text.encode()
    headers = [b"WARC-Type: " + type_.encode(), b"WARC-Record-ID: <" + name.encode() + b">"]
    headers += [b"WARC-Target-URI: http://example.org/", b"Content-Type: text/plain"]
    headers.append(b"Content-Length: " + str(len(content) + wrong).encode())
    kept = [line for line in headers if without is None or not line.startswith(without + b":")]
    return LINE + b"\r\n".join(kept) + b"\r\n\r\n" + content + b"\r\n\r\n"


def pages(texts: Sequence[str]) -> list[bytes]:
    return [record("info", "software: x", type_="warcinfo"), *(record(f"id{n}", t) for n, t in enumerate(texts))]


def read(path: Path, content: bytes) -> list[Document]:
    """All documents, each of which is there again when reading begins at its place."""
    path.write_bytes(content)
    found = Input("wet", [str(path)], [len(content)], [0], str(path.parent), (None, None, None))
    places = list(documents(found, 0))
    for n, (place, document) in enumerate(places):
        if n % 3 == 0:
            assert next(documents(found, 0, place)) == (place, document)
    return [document for _, document in places]


def require(found: Sequence[Document], name: str, text: str) -> None:
    assert any((d.id, d.text, d.problem) == (name, text, None) for d in found), (name, text, found)


def begins_as(file: Bytes, kind: str | None) -> bool:
    """Whether its first bytes do not say, by damage, that it is compressed in another way or not at all."""
    return compression("a.gz" if kind == "gz" else "a", file.content()[:BEGINNING_BYTES]) == kind


def followed(file: Bytes, end: int) -> bool:
    """Whether zeros at most stand between here and a record's first line, or the end."""
    rest = file.content()[end:].lstrip(b"\0")
    return not rest or rest.startswith(LINE + b"WARC-Type:")


@fuzz
@given(texts=TEXTS, what=damages())
def test_plain(tmp_path: Path, texts: list[str], what: list[tuple[str, int, int, bytes]]) -> None:
    file = damage(Bytes(pages(texts)), what)
    found = read(tmp_path / "a.warc.wet", file.content())
    assume(begins_as(file, None))
    for n, text in enumerate(texts):
        places = file.whole(n + 1)
        if any(followed(file, at + len(file.parts[n + 1])) for at in places):
            require(found, f"id{n}", text)


@fuzz
@given(texts=TEXTS, what=damages())
def test_gzip_by_member(tmp_path: Path, texts: list[str], what: list[tuple[str, int, int, bytes]]) -> None:
    file = damage(Bytes([gzip.compress(page, mtime=0) for page in pages(texts)]), what)
    found = read(tmp_path / "a.warc.wet.gz", file.content())
    assume(begins_as(file, "gz"))
    for n, text in enumerate(texts):
        if file.whole(n + 1):
            require(found, f"id{n}", text)


@fuzz
@given(texts=TEXTS, what=damages(1, 1))
def test_gzip_as_one_member(tmp_path: Path, texts: list[str], what: list[tuple[str, int, int, bytes]]) -> None:
    parts = pages(texts)
    file = damage(Bytes([gzip.compress(b"".join(parts), mtime=0)]), what)
    found = read(tmp_path / "a.warc.wet.gz", file.content())
    same = next((n for n, byte in enumerate(file.bytes) if (byte.part, byte.at) != (0, n)), len(file.bytes))
    whole = len(zlib.decompressobj(31).decompress(file.content()[:same]))
    end = len(parts[0])
    for n, text in enumerate(texts):
        end += len(parts[n + 1])
        if end + len(LINE + b"WARC-Type:") <= whole:
            require(found, f"id{n}", text)


def reads_as_a_quotation(parts: Sequence[bytes], wrong: Sequence[int], damaged: Sequence[bool]) -> bool:
    """Whether a length that is wrong ends at two line ends by chance: behind records none of which is right, or in its
    own text before a line that begins a record.

    Nothing tells that from a page about archives, which quotes records that are not whole, or from a page that ends
    where its length says and a record that is not whole behind it. wrong: by how much a length
    is. damaged: whether anything is wrong with the record.
    """
    content, ends = b"".join(parts), list(accumulate(map(len, parts)))
    last = [end - 4 + more for end, more in zip(ends, wrong, strict=True)]
    return any(
        content.startswith(b"\r\n\r\n" if wrong[n] > 0 else b"\r\n\r\nWARC/", last[n])
        and all(damaged[m] for m in range(n + 1, len(parts)) if ends[m - 1] < last[n])
        for n in range(len(parts))
        if wrong[n]
    )


WRONG = st.tuples(st.integers(-80, 900) | st.integers(-(2**33), 2**33), st.none()) | st.tuples(
    st.just(0), st.sampled_from(HEADERS)
)


def compressed(content: bytes, codec: str) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, codec) as stream:
        stream.write(content)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


@fuzz
@given(texts=TEXTS, wrong=st.lists(WRONG | st.none(), min_size=1, max_size=5))
def test_headers_that_are_wrong(tmp_path: Path, texts: list[str], wrong: list[tuple[int, bytes | None] | None]) -> None:
    how = [(0, None) if not wrong[n % len(wrong)] else wrong[n % len(wrong)] for n in range(len(texts))]
    parts = pages(texts)[:1]
    parts += [record(f"id{n}", t, wrong=w[0], without=w[1]) for n, (t, w) in enumerate(zip(texts, how, strict=True))]
    assume(not reads_as_a_quotation(parts[1:], [wrong for wrong, _ in how], [w != (0, None) for w in how]))
    found = read(tmp_path / "a.warc.wet", b"".join(parts))
    for n, text in enumerate(texts):
        if how[n] == (0, None):
            require(found, f"id{n}", text)
    of = {f"id{n}": text for n, text in enumerate(texts)}
    tagged = [d for d in found if d.problem is None and d.id in of]
    assert all((d.text or "").rstrip("\r\n \t\0") == of[d.id].rstrip("\r\n \t\0") for d in tagged)
    assert len(found) >= len(texts)
    plain = [(d.text, d.problem) for d in found]
    content = b"".join(parts)
    others = {"gz": gzip.compress(content), "xz": lzma.compress(content), "bz2": bz2.compress(content)}
    others |= {"zst": compressed(content, "zstd"), "lz4": compressed(content, "lz4")}
    for ending, changed in others.items():
        again = read(tmp_path / f"a.warc.wet.{ending}", changed)
        assert Counter((d.text, d.problem) for d in again) == Counter(plain), ending
    members = b"".join(map(gzip.compress, parts))
    assert len(read(tmp_path / "b.warc.wet.gz", members)) >= len(texts)


@pytest.mark.parametrize("delta", [*range(-40, 200)])
def test_any_wrong_length_costs_one_record(tmp_path: Path, delta: int) -> None:
    texts = ["Ana vive en Lima.\n" * 2, "Rosa\r\n\r\nVidal \nen Kiel", "Kiel"]
    parts = pages(texts)
    parts[2] = record("id1", texts[1], wrong=delta)
    for content in (b"".join(parts), gzip.compress(b"".join(parts)), b"".join(map(gzip.compress, parts))):
        found = read(tmp_path / "a.warc.wet", content)
        assert [d.id for d in found if d.problem is None] == (["id0", "id1", "id2"] if delta == 0 else ["id0", "id2"])
        assert len(found) == 3
