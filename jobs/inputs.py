"""Which files an input is made of, in which format, and whether they have the columns that are needed."""

import codecs
import fnmatch
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from metaner_core import storage

JSONL, PARQUET, TEXT = FORMATS = ("jsonl", "parquet", "text")
ENDINGS = {".jsonl": JSONL, ".ndjson": JSONL, ".parquet": PARQUET, ".txt": TEXT}
COMPRESSED = (".gz", ".zst", ".bz2")
LOOKED_AT = 100  # lines whose columns are looked at before work starts


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where documents are. uri: file, folder or glob, local or s3://. format: None goes by the files' endings.

    language_column: None takes a column `language` if there is one. language: one for all documents.
    """

    uri: str
    format: str | None = None
    text_column: str = "text"
    id_column: str = "id"
    language_column: str | None = None
    language: str | None = None


@dataclass(frozen=True)
class Input:
    """What a source turned out to be. root: the folder that plain text's ids leave out. language_column: if any."""

    source: Source
    format: str
    files: list[str]
    root: str
    language_column: str | None


def find(source: Source) -> Input:
    """The source's files, their format and columns.

    Raises FileNotFoundError when there is no file and ValueError when the format is unclear or a column is missing.
    """
    if source.format not in (None, *FORMATS):
        raise ValueError(f"format {source.format!r} is unknown; there are {', '.join(FORMATS)}")
    root, files = _files(source.uri)
    by_format: dict[str, list[str]] = {}
    for file in files:
        if kind := source.format or _format(file):
            by_format.setdefault(kind, []).append(file)
    if len(by_format) != 1:
        found = " and ".join(by_format) or f"no file that ends in {', '.join(ENDINGS)}"
        raise ValueError(f"{source.uri}: expected files of one format, found {found}; say which with --format")
    kind, files = by_format.popitem()
    return Input(source, kind, files, root, _check_columns(source, kind, files))


def _files(uri: str) -> tuple[str, list[str]]:
    """The folder that holds them all, and the uris of the files: not those whose name begins with . or _."""
    uri = storage.absolute(uri)
    folder = uri[: min(uri.find(mark) for mark in "*?[" if mark in uri)].rpartition("/")[0] if _is_glob(uri) else uri
    fs, path = storage.filesystem(uri)
    if not _is_glob(uri) and fs.get_file_info(path).is_file:
        return uri.rpartition("/")[0], [uri]
    files = [file for file in storage.list_files(folder) if not file.rpartition("/")[2].startswith((".", "_"))]
    if _is_glob(uri):
        files = [file for file in files if _matches(file, uri)]
    if not files:
        raise FileNotFoundError(f"{uri}: there is no such input; name a file, a folder with files in it, or a glob")
    return folder.rstrip("/"), files


def _is_glob(uri: str) -> bool:
    return any(mark in uri for mark in "*?[")


def _matches(file: str, pattern: str) -> bool:
    """As a shell does it: * stays within a folder."""
    parts, wanted = file.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(map(fnmatch.fnmatchcase, parts, wanted))


def _format(file: str) -> str | None:
    for ending in COMPRESSED:
        file = file.removesuffix(ending)
    return next((kind for ending, kind in ENDINGS.items() if file.endswith(ending)), None)


def _check_columns(source: Source, kind: str, files: list[str]) -> str | None:
    """The language column, if there is one. Raises ValueError for a column that is missing or is no string."""
    if kind == TEXT:
        return None
    file, columns = _parquet_columns(files[0]) if kind == PARQUET else _json_columns(files)
    optional = source.language_column or ("language" if "language" in columns else None)
    for option, name in (("text", source.text_column), ("id", source.id_column), ("language", optional)):
        if name is not None and name not in columns:
            raise ValueError(
                f"{file} has no column {name!r}; it has {', '.join(columns)}: name the right one with --{option}-column"
            )
        type_ = columns.get(name) if name else None
        if type_ is not None and not (_is_string(type_) or (option == "id" and pa.types.is_integer(type_))):
            raise ValueError(f"{file}: column {name!r} holds {type_}; the {option} column must hold strings")
    return optional


def _is_string(type_: pa.DataType) -> bool:
    type_ = type_.value_type if pa.types.is_dictionary(type_) else type_
    return pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_)


def _parquet_columns(file: str) -> tuple[str, dict[str, pa.DataType | None]]:
    fs, path = storage.filesystem(file)
    try:
        return file, {field.name: field.type for field in pq.read_schema(path, filesystem=fs)}
    except pa.ArrowInvalid as error:
        raise ValueError(f"{file} is no Parquet file: {error}; give another or say its format with --format") from None


def _json_columns(files: list[str]) -> tuple[str, dict[str, pa.DataType | None]]:
    """The first file that has a line, and the keys of its first lines; their types may differ from line to line."""
    for file in files:
        fs, path = storage.filesystem(file)
        with fs.open_input_stream(path) as stream:  # decompresses by the file's ending
            first = [line for line, _ in zip(lines(stream), range(LOOKED_AT), strict=False)]
        objects = [row for _, line in first if isinstance(row := json_value(line), dict)]
        if objects:
            return file, {name: None for row in objects for name in row}
        if any(line.strip() for _, line in first):
            raise ValueError(f"{file}: none of its first lines is a JSON object; say its format with --format")
    raise ValueError(f"{files[0]} holds no document, nor do other files of this input: give one that does")


def lines(stream: pa.NativeFile) -> Iterator[tuple[int, bytes]]:
    """Lines from 1 on, without their ends and without a byte order mark."""
    for number, line in enumerate(io.BufferedReader(stream), 1):  # type: ignore[type-var]
        line = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
        yield number, line.removesuffix(b"\n").removesuffix(b"\r")


def json_value(line: bytes) -> Any:
    """The line's value, or the error that it is none."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        return error
