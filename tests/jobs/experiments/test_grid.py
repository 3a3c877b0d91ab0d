"""What a grid may say, and that all that is wrong in it is told at once, with the remedy."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from jobs.experiments.cells import cells, trainings
from jobs.experiments.grid import Grid, load, parse, shipped

TEXT = """
source = "embedded-en"
encoders = ["embedded"]
seeds = [0, 1]
tests = ["embedded-es", "embedded-fr"]
[variants.base]
preset = "embedded-base"
reads = "unadapted"
[variants.full]
preset = "embedded"
[variants.adam]
preset = "embedded"
adapt = { adapt_optimizer = "adam", gamma = 1e-5 }
"""


def values(**changes: Any) -> dict[str, Any]:
    return {**tomllib.loads(TEXT), **changes}


def variant(**changes: Any) -> dict[str, Any]:
    """The grid's values with another variant full."""
    found = values()
    found["variants"]["full"] = {"preset": "embedded", **changes}
    return found


def grid(**changes: Any) -> Grid:
    return parse(values(**changes), "grid.toml")


@pytest.mark.parametrize("name", shipped())
def test_shipped_grids_can_be_read_and_their_names_do_not_clash(name: str) -> None:
    found = cells(load(name))
    assert len({cell.name for cell in found}) == len(found) > 0
    assert sum(len(training.every) for training in trainings(found)) == len(found)


def test_the_papers_grid_has_both_readings_and_all_its_tests() -> None:
    paper = load("paper")
    assert {variant.preset for variant in paper.variants} >= {"paper", "official-code", "base"}
    assert len(paper.tests) == len(paper.seeds) == 5
    assert all(variant.published for variant in paper.variants)


def test_one_bundle_serves_many_tests_and_ways_to_adapt() -> None:
    every = cells(grid())
    assert len(every) == 3 * 2 * 2
    found = trainings(every)
    assert len(found) == 2 * 2 * 2, "base and full, two seeds, four types and three; adam needs none of its own"
    full = next(t for t in found if t.name == "embedded.full.PER-LOC-ORG-MISC.0")
    assert [cell.name for cell in full.cells] == [
        "embedded.full.PER-LOC-ORG-MISC.0/embedded-es",
        "embedded.adam.PER-LOC-ORG-MISC.0/embedded-es",
    ]


def test_protocols_say_which_types_a_tests_tagger_knows() -> None:
    types = {protocol: {c.types for c in cells(grid(protocols=[protocol]))} for protocol in ("paper", "four")}
    assert types["four"] == {("PER", "LOC", "ORG", "MISC")}
    assert types["paper"] == {("PER", "LOC", "ORG", "MISC"), ("PER", "LOC", "ORG")}
    assert len(cells(grid(protocols=["paper", "four"]))) == 3 * 2 * 3, "Spanish is the same under both"


def test_a_variant_may_be_of_some_encoders_only() -> None:
    more = variant(encoders=["e5-small"])
    found = cells(parse({**more, "encoders": ["embedded", "e5-small"]}, "g"))
    assert {c.encoder for c in found if c.variant.name == "full"} == {"e5-small"}


def test_the_baseline_is_the_first_that_is_read_unadapted_unless_said() -> None:
    assert grid().baseline == "base"
    assert grid(baseline="full").baseline == "full"


def test_a_variant_that_is_scored_unadapted_alone_is_read_so() -> None:
    found = grid(variants={"base": {"preset": "embedded-base"}, "full": {"preset": "embedded", "unadapted": True}})
    assert [(v.unadapted, v.reads) for v in found.variants] == [(False, "adapted"), (True, "unadapted")]
    assert found.baseline == "full"


WRONG = {
    "an unknown key": (values(sedes=[1]), "sedes is no key of a grid; did you mean seeds?"),
    "an unknown corpus": (values(tests=["conll2002-ess"]), "'conll2002-ess' is unknown; did you mean conll2002-es?"),
    "an unknown source": (values(source="klingon"), "source: 'klingon' is unknown; the corpora are conll2003-en"),
    "an unknown type": (values(types=["PER", "LOX"]), "types: 'LOX' is unknown; did you mean LOC?"),
    "an unknown protocol": (values(protocols=["three"]), "protocols: 'three' is unknown; the protocols are"),
    "an unknown preset": (variant(preset="emebdded"), "preset 'emebdded' is unknown; there are paper"),
    "an unknown field": (variant(set={"alhpa": 1.0}), "settings have no field alhpa"),
    "a value that cannot be": (variant(set={"beta": -1.0}), "variants.full: settings:\n    beta is -1.0"),
    "a field that training decides": (variant(adapt={"beta": 1.0}), "beta: decided when the bundle was trained"),
    "a field that the grid decides": (variant(set={"seed": 3}), "full.set.seed: the grid's own `seeds` decides it"),
    "an unknown row": (variant(published="best"), "published is 'best'; the paper's rows are base model"),
    "an unknown reading": (variant(reads="both"), "full.reads is 'both'; it must be adapted or unadapted"),
    "a reading that is left out": (variant(unadapted=True, reads="adapted"), "full.reads is of the adapted model"),
    "how to adapt, and not to": (variant(unadapted=True, adapt={"gamma": 1.0}), "full.adapt is of the adapted model"),
    "no truth value": (variant(unadapted="yes"), "full.unadapted is 'yes'; it must be true or false"),
    "a key of no variant": (variant(prest="x"), "variants.full.prest is no key of a grid; did you mean preset?"),
    "two variants that are one": (variant(reads="adapted", label="x", set={"gamma": 1e-5, "adapt_optimizer": "adam"}),
                                  "variants full and adam are one: nothing that is computed differs; drop one"),
    "two seeds that are one": (values(seeds=[0, 1, 0]), "seeds names 0 twice"),
    "two encoders of one name": (values(encoders=["a/mbert", "b/mbert"]), "encoders has mbert twice"),
    "a test without the split": (values(split="dev"), "tests: embedded-es has no split dev; it has test"),
    "a source without a dev set": (values(source="embedded-es"), "embedded-es has no split dev, which training needs"),
    "a wrong kind": (values(seeds=["0"]), "seeds is ['0']; it must be a list with at least one in it, each a whole"),
    "nothing in a list": (values(tests=[]), "tests is missing"),
    "a limit of nothing": (values(limit=0), "limit is 0; it must be at least 1"),
    "an encoder of no grid": (variant(encoders=["e5"]), "variants.full.encoders: 'e5' is unknown"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_it_is_refused(what: str) -> None:
    wrong, told = WRONG[what]
    with pytest.raises(ValueError, match=r"grid grid.toml:\n  ") as refused:
        parse(wrong, "grid.toml")
    assert told in str(refused.value)


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(ValueError, match="seeds") as refused:
        parse({**variant(reads="both"), "seeds": [True], "split": 3}, "grid.toml")
    assert len(str(refused.value).splitlines()) == 4


def test_no_such_grid(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no grid is named 'papper'; give a .toml file, or one of e5-small"):
        load("papper")
    with pytest.raises(FileNotFoundError, match="no such file"):
        load(str(tmp_path / "no.toml"))
    (tmp_path / "bad.toml").write_text("seeds = [0,,]")
    with pytest.raises(ValueError, match=r"bad.toml: .*; a grid is a TOML file"):
        load(str(tmp_path / "bad.toml"))
