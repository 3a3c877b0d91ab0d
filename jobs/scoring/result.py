"""What an evaluation scores and what it finds."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from metaner_core.data import tallies
from metaner_core.data.columns import Sentence
from metaner_core.data.labels import Span
from metaner_core.data.scoring import Counts, Scores, scores
from metaner_core.data.sentences import fingerprint
from metaner_core.data.tallies import Phrases

ENGINES = ("unadapted", "adapted")
EXAMPLES = 8  # of names gained by adapting, and of names lost, that are kept of a test


@dataclass(frozen=True, kw_only=True)
class Test:
    """A named set of labelled sentences and the entity types that are annotated in it."""

    name: str
    sentences: Sequence[Sentence]
    types: tuple[str, ...]

    def scored(self) -> list[Sentence]:
        """Those that count: neither empty ones nor marks of a document's start."""
        return [s for s in self.sentences if s.words and not s.docstart]

    def facts(self) -> dict[str, Any]:
        """What tells it from another test of its name."""
        return {"sentences": fingerprint(self.scored()), "types": list(self.types)}


@dataclass(frozen=True, kw_only=True)
class Result:
    """Phrase counts of one test, for the unadapted and the adapted model, or the first alone.

    tally: by sentence, in the test's order (`jobs.scoring.scorer` has the columns). changed: phrases by kind of change
    and type. examples: of names that adapting gained or lost, with their sentences. names: if asked for, of `gold` and
    by engine the phrases of each sentence, by places of words.
    """

    name: str
    sentences: int
    counts: Mapping[str, Counts]  # by engine that scored
    seconds: Mapping[str, float]  # by engine, summed over actors
    tally: Mapping[str, np.ndarray] = field(default_factory=dict, compare=False)
    changed: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    examples: Sequence[Mapping[str, Any]] = ()
    names: Mapping[str, Phrases] = field(default_factory=dict)

    def scores(self, engine: str) -> Scores:
        return scores(self.counts[engine])

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return {
            "name": self.name,
            "sentences": self.sentences,
            "counts": {engine: counts.to_dict() for engine, counts in self.counts.items()},
            "seconds": dict(self.seconds),
            "tally": {name: tallies.packed(column) for name, column in self.tally.items()},
            "changed": {kind: dict(by_type) for kind, by_type in self.changed.items()},
            "examples": list(self.examples),
            "names": {whose: [_plain(found) for found in its] for whose, its in self.names.items()},
        }

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> "Result":
        """The inverse of `to_dict`."""
        counts = {engine: Counts.from_dict(found) for engine, found in values["counts"].items()}
        tally = {name: tallies.unpacked(column) for name, column in values["tally"].items()}
        names = {whose: [{Span(*x) for x in found} for found in its] for whose, its in values.get("names", {}).items()}
        return Result(**{**values, "counts": counts, "tally": tally, "names": names})


def _plain(found: set[Span]) -> list[tuple[str, int, int]]:
    return sorted((dataclasses.astuple(span) for span in found), key=lambda span: span[1:])


def joined(name: str, results: Sequence[Result]) -> Result:
    """The result of a test whose parts, in order, have these."""
    columns = list(results[0].tally)
    kinds = dict.fromkeys(kind for result in results for kind in result.changed)
    return Result(
        name=name,
        sentences=sum(result.sentences for result in results),
        counts={e: sum((result.counts[e] for result in results), Counts()) for e in results[0].counts},
        seconds={e: sum(result.seconds[e] for result in results) for e in results[0].seconds},
        tally={column: np.concatenate([result.tally[column] for result in results]) for column in columns},
        changed={kind: _added([result.changed.get(kind, {}) for result in results]) for kind in kinds},
        examples=_some([example for result in results for example in result.examples]),
        names={whose: [found for result in results for found in result.names[whose]] for whose in results[0].names},
    )


def _added(parts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    return {type_: sum(part.get(type_, 0) for part in parts) for part in parts for type_ in part}


def _some(examples: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    kinds = dict.fromkeys(example["kind"] for example in examples)
    return [e for kind in kinds for e in [x for x in examples if x["kind"] == kind][:EXAMPLES]]
