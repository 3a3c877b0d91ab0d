"""The grid of an experiment, from TOML: encoders x variants x seeds x tests x protocols, checked as a whole.

source = "conll2003-en"                       # has train and dev
encoders = ["e5-small"]                       # names, folders, s3:// prefixes
seeds = [0, 1, 2]
tests = ["conll2002-es", "europeana-fr"]
protocols = ["paper"]                         # paper: a test without MISC has a tagger of its own that knows none;
baseline = "base"                             # four: one tagger of all types for every test

[variants.base]
preset = "e5-base"
reads = "unadapted"                           # which of the two scores is the variant's (default: adapted)

[variants.full]
preset = "e5"
set = { meta_updates = 3000 }                 # of training
adapt = { gamma = 3e-5 }                      # of adapting alone: variants that differ in no more share a bundle
published = "full method"                     # row of the paper's tables to stand beside it
"""

import difflib
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metaner_core import storage
from metaner_core.data.corpora import CORPORA
from metaner_core.data.labels import TYPES
from metaner_core.experiments.published import SYSTEMS
from metaner_core.settings import Settings, preset

SHIPPED = Path(__file__).parents[1] / "grids"
PAPER, FOUR = "paper", "four"
READS = ("adapted", "unadapted")
DECIDED = {"seed": "seeds", "types": "types"}  # settings that the grid decides, and its key for each
LISTS: dict[str, type] = {"encoders": str, "seeds": int, "tests": str, "protocols": str, "types": str}
OTHERS: dict[str, type] = {"title": str, "source": str, "split": str, "limit": int, "baseline": str, "variants": dict}
VARIANTS: dict[str, type] = {"preset": str, "set": dict, "adapt": dict, "reads": str, "label": str, "published": str}
NEEDED = ("source", "encoders", "seeds", "tests", "variants")
KINDS: dict[type, str] = {str: "text", int: "a whole number", dict: "a table"}


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One way to train and to adapt. set, adapt: fields of Settings that are others than the preset's."""

    name: str
    preset: str = PAPER
    set: Mapping[str, Any] = field(default_factory=dict)
    adapt: Mapping[str, Any] = field(default_factory=dict)
    reads: str = "adapted"
    label: str = ""
    published: str | None = None
    encoders: tuple[str, ...] | None = None  # None: all of the grid

    def settings(self, seed: int, types: Sequence[str]) -> Settings:
        """Of training. Raises ValueError for fields or values that cannot be."""
        return preset(self.preset, **{**self.set, "seed": seed, "types": tuple(types)})


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
    problems = [*_keys(values, {**LISTS, **OTHERS}, "")]
    problems += [f"{key} is missing: a grid needs {', '.join(NEEDED)}" for key in NEEDED if not values.get(key)]
    problems += [problem for key in LISTS if key in values for problem in _list(key, values[key], LISTS[key])]
    problems += _variants(values.get("variants"), values.get("encoders"))
    if not problems:
        problems += _names(values)
    if problems:
        raise ValueError(f"grid {where}:\n  " + "\n  ".join(problems))
    grid = _grid(values, where)
    problems = [*_settings(grid), *_same(grid)]
    if problems:
        raise ValueError(f"grid {where}:\n  " + "\n  ".join(problems))
    return grid


def _grid(values: Mapping[str, Any], where: str) -> Grid:
    named = values["variants"].items()
    variants = [Variant(name=name, **{**v, **_tuples(v, ("encoders",))}) for name, v in named]
    first = next((v.name for v in variants if v.reads == "unadapted"), variants[0].name)
    lists = _tuples(values, tuple(LISTS))
    given = {"name": Path(where).stem, "baseline": first, **values, **lists, "variants": tuple(variants)}
    return Grid(**given)


def _tuples(values: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    return {key: tuple(values[key]) for key in keys if key in values}


def _keys(values: Mapping[str, Any], known: Mapping[str, type], at: str) -> Iterator[str]:
    for key, value in values.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            yield f"{at}{key} is no key of a grid; {meant}"
        elif key not in LISTS and not _is(value, known[key]):
            yield f"{at}{key} is {value!r}; it must be {KINDS[known[key]]}"


def _is(value: Any, kind: type) -> bool:
    return isinstance(value, kind) and not (kind is int and isinstance(value, bool))


def _list(key: str, value: Any, kind: type) -> Iterator[str]:
    if not isinstance(value, list) or not value or not all(_is(v, kind) for v in value):
        yield f"{key} is {value!r}; it must be a list with at least one in it, each {KINDS[kind]}"
    elif twice := sorted({v for v in value if value.count(v) > 1}):
        yield f"{key} names {', '.join(map(str, twice))} twice: each of its cells would be one with another"
    elif kind is int and (low := [v for v in value if v < 0]):
        yield f"{key} holds {low[0]}; a seed is 0 or more"


def _variants(variants: Any, encoders: Any) -> Iterator[str]:
    for name, values in variants.items() if isinstance(variants, dict) else ():
        at = f"variants.{name}."
        if not isinstance(values, dict):
            yield f"variants.{name} is {values!r}; it must be a table"
            continue
        yield from _keys(values, {**VARIANTS, "encoders": list}, at)
        if "." in name or "/" in name:
            yield f"variants.{name}: a variant's name has neither . nor /, for it is part of a file's"
        if (reads := values.get("reads", READS[0])) not in READS:
            yield f"{at}reads is {reads!r}; it must be {' or '.join(READS)}"
        if (row := values.get("published")) is not None and row not in SYSTEMS:
            yield f"{at}published is {row!r}; the paper's rows are {', '.join(SYSTEMS)}"
        yield from _unknown(f"{at}encoders", values.get("encoders", []), encoders or [], "the grid's")
        for part, fields in (("set", values.get("set", {})), ("adapt", values.get("adapt", {}))):
            for key in fields if isinstance(fields, dict) else ():
                if key in DECIDED:
                    yield f"{at}{part}.{key}: the grid's own `{DECIDED[key]}` decides it; set it there"


def _names(values: Mapping[str, Any]) -> Iterator[str]:
    yield from _unknown("tests", values["tests"], CORPORA, "the corpora")
    yield from _unknown("source", [values["source"]], CORPORA, "the corpora")
    yield from _unknown("types", values.get("types", []), TYPES, "the types")
    yield from _unknown("protocols", values.get("protocols", []), (PAPER, FOUR), "the protocols")
    yield from _unknown("baseline", [b] if (b := values.get("baseline")) else [], values["variants"], "the variants")
    if (limit := values.get("limit")) is not None and limit < 1:
        yield f"limit is {limit}; it must be at least 1 sentence of each test"
    labels = [label(encoder) for encoder in values["encoders"]]
    if twice := sorted({name for name in labels if labels.count(name) > 1}):
        yield f"encoders has {', '.join(twice)} twice, of different places: give folders of different names"
    split = values.get("split", "test")
    for test in values["tests"]:
        if test in CORPORA and split not in CORPORA[test].files:
            yield f"tests: {test} has no split {split}; it has {', '.join(CORPORA[test].files)}"
    for part in ("train", "dev"):
        if values["source"] in CORPORA and part not in CORPORA[values["source"]].files:
            yield f"source: {values['source']} has no split {part}, which training needs; take another corpus"


def _unknown(key: str, names: Any, known: Any, what: str) -> Iterator[str]:
    for name in names if isinstance(names, list) else ():
        if name not in known:
            near = difflib.get_close_matches(str(name), map(str, known), 1)
            meant = f"did you mean {near[0]}?" if near else f"{what} are {', '.join(map(str, known))}"
            yield f"{key}: {name!r} is unknown; {meant}"


def _settings(grid: Grid) -> Iterator[str]:
    """What training or adapting would refuse."""
    for variant in grid.variants:
        for protocol in grid.protocols:
            try:
                for test in grid.tests:
                    variant.settings(grid.seeds[0], grid.types_of(test, protocol)).adapting(variant.adapt)
            except (ValueError, TypeError) as error:
                yield f"variants.{variant.name}: {error}".replace("\n", "\n  ")
                break


def _same(grid: Grid) -> Iterator[str]:
    """Variants that are one."""
    seen: dict[Any, str] = {}
    for variant in grid.variants:
        try:
            settings = variant.settings(0, grid.types).adapting(variant.adapt).to_dict()
        except (ValueError, TypeError):
            continue
        del settings["preset"]  # a name that computes nothing
        for encoder in variant.encoders or grid.encoders:
            key = (encoder, repr(settings), variant.reads)
            if key in seen:
                yield f"variants {seen[key]} and {variant.name} are one: nothing that is computed differs; drop one"
            seen[key] = variant.name


def label(encoder: str) -> str:
    """An encoder's name as part of a file's: the last of its path."""
    last = encoder.rstrip("/").rpartition("/")[2]
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in last)
