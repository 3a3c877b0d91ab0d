"""Pages of WET whose records are wrong in one way or another: each is counted, and none is tagged in part."""

import gzip
import lzma
from pathlib import Path

import pytest

from metaner_core.reading.files import documents
from metaner_core.reading.source import Input, Source, find
from metaner_core.text.document import Document

TEXTS = ["Ana vive en Lima.", "Rosa Vidal.\r\n\r\nUna línea.", "Kiel."]


def record(n: int, content: bytes, **headers: str | None) -> bytes:
    """A record as Common Crawl writes it; of headers that are given, None leaves one out."""
    named: dict[str, str | None] = {"WARC-Type": "conversion", "WARC-Record-ID": f"<id{n}>"}
    named |= {"Content-Type": "text/plain", "Content-Length": str(len(content))}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{name}: {value}\r\n".encode() for name, value in named.items() if value is not None]
    return b"WARC/1.0\r\n" + b"".join(lines) + b"\r\n" + content + b"\r\n\r\n"


PAGES = [record(n, text.encode()) for n, text in enumerate(TEXTS)]


def read(path: Path, content: bytes, **more: bool) -> list[Document]:
    path.write_bytes(content)
    found = Input("wet", [str(path)], [len(content)], [0], str(path.parent), (None, None, None), **more)
    return [document for _, document in documents(found, 0)]


def whole(found: list[Document]) -> dict[str, str | None]:
    return {document.id: document.text for document in found if document.problem is None}


def the_others(found: list[Document]) -> bool:
    """Whether all but the second page are whole, and that one is rejected."""
    return [d.id for d in found] == ["id0", "id1", "id2"] and whole(found) == {"id0": TEXTS[0], "id2": TEXTS[2]}


@pytest.mark.parametrize("length", [None, "", "-5", "twenty", "0", "11", "20", "40", "9999", "99999999999", "1" * 30])
def test_a_wrong_length_costs_its_record_wherever_it_stands(tmp_path: Path, length: str | None) -> None:
    parts = [PAGES[0], record(1, TEXTS[1].encode(), Content_Length=length), PAGES[2]]
    plain = b"".join(parts)
    contents = {"a.wet": plain, "b.wet.gz": gzip.compress(plain), "c.wet.gz": b"".join(map(gzip.compress, parts))}
    for name, content in contents.items():
        assert the_others(read(tmp_path / name, content)), name


def test_a_length_that_ends_where_a_later_record_ends_costs_its_own(tmp_path: Path) -> None:
    length = len(TEXTS[1].encode()) + 4 + len(PAGES[2]) - 4
    broken = record(1, TEXTS[1].encode(), Content_Length=str(length))
    assert the_others(read(tmp_path / "a.wet", PAGES[0] + broken + PAGES[2]))
    (tmp_path / "b").mkdir()
    found = read(tmp_path / "b" / "a.wet", PAGES[0] + broken + PAGES[2] + record(3, b"Bonn."))
    assert [d.id for d in found if d.problem is None] == ["id0", "id2", "id3"]


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"WARC_Type": None}, "does not say its type"),
        ({"WARC_Type": "conwersion"}, "type is 'conwersion'"),
        ({"WARC_Segment_Number": "1"}, "a part of a page"),
        ({"WARC_Type: conversion\r\nno header": "x"}, "header cannot be read"),
    ],
)
def test_a_record_that_may_be_a_page_is_counted(tmp_path: Path, headers: dict[str, str | None], reason: str) -> None:
    found = read(tmp_path / "a.wet", PAGES[0] + record(1, b"Rosa.", **headers) + PAGES[2])
    assert len(found) == 3
    assert reason in (found[1].problem or "")
    assert whole(found) == {"id0": TEXTS[0], "id2": TEXTS[2]}


def test_without_an_id_a_page_has_that_of_its_place(tmp_path: Path) -> None:
    assert list(whole(read(tmp_path / "a.wet", record(0, b"Ana.", WARC_Record_ID=None)))) == ["a.wet:1"]


def test_other_types_are_no_documents(tmp_path: Path) -> None:
    kinds = ("warcinfo", "response", "request", "metadata", "revisit")
    assert read(tmp_path / "a.wet", b"".join(record(1, b"x", WARC_Type=kind) for kind in kinds)) == []


@pytest.mark.parametrize("padding", [b"\0" * 1000, b"\r\n", b"\n\n", b"\0" * 200_000])
def test_padding_is_nothing(tmp_path: Path, padding: bytes) -> None:
    plain = read(tmp_path / "a.wet", padding.join(PAGES) + padding)
    assert list(whole(plain).values()) == TEXTS
    assert len(plain) == 3
    zeros, members = bytes(len(padding)), list(map(gzip.compress, PAGES))
    found = read(tmp_path / "a.wet.gz", zeros.join(members) + zeros)
    assert (list(whole(found).values()), len(found)) == (TEXTS, 3)


def test_what_stands_between_records_is_one_rejected_row(tmp_path: Path) -> None:
    members = list(map(gzip.compress, PAGES))
    found = read(tmp_path / "a.wet.gz", members[0] + b"<html>" * 99 + members[1] + members[2])
    assert list(whole(found).values()) == TEXTS
    assert len(found) == 4


def test_a_page_that_quotes_an_archive_is_whole(tmp_path: Path) -> None:
    text = "A record begins\r\n\r\nWARC/1.0\r\nWARC-Type: conversion\r\nContent-Length: 4\r\n\r\nAna.\r\n\r\nand ends."
    assert list(whole(read(tmp_path / "a.wet", record(0, text.encode()) + PAGES[2])).values()) == [text, TEXTS[2]]


@pytest.mark.parametrize("before", ["", "A record:\r\n"])
def test_a_page_that_ends_in_a_record_which_it_quotes(tmp_path: Path, before: str) -> None:
    """Every record has an id: what has none is a quotation. What has one cannot be told from a record of the file."""
    header = "WARC/1.0\r\nWARC-Type: conversion\r\n{}Content-Length: 4\r\n\r\nAna."
    text = before + header.format("")
    assert list(whole(read(tmp_path / "a.wet", record(0, text.encode()) + PAGES[2])).values()) == [text, TEXTS[2]]
    with_id = before + header.format("WARC-Record-ID: <urn:uuid:0>\r\n")
    found = read(tmp_path / "b.wet", record(0, with_id.encode()) + PAGES[2])
    assert TEXTS[2] in whole(found).values()
    assert any("other records are part of it" in (document.problem or "") for document in found)


def test_a_record_that_ends_with_the_file_must_be_whole(tmp_path: Path) -> None:
    for cut in range(1, 5):
        found = read(tmp_path / "a.wet", b"".join(PAGES)[:-cut])
        assert (list(whole(found)), len(found)) == (["id0", "id1"], 3)


def test_line_ends_of_one_byte(tmp_path: Path) -> None:
    content = b"".join(page.replace(b"\r\n", b"\n") for page in PAGES if b"Rosa" not in page)
    assert list(whole(read(tmp_path / "a.wet", content)).values()) == [TEXTS[0], TEXTS[2]]


def test_compressed_otherwise_and_cut_off(tmp_path: Path) -> None:
    content = lzma.compress(b"".join(PAGES))
    assert list(whole(read(tmp_path / "a.wet.xz", content)).values()) == TEXTS
    found = read(tmp_path / "b.wet.xz", content[:-20])
    assert "lost" in (found[-1].problem or "")


def test_ids_given_twice_can_be_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.warc.wet").write_bytes(PAGES[0] * 2)
    found = find(Source(uri=str(tmp_path), id_column="none"))
    assert not found.gives_ids
    assert [(d.id, d.extra) for _, d in documents(found, 0)] == [
        (f"a.warc.wet:{n}", '{"content_type": "text/plain", "record_id": "id0"}') for n in (1, 2)
    ]
