"""Parquet whose columns cannot be read, or become no Python value: what is damaged costs itself."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from metaner_core.reading.files import documents
from metaner_core.reading.source import Source, find
from metaner_core.text.document import Document


def read(path: Path, **options: str) -> list[Document]:
    found = find(Source(uri=str(path), **options))
    return [document for n in range(len(found.files)) for _, document in documents(found, n)]


def write(path: Path, extra: Mapping[str, pa.Array], rows: int = 1) -> Path:
    ids, texts = ([f"{start}{n}" for n in range(rows)] for start in ("i", "Ana "))
    pq.write_table(pa.table({"id": ids, "text": texts, **extra}), path)
    return path


@pytest.mark.parametrize(
    ("column", "written"),
    [
        (pa.array([0], pa.timestamp("us", "Mars/Olympus")), "1970-01-01 00:00:00.000000Z"),
        (pa.array([253402300800], pa.timestamp("s")), "10000-01-01 00:00:00.000"),
        (pa.array([-(10**6)], pa.date32()), "-0768-02-04"),
        (pa.array([1], pa.timestamp("ns")), "1970-01-01 00:00:00.000000001"),
        (pa.array([[0]], pa.list_(pa.timestamp("ms", "Mars/Olympus"))), ["1970-01-01 00:00:00.000Z"]),
        (pa.array([{"a": 2932897}], pa.struct([("a", pa.date32())])), {"a": "10000-01-01"}),
        (pa.array([b"caf\xe9"], pa.binary()), "caf\ufffd"),
        (pa.array([None], pa.null()), None),
    ],
)
def test_a_value_without_like_in_python_is_text(tmp_path: Path, column: pa.Array, written: Any) -> None:
    (found,) = read(write(tmp_path / "a.parquet", {"x": column}))
    assert (found.id, found.text, found.problem) == ("i0", "Ana 0", None)
    assert json.loads(found.extra or "") == {"x": written}


def test_columns_of_one_name_are_all_there_and_the_first_counts(tmp_path: Path) -> None:
    arrays = [pa.array([value]) for value in ("first", "i", "second", 1, 2)]
    table = pa.Table.from_arrays(arrays, names=["text", "id", "text", "n", "n"])
    pq.write_table(table, tmp_path / "a.parquet")
    (found,) = read(tmp_path / "a.parquet")
    assert (found.id, found.text) == ("i", "first")
    assert json.loads(found.extra or "") == {"text#2": "second", "n": 1, "n#2": 2}


def break_column(path: Path, group: int, name: str) -> None:
    """Damage the first page's header of a column in a row group."""
    metadata = pq.read_metadata(path).row_group(group)
    (column,) = (c for n in range(metadata.num_columns) if (c := metadata.column(n)).path_in_schema == name)
    content = bytearray(path.read_bytes())
    at = column.dictionary_page_offset or column.data_page_offset
    content[at : at + 20] = b"\xff" * 20
    path.write_bytes(content)


@pytest.mark.parametrize("column", ["n", "n.x.list.element", "id", "language", "text"])
def test_a_damaged_column_costs_itself(tmp_path: Path, column: str) -> None:
    """Also beside one whose name is that of a nested column."""
    rows = [
        {"id": f"i{n}", "text": f"Ana {n}", "language": "es", "n.x": n, "n": {"x": [n]} if "." in column else n}
        for n in range(300)
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet", row_group_size=100)
    break_column(tmp_path / "a.parquet", 1, column)
    found = read(tmp_path / "a.parquet")
    assert [d.problem is None for d in found] == [column != "text" or not 100 <= n < 200 for n in range(300)]
    assert [d.text for d in found if d.problem is None] == [
        r["text"] for r, d in zip(rows, found, strict=True) if not d.problem
    ]
    some = found[150]
    assert some.id == ("a.parquet:151" if column == "id" else "i150")
    assert some.language == (None if column == "language" else "es")
    extra = json.loads(some.extra or "{}")
    assert extra["n.x"] == 150
    broken = some.problem if column == "text" else extra[column.partition(".")[0]]
    assert "damaged: " in str(broken)


def test_a_file_whose_footer_is_gone_is_one_row(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", {})
    path = write(tmp_path / "b.parquet", {}, rows=9)
    path.write_bytes(path.read_bytes()[:-4])
    found = read(tmp_path)
    assert [d.id for d in found] == ["i0", "b.parquet:1"]
    assert (found[1].problem or "").startswith("reading: damaged: ")


def test_columns_that_differ_from_file_to_file(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": [7], "text": ["a"], "language": ["de"]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"text": ["b"], "language": pa.nulls(1)}), tmp_path / "b.parquet")
    pq.write_table(pa.table({"id": [1.5], "text": ["c"], "language": [3]}), tmp_path / "c.parquet")
    pq.write_table(pa.table({"id": ["d"], "body": ["d"]}), tmp_path / "d.parquet")
    pq.write_table(pa.table({"id": ["e"], "text": [b"\xff"]}), tmp_path / "e.parquet")
    found = read(tmp_path)
    assert [(d.id, d.text, d.language) for d in found[:3]] == [
        ("7", "a", "de"),
        ("b.parquet:1", "b", None),
        ("c.parquet:1", "c", None),
    ]
    assert json.loads(found[2].extra or "") == {"id": 1.5, "language": 3}
    assert found[3].problem == "reading: the file has no column 'text'"
    assert found[4].problem == "text: expected a string, found bytes"
    notes = " ".join(find(Source(uri=str(tmp_path))).notes)
    assert "d.parquet: column 'text' is missing; documents of such files are rejected" in notes
