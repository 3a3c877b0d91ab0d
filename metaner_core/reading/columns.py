"""Which columns of an input are id, text and language: looked for in many of its files, as they may differ."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import pyarrow as pa
import pyarrow.parquet as pq

from metaner_core import storage
from metaner_core.reading.json_value import json_value
from metaner_core.reading.partitions import partition
from metaner_core.reading.record import MAX_BYTES, is_storages
from metaner_core.reading.streams import Damaged, opened

Columns = tuple[str | None, str | None, str | None]  # of id, text and language
Types = Mapping[str, pa.DataType | None]  # of a file's columns; None: may differ from line to line

NONE = "none"  # as the name of a column: take none
OPTIONS = ("id", "text", "language")
FILES = 64  # whose columns are looked at, over the whole input
READERS = 16  # at once
LINES = 100  # of a file of JSONL
LINES_BYTES = 4 * 2**20  # more lines than these hold are not looked at
LACKING = {
    "id": "documents of such files are named by file and row",
    "text": "documents of such files are rejected",
    "language": "the language of documents in such files is found out",
}


def parquet_columns(files: Sequence[str], wishes: Columns) -> tuple[Columns, tuple[str, ...]]:
    """The columns' names, and notes on what the user may not expect. wishes: names as they were given, or NONE.

    Raises ValueError when no file that is looked at is Parquet or has the text column, or one that was asked for.
    """
    some = spread(files, FILES)
    with ThreadPoolExecutor(READERS) as pool:
        looked = dict(zip(some, pool.map(_types, some), strict=True))
    found = {file: types for file, types in looked.items() if not isinstance(types, Exception)}
    if not found:
        raise ValueError(
            f"{some[0]} is no Parquet file: {looked[some[0]]}; give another or say its format with --format"
        )
    return _chosen(found, wishes)


def json_columns(files: Sequence[str], wishes: Columns) -> tuple[Columns, tuple[str, ...]]:
    """As `parquet_columns`, from the first lines of JSONL files."""
    some = spread(files, FILES)
    found: dict[str, Types] = {}
    without: list[str] = []
    for n, file in enumerate(chain(some, (file for file in files if file not in set(some)))):
        if n >= len(some) and (found or without):
            break
        first = [line for line in _first_lines(file) if line.strip()]
        objects = [row for line in first if isinstance(row := json_value(line), dict)]
        if objects:
            found[file] = dict.fromkeys(chain(partition(file), *objects))
        elif first:
            without.append(file)
    if not found and without:
        raise ValueError(f"{without[0]}: none of its first lines is a JSON object; say its format with --format")
    if not found:
        raise ValueError(f"{files[0]} holds no document, nor do other files of this input: give one that does")
    return _chosen(found, wishes)


def partition_columns(files: Sequence[str], language: str | None) -> Columns:
    """Of files that have no columns, but may stand in folders named `language=de`. language: a name that was given."""
    name = language or "language"
    if language != NONE and any(name in partition(file) for file in files):
        return None, None, name
    if language not in (None, NONE):
        raise ValueError(f"--language-column {language}: these files have no columns; leave it out, or give --language")
    return None, None, None


def spread(files: Sequence[str], most: int) -> list[str]:
    """The first file, and others at even distances."""
    return [files[len(files) * n // most] for n in range(most)] if len(files) > most else list(files)


def _chosen(found: Mapping[str, Types], wishes: Columns) -> tuple[Columns, tuple[str, ...]]:
    notes: list[str] = []
    id_, text, language = (_one(found, option, wish, notes) for option, wish in zip(OPTIONS, wishes, strict=True))
    return (id_, text, language), tuple(notes)


def _one(found: Mapping[str, Types], option: str, wish: str | None, notes: list[str]) -> str | None:
    if wish == NONE and option != "text":
        return None
    name = wish or option
    having = {file: types[name] for file, types in found.items() if name in types}
    usable = [file for file, type_ in having.items() if type_ is None or _is_usable(type_, option)]
    if usable:
        if (lacking := next((file for file in found if file not in usable), None)) is not None:
            what = f"holds {having[lacking]}" if lacking in having else "is missing"
            notes.append(f"{lacking}: column {name!r} {what}; {LACKING[option]}")
        return name
    file, type_ = next(iter(having.items()), (next(iter(found)), None))
    if having and wish is None and option != "text":
        notes.append(f"{file}: column {name!r} holds {type_}, so it is not taken for the {option}; it goes to `extra`")
        return None
    if having:
        none = "" if option == "text" else f", or {NONE!r} with --{option}-column"
        raise ValueError(
            f"{file}: column {name!r} holds {type_}; the {option} column must hold strings: name another{none}"
        )
    if wish is None and option != "text":
        return None
    names = ", ".join(found[file])
    raise ValueError(f"{file} has no column {name!r}; it has {names}: name the right one with --{option}-column")


def _is_usable(type_: pa.DataType, option: str) -> bool:
    return _is_string(type_) or (option == "id" and pa.types.is_integer(type_))


def _is_string(type_: pa.DataType) -> bool:
    type_ = type_.value_type if pa.types.is_dictionary(type_) else type_
    return pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_)


def _types(file: str) -> Types | Exception:
    fs, path = storage.filesystem(file)
    try:
        types = {name: pa.string() for name in partition(file)}
        for field in reversed(list(pq.read_schema(path, filesystem=fs))):  # of columns of one name, the first counts
            types[field.name] = field.type
    except (pa.ArrowException, OSError, ValueError) as error:
        if is_storages(error):
            raise
        return error
    return dict(reversed(types.items()))


def _first_lines(file: str) -> list[bytes]:
    found: list[bytes] = []
    with opened(file) as (stream, _):
        try:
            while len(found) < LINES and sum(map(len, found)) < LINES_BYTES and (line := stream.readline(MAX_BYTES)):
                found.append(line)
        except Damaged:
            pass
    return found
