"""Parquet: a document a row. Columns are read together, and each by itself where that fails."""

from collections.abc import Iterator, Mapping
from itertools import islice, repeat
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from metaner_core import storage
from metaner_core.reading.formats.arrow_values import Failed, leaves, unique, values
from metaner_core.reading.partitions import joined, partition
from metaner_core.reading.record import MAX_BYTES, START, Place, document, is_storages, too_long, unreadable
from metaner_core.reading.source import Input
from metaner_core.text.document import Document

BATCH_ROWS = 64  # decoded at once
DAMAGE = (pa.ArrowException, OSError, ValueError)


def documents(found: Input, uri: str, start: Place = START) -> Iterator[tuple[Place, Document]]:
    """The documents from start on, each with its place: row group, rows before it there, row from 1.

    A column that cannot be read costs itself. Without their text, rows become documents with a problem: as many as the
    file's metadata says. A file that has none is one such document.
    """
    fs, path = storage.filesystem(uri)
    name, given = found.name(uri), partition(uri)
    with fs.open_input_file(path) as stream:
        try:
            metadata = pq.read_metadata(stream)
            counts = _counts(metadata)
        except DAMAGE as error:
            yield start, unreadable(f"{name}:{start.record}", _told(error))
            return
        file = _opened(stream, metadata)
        first = start.record - start.skip
        for group in range(start.offset, len(counts)):
            skip = start.skip if group == start.offset else 0
            rows = islice(_rows(file, group, counts[group], str(found.columns[1])), skip, None)
            for row, columns in enumerate(rows, skip):
                place = f"{name}:{first + row}"
                yield Place(group, row, first + row), _document(found, columns, given, place)
            first += counts[group]


def _counts(metadata: pq.FileMetaData) -> list[int]:
    """Rows of each row group. Raises ValueError when they do not add up: then none of it can be believed."""
    counts = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    if min(counts, default=0) < 0 or sum(counts) != metadata.num_rows:
        raise ValueError(f"the file says that it has {metadata.num_rows:,} rows, its row groups have {sum(counts):,}")
    return counts


def _opened(stream: pa.NativeFile, metadata: pq.FileMetaData) -> pq.ParquetFile | Failed:
    try:
        return pq.ParquetFile(stream, metadata=metadata, pre_buffer=False)
    except DAMAGE as error:
        return Failed(_told(error))


def _told(error: Exception) -> str:
    """Raises the error if it is the storage's: the file may be whole."""
    if is_storages(error):
        raise error
    return f"damaged: {' '.join(str(error).split())[:200]}"


def _document(found: Input, columns: dict[str, Any], given: Mapping[str, str | None], place: str) -> Document:
    columns = joined(columns, given)
    missing = found.columns[1] not in columns
    id_, text, language = (columns.pop(name, None) if name else None for name in found.columns)
    if isinstance(id_, Failed):
        columns[str(found.columns[0])], id_ = id_, None
    if isinstance(language, Failed):
        columns[str(found.columns[2])], language = language, None
    problem = f"the file has no column {found.columns[1]!r}" if missing else text if isinstance(text, Failed) else None
    read = document(id_, "" if problem else text, language, columns, otherwise=place)
    if problem:
        return unreadable(read.id, problem, language=read.language, extra=read.extra)
    if isinstance(text, str) and len(text) > MAX_BYTES:
        return unreadable(read.id, too_long(len(text)), text[:1000].encode(errors="replace"), extra=read.extra)
    return read


def _rows(file: pq.ParquetFile | Failed, group: int, count: int, text: str) -> Iterator[dict[str, Any]]:
    """As many rows as the row group is said to have: a value, or Failed, of every column by its name."""
    if isinstance(file, Failed):
        yield from repeat({text: file}, count)
        return
    names = unique(file.schema_arrow.names)
    done = 0
    try:
        for batch in file.iter_batches(BATCH_ROWS, row_groups=[group], use_threads=False):
            for row in islice(zip(*map(values, batch), strict=True), count - done):
                yield dict(zip(names, row, strict=True))
                done += 1
    except DAMAGE as error:
        _told(error)
    if done < count:
        apart = [islice(_column(file, group, n), done, count) for n in range(len(names))]
        for row in zip(*apart, strict=True):
            yield dict(zip(names, row, strict=True))


def _column(file: pq.ParquetFile, group: int, number: int) -> Iterator[Any]:
    """A column's values in a row group, then Failed without end, saying why no more can be read."""
    types = [leaves(field.type) for field in file.schema_arrow]
    first = sum(types[:number])
    problem = "damaged: the row group has fewer rows than the file says"
    try:
        # By number, which only the reader below takes: names may be given twice, or be those of nested columns.
        for batch in file.reader.iter_batches(
            BATCH_ROWS, [group], column_indices=[*range(first, first + types[number])], use_threads=False
        ):
            yield from values(batch.column(0))
    except DAMAGE as error:
        problem = _told(error)
    yield from repeat(Failed(problem))
