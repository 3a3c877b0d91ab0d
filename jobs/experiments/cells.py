"""The cells of a grid, the trainings that they need, and where all of it lies below an experiment's output.

grid.json                          what decides the cells; another grid is refused
cells/<run>/<test>.json            one cell: counts, by sentence too; <run> is encoder.variant.types.seed
trainings/<training>.json          how a training went: seconds, curve
bundles/<training>/                its bundle
runs/, parts/                      checkpoints and parts of evaluations, until they are no longer needed
results.parquet ... report.html    made of the cells, again at every end
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobs.common.differences import differences, require_same
from jobs.experiments.grid import Grid, Variant, label
from jobs.scoring.result import Test
from metaner_core import __version__, storage
from metaner_core.data.columns import Sentence
from metaner_core.data.sentences import fingerprint
from metaner_core.settings import Settings

GRID = "grid.json"
GROWS = ("encoders", "variants", "seeds", "tests", "protocols")


@dataclass(frozen=True)
class Cell:
    """One variant of one encoder, trained from one seed on these types, on one test."""

    encoder: str
    variant: Variant
    types: tuple[str, ...]
    seed: int
    test: str

    @property
    def run(self) -> str:
        """A name for all but the test: what one bundle, adapting in one way, is scored as."""
        return _run(self.encoder, self.variant.name, self.types, self.seed)

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
class Training:
    """One bundle and the cells that it is for. name: of the first variant that needs it."""

    name: str
    encoder: str
    settings: Settings
    cells: tuple[Cell, ...]

    def bundle(self, output: str) -> str:
        return storage.join(output, f"bundles/{self.name}")

    def record(self, output: str) -> str:
        return storage.join(output, f"trainings/{self.name}.json")

    def runs(self) -> dict[str, list[Cell]]:
        """Its cells by what is scored together."""
        found: dict[str, list[Cell]] = {}
        for cell in self.cells:
            found.setdefault(cell.run, []).append(cell)
        return found


def _run(encoder: str, variant: str, types: Sequence[str], seed: int) -> str:
    return f"{label(encoder)}.{variant}.{'-'.join(types)}.{seed}"


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
                        for test in grid.tests:
                            yield Cell(encoder, variant, grid.types_of(test, protocol), seed, test)


def trainings(cells: Sequence[Cell]) -> list[Training]:
    """The trainings that the cells need: one for all that differ in the test or in adapting alone."""
    found: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        settings = {**cell.settings().to_dict(), "preset": ""}  # a name that computes nothing
        found.setdefault((cell.encoder, json.dumps(settings, sort_keys=True)), []).append(cell)
    return [Training(c[0].run, c[0].encoder, c[0].settings(), tuple(c)) for c in found.values()]


def facts(
    grid: Grid, train: Sequence[Sentence], dev: Sequence[Sentence], tests: Mapping[str, Test], how: Mapping[str, Any]
) -> dict[str, Any]:
    """All that decides what is in the cells. how: the engine and its precision."""
    settings = {v.name: v.settings(0, grid.types).to_dict() for v in grid.variants}
    apart = {"seed", "types", "preset"}
    found = {
        "source": {"name": grid.source, "train": fingerprint(train), "dev": fingerprint(dev)},
        "encoders": {label(encoder): encoder for encoder in grid.encoders},
        "variants": {
            v.name: {
                "settings": {k: x for k, x in settings[v.name].items() if k not in apart},
                "adapt": dict(v.adapt),
                "encoders": sorted(map(label, v.encoders or grid.encoders)),
            }
            for v in grid.variants
        },
        "seeds": {str(seed): True for seed in grid.seeds},
        "tests": {name: test.facts() for name, test in tests.items()},
        "protocols": dict.fromkeys(grid.protocols, True),
        "types": list(grid.types),
        **how,
    }
    return json.loads(json.dumps(found))  # type: ignore[no-any-return]  # tuples as lists, as they are read again


def claim(output: str, facts: Mapping[str, Any], *, extend: bool) -> None:
    """Take an unused output for a grid, or find that it is this grid's. extend: it may have more than it had.

    Raises ValueError naming what differs if the output is another grid's, FileExistsError if it holds anything else.
    """
    uri = storage.join(output, GRID)
    if not storage.exists(uri):
        storage.require_unused(output, "grid of cells")
    else:
        then = json.loads(storage.read_bytes(uri))["facts"]
        told = "Take that grid to go on with it, or give another --output"
        more = _grown(then, facts)
        if more != then and not extend:
            told += "; --extend adds what is new to what there is"
        require_same(more if extend else then, facts, f"{output} is of a grid", told)
        if then == facts:
            return
    storage.write_whole(uri, json.dumps({"facts": facts, "metaner": __version__}, indent=1).encode())


def _grown(then: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """What was, with what is new in the parts that may grow."""
    new = {part: {k: v for k, v in now[part].items() if k not in then[part]} for part in GROWS}
    grown = {**then, **{part: {**then[part], **new[part]} for part in GROWS}}
    for name, variant in grown["variants"].items():
        theirs = now["variants"].get(name, variant)["encoders"]
        if set(variant["encoders"]) <= set(theirs):  # a variant may come to be of more of them
            grown["variants"][name] = {**variant, "encoders": theirs}
    return grown


def changed(output: str, facts: Mapping[str, Any]) -> list[str]:
    """What differs from the grid that this output is of, a line each; nothing if it is of none."""
    uri = storage.join(output, GRID)
    return list(differences(json.loads(storage.read_bytes(uri))["facts"], facts)) if storage.exists(uri) else []
