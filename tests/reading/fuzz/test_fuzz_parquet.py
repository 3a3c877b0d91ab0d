"""Parquet damaged anywhere, or with columns of any type: each row that its metadata speaks of is one document."""

import datetime as dt
import decimal
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, reject
from hypothesis import strategies as st

from metaner_core.reading.files import documents
from metaner_core.reading.source import Input, Source, find
from metaner_core.text.document import Document
from tests.support.damage import Bytes, damage, damages, fuzz

UNITS = st.sampled_from(["ms", "us", "ns"])
ZONES = st.sampled_from([None, "UTC", "Europe/Vienna", "Mars/Olympus", "+25:99", "+02:00"])
FIXED = [pa.null(), pa.bool_(), pa.int8(), pa.uint64(), pa.float16(), pa.float32(), pa.float64(), pa.string()]
FIXED += [pa.large_string(), pa.binary(), pa.binary(3), pa.date32(), pa.date64(), pa.time32("ms"), pa.time64("ns")]
FIXED += [pa.decimal128(38, 5), pa.decimal256(70, 2), pa.dictionary(pa.int32(), pa.string())]
LEAVES: st.SearchStrategy[pa.DataType] = (
    st.sampled_from(FIXED) | st.builds(pa.timestamp, UNITS, ZONES) | st.builds(pa.duration, UNITS)
)
NAMES = st.sampled_from(["a", "b", "a.b", "text", "id", "language", "", "é", "list", "element"])
TYPES = st.recursive(
    LEAVES,
    lambda inner: (
        st.builds(pa.list_, inner)
        | st.builds(pa.large_list, inner)
        | st.builds(pa.map_, st.just(pa.string()), inner)
        | st.lists(st.tuples(st.sampled_from("xyz"), inner), min_size=1, max_size=3).map(lambda f: pa.struct(list(f)))
    ),
    max_leaves=4,
)


@st.composite
def arrays(draw: st.DrawFn, type_: pa.DataType, size: int) -> pa.Array:
    """Values of the type, at random down to their bits."""
    if pa.types.is_null(type_):
        return pa.nulls(size)
    mask = pa.array([draw(st.booleans()) for _ in range(size)], pa.bool_())
    if pa.types.is_struct(type_):
        fields = [draw(arrays(field.type, size)) for field in type_]
        return pa.StructArray.from_arrays(fields, fields=list(type_), mask=mask)
    if pa.types.is_map(type_):
        keys = pa.array([str(n) for n in range(size)])
        return pa.MapArray.from_arrays(range(size + 1), keys, draw(arrays(type_.item_type, size)))
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        kind = pa.LargeListArray if pa.types.is_large_list(type_) else pa.ListArray
        return kind.from_arrays(range(size + 1), draw(arrays(type_.value_type, size)))
    if pa.types.is_dictionary(type_):
        return pa.array([draw(st.sampled_from(["x", "y", None])) for _ in range(size)], type_)
    if pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_binary(type_):
        raw = pa.array([draw(st.binary(max_size=6)) for _ in range(size)], pa.binary())
        wide = raw.cast(pa.large_binary()) if pa.types.is_large_string(type_) else raw
        return pa.Array.from_buffers(type_, size, wide.buffers())  # not always UTF-8
    if pa.types.is_decimal(type_):
        values = [draw(st.sampled_from([decimal.Decimal(0), decimal.Decimal("-12.5"), None])) for _ in range(size)]
        return pa.array(values, type_)
    width = max(type_.bit_width // 8, 1)
    extremes = st.sampled_from([bytes(width), b"\xff" * width, b"\x7f" + b"\xff" * (width - 1)])
    bits = [draw(st.binary(min_size=width, max_size=width) | extremes) for _ in range(size)]
    return pa.Array.from_buffers(type_, size, [None, pa.py_buffer(b"".join(bits))])


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    """Ids, texts, and columns of any type and name."""
    size = draw(st.integers(1, 5))
    columns = [
        ("text", pa.array([f"Text {n}." for n in range(size)])),
        ("id", pa.array([f"i{n}" for n in range(size)])),
    ]
    for name in draw(st.lists(NAMES, max_size=4)):
        columns.append((name, draw(arrays(draw(TYPES), size))))
    return pa.Table.from_arrays([column for _, column in columns], names=[name for name, _ in columns])


def read(path: Path, columns: tuple[Any, ...] = ("id", "text", None)) -> list[Document]:
    """All documents, each of which is there again when reading begins at its place."""
    found = Input("parquet", [str(path)], [path.stat().st_size], [0], str(path.parent), columns)  # type: ignore[arg-type]
    places = list(documents(found, 0))
    for n, (place, document) in enumerate(places):
        if n % 3 == 0:
            assert next(documents(found, 0, place)) == (place, document)
    return [document for _, document in places]


@fuzz
@given(table=tables())
def test_columns_of_any_type_cost_no_document(tmp_path: Path, table: pa.Table) -> None:
    try:
        pq.write_table(table, tmp_path / "a.parquet", row_group_size=2)
    except (pa.ArrowException, NotImplementedError):  # Parquet has no such type
        reject()
    found = find(Source(uri=str(tmp_path / "a.parquet")))
    assert found.columns[:2] == ("id", "text")
    read_ = read(tmp_path / "a.parquet", found.columns)
    assert [(d.id, d.text, d.problem) for d in read_] == [(f"i{n}", f"Text {n}.", None) for n in range(table.num_rows)]
    assert all(isinstance(json.loads(d.extra or "{}"), dict) for d in read_)


ROWS = [{"id": f"i{n}", "text": f"Text {n}. " * 9, "n": n, "at": dt.datetime(2020, 1, 1)} for n in range(30)]


@fuzz
@given(what=damages(), dictionary=st.booleans(), codec=st.sampled_from(["none", "zstd"]))
def test_damaged(tmp_path: Path, what: list[tuple[str, int, int, bytes]], dictionary: bool, codec: str) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_pylist(ROWS), path, row_group_size=10, use_dictionary=dictionary, compression=codec)
    content, metadata = path.read_bytes(), pq.read_metadata(path)
    ends = [0, *(_end(metadata, group) for group in range(3))]
    parts = [content[max(a, 4) : b] for a, b in pairwise(ends)]
    file = damage(Bytes([b"PAR1", *parts, content[ends[-1] :]]), what)
    path.write_bytes(file.content())
    found = read(path)
    if file.whole(4) and file.content().endswith(content[ends[-1] :]) and len(file.content()) == len(content):
        assert len(found) == len(ROWS)  # as the metadata says
        for group in range(3):
            if ends[group] + (4 if not group else 0) in file.whole(group + 1):
                rows = ROWS[10 * group : 10 * group + 10]
                assert [(d.id, d.text, d.problem) for d in found[10 * group : 10 * group + 10]] == [
                    (row["id"], row["text"], None) for row in rows
                ]


def _end(metadata: pq.FileMetaData, group: int) -> int:
    columns = [metadata.row_group(group).column(n) for n in range(metadata.num_columns)]
    starts = [c.dictionary_page_offset or c.data_page_offset for c in columns]
    return max(start + c.total_compressed_size for start, c in zip(starts, columns, strict=True))
