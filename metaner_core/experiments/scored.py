"""The cells of an experiment as they were written, and the systems that a report compares.

A cell is one variant, trained from one seed, on one test; it holds the counts of two systems, the unadapted model and
the adapted one, or of the first alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from metaner_core.data.scoring import Counts
from metaner_core.data.tallies import unpacked
from metaner_core.experiments.significance import Counted

ENGINES = ("unadapted", "adapted")


class Column(NamedTuple):
    """A test, by taggers of these types that have seen this percent of its language's labels."""

    test: str
    types: tuple[str, ...]
    share: float = 0


@dataclass(frozen=True, kw_only=True)
class Scored:
    """One cell. counts, seconds: by engine. tally: columns by sentence, as the evaluation wrote them.

    share: percent of the test's language's labelled training sentences that it has seen.
    """

    encoder: str
    variant: str
    types: tuple[str, ...]
    seed: int
    test: str
    share: float
    language: str
    dev_f1: float
    sentences: int
    counts: Mapping[str, Counts]
    seconds: Mapping[str, float]
    tally: Mapping[str, np.ndarray]
    changed: Mapping[str, Mapping[str, int]]
    examples: Sequence[Mapping[str, Any]]

    @property
    def column(self) -> Column:
        """What it is a figure of."""
        return Column(self.test, self.types, self.share)

    @staticmethod
    def of(cell: Mapping[str, Any]) -> "Scored":
        """From a cell's JSON."""
        result = cell["result"]
        same = ("encoder", "variant", "seed", "test", "language", "dev_f1")
        return Scored(
            **{name: cell[name] for name in same},
            types=tuple(cell["types"]),
            share=cell.get("share", 0),  # the first cells had none
            sentences=result["sentences"],
            counts={engine: Counts.from_dict(counts) for engine, counts in result["counts"].items()},
            seconds=result["seconds"],
            tally={name: unpacked(column) for name, column in result["tally"].items()},
            changed=result["changed"],
            examples=result["examples"],
        )


@dataclass(frozen=True)
class System:
    """What has one score in a table: a variant of an encoder, read unadapted or adapted."""

    encoder: str
    variant: str
    engine: str


def systems(cells: Iterable[Scored]) -> dict[System, Counted]:
    """Of cells of one column: the counts of every system by seed."""
    seeds: dict[System, dict[int, Scored]] = {}
    for cell in cells:
        for engine in cell.counts:
            seeds.setdefault(System(cell.encoder, cell.variant, engine), {})[cell.seed] = cell
    return {
        system: Counted(
            next(iter(found.values())).tally["gold"],
            {seed: cell.tally[f"{system.engine}.predicted"] for seed, cell in found.items()},
            {seed: cell.tally[f"{system.engine}.correct"] for seed, cell in found.items()},
        )
        for system, found in seeds.items()
    }
