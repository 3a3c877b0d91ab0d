"""Which files an input is made of, in which format, and whether they have the columns that are needed."""

import codecs
import fnmatch
import io
import json
from dataclasses import dataclass
from functools import partial
from itertools import islice

import pyarrow as pa
import pyarrow.parquet as pq

from metaner_core import storage
from metaner_core.reading.record import is_damage

# text: a document a line; files: a document a file
WET, JSONL, PARQUET, TEXT, FILES = FORMATS = ("wet", "jsonl", "parquet", "text", "files")
ENDINGS = {".wet": WET, ".jsonl": JSONL, ".ndjson": JSONL, ".parquet": PARQUET, ".txt": TEXT}
COMPRESSED = (".gz", ".zst", ".bz2")
LOOKED_AT = 100  # lines whose columns are looked at before work starts
LOOKED_AT_BYTES = 4 * 2**20


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where documents are. uri: file, folder or glob, local or s3://. format: None goes by the files' endings.

    id_column, language_column: None takes a column `id` or `language` if there is one; documents without an id are
    named by file and line or row.
    """

    uri: str
    format: str | None = None
    text_column: str = "text"
    id_column: str | None = None
    language_column: str | None = None


@dataclass(frozen=True)
class Input:
    """What a source turned out to be. root: the folder that names of files leave out. sizes in bytes; modified: Unix
    times in seconds, both a file each.

    columns: names of the columns of id, text and language; None where there is none.
    """

    format: str
    files: list[str]
    sizes: list[int]
    modified: list[int]
    root: str
    columns: tuple[str | None, str | None, str | None]

    def name(self, uri: str) -> str:
        """A file's name below the input's folder."""
        return uri.removeprefix(self.root + "/")

    @property
    def gives_ids(self) -> bool:
        """Whether documents may have ids of their own, which may then be the same."""
        return self.format == WET or self.columns[0] is not None


def find(source: Source) -> Input:
    """The source's files, their format and columns.

    Raises FileNotFoundError when there is no file and ValueError when the format is unclear or a column is missing.
    """
    if source.format not in (None, *FORMATS):
        raise ValueError(f"format {source.format!r} is unknown; there are {', '.join(FORMATS)}")
    root, files = _files(source.uri)
    by_format: dict[str, list[storage.Listed]] = {}
    for file in files:
        if kind := source.format or _format(file.uri):
            by_format.setdefault(kind, []).append(file)
    if len(by_format) != 1:
        found = " and ".join(by_format) or f"no file that ends in {', '.join(ENDINGS)}"
        raise ValueError(f"{source.uri}: expected files of one format, found {found}; say which with --format")
    kind, files = by_format.popitem()
    uris = [file.uri for file in files]
    columns = _columns(source, kind, uris)
    return Input(kind, uris, [file.size for file in files], [file.modified for file in files], root, columns)


def _files(uri: str) -> tuple[str, list[storage.Listed]]:
    """The folder that holds them all, and the files: not those whose name begins with . or _."""
    uri = storage.absolute(uri).rstrip("/")
    folder = uri[: min(uri.find(mark) for mark in "*?[" if mark in uri)].rpartition("/")[0] if _is_glob(uri) else uri
    found = storage.listed(folder)
    if [file.uri for file in found] == [uri]:
        return uri.rpartition("/")[0], found
    files = [file for file in found if not file.uri.rpartition("/")[2].startswith((".", "_"))]
    if _is_glob(uri):
        files = [file for file in files if _matches(file.uri, uri)]
    if not files:
        raise FileNotFoundError(f"{uri}: there is no such input; name a file, a folder with files in it, or a glob")
    return folder, files


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


def _columns(source: Source, kind: str, files: list[str]) -> tuple[str | None, str | None, str | None]:
    """Names of the columns of id, text and language. Raises ValueError for one that is missing or is no string."""
    if kind not in (JSONL, PARQUET):
        return None, None, None
    file, columns = _parquet_columns(files[0]) if kind == PARQUET else _json_columns(files)
    id_ = source.id_column or ("id" if "id" in columns else None)
    language = source.language_column or ("language" if "language" in columns else None)
    for option, name in (("text", source.text_column), ("id", id_), ("language", language)):
        if name is not None and name not in columns:
            raise ValueError(
                f"{file} has no column {name!r}; it has {', '.join(columns)}: name the right one with --{option}-column"
            )
        type_ = columns.get(name) if name else None
        if type_ is not None and not (_is_string(type_) or (option == "id" and pa.types.is_integer(type_))):
            raise ValueError(f"{file}: column {name!r} holds {type_}; the {option} column must hold strings")
    return id_, source.text_column, language


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
        first = [line for line in _first_lines(file) if line.strip()]
        objects = [row for line in first if isinstance(row := _value(line), dict)]
        if objects:
            return file, {name: None for row in objects for name in row}
        if first and all(len(line) < LOOKED_AT_BYTES for line in first):
            raise ValueError(f"{file}: none of its first lines is a JSON object; say its format with --format")
    raise ValueError(f"{files[0]} holds no document, nor do other files of this input: give one that does")


def _first_lines(file: str) -> list[bytes]:
    fs, path = storage.filesystem(file)
    found: list[bytes] = []
    with fs.open_input_stream(path) as stream:  # decompresses by the file's ending
        try:
            for line in islice(iter(partial(io.BufferedReader(stream).readline, LOOKED_AT_BYTES), b""), LOOKED_AT):
                found.append(line)
        except OSError as error:
            if not is_damage(error):
                raise
    return found


def _value(line: bytes) -> object:
    try:
        return json.loads(line.removeprefix(codecs.BOM_UTF8))
    except (ValueError, RecursionError):
        return None
