"""The names of every sentence of an evaluation, those of the labels and those found, as a Parquet file.

One row a sentence, in the tests' order: `test`, `words`, and of `gold` and each engine the names as structs of `type`,
`start` and `end`, which are places of words, the last exclusive.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import pyarrow as pa
import pyarrow.parquet as pq

from metaner_core import storage
from metaner_core.data.labels import Span
from metaner_core.data.tallies import Phrases
from metaner_core.experiments.scored import ENGINES

GOLD = "gold"
NAMES = pa.list_(pa.struct([("type", pa.string()), ("start", pa.int32()), ("end", pa.int32())]))
BUNDLE = b"metaner.bundle"  # whose names, among the schema's facts


@dataclass(frozen=True, kw_only=True)
class Named:
    """The sentences of one test. names: of `gold` and of each engine that was scored."""

    test: str
    words: Sequence[Sequence[str]]
    names: Mapping[str, Phrases]

    @property
    def engines(self) -> list[str]:
        return [engine for engine in ENGINES if engine in self.names]


def write(uri: str, bundle: str, tests: Sequence[Named]) -> None:
    """Write the tests, all scored by the same engines, as one file. bundle: that found the names, for its reader."""
    columns: dict[str, pa.Array] = {
        "test": pa.array([test.test for test in tests for _ in test.words], pa.string()),
        "words": pa.array([list(words) for test in tests for words in test.words], pa.list_(pa.string())),
    }
    for whose in (GOLD, *tests[0].engines):
        of_all = chain.from_iterable(test.names[whose] for test in tests)
        columns[whose] = pa.array([_structs(found) for found in of_all], NAMES)
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns).replace_schema_metadata({BUNDLE: bundle.encode()}), sink, compression="zstd")
    storage.write_whole(uri, sink.getvalue().to_pybytes())


def _structs(found: set[Span]) -> list[dict[str, str | int]]:
    return [vars(span) for span in sorted(found, key=lambda span: (span.start, span.end, span.type))]


def read(uri: str) -> tuple[str, list[Named]]:
    """The bundle and the tests of a file. Raises FileNotFoundError, or ValueError when `write` did not make it."""
    if not storage.exists(uri):
        raise FileNotFoundError(f"{uri} does not exist: give a file that `metaner evaluate --names` wrote")
    try:
        table = pq.read_table(pa.BufferReader(storage.read_bytes(uri)))
        bundle = (table.schema.metadata or {})[BUNDLE].decode()
        own = {"test": pa.string(), "words": pa.list_(pa.string()), GOLD: NAMES}
        own |= {engine: NAMES for engine in ENGINES if engine in table.column_names}
        if len(own) == len(("test", "words", GOLD)):
            raise KeyError(" or ".join(ENGINES))
        rows = table.cast(pa.schema(own)).to_pydict()
    except (pa.ArrowInvalid, KeyError, ValueError, UnicodeDecodeError) as error:
        why = "it is damaged, or `metaner evaluate --names` did not write it"
        raise ValueError(f"{uri} has no names to compare: {why} ({error}); give one that it wrote") from error
    return bundle, [_named(test, rows) for test in dict.fromkeys(rows["test"])]


def _named(test: str, rows: Mapping[str, Sequence[object]]) -> Named:
    own = [i for i, name in enumerate(rows["test"]) if name == test]
    names = {
        whose: [{Span(**x) for x in rows[whose][i]} for i in own]  # type: ignore[attr-defined]
        for whose in (GOLD, *ENGINES)
        if whose in rows
    }
    return Named(test=test, words=[rows["words"][i] for i in own], names=names)  # type: ignore[misc]
