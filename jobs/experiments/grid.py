"""The grid of an experiment, from TOML: encoders x variants x seeds x tests x protocols, checked as a whole.

source = "conll2003-en"                       # has train and dev
encoders = ["e5-small"]                       # names, folders, s3:// prefixes
seeds = [0, 1, 2]
tests = ["conll2002-es", "europeana-fr"]
protocols = ["paper"]                         # paper: a test without MISC has a tagger of its own that knows none;
baseline = "base"                             # four: one tagger of all types for every test
shares = [0, 1, 2, 5]                         # percent of a test's training set whose labels are used too; default: [0]
targets = ["conll2002-es"]                    # tests for which a share above 0 is taken (default: all)

[variants.base]
preset = "e5-base"
reads = "unadapted"                           # which of the two scores is the variant's (default: adapted)
unadapted = true                              # there is that one alone: scored in less than half the time

[variants.full]
preset = "e5"
set = { meta_updates = 3000 }                 # of training
adapt = { gamma = 3e-5 }                      # of adapting alone: variants that differ in no more share a bundle
published = "full method"                     # row of the paper's tables to stand beside it
tune = { rate = 1e-5, state = "fresh" }       # fields of metaner_core.tuning, where a share is above 0

[variants.ml]
preset = "e5-base"
target = "together"                           # trained on English and a share together; default: fine-tune
"""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jobs.experiments.checks import FOUR, LISTS, PAPER, TOGETHER, TUNED, names, written
from metaner_core import storage
from metaner_core.data.corpora import CORPORA
from metaner_core.data.labels import TYPES
from metaner_core.settings import Settings, preset
from metaner_core.tuning import Tuning, tuning

SHIPPED = Path(__file__).parents[1] / "grids"


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One way to train and to adapt. set, adapt: fields of Settings that are others than the preset's.

    target: what is done with labels of a test's language. tune: fields of Tuning that are others than its own. reads:
    whose score is its own. unadapted: it is not scored adapted.
    """

    name: str
    preset: str = PAPER
    set: Mapping[str, Any] = field(default_factory=dict)
    adapt: Mapping[str, Any] = field(default_factory=dict)
    target: str = TUNED
    tune: Mapping[str, Any] = field(default_factory=dict)
    reads: str = "adapted"
    unadapted: bool = False
    label: str = ""
    published: str | None = None
    encoders: tuple[str, ...] | None = None  # None: all of the grid

    def settings(self, seed: int, types: Sequence[str]) -> Settings:
        """Of training. Raises ValueError for fields or values that cannot be."""
        return preset(self.preset, **{**self.set, "seed": seed, "types": tuple(types)})

    def tuning(self, settings: Settings) -> Tuning | None:
        """Of fine-tuning what was trained with these settings; None: it learns from English and the target together.

        Raises ValueError for fields or values that cannot be.
        """
        return None if self.target == TOGETHER else tuning(self.tune).of(settings)


@dataclass(frozen=True, kw_only=True)
class Grid:
    """What is compared on what. Checked by `parse`, not by itself."""

    name: str
    source: str
    encoders: tuple[str, ...]
    seeds: tuple[int, ...]
    tests: tuple[str, ...]
    variants: tuple[Variant, ...]
    protocols: tuple[str, ...] = (PAPER,)
    types: tuple[str, ...] = TYPES
    shares: tuple[float, ...] = (0,)  # percent of a target's labelled training sentences; 0: none
    targets: tuple[str, ...] = ()  # tests for which shares above 0 are taken
    title: str = ""
    split: str = "test"
    limit: int | None = None
    baseline: str = ""

    def types_of(self, test: str, protocol: str) -> tuple[str, ...]:
        """The types that a tagger for this test is trained on."""
        return tuple(t for t in self.types if protocol == FOUR or t in CORPORA[test].types)


def shipped() -> list[str]:
    """Names of the grids that come with the package."""
    return sorted(path.stem for path in SHIPPED.glob("*.toml"))


def load(name: str) -> Grid:
    """A grid from a file, local or s3://, or one that comes with the package, by its name.

    Raises FileNotFoundError when there is none, ValueError naming all that is wrong in it.
    """
    if not name.endswith(".toml"):
        if name not in shipped():
            raise FileNotFoundError(f"no grid is named {name!r}; give a .toml file, or one of {', '.join(shipped())}")
        name = str(SHIPPED / f"{name}.toml")
    try:
        values = tomllib.loads(storage.read_bytes(name).decode())
    except ValueError as error:  # not TOML, or not UTF-8
        raise ValueError(f"{name}: {error}; a grid is a TOML file (docs/guides/experiments.md)") from None
    return parse(values, name)


def parse(values: Mapping[str, Any], where: str) -> Grid:
    """The grid. Raises ValueError naming all that is wrong. where: its file."""
    problems = list(written(values))
    if not problems:
        problems += names(values)
    if problems:
        raise ValueError(f"grid {where}:\n  " + "\n  ".join(problems))
    grid = _grid(values, where)
    problems = [*_settings(grid), *_same(grid)]
    if problems:
        raise ValueError(f"grid {where}:\n  " + "\n  ".join(problems))
    return grid


def _grid(values: Mapping[str, Any], where: str) -> Grid:
    named = values["variants"].items()
    variants = [Variant(name=name, **{**_read(v), **v, **_tuples(v, ("encoders",))}) for name, v in named]
    first = next((v.name for v in variants if v.reads == "unadapted"), variants[0].name)
    lists = _tuples({"targets": values["tests"], **values}, tuple(LISTS))
    given = {"name": Path(where).stem, "baseline": first, **values, **lists, "variants": tuple(variants)}
    return Grid(**given)


def _read(variant: Mapping[str, Any]) -> dict[str, str]:
    """Whose score is that of a variant which has one alone."""
    return {"reads": "unadapted"} if variant.get("unadapted") else {}


def _tuples(values: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    return {key: tuple(values[key]) for key in keys if key in values}


def _settings(grid: Grid) -> Iterator[str]:
    """What training or adapting would refuse."""
    for variant in grid.variants:
        for protocol in grid.protocols:
            try:
                for test in grid.tests:
                    settings = variant.settings(grid.seeds[0], grid.types_of(test, protocol))
                    settings.adapting(variant.adapt)
                    variant.tuning(settings)
            except (ValueError, TypeError) as error:
                yield f"variants.{variant.name}: {error}".replace("\n", "\n  ")
                break


def _same(grid: Grid) -> Iterator[str]:
    """Variants that are one."""
    seen: dict[Any, str] = {}
    for variant in grid.variants:
        try:
            own = variant.settings(0, grid.types)
            settings, low = own.adapting(variant.adapt).to_dict(), variant.tuning(own)
        except (ValueError, TypeError):
            continue
        del settings["preset"]  # a name that computes nothing
        for encoder in variant.encoders or grid.encoders:
            key = (encoder, repr(settings), low if any(grid.shares) else variant.target, variant.reads)
            if key in seen:
                yield f"variants {seen[key]} and {variant.name} are one: nothing that is computed differs; drop one"
            seen[key] = variant.name
