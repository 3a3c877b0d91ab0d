"""Parquet: a document a row."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from metaner_core import storage
from metaner_core.reading.record import MAX_BYTES, START, Place, document, too_long, unreadable
from metaner_core.reading.source import Input
from metaner_core.text.document import Document

BATCH_ROWS = 64  # decoded at once


def documents(found: Input, uri: str, start: Place = START) -> Iterator[tuple[Place, Document]]:
    """The documents from start on, each with its place: row group, rows before it there, row from 1.

    Where a row group is damaged, what is left of it becomes one document with a problem.
    """
    fs, path = storage.filesystem(uri)
    name = found.name(uri)
    with fs.open_input_file(path) as stream:
        try:
            file = pq.ParquetFile(stream, pre_buffer=False)
        except (pa.ArrowException, OSError) as error:
            yield start, _damaged(error, f"{name}:{start.record}")
            return
        first = start.record - start.skip
        for group in range(start.offset, file.num_row_groups):
            row = start.skip if group == start.offset else 0
            try:
                for values in islice(_rows(file, group), row, None):
                    yield Place(group, row, first + row), _document(found, values, f"{name}:{first + row}")
                    row += 1
            except (pa.ArrowException, OSError) as error:
                yield Place(group, row, first + row), _damaged(error, f"{name}:{first + row}")
            first += file.metadata.row_group(group).num_rows


def _damaged(error: Exception, place: str) -> Document:
    """Raises the error if it is the storage's: the file may be whole."""
    if isinstance(error, OSError) and (error.errno is not None or "AWS Error" in str(error)):
        raise error
    return unreadable(place, f"damaged: {' '.join(str(error).split())[:200]}")


def _document(found: Input, values: dict[str, Any], place: str) -> Document:
    id_, text, language = (values.pop(name, None) if name else None for name in found.columns)
    read = document(id_, text, language, values, otherwise=place)
    if isinstance(text, str) and len(text) > MAX_BYTES:
        return unreadable(read.id, too_long(len(text)), text[:1000].encode(errors="replace"), extra=read.extra)
    return read


def _rows(file: pq.ParquetFile, group: int) -> Iterator[dict[str, Any]]:
    for batch in file.iter_batches(BATCH_ROWS, row_groups=[group]):
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
