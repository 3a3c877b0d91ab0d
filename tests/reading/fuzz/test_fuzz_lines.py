"""JSONL and text damaged anywhere, or holding anything: lines that are whole come out as they are."""

import codecs
import gzip
import json
import zlib
from pathlib import Path
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from metaner_core.reading.files import documents
from metaner_core.reading.source import Input
from metaner_core.reading.streams import BEGINNINGS, MARKS
from metaner_core.text.document import Document
from tests.support.damage import Bytes, damage, damages, fuzz

HUGE = object()  # a number of more digits than Python reads; nor does it print one
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(HUGE) | st.just(-(10**300)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
TEXTS = st.lists(st.text(st.characters(codec="utf-8"), max_size=60), min_size=1, max_size=6)
COLUMNS = ("id", "text", "language")


def read(path: Path, content: bytes, kind: str = "jsonl") -> list[Document]:
    """All documents, each of which is there again when reading begins at its place."""
    path.write_bytes(content)
    columns = COLUMNS if kind == "jsonl" else (None, None, None)
    found = Input(kind, [str(path)], [len(content)], [0], str(path.parent), columns)
    places = list(documents(found, 0))
    for n, (place, document) in enumerate(places):
        if n % 3 == 0:
            assert next(documents(found, 0, place)) == (place, document)
    return [document for _, document in places]


def lines(texts: list[str]) -> list[bytes]:
    rows = [{"id": f"id{n}", "text": text, "n": n} for n, text in enumerate(texts)]
    return [json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows]


def require(found: list[Document], n: int, text: str) -> None:
    assert any((d.id, d.text, d.problem, d.extra) == (f"id{n}", text, None, f'{{"n": {n}}}') for d in found), found


@fuzz
@given(texts=TEXTS, what=damages())
def test_damaged_jsonl(tmp_path: Path, texts: list[str], what: list[tuple[str, int, int, bytes]]) -> None:
    file = damage(Bytes(lines(texts)), what)
    content = file.content()
    assume(not content.startswith((*MARKS, *(mark for marks in BEGINNINGS.values() for mark in marks))))
    found = read(tmp_path / "a.jsonl", content)
    for n, text in enumerate(texts):
        if any(at == 0 or content[at - 1 : at] == b"\n" for at in file.whole(n)):
            require(found, n, text)


@fuzz
@given(texts=TEXTS, what=damages(1, 1))
def test_damaged_jsonl_in_gzip(tmp_path: Path, texts: list[str], what: list[tuple[str, int, int, bytes]]) -> None:
    parts = lines(texts)
    file = damage(Bytes([gzip.compress(b"".join(parts), mtime=0)]), what)
    found = read(tmp_path / "a.jsonl.gz", file.content())
    same = next((n for n, byte in enumerate(file.bytes) if (byte.part, byte.at) != (0, n)), len(file.bytes))
    whole = len(zlib.decompressobj(31).decompress(file.content()[:same]))
    for n, text in enumerate(texts):
        if sum(map(len, parts[: n + 1])) <= whole:
            require(found, n, text)


@fuzz
@given(id_=VALUES, text=VALUES, language=VALUES, extra=VALUES)
def test_any_json_is_one_document(tmp_path: Path, id_: Any, text: Any, language: Any, extra: Any) -> None:
    row = {"id": id_, "text": text, "language": language, "extra": extra}
    (found,) = read(tmp_path / "a.jsonl", (dumped(row) + "\n").encode())
    if isinstance(text, str):
        assert (found.text, found.problem) == (text, None)
    else:
        assert found.problem is not None
    assert isinstance(json.loads(found.extra or "{}", parse_int=str), dict)


def dumped(value: Any) -> str:
    """JSON of any value, numbers of any length among them."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)}: {dumped(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(dumped, value)) + "]"
    return "1" + "0" * 5000 if value is HUGE else json.dumps(value)


@fuzz
@given(depth=st.integers(1, 3000), opening=st.sampled_from(['{"a":', "["]))
def test_any_depth_is_one_document(tmp_path: Path, depth: int, opening: str) -> None:
    nested = opening * depth + "1" + {"[": "]"}.get(opening, "}") * depth
    first, second = read(tmp_path / "a.jsonl", f'{{"id": "x", "text": "y", "n": {nested}}}\n{{"text": "z"}}\n'.encode())
    assert (
        (first.text == "y")
        if depth < 190
        else (first.problem or "").endswith("nested more than 200 deep") or depth < 200
    )
    assert second.text == "z"


@fuzz
@given(
    texts=TEXTS,
    encoding=st.sampled_from(["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be", "utf-8"]),
    kind=st.sampled_from(["jsonl", "text", "files"]),
    gz=st.booleans(),
)
def test_texts_of_any_encoding_with_a_mark(
    tmp_path: Path, texts: list[str], encoding: str, kind: str, gz: bool
) -> None:
    texts = [text.replace("\n", " ").replace("\r", " ").replace("\0", " ") for text in texts]
    content = b"".join(lines(texts)).decode() if kind == "jsonl" else "\n".join([*texts, "x"])
    encoded = ("\ufeff" + content).encode(encoding)
    found = read(tmp_path / ("a.gz" if gz else "a"), gzip.compress(encoded) if gz else encoded, kind)
    expected = [content] if kind == "files" else texts if kind == "jsonl" else [*texts, "x"]
    assert [d.text for d in found] == expected
    assert not any(d.problem for d in found)


@fuzz
@given(texts=TEXTS, wrong=st.binary(min_size=1, max_size=8), at=st.integers(0, 400))
def test_utf16_with_anything_in_it_stops_nothing(tmp_path: Path, texts: list[str], wrong: bytes, at: int) -> None:
    content = codecs.BOM_UTF16_LE + "\n".join(texts).encode("utf-16-le")
    read(tmp_path / "a", content[: 2 + at] + wrong + content[2 + at :], "text")
