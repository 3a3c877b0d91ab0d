"""What may stand in a grid's file, and all that is wrong in one, each with its remedy."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from metaner_core.data.corpora import CORPORA
from metaner_core.data.labels import TYPES
from metaner_core.experiments.published import SYSTEMS
from metaner_core.tuning import share_problem

PAPER, FOUR = "paper", "four"
READS = ("adapted", "unadapted")
TUNED, TOGETHER = "fine-tune", "together"
TARGETS = (TUNED, TOGETHER)
DECIDED = {"seed": "seeds", "types": "types"}  # settings that the grid decides, and its key for each
LISTS: dict[str, type] = {
    "encoders": str,
    "seeds": int,
    "tests": str,
    "protocols": str,
    "types": str,
    "shares": float,
    "targets": str,
}
OTHERS: dict[str, type] = {"title": str, "source": str, "split": str, "limit": int, "baseline": str, "variants": dict}
VARIANTS: dict[str, type] = {
    "preset": str,
    "set": dict,
    "adapt": dict,
    "target": str,
    "tune": dict,
    "reads": str,
    "unadapted": bool,
    "label": str,
    "published": str,
}
NEEDED = ("source", "encoders", "seeds", "tests", "variants")
KINDS: dict[type, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dict: "a table",
}


def written(values: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with keys and kinds of values."""
    yield from _keys(values, {**LISTS, **OTHERS}, "")
    yield from (f"{key} is missing: a grid needs {', '.join(NEEDED)}" for key in NEEDED if not values.get(key))
    for key in LISTS:
        if key in values:
            yield from _list(key, values[key], LISTS[key])
    yield from _variants(values.get("variants"), values.get("encoders"))


def _keys(values: Mapping[str, Any], known: Mapping[str, type], at: str) -> Iterator[str]:
    for key, value in values.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            yield f"{at}{key} is no key of a grid; {meant}"
        elif key not in LISTS and not _is(value, known[key]):
            yield f"{at}{key} is {value!r}; it must be {KINDS[known[key]]}"


def _is(value: Any, kind: type) -> bool:
    """Whether it is of that kind; Python's truth values are no numbers here."""
    return isinstance(value, (int, float) if kind is float else kind) and isinstance(value, bool) == (kind is bool)


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
        if values.get("unadapted") is True:
            about = [key for key in ("reads", "adapt") if values.get(key) not in (None, "unadapted")]
            yield from (f"{at}{key} is of the adapted model, which `unadapted` leaves out: drop one" for key in about)
        if (target := values.get("target", TUNED)) not in TARGETS:
            yield f"{at}target is {target!r}; it must be {' or '.join(TARGETS)}"
        if (row := values.get("published")) is not None and row not in SYSTEMS:
            yield f"{at}published is {row!r}; the paper's rows are {', '.join(SYSTEMS)}"
        yield from _unknown(f"{at}encoders", values.get("encoders", []), encoders or [], "the grid's")
        for part, fields in (("set", values.get("set", {})), ("adapt", values.get("adapt", {}))):
            for key in fields if isinstance(fields, dict) else ():
                if key in DECIDED:
                    yield f"{at}{part}.{key}: the grid's own `{DECIDED[key]}` decides it; set it there"


def names(values: Mapping[str, Any]) -> Iterator[str]:
    """What is named and is not there, and numbers that cannot be."""
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
    yield from _shares(values, split)
    for part in ("train", "dev"):
        if values["source"] in CORPORA and part not in CORPORA[values["source"]].files:
            yield f"source: {values['source']} has no split {part}, which training needs; take another corpus"


def _shares(values: Mapping[str, Any], split: str) -> Iterator[str]:
    shares = [share for share in values.get("shares", ()) if share]
    yield from (f"shares: {problem}, or 0 for none" for share in shares if (problem := share_problem(share)))
    yield from _unknown("targets", values.get("targets", []), values["tests"], "the tests")
    for test in values.get("targets", values["tests"]) if shares else ():
        if test in CORPORA and (split == "train" or "train" not in CORPORA[test].files):
            told = "is scored on its training set" if split == "train" else "has no training set"
            yield f"{test} {told}, of which `shares` takes a part: name the tests to take shares of as `targets`"
    for name, variant in values["variants"].items():
        for key in () if shares else ("target", "tune"):
            if key in variant:
                yield f"variants.{name}.{key} is about labels of a target, of which this grid has no `shares`: add some"


def _unknown(key: str, names: Any, known: Any, what: str) -> Iterator[str]:
    for name in names if isinstance(names, list) else ():
        if name not in known:
            near = difflib.get_close_matches(str(name), map(str, known), 1)
            meant = f"did you mean {near[0]}?" if near else f"{what} are {', '.join(map(str, known))}"
            yield f"{key}: {name!r} is unknown; {meant}"


def label(encoder: str) -> str:
    """An encoder's name as part of a file's: the last of its path."""
    last = encoder.rstrip("/").rpartition("/")[2]
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in last)
