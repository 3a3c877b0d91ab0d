"""Raw text: the lines and sentences of files that are plain, gz, xz or zst, local or on s3://."""

import codecs
import io
import lzma
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import IO, cast

import pyarrow as pa
import pyarrow.fs as pafs

from metaner_core import storage

DAMAGED = (OSError, EOFError, lzma.LZMAError, pa.ArrowInvalid)


def info(uri: str) -> pafs.FileInfo:
    """What is known of a file."""
    fs, path = storage.filesystem(uri)
    return fs.get_file_info(path)


def files(uri: str) -> list[str]:
    """A file, or all below a folder. Raises FileNotFoundError for what is not there."""
    uri = storage.absolute(uri)
    if info(uri).type == pafs.FileType.File:
        return [uri]
    if not (found := storage.list_files(uri)):
        raise FileNotFoundError(f"{uri}: there is no such file, and no file below it; check the path of the text")
    return found


def lines(uris: Iterable[str]) -> Iterator[str]:
    """The lines of several files, blank ones left out.

    Raises ValueError naming file and line for bytes that are not UTF-8, a damaged file and a file without text.
    """
    for uri in uris:
        empty = True
        for number, raw in enumerate(_raw_lines(uri), 1):
            line = raw.removeprefix(codecs.BOM_UTF8) if number == 1 else raw
            try:
                text = line.decode("utf-8").strip(" \t\r\n")
            except UnicodeDecodeError as error:
                raise ValueError(f"{uri}, line {number}: not UTF-8 ({error.reason}); convert the file") from None
            if text:
                empty = False
                yield text
        if empty:
            raise ValueError(f"{uri} holds no text: leave it out or check how it was made")


def _raw_lines(uri: str) -> Iterator[bytes]:
    with _opened(uri) as stream:
        rows = iter(stream)
        while True:
            try:
                row = next(rows, None)
            except DAMAGED as error:
                raise ValueError(f"{uri} is damaged or not what its name says: {error}") from error
            if row is None:
                return
            yield row


def _opened(uri: str) -> IO[bytes]:
    """A decompressed stream, by the file's ending (pyarrow knows gz and zst, not xz)."""
    fs, path = storage.filesystem(uri)
    try:
        if path.endswith(".xz"):
            packed = cast(IO[bytes], fs.open_input_stream(path, compression=None))
            return cast(IO[bytes], io.BufferedReader(lzma.LZMAFile(packed), 2**20))  # type: ignore[type-var]
        return cast(IO[bytes], io.BufferedReader(fs.open_input_stream(path, compression="detect"), 2**20))  # type: ignore[type-var]
    except (FileNotFoundError, IsADirectoryError):
        raise FileNotFoundError(f"{uri}: there is no such file") from None


def sentences(uri: str, language: str, most: int) -> list[list[str]]:
    """The words of the first sentences of a file or folder, at most so many, cut as those of a line of its own each.

    Raises as `files` and `lines` do.
    """
    from metaner_core.text.segmentation import segment  # late: packing reads lines only, and spaCy takes seconds

    each = (sentence for line in lines(files(uri)) for sentence in segment(line, language))
    return [[word.text for word in sentence] for sentence in islice(each, most)]
