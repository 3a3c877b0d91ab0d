"""Raw text for pre-training: the lines of each language and translation pairs; plain, gz, xz or zst, local or s3://."""

import codecs
import io
import lzma
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, cast

import pyarrow as pa
import pyarrow.fs as pafs

from metaner_core import storage

DAMAGED = (OSError, EOFError, lzma.LZMAError, pa.ArrowInvalid)


@dataclass(frozen=True, kw_only=True)
class Texts:
    """Where the text is. mono: files or folders of each language. translations: TSV files or folders, English first
    and the language second. Raises ValueError for no text, or translations of English."""

    mono: Mapping[str, Sequence[str]]
    translations: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.mono or not all(self.mono.values()):
            raise ValueError("no text: name each language with one file or more, as in --text en FILE --text de FILE")
        if "en" in self.translations:
            raise ValueError("translations of English into `en`: name the language of the second column")

    @property
    def languages(self) -> list[str]:
        return sorted({*self.mono, *self.translations, *(["en"] if self.translations else [])})

    def resolved(self) -> "Texts":
        """The same with folders replaced by their files. Raises FileNotFoundError for what is not there."""
        mono, translations = (
            {language: tuple(file for uri in uris for file in _files(uri)) for language, uris in part.items()}
            for part in (self.mono, self.translations)
        )
        return Texts(mono=mono, translations=translations)

    def described(self) -> list[tuple[str, str, str, int, int]]:
        """Every file's part, language, uri, bytes and time of change: what two runs on the same text have in common."""
        rows = []
        for part, languages in (("mono", self.mono), ("translations", self.translations)):
            for language, uris in sorted(languages.items()):
                for uri in uris:
                    info = _info(uri)
                    rows.append((part, language, uri, info.size or 0, info.mtime_ns or 0))
        return rows


def _info(uri: str) -> pafs.FileInfo:
    fs, path = storage.filesystem(uri)
    return fs.get_file_info(path)


def _files(uri: str) -> list[str]:
    uri = storage.absolute(uri)
    if _info(uri).type == pafs.FileType.File:
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


def pairs(uris: Iterable[str]) -> Iterator[tuple[str, str] | None]:
    """English and the other language of each row; None for a row that is not two columns with text in both."""
    for line in lines(uris):
        columns = [column.strip() for column in line.split("\t")]
        yield (columns[0], columns[1]) if len(columns) == 2 and all(columns) else None
