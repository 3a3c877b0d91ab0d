"""Which grid an output is of: another is refused there, and one that has more is added when asked."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from jobs.common.differences import differences, require_same
from jobs.experiments.checks import TOGETHER, label
from jobs.experiments.grid import Grid
from jobs.scoring.result import Test
from metaner_core import __version__, storage
from metaner_core.data.columns import Sentence
from metaner_core.data.sentences import fingerprint
from metaner_core.settings import EARLIER

GRID = "grid.json"
GROWS = ("encoders", "variants", "seeds", "tests", "protocols", "shares", "targets", "with_labels")


def facts(
    grid: Grid,
    train: Sequence[Sentence],
    dev: Sequence[Sentence],
    tests: Mapping[str, Test],
    how: Mapping[str, Any],
    targets: Mapping[str, Sequence[Sentence]] | None = None,
) -> dict[str, Any]:
    """All that decides what is in the cells. how: the engine and its precision. targets: training sets of tests."""
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
                **({"unadapted": True} if v.unadapted else {}),
            }
            for v in grid.variants
        },
        "seeds": {str(seed): True for seed in grid.seeds},
        "tests": {name: test.facts() for name, test in tests.items()},
        "protocols": dict.fromkeys(grid.protocols, True),
        "types": list(grid.types),
        **how,
        **(_with_labels(grid, targets) if targets else {}),
    }
    return json.loads(json.dumps(found))  # type: ignore[no-any-return]  # tuples as lists, as they are read again


def _with_labels(grid: Grid, targets: Mapping[str, Sequence[Sentence]]) -> dict[str, Any]:
    """What a grid without shares has not, so that it may get some later."""
    tuned = {v.name: v.tuning(v.settings(0, grid.types)) for v in grid.variants}
    return {
        "shares": {f"{share:g}": True for share in grid.shares},
        "targets": {name: fingerprint(sentences) for name, sentences in targets.items()},
        "with_labels": {name: TOGETHER if how is None else how.to_dict() for name, how in tuned.items()},
    }


def claim(output: str, facts: Mapping[str, Any], *, extend: bool) -> None:
    """Take an unused output for a grid, or find that it is this grid's. extend: it may have more than it had.

    Raises ValueError naming what differs if the output is another grid's, FileExistsError if it holds anything else.
    """
    uri = storage.join(output, GRID)
    if not storage.exists(uri):
        storage.require_unused(output, "grid of cells")
    else:
        then = _read(uri)
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
    grown = dict(then)
    for part in (part for part in GROWS if part in then or part in now):
        before, after = then.get(part, {}), now.get(part, {})
        grown[part] = {**before, **{k: v for k, v in after.items() if k not in before}}
    for name, variant in grown["variants"].items():
        theirs = now["variants"].get(name, variant)["encoders"]
        if set(variant["encoders"]) <= set(theirs):  # a variant may come to be of more of them
            grown["variants"][name] = {**variant, "encoders": theirs}
    return grown


def changed(output: str, facts: Mapping[str, Any]) -> list[str]:
    """What differs from the grid that this output is of, a line each; nothing if it is of none."""
    uri = storage.join(output, GRID)
    return list(differences(_read(uri), facts)) if storage.exists(uri) else []


def _read(uri: str) -> dict[str, Any]:
    """A grid's facts, with what settings meant that its version did not know."""
    facts: dict[str, Any] = json.loads(storage.read_bytes(uri))["facts"]
    for variant in facts["variants"].values():
        variant["settings"] = {**EARLIER, **variant["settings"]}
    return facts
