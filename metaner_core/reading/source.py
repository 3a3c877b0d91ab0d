"""Which files an input is made of, in which format, and which of their columns are id, text and language."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from metaner_core import storage
from metaner_core.reading.columns import NONE, Columns, json_columns, parquet_columns, partition_columns
from metaner_core.reading.listing import files, wanted
from metaner_core.reading.streams import COMPRESSED

# text: a document a line; files: a document a file
WET, JSONL, PARQUET, TEXT, FILES = FORMATS = ("wet", "jsonl", "parquet", "text", "files")
ENDINGS = {".wet": WET, ".jsonl": JSONL, ".ndjson": JSONL, ".parquet": PARQUET, ".txt": TEXT}
REFUSED = (".zip", ".7z", ".rar", ".tar", ".tgz", ".z", ".br", ".snappy", ".sz", ".lzo", ".lzma", ".lz", ".zstd", ".bz")


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where documents are. uri: file, folder or pattern, local or s3://. format: None goes by the files' endings.

    id_column, language_column: None takes a column `id` or `language` if there is one that can be; "none" takes none.
    Documents without an id are named by file and line, row or record.
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

    columns: names of the columns of id, text and language; None where there is none. ids_by_place: leave out the ids
    that the records of WET have. notes: what the user may not expect, a line each.
    """

    format: str
    files: list[str]
    sizes: list[int]
    modified: list[int]
    root: str
    columns: Columns
    ids_by_place: bool = False
    notes: tuple[str, ...] = ()

    def name(self, uri: str) -> str:
        """A file's name below the input's folder."""
        return uri.removeprefix(self.root + "/")

    @property
    def gives_ids(self) -> bool:
        """Whether documents may have ids of their own, which may then be the same."""
        return (self.format == WET and not self.ids_by_place) or self.columns[0] is not None


def find(source: Source) -> Input:
    """The source's files, their format and columns.

    Raises FileNotFoundError when there is no file and ValueError when the format is unclear, a file cannot be read at
    all, or a column is missing.
    """
    if source.format not in (None, *FORMATS):
        raise ValueError(f"format {source.format!r} is unknown; there are {', '.join(FORMATS)}")
    root, listed = files(source.uri)
    by_format: dict[str, list[storage.Listed]] = {}
    for file in listed:
        if kind := source.format or _format(file.uri):
            by_format.setdefault(kind, []).append(file)
    if len(by_format) != 1:
        raise ValueError(_told(source.uri, root, by_format))
    kind, listed = by_format.popitem()
    uris = [file.uri for file in listed]
    _check_names(uris, kind)
    columns, notes = _columns(source, kind, uris)
    return Input(
        kind,
        uris,
        [file.size for file in listed],
        [file.modified for file in listed],
        root,
        columns,
        ids_by_place=kind == WET and source.id_column == NONE,
        notes=notes,
    )


def require_apart(source: Source, output: str) -> None:
    """Raises ValueError when files of an output would be taken for the source's, the next time it is looked at."""
    meant, place = wanted(_real(source.uri)), _real(output)
    inside = ("plan/shards.jsonl", "tagged/part-0.parquet", "tagged/language=de/part-0.parquet", "report.html")
    if any(meant.takes(storage.join(place, name)) for name in inside):
        raise ValueError(
            f"{output} is part of the input {source.uri}: what is written there would be read as documents. "
            "Give an --output outside it, or one whose name begins with _"
        )


def _real(uri: str) -> str:
    """The place itself, without links and `..` on the way."""
    uri = storage.absolute(uri)
    return uri if storage.is_remote(uri) else os.path.realpath(uri)


def _format(file: str) -> str | None:
    """By the file's ending. Raises ValueError for one that is compressed in a way that is not read."""
    name = file.rpartition("/")[2].lower()
    inner = next((name.removesuffix(ending) for ending in (*COMPRESSED, *REFUSED) if name.endswith(ending)), name)
    kind = next((kind for ending, kind in ENDINGS.items() if inner.endswith(ending)), None)
    if kind is not None:
        _check_compression(file, kind)
    return kind


def _check_compression(file: str, kind: str) -> None:
    name = file.lower()
    ending = next((ending for ending in REFUSED if name.endswith(ending)), None)
    if ending is None and kind == PARQUET:  # compressed inside, by column
        ending = next((ending for ending in COMPRESSED if name.endswith(ending)), None)
    if ending is not None:
        others = "" if kind == PARQUET else f", or give it as {', '.join(COMPRESSED)}"
        raise ValueError(f"{file}: {kind} in a {ending} file is not read; decompress it{others}")


def _check_names(uris: Sequence[str], kind: str) -> None:
    """Raises ValueError for a file that cannot be read, whatever is in it."""
    for uri in uris:
        try:
            uri.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{uri!a}: the file's name is not UTF-8; rename it") from None
        _check_compression(uri, kind)


def _told(uri: str, root: str, by_format: dict[str, list[storage.Listed]]) -> str:
    """Why a source has no format, and what to do."""
    if not by_format:
        known = ", ".join(ENDINGS)
        return f"{uri}: found no file that ends in {known}; say with --format how its files are to be read"
    found = " and ".join(f"{len(some):,} {kind}" for kind, some in by_format.items())
    ending = next(ending for ending, kind in ENDINGS.items() if kind in by_format)
    pattern = f"'{root}/**/*{ending}*'"
    return f"{uri}: expected files of one format, found {found}; name those of one with a pattern, such as {pattern}"


def _columns(source: Source, kind: str, uris: Sequence[str]) -> tuple[Columns, tuple[str, ...]]:
    wishes = (source.id_column, source.text_column, source.language_column)
    if kind == PARQUET:
        return parquet_columns(uris, wishes)
    if kind == JSONL:
        return json_columns(uris, wishes)
    if kind != WET and source.id_column not in (None, NONE):
        raise ValueError(f"--id-column {source.id_column}: {kind} has no columns; its documents are named by file")
    if kind == WET and source.id_column not in (None, NONE):
        raise ValueError(f"--id-column {source.id_column}: pages of WET have the ids of their records, or {NONE!r}")
    return partition_columns(uris, source.language_column), ()
