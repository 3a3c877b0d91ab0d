"""Which columns are taken for id, text and language, asked or unasked."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from metaner_core.reading.files import documents
from metaner_core.reading.source import Source, find
from metaner_core.text.document import Document


def parquet(path: Path, **columns: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


def read(path: Path | str, **options: str) -> list[Document]:
    found = find(Source(uri=str(path), **options))
    return [document for n in range(len(found.files)) for _, document in documents(found, n)]


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("language", pa.nulls(1)),
        ("language", pa.array([1.5])),
        ("language", pa.array([["de"]])),
        ("id", pa.array([1.0])),
        ("id", pa.nulls(1)),
    ],
)
def test_a_column_that_cannot_be_it_is_not_taken_unasked(tmp_path: Path, column: str, values: pa.Array) -> None:
    path = parquet(tmp_path / "a.parquet", text=["Ana"], **{column: values})
    found = find(Source(uri=str(path)))
    assert found.columns == (None, "text", None)
    (note,) = found.notes
    assert note.startswith(f"{path}: column '{column}' holds ")
    assert note.endswith(f", so it is not taken for the {column}; it goes to `extra`")
    (document,) = read(path)
    assert json.loads(document.extra or "") == {column: values[0].as_py()}


@pytest.mark.parametrize("column", ["language", "id"])
def test_asked_for_it_is_refused_and_the_way_out_works(tmp_path: Path, column: str) -> None:
    path = parquet(tmp_path / "a.parquet", text=["Ana"], **{column: [1.5]})
    with pytest.raises(ValueError, match=rf"the {column} column must hold strings: name another, or 'none' with --"):
        find(Source(uri=str(path), **{f"{column}_column": column}))
    assert find(Source(uri=str(path), **{f"{column}_column": "none"})).columns == (None, "text", None)


def test_none_leaves_good_columns_to_extra(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": "x", "text": "Ana", "language": "de"}\n')
    (document,) = read(path, id_column="none", language_column="none")
    assert document == Document("a.jsonl:1", "Ana", None, '{"id": "x", "language": "de"}')


def test_the_first_file_does_not_decide_alone(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", text=["a"], language=pa.nulls(1))
    parquet(tmp_path / "b.parquet", text=["b"], language=["de"], id=["x"])
    found = find(Source(uri=str(tmp_path)))
    assert found.columns == ("id", "text", "language")
    assert [(d.id, d.language) for d in read(tmp_path)] == [("a.parquet:1", None), ("x", "de")]
    assert len(found.notes) == 2


def test_nor_does_the_first_file_of_jsonl(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n')
    (tmp_path / "b.jsonl").write_text('{"text": "b", "id": "x", "language": "de"}\n')
    (tmp_path / "c.jsonl").write_text("no JSON\n")
    assert find(Source(uri=str(tmp_path))).columns == ("id", "text", "language")
    assert [d.id for d in read(tmp_path)] == ["a.jsonl:1", "x", "c.jsonl:1"]


def test_of_many_files_those_at_the_end_are_looked_at_too(tmp_path: Path) -> None:
    for n in range(200):
        extra = {"id": ["x"]} if n > 150 else {}
        parquet(tmp_path / f"{n:03}.parquet", text=["a"], **extra)
    assert find(Source(uri=str(tmp_path))).columns[0] == "id"


def test_folders_are_columns(tmp_path: Path) -> None:
    parquet(tmp_path / "year=2024" / "language=de" / "a.parquet", id=["a"], text=["a"])
    parquet(tmp_path / "year=2024" / "language=zh%2DTW" / "b.parquet", id=["b"], text=["b"])
    parquet(tmp_path / "year=2024" / "language=__HIVE_DEFAULT_PARTITION__" / "c.parquet", id=["c"], text=["c"])
    parquet(tmp_path / "year=2024" / "language=nl" / "d.parquet", id=["d"], text=["d"], language=["de"])
    found = read(tmp_path)
    assert [(d.id, d.language) for d in found] == [("c", None), ("a", "de"), ("d", "de"), ("b", "zh-TW")]
    assert all(json.loads(d.extra or "") == {"year": "2024"} for d in found)
    (one,) = read(tmp_path / "year=2024" / "language=de")
    assert one.language == "de"


@pytest.mark.parametrize(("name", "format_"), [("a.txt", "text"), ("a.txt", "files"), ("a.jsonl", "jsonl")])
def test_folders_are_columns_of_other_formats(tmp_path: Path, name: str, format_: str) -> None:
    path = tmp_path / "in" / "source=web" / "language=de" / name
    path.parent.mkdir(parents=True)
    path.write_text('{"text": "Ana"}' if format_ == "jsonl" else "Ana")
    (document,) = read(tmp_path / "in", format=format_)
    assert (document.text, document.language, document.extra) == ("Ana", "de", '{"source": "web"}')
    (document,) = read(tmp_path / "in", format=format_, language_column="none")
    assert (document.language, json.loads(document.extra or "")) == (None, {"source": "web", "language": "de"})


@pytest.mark.parametrize(("name", "option"), [("a.txt", "id"), ("a.txt", "language"), ("a.warc.wet", "id")])
def test_columns_of_formats_without_columns_are_refused(tmp_path: Path, name: str, option: str) -> None:
    (tmp_path / name).write_text("x")
    with pytest.raises(ValueError, match=rf"--{option}-column x: "):
        find(Source(uri=str(tmp_path), **{f"{option}_column": "x"}))
