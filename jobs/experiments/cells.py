"""The cells of a grid, the trainings that they need, and where all of it lies below an experiment's output.

grid.json                          what decides the cells; another grid is refused
cells/<run>/<test>.json            one cell: counts, by sentence too; <run> is encoder.variant.types.seed, and where
                                   labels of the test's language are used, .test-share
trainings/<training>.json          how a training went: seconds, curve
tuned/<run>.json                   how a fine-tuning went: seconds, losses
bundles/<training>/                its bundle; those of fine-tunings stay until their cells are done
runs/, parts/                      checkpoints and parts of evaluations, until they are no longer needed
results.parquet ... report.html    made of the cells, again at every end
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jobs.experiments.checks import TOGETHER, label
from jobs.experiments.grid import Grid, Variant
from jobs.experiments.job import Job
from metaner_core import storage
from metaner_core.settings import Settings
from metaner_core.tuning import Tuning


@dataclass(frozen=True)
class Cell:
    """One variant of one encoder, trained from one seed on these types, on one test.

    share: percent of the training set of the test's corpus whose labels it has seen.
    """

    encoder: str
    variant: Variant
    types: tuple[str, ...]
    seed: int
    test: str
    share: float = 0

    @property
    def run(self) -> str:
        """A name for one bundle that adapts in one way: for many tests, or for the one whose labels it has seen."""
        return self.trained + (f".{self.test}-{self.share:g}" if self.share else "")

    @property
    def trained(self) -> str:
        """A name for its training on English alone."""
        return f"{label(self.encoder)}.{self.variant.name}.{'-'.join(self.types)}.{self.seed}"

    @property
    def together(self) -> bool:
        """Whether it is trained on English and a target's labels together."""
        return bool(self.share) and self.variant.target == TOGETHER

    @property
    def name(self) -> str:
        return f"{self.run}/{self.test}"

    def settings(self) -> Settings:
        """Of its training."""
        return self.variant.settings(self.seed, self.types)

    def uri(self, output: str) -> str:
        return storage.join(output, f"cells/{self.name}.json")

    def __hash__(self) -> int:
        return hash(self.name)


@dataclass(frozen=True)
class Tuned:
    """A bundle that was fine-tuned on a share of a test's training set, and the cells that it is for."""

    name: str
    tuning: Tuning
    test: str
    share: float
    cells: tuple[Cell, ...]

    def bundle(self, output: str) -> str:
        return storage.join(output, f"bundles/{self.name}")

    def record(self, output: str) -> str:
        return storage.join(output, f"tuned/{self.name}.json")


@dataclass(frozen=True)
class Training:
    """One bundle and the cells that it is for, and those that are made of it. name: of the first variant that needs it.

    target: the test, and the percent of its training set, that English is put together with.
    """

    name: str
    encoder: str
    settings: Settings
    cells: tuple[Cell, ...]
    tuned: tuple[Tuned, ...] = ()
    target: tuple[str, float] | None = None

    @property
    def every(self) -> list[Cell]:
        """Its cells and those of the bundles made of it."""
        return [*self.cells, *(cell for tuned in self.tuned for cell in tuned.cells)]

    def without(self, done: Iterable[str], output: str) -> "Training":
        """What is left of it. done: uris of cells."""
        there = set(done)

        def waiting(cells: Iterable[Cell]) -> tuple[Cell, ...]:
            return tuple(cell for cell in cells if cell.uri(output) not in there)

        tuned = [replace(t, cells=waiting(t.cells)) for t in self.tuned]
        return replace(self, cells=waiting(self.cells), tuned=tuple(t for t in tuned if t.cells))

    def bundle(self, output: str) -> str:
        return storage.join(output, f"bundles/{self.name}")

    def record(self, output: str) -> str:
        return storage.join(output, f"trainings/{self.name}.json")


def runs(cells: Iterable[Cell]) -> dict[str, list[Cell]]:
    """Cells by what is scored together."""
    found: dict[str, list[Cell]] = {}
    for cell in cells:
        found.setdefault(cell.run, []).append(cell)
    return found


def cells(grid: Grid) -> list[Cell]:
    """All of them, each once, seed by seed, so that whole tables come early."""
    found: dict[str, Cell] = {}
    for cell in _all(grid):
        found.setdefault(cell.name, cell)
    return list(found.values())


def _all(grid: Grid) -> Iterator[Cell]:
    for seed in grid.seeds:
        for encoder in grid.encoders:
            for variant in grid.variants:
                if variant.encoders is None or encoder in variant.encoders:
                    for protocol in grid.protocols:
                        for test, share in _labels(grid, variant):
                            yield Cell(encoder, variant, grid.types_of(test, protocol), seed, test, share)


def _labels(grid: Grid, variant: Variant) -> Iterator[tuple[str, float]]:
    """Tests, each with the percent of its training set that is used. With none of it there is no "together"."""
    for share in grid.shares:
        if share or variant.target != TOGETHER:
            yield from ((test, share) for test in (grid.targets if share else grid.tests))


def trainings(cells: Sequence[Cell]) -> list[Training]:
    """The trainings that the cells need: one for all that differ in the test, in fine-tuning or in adapting alone."""
    found: dict[Any, list[Cell]] = {}
    for cell in cells:
        settings = {**cell.settings().to_dict(), "preset": ""}  # a name that computes nothing
        target = (cell.test, cell.share) if cell.together else None
        found.setdefault((cell.encoder, json.dumps(settings, sort_keys=True), target), []).append(cell)
    return [_training(own, target) for (_, _, target), own in found.items()]


def _training(cells: Sequence[Cell], target: tuple[str, float] | None) -> Training:
    first = cells[0]
    tuned: dict[Any, list[Cell]] = {}
    for cell in () if target else cells:
        tuning = cell.variant.tuning(cell.settings())
        if cell.share and tuning is not None:
            tuned.setdefault((tuning, cell.test, cell.share), []).append(cell)
    own = tuple(cell for cell in cells if target or not cell.share)
    made = tuple(Tuned(c[0].run, tuning, test, share, tuple(c)) for (tuning, test, share), c in tuned.items())
    return Training(first.run if target else first.trained, first.encoder, first.settings(), own, made, target)


def left(job: Job) -> tuple[list[Cell], list[Training]]:
    """All cells, and the trainings of those that are not done, with these alone."""
    every = cells(job.grid)
    there = set(storage.list_files(storage.join(job.output, "cells")))
    todo = [training.without(there, job.output) for training in trainings(every)]
    return every, [training for training in todo if training.every]
