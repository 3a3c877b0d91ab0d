"""The tagged sentences in an order of their own, a few row groups in memory at a time: a crawl does not fit into it.

In every pass the files come in another order. The sentences of a few row groups that follow one another, a *pool*, are
mixed. All of it depends on the seed and the place in the stream alone, never on who reads, so that each worker may read
all and learn its share, and a run that goes on reads its pool once more and is where it was.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from metaner_core import storage
from metaner_core.distilling import selection
from metaner_core.distilling.outputs import Tagged
from metaner_core.distilling.selection import OPEN, Caps, Counts, Group
from metaner_core.distilling.settings import Distillation
from metaner_core.text.languages import standard

T = TypeVar("T")
FILES, POOL, NAMELESS = 21, 22, 23  # streams of random numbers
NO_LANGUAGE = "und"
SENTENCE = "sentences.list.element"  # in Parquet's own names


@dataclass(frozen=True)
class Sentence:
    """A sentence that is learnt from, as its group holds it."""

    group: Group
    number: int

    @property
    def words(self) -> tuple[str, ...]:
        start, end = self.group.starts[self.number : self.number + 2]
        return tuple(self.group.words[start:end].to_pylist())

    @property
    def teacher(self) -> np.ndarray:
        """[words, C] float32, each row a distribution: half precision has it only nearly so."""
        start, end = self.group.starts[self.number : self.number + 2]
        p = self.group.teacher[start:end].astype(np.float32)
        return p / p.sum(1, keepdims=True)


@dataclass(frozen=True)
class Place:
    """Where a stream is. row_group: in the file that is `file`-th in the pass's order, where a pool begins. taken:
    sentences of it that are dealt. kept: in this pass before the pool; languages, types: likewise, for `Caps`.
    counts: what became of the first pass's sentences. whole: that pass came to its end."""

    epoch: int = 0
    file: int = 0
    row_group: int = 0
    taken: int = 0
    kept: int = 0
    languages: Mapping[str, int] = field(default_factory=dict)
    types: Mapping[str, int] = field(default_factory=dict)
    counts: Counts = field(default_factory=dict)
    whole: bool = False


class Stream:
    """Deals sentences, for ever. place: where to go on. counts, whole: as of `Place`, with the pool that is dealt."""

    def __init__(self, outputs: Sequence[Tagged], settings: Distillation, place: Place | None = None) -> None:
        begin = place or Place()
        self._pools = _ahead(Pools(outputs, settings).run(begin))
        self._begin, self._skip = begin, begin.taken
        self._sentences: list[Sentence] = []
        self._taken = 0
        self.counts, self.whole = begin.counts, begin.whole

    def take(self, many: int) -> list[Sentence]:
        """The next sentences. Raises ValueError when a whole pass has none that is trusted, or a file is damaged."""
        found: list[Sentence] = []
        while len(found) < many:
            if self._taken == len(self._sentences):
                self._begin, self._sentences, after = next(self._pools)
                self._taken, self._skip = self._skip, 0
                self.counts, self.whole = after.counts, after.whole
            some = self._sentences[self._taken : self._taken + many - len(found)]
            self._taken += len(some)
            found += some
        return found

    @property
    def place(self) -> Place:
        return dataclasses.replace(self._begin, taken=self._taken or self._skip)


def require_some(outputs: Sequence[Tagged], settings: Distillation) -> None:
    """Raises as `Stream.take` does; reads no further than to the first sentence that is taken."""
    if settings.batch:
        next(pool for pool in Pools(outputs, settings).run(Place()) if pool[1])


def _ahead(items: Iterator[T]) -> Iterator[T]:
    """The items, the next one made while this one is used."""
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(next, items)
        while True:
            item = waiting.result()
            waiting = thread.submit(next, items)
            yield item


@dataclass(frozen=True)
class Pools:
    """Reads the outputs pool by pool."""

    outputs: Sequence[Tagged]
    settings: Distillation

    @cached_property
    def _files(self) -> list[tuple[str, Tagged]]:
        return [(file, output) for output in self.outputs for file in output.files]

    def run(self, place: Place) -> Iterator[tuple[Place, list[Sentence], Place]]:
        """Each pool's place, its sentences, mixed, and the place after it. Raises as `Stream.take` does."""
        while True:
            groups, (file, row_group) = self._groups(place)
            sentences, after = self._pool(place, groups)
            after = dataclasses.replace(after, file=file, row_group=row_group, taken=0)
            if file == len(self._files):
                after = self._next_pass(after)
            yield place, sentences, after
            place = after

    def _next_pass(self, place: Place) -> Place:
        if not place.kept:
            why = "; ".join(selection.told(place.counts)) or "they hold no sentences"
            raise ValueError(f"no tagged sentence is left to learn from: {why}; ask less of them, or tag more text")
        return Place(epoch=place.epoch + 1, counts=place.counts, whole=True)

    def _groups(self, place: Place) -> tuple[list[Group], tuple[int, int]]:
        """The next row groups, and where those after them begin."""
        order = np.random.default_rng([self.settings.seed, FILES, place.epoch]).permutation(len(self._files))
        found: list[Group] = []
        file, row_group = place.file, place.row_group
        while file < len(order) and len(found) < self.settings.mixed:
            uri, output = self._files[order[file]]
            some, rest = read(uri, output, self.settings, row_group, self.settings.mixed - len(found))
            found += some
            file, row_group = (file, row_group + len(some)) if rest else (file + 1, 0)
        return found, (file, row_group)

    def _pool(self, place: Place, groups: Sequence[Group]) -> tuple[list[Sentence], Place]:
        """The sentences that are taken, mixed, and the place with what was counted."""
        labels, settings = self.outputs[0].labels, self.settings
        where = [settings.seed, place.epoch, place.file, place.row_group]
        rng = np.random.default_rng([*where, NAMELESS])
        named = [selection.names(group, labels) for group in groups]
        outcomes = [selection.trusted(g, n, settings, rng) for g, (_, n) in zip(groups, named, strict=True)]
        pairs = [(n, i) for n, of in enumerate(outcomes) for i in np.flatnonzero(of == OPEN).tolist()]
        mixed = [pairs[i] for i in np.random.default_rng([*where, POOL]).permutation(len(pairs))]
        caps = Caps(settings, place.languages, place.types)
        if caps.any:
            for n, i in mixed:
                types, counted = named[n]
                of_type = {t: k for t, k in zip(types, counted[i].tolist(), strict=True) if k}
                outcomes[n][i] = caps.take(str(groups[n].languages[i]), of_type)
        taken = [Sentence(groups[n], i) for n, i in mixed if outcomes[n][i] == OPEN]
        counts = place.counts
        if place.epoch == 0:
            for group, of, (types, counted) in zip(groups, outcomes, named, strict=True):
                counts = selection.added(counts, selection.counts(group, of, types, counted))
        kept = place.kept + len(taken)
        return taken, dataclasses.replace(place, kept=kept, languages=caps.languages, types=caps.types, counts=counts)


def read(uri: str, output: Tagged, settings: Distillation, first: int, most: int) -> tuple[list[Group], bool]:
    """Up to so many row groups of a file from one on, and whether it has more. Raises ValueError for a damaged one."""
    fs, path = storage.filesystem(uri)
    try:
        with fs.open_input_file(path) as opened:
            parquet = pq.ParquetFile(opened)
            numbers = range(first, min(first + most, parquet.num_row_groups))
            groups = [_group(parquet, number, uri, output, settings) for number in numbers]
            return groups, numbers.stop < parquet.num_row_groups
    except (pa.ArrowInvalid, KeyError, ValueError) as error:
        raise ValueError(f"{uri} is damaged, or was not written by metaner tag: {error}; tag again") from error


def _group(parquet: pq.ParquetFile, number: int, uri: str, output: Tagged, settings: Distillation) -> Group:
    """A row group, of which only what is needed is read."""
    columns = [output.column(settings), *(["unadapted"] if settings.agree else [])]
    leaves = [f"{SENTENCE}.{column}.list.element" for column in columns]
    table = parquet.read_row_group(number, columns=["language", f"{SENTENCE}.tokens.list.element.text", *leaves])
    of_row = table.column("sentences").combine_chunks()
    sentences = of_row.flatten()
    tokens = sentences.field("tokens")
    starts = tokens.offsets.to_numpy().astype(np.int64)
    shape = starts[-1] - starts[0], len(output.labels)
    given = [sentences.field(c).flatten().to_numpy(zero_copy_only=False).reshape(shape) for c in columns]
    return Group(
        words=tokens.flatten().field("text"),
        starts=starts - starts[0],
        teacher=given[0],
        unadapted=given[1] if settings.agree else None,
        languages=np.repeat(_languages(table, uri), of_row.value_lengths().to_numpy()),
    )


def _languages(table: pa.Table, uri: str) -> np.ndarray:
    """Of each row the standard tag, whatever was written for it; partitioned outputs have it in the file's folder."""
    if "language" in table.column_names:
        given = table.column("language").to_pylist()
        tags = {written: standard(written) or NO_LANGUAGE for written in set(given)}
        return np.array([tags[written] for written in given], dtype=str)
    folder = next((part for part in uri.split("/") if part.startswith("language=")), "")
    return np.full(table.num_rows, folder.partition("=")[2] or NO_LANGUAGE)
