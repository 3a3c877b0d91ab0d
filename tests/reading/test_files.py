"""Documents out of files: each one can be read from its own place, and what is damaged is a document that says so."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metaner_core.reading import record
from metaner_core.reading.files import Cutter, documents, read
from metaner_core.reading.formats import lines
from metaner_core.reading.source import Input, Source, find
from metaner_core.text.document import Document
from tests.support import wet

PAGES = [(f"urn:uuid:{n}", f"Página {n}.\n".encode() * (n % 7 + 1)) for n in range(40)]
TEXTS = {id_: text.decode() for id_, text in PAGES}


def all_of(path: Path, **options: str) -> list[Document]:
    found = find(Source(uri=str(path), **options))
    return [document for file in range(len(found.files)) for _, document in documents(found, file)]


def by_id(path: Path, **options: str) -> dict[str, Document]:
    return {document.id: document for document in all_of(path, **options)}


def damaged(path: Path, change: Callable[[bytearray], object]) -> Path:
    content = bytearray(path.read_bytes())
    change(content)
    path.write_bytes(content)
    return path


def jsonl(rows: list[object]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def write_all(folder: Path) -> list[Path]:
    """One file of each format, with a bad document in some."""
    rows = [{"id": id_, "text": text, "n": n} for n, (id_, text) in enumerate(TEXTS.items())]
    content = jsonl(rows[:20]) + b"\n{broken\n" + jsonl(rows[20:])
    (folder / "a.jsonl").write_bytes(content)
    (folder / "b.jsonl.gz").write_bytes(gzip.compress(content))
    with pa.output_stream(str(folder / "c.jsonl.zst"), compression="zstd") as file:
        file.write(content)
    wet.write(folder / "d.warc.wet.gz", PAGES)
    wet.write(folder / "e.warc.wet", PAGES, gzip=False)
    (folder / "f.warc.wet.gz").write_bytes(gzip.compress(wet.wet(PAGES, gzip=False)))
    pq.write_table(pa.Table.from_pylist(rows), folder / "g.parquet", row_group_size=7)
    (folder / "h.txt").write_bytes(b"one\r\n\n\xff\n" + b"".join(text for _, text in PAGES))
    return sorted(folder.iterdir())


@pytest.mark.parametrize("size", [1, 300, 1500, 10**9])
def test_stretches_hold_all_documents_once_and_in_order(tmp_path: Path, size: int) -> None:
    for path in write_all(tmp_path):
        found = find(Source(uri=str(path)))
        cutter, whole = Cutter(0, size), []
        for place, document in documents(found, 0):
            cutter.add(place, document)
            whole.append(document)
        stretches = cutter.close()
        assert [document for stretch in stretches for document in read(found, stretch)] == whole
        assert len(whole) >= 40
        assert sum(stretch.documents for stretch in stretches) == len(whole)
        assert len(stretches) == (len(whole) if size == 1 else 1 if size == 10**9 else len(stretches))


@pytest.mark.parametrize("name", ["d.warc.wet.gz", "e.warc.wet", "f.warc.wet.gz"])
def test_wet_gives_text_id_and_headers(tmp_path: Path, name: str) -> None:
    write_all(tmp_path)
    found = by_id(tmp_path / name)
    assert {id_: document.text for id_, document in found.items()} == TEXTS
    extra = json.loads(found["urn:uuid:3"].extra or "")
    assert (extra["url"], extra["content_languages"]) == ("http://example.org/urn:uuid:3", "eng")
    assert extra["date"].startswith("20")


def test_wet_that_is_cut_off_says_so(tmp_path: Path) -> None:
    for cut in (1, 200, 3000):
        path = damaged(
            wet.write(tmp_path / f"{cut}.warc.wet.gz", PAGES),
            lambda content, cut=cut: content.__delitem__(slice(-cut, None)),
        )
        *whole, last = all_of(path)
        assert all(TEXTS[document.id] == document.text for document in whole)
        assert last.problem is not None
        assert last.problem.startswith("reading: damaged or cut off")


def test_damage_costs_one_document_of_wet(tmp_path: Path) -> None:
    def change(content: bytearray) -> None:
        for at in range(len(content) // 2, len(content) // 2 + 8):
            content[at] ^= 0x5A

    for name, gz in (("a.warc.wet.gz", True), ("b.warc.wet", False)):
        path = damaged(wet.write(tmp_path / name, PAGES, gzip=gz), change)
        found = [
            document
            for document in all_of(path)
            if document.problem is None and TEXTS.get(document.id) == document.text
        ]
        assert len(found) >= 38, name


def test_what_is_no_wet_is_one_document_with_a_problem(tmp_path: Path) -> None:
    (tmp_path / "a.warc.wet").write_bytes(b"<html>no archive</html>\n" * 50)
    (found,) = all_of(tmp_path / "a.warc.wet")
    assert found.id == "a.warc.wet:1"
    assert (found.problem or "").startswith("reading: damaged or cut off")


def test_text_that_is_not_utf8_is_a_problem_and_keeps_its_beginning(tmp_path: Path) -> None:
    (found,) = all_of(wet.write(tmp_path / "a.warc.wet.gz", [("x", b"caf\xe9" * 1000)]))
    assert found.problem == "reading: the text is not UTF-8"
    assert (found.text or "").startswith("caf\ufffd")
    assert len(found.text or "") <= record.EXCERPT_BYTES


def test_a_damaged_gzip_stream_of_lines_gives_what_is_before_and_says_so(tmp_path: Path) -> None:
    content = jsonl([{"id": f"i{n}", "text": f"{n * 7919}"} for n in range(20_000)])
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(content)[:-2000])
    *whole, last = all_of(tmp_path / "a.jsonl.gz")
    assert [document.id for document in whole] == [f"i{n}" for n in range(len(whole))]
    assert len(whole) > 10_000
    assert last.id == f"a.jsonl.gz:{len(whole) + 1}"
    assert (last.problem or "").startswith("reading: the file is damaged")


def test_jsonl_that_holds_no_text_says_why(tmp_path: Path) -> None:
    rows = ['{"id": "null", "text": null}', '{"id": 7, "text": 7}', '{"text": "x"}', "{broken", "", "[1]"]
    half = ['{"id": "\\ud800", "text": "x"}', '{"id": 1.5, "text": "x"}', '{"id": "u", "text": "x", "language": "de"}']
    (tmp_path / "a.jsonl").write_text("\ufeff" + "\n".join(rows + half), encoding="utf-8")
    found = by_id(tmp_path / "a.jsonl")
    assert found["null"].problem == "text: expected a string, found null"
    assert found["7"].problem == "text: expected a string, found int"
    assert found["a.jsonl:3"] == Document("a.jsonl:3", "x")
    assert (found["a.jsonl:4"].problem or "").startswith("reading: the line is no JSON object: ")
    assert found["a.jsonl:6"].problem == "reading: the line is no JSON object: expected an object, found list"
    assert found["a.jsonl:7"].extra == r'{"id": "\\ud800"}'
    assert found["a.jsonl:8"].extra == '{"id": 1.5}'
    assert found["u"].language == "de"
    assert len(found) == 8


def test_other_columns_pass_through(tmp_path: Path) -> None:
    values = {"url": "http://ñ", "n": [1, {"a": None}]}
    (tmp_path / "a.jsonl").write_bytes(jsonl([{"id": "a", "text": "x", **values}]))
    pq.write_table(
        pa.table({"id": ["a"], "text": ["x"], "when": pa.array([0], pa.timestamp("s"))}), tmp_path / "b.parquet"
    )
    assert json.loads(by_id(tmp_path / "a.jsonl")["a"].extra or "") == values
    assert json.loads(by_id(tmp_path / "b.parquet")["a"].extra or "") == {"when": "1970-01-01 00:00:00"}


def test_parquet_whose_text_is_not_utf8_or_null(tmp_path: Path) -> None:
    raw = pa.array([b"ok", b"caf\xe9", None])
    text = pa.StringArray.from_buffers(3, raw.buffers()[1], raw.buffers()[2], raw.buffers()[0])
    pq.write_table(pa.table({"nr": [1, 2, 3], "body": text}), tmp_path / "a.parquet")
    found = by_id(tmp_path / "a.parquet", id_column="nr", text_column="body")
    assert (found["1"].text, found["1"].problem) == ("ok", None)
    assert (found["2"].text, found["2"].problem) == ("caf\ufffd", "reading: the text is not UTF-8")
    assert found["3"].problem == "text: expected a string, found null"


def test_damage_costs_one_row_group_of_parquet(tmp_path: Path) -> None:
    rows = [{"id": f"i{n}", "text": f"{n * 7919} " * 50} for n in range(400)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet", row_group_size=100, compression="zstd")
    column = pq.ParquetFile(tmp_path / "a.parquet").metadata.row_group(1).column(1)

    def change(content: bytearray) -> None:
        at = column.dictionary_page_offset or column.data_page_offset
        content[at : at + 40] = b"\xff" * 40  # a page's header; its content has no checksum

    damaged(tmp_path / "a.parquet", change)
    found = by_id(tmp_path / "a.parquet")
    broken = [document for document in found.values() if document.problem]
    assert [document.id for document in broken] == [f"i{n}" for n in range(100, 200)]  # as the metadata says
    assert all((document.problem or "").startswith("reading: damaged: ") for document in broken)
    assert [*found] == [f"i{n}" for n in range(400)]


def test_plain_text_is_a_document_a_line_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_bytes("\ufeffEn Ávila.\r\n\n\ufeffAna".encode())
    lines_ = {document.id: document.text for document in all_of(tmp_path / "one.txt")}
    assert lines_ == {"one.txt:1": "En Ávila.", "one.txt:2": "", "one.txt:3": "\ufeffAna"}
    (whole,) = all_of(tmp_path, format="files")
    assert whole == Document("one.txt", "En Ávila.\r\n\n\ufeffAna")


def test_a_huge_document_is_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (lines, record, __import__("metaner_core.reading.formats.wet", fromlist=["x"])):
        monkeypatch.setattr(module, "MAX_BYTES", 1000)
    (tmp_path / "a.txt").write_bytes(b"x" * 5000 + b"\nnext\n" + b"y" * 1000)
    huge, following, fits = all_of(tmp_path / "a.txt")
    assert huge.problem == "reading: it has 5,001 bytes, at most 67,108,864 are read".replace("67,108,864", "1,000")
    assert (following.text, len(fits.text or "")) == ("next", 1000)
    huge, following = all_of(wet.write(tmp_path / "b.warc.wet.gz", [("h", b"x" * 5000), ("n", b"next")]))
    assert (huge.id, huge.problem) == ("h", "reading: it has 5,000 bytes, at most 1,000 are read")
    assert following.text == "next"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.binary(max_size=300),
    name=st.sampled_from(["a.jsonl", "a.txt", "a.warc.wet", "a.warc.wet.gz", "a.parquet"]),
)
def test_no_bytes_stop_a_reader(tmp_path: Path, content: bytes, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    kind = {"jsonl": "jsonl", "txt": "text", "parquet": "parquet"}.get(name.partition(".")[2], "wet")
    found = Input(kind, [str(path)], [len(content)], [0], str(tmp_path), ("id", "text", None))
    for place, document in documents(found, 0):
        again = next(read_from for _, read_from in documents(found, 0, place))
        assert again == document
