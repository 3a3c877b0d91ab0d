"""Parquet: a document a row."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from metaner_core import storage
from metaner_core.document import Document
from metaner_core.reading.record import MAX_BYTES, START, Place, document, too_long, unreadable
from metaner_core.reading.source import Input

BATCH_ROWS = 64  # decoded at once


def documents(found: Input, uri: str, start: Place = START) -> Iterator[tuple[Place, Document]]:
    """The documents from start on, each with its place: row group, rows before it there, row from 1."""
    fs, path = storage.filesystem(uri)
    name, number = found.name(uri), start.record
    with fs.open_input_file(path) as stream:
        try:
            file = pq.ParquetFile(stream, pre_buffer=False)
        except pa.ArrowInvalid as error:
            yield start, unreadable(f"{name}:{number}", f"the file is no Parquet file: {error}")
            return
        for group in range(start.offset, file.num_row_groups):
            row = 0
            for batch in file.iter_batches(BATCH_ROWS, row_groups=[group]):
                for values in _rows(batch):
                    if group > start.offset or row >= start.skip:
                        yield Place(group, row, number), _document(found, values, f"{name}:{number}")
                        number += 1
                    row += 1


def _document(found: Input, values: dict[str, Any], place: str) -> Document:
    id_, text, language = (values.pop(name, None) if name else None for name in found.columns)
    read = document(id_, text, language, values, otherwise=place)
    if isinstance(text, str) and len(text) > MAX_BYTES:
        return unreadable(read.id, too_long(len(text)), text[:1000].encode(errors="replace"), extra=read.extra)
    return read


def _rows(batch: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    columns = {name: _values(column) for name, column in zip(batch.schema.names, batch.columns, strict=True)}
    for row in zip(*columns.values(), strict=True):
        yield dict(zip(columns, row, strict=True))


def _values(column: pa.Array) -> list[Any]:
    try:
        return column.to_pylist()  # type: ignore[no-any-return]
    except UnicodeDecodeError:
        return [_value(scalar) for scalar in column]


def _value(scalar: pa.Scalar) -> Any:
    """The value; as bytes if it says that it is text and is not."""
    try:
        return scalar.as_py()
    except UnicodeDecodeError:
        return scalar.as_buffer().to_pybytes() if hasattr(scalar, "as_buffer") else None
