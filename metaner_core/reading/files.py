"""The documents of one file of an input, from any place on, and the stretches that a file is cut into."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from metaner_core.reading.formats import lines, rows, wet
from metaner_core.reading.record import START, Place
from metaner_core.reading.source import FILES, JSONL, PARQUET, TEXT, WET, Input
from metaner_core.text.document import Document

OVERHEAD = 200  # bytes: a document without text is a row, too
_READERS: dict[str, Callable[[Input, str, Place], Iterator[tuple[Place, Document]]]] = {
    WET: wet.documents,
    JSONL: lines.documents,
    TEXT: lines.documents,
    FILES: lines.whole,
    PARQUET: rows.documents,
}


@dataclass(frozen=True)
class Stretch:
    """Documents of one file that follow one another.

    file: index into the input's files. size: bytes of their text, and OVERHEAD for each.
    """

    file: int
    place: Place
    documents: int
    size: int

    def to_row(self) -> list[int]:
        return [self.file, *self.place, self.documents, self.size]

    @staticmethod
    def from_row(row: Sequence[int]) -> "Stretch":
        return Stretch(row[0], Place(*row[1:4]), row[4], row[5])


def documents(found: Input, file: int, start: Place = START) -> Iterator[tuple[Place, Document]]:
    """The file's documents from start on, each with the place where it begins."""
    return _READERS[found.format](found, found.files[file], start)


def read(found: Input, stretch: Stretch) -> Iterator[Document]:
    """The documents of a stretch."""
    places = documents(found, stretch.file, stretch.place)
    return (document for _, document in islice(places, stretch.documents))


class Cutter:
    """Cuts a file into stretches while its documents pass by: of about `size` bytes of text, of `most` documents."""

    def __init__(self, file: int, size: int, *, most: int = 2**62) -> None:
        self._file, self._limit, self._most = file, size, most
        self.stretches: list[Stretch] = []
        self._start, self._documents, self._size = START, 0, 0

    def add(self, place: Place, document: Document) -> None:
        if self._documents and (self._size >= self._limit or self._documents == self._most):
            self.close()
        if not self._documents:
            self._start = place
        self._documents += 1
        self._size += OVERHEAD + len((document.text or "").encode(errors="replace"))

    def close(self) -> list[Stretch]:
        """All stretches of the file so far."""
        if self._documents:
            self.stretches.append(Stretch(self._file, self._start, self._documents, self._size))
        self._documents = self._size = 0
        return self.stretches
