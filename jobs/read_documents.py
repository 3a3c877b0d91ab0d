"""Documents from JSONL, Parquet or plain text as a Ray dataset: rows of ROW, each document with an id of its own.

A line that cannot be read is a row too, with what is wrong with it in `problem`: no input is lost on the way.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pyarrow as pa
import ray
from ray.data.datasource import FileBasedDatasource

from jobs.inputs import JSONL, PARQUET, Input, json_value, lines
from metaner_core import storage

COLUMNS = ("id", "text", "language", "problem")
ROW = pa.schema([(name, pa.string()) for name in COLUMNS])  # problem: "stage: what is wrong", else null
BLOCK_LINES, BLOCK_BYTES = 1_000, 8 * 2**20  # lines are handed on in blocks that reach one of these
PARTITION_BYTES = 256 * 2**20  # of input for each part of the ids that is checked for duplicates on its own
NAMED = 3  # offenders that an error names


def dataset(found: Input) -> ray.data.Dataset:
    """The documents as rows of ROW, read as they are needed."""
    fs, _ = storage.filesystem(found.files[0])
    paths = [_path(file) for file in found.files]
    if found.format != PARQUET:
        return ray.data.read_datasource(Lines(paths, found, filesystem=fs))
    source = found.source
    columns = [source.id_column, source.text_column, *([found.language_column] if found.language_column else [])]
    rows = ray.data.read_parquet(paths, filesystem=fs, columns=list(dict.fromkeys(columns)))
    return rows.map_batches(partial(_renamed, found=found), batch_format="pyarrow", batch_size=None)


def _renamed(table: pa.Table, found: Input) -> pa.Table:
    source, nulls = found.source, pa.nulls(len(table), pa.string())
    language = pa.array([source.language] * len(table), pa.string())
    columns = [
        table[source.id_column].cast(pa.string()),
        table[source.text_column].cast(pa.string()),
        table[found.language_column].cast(pa.string()) if found.language_column and not source.language else language,
        nulls,
    ]
    return pa.table(columns, schema=ROW)


def _path(uri: str) -> str:
    """The uri as its file system names it."""
    return uri.removeprefix("s3://").rstrip("/")


class Lines(FileBasedDatasource):
    """JSONL or plain text, a document a line. Reads a stream: memory does not grow with the file."""

    def __init__(self, paths: list[str], found: Input, **options: Any) -> None:
        super().__init__(paths, **options)
        self._found, self._prefix = found, _path(found.root) + "/"

    def _read_stream(self, f: pa.NativeFile, path: str) -> Iterator[pa.Table]:
        row = _json_row if self._found.format == JSONL else _text_row
        rows: list[dict[str, str | None]] = []
        size = 0
        for number, line in lines(f):
            if self._found.format == JSONL and not line.strip():
                continue
            rows.append(row(line, f"{path.removeprefix(self._prefix)}:{number}", self._found))
            size += len(line)
            if len(rows) == BLOCK_LINES or size >= BLOCK_BYTES:
                yield pa.Table.from_pylist(rows, schema=ROW)
                rows, size = [], 0
        yield pa.Table.from_pylist(rows, schema=ROW)


def _row(id_: str | None, text: str | None, language: str | None, problem: str | None = None) -> dict[str, str | None]:
    return dict(zip(COLUMNS, (id_, text, language, problem), strict=True))


def _text_row(line: bytes, place: str, found: Input) -> dict[str, str | None]:
    try:
        return _row(place, line.decode(), found.source.language)
    except UnicodeDecodeError as error:
        return _row(place, None, found.source.language, f"reading: the line is not UTF-8: {error}")


def _json_row(line: bytes, place: str, found: Input) -> dict[str, str | None]:
    values = json_value(line)
    if not isinstance(values, dict):
        what = values if isinstance(values, Exception) else f"expected an object, found {type(values).__name__}"
        return _row(place, None, found.source.language, f"reading: the line is no JSON object: {what}")
    source = found.source
    id_, text = values.get(source.id_column), values.get(source.text_column)
    language = source.language or (values.get(found.language_column) if found.language_column else None)
    id_ = str(id_) if isinstance(id_, str | int) and _is_unicode(str(id_)) else None
    language = language if isinstance(language, str) and _is_unicode(language) else None
    if isinstance(text, str) and _is_unicode(text):
        return _row(id_, text, language)
    problem = "holds half of a surrogate pair" if isinstance(text, str) else f"expected a string, found {_kind(text)}"
    return _row(id_, None, language, f"text: {problem}")


def _kind(value: object) -> str:
    return "null" if value is None else type(value).__name__


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_ids(documents: ray.data.Dataset, found: Input) -> int:
    """The number of documents. Raises ValueError when there is none, or one has no id or shares it with another.

    Counts on the cluster: the driver sees a few numbers a block. Must not run under a Ray Data checkpoint, whose
    filter makes a groupby wrong on a second run.
    """
    ids = documents.map_batches(_ids, batch_format="pyarrow", batch_size=None)
    counted = ids.groupby("id", num_partitions=_partitions(found.files)).count()
    parts = counted.map_batches(_summary, batch_format="pyarrow", batch_size=None).take_all()
    total, missing = (sum(part[name] for part in parts) for name in ("rows", "missing"))
    repeated = sorted(id_ for part in parts for id_ in part["repeated"])[:NAMED]
    where, column = found.source.uri, found.source.id_column
    if missing:
        raise ValueError(f"{where}: {missing} of {total} documents have no id; give each a string in column {column!r}")
    if repeated:
        named = ", ".join(map(repr, repeated))
        raise ValueError(f"{where}: ids must be unique, but these are not: {named}, ...; see column {column!r}")
    if not total:
        raise ValueError(f"{where} holds no document: give an input that does")
    return total


def _partitions(files: list[str]) -> int:
    """Few where little is to be counted: each is a process to start."""
    fs, _ = storage.filesystem(files[0])
    size = sum(info.size or 0 for info in fs.get_file_info([_path(file) for file in files]))
    return min(1 + size // PARTITION_BYTES, 200)


def _ids(table: pa.Table) -> pa.Table:
    return pa.table({"id": table["id"].fill_null("")})


def _summary(table: pa.Table) -> pa.Table:
    counts = dict(zip(table["id"].to_pylist(), table["count()"].to_pylist(), strict=True))
    repeated = [id_ for id_, count in counts.items() if count > 1 and id_][:NAMED]
    row = {"rows": sum(counts.values()), "missing": counts.get("", 0), "repeated": repeated}
    schema = pa.schema([("rows", pa.int64()), ("missing", pa.int64()), ("repeated", pa.list_(pa.string()))])
    return pa.Table.from_pylist([row], schema=schema)
