"""Labels of the target as an axis of a grid: what is trained and fine-tuned, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from jobs import experiment as command
from jobs.experiments.cells import cells, left, trainings
from jobs.experiments.claim import claim
from jobs.experiments.data import read
from jobs.experiments.grid import Grid, parse
from jobs.experiments.job import Job
from jobs.experiments.report import report
from jobs.experiments.run import experiment
from metaner_core.data import corpora
from metaner_core.data.sentences import drawn
from tests.support.small import save_tiny_bert

SET = {"meta_updates": 4, "dev_every": 4, "tasks_per_update": 4, "beta": 2e-2}
TUNE = {"epochs": 2, "batch": 8}


def values(**changes: Any) -> dict[str, Any]:
    found = {
        "source": "embedded-en",
        "encoders": ["embedded"],
        "seeds": [0, 1],
        "tests": ["conll2002-es", "embedded-fr"],
        "targets": ["conll2002-es"],
        "shares": [0, 10, 50],
        "protocols": ["four"],
        "limit": 20,
        "variants": {
            "base": {"preset": "embedded-base", "set": SET, "tune": TUNE, "reads": "unadapted"},
            "ml": {"preset": "embedded-base", "set": SET, "target": "together", "reads": "unadapted"},
            "full": {"preset": "embedded", "set": SET, "tune": TUNE},
            "adam": {"preset": "embedded", "set": SET, "tune": TUNE, "adapt": {"gamma": 0.5}},
        },
    }
    return {**found, **changes}


def grid(**changes: Any) -> Grid:
    return parse(values(**changes), "grid.toml")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder in which the Spanish corpus has a training set and a test: halves of the embedded one."""
    folder = tmp_path_factory.mktemp("data") / "conll2002-es"
    folder.mkdir()
    sentences = corpora.load("embedded-es", "test")
    for name, part in (("esp.train", sentences[:60]), ("esp.testb", sentences[60:])):
        rows = ("".join(f"{w} {t}\n" for w, t in zip(s.words, s.labels, strict=True)) for s in part)
        (folder / name).write_text("\n".join(rows), encoding="utf-8")
    return str(folder.parent)


def test_fine_tuning_needs_one_training_and_learning_together_one_for_every_share() -> None:
    found = {t.name: t for t in trainings(cells(grid(seeds=[0]))) if ".adam." not in t.name}
    name = "embedded.{}.PER-LOC-ORG-MISC.0"
    ml = [f"{name.format('ml')}.conll2002-es-{share}" for share in (10, 50)]
    assert set(found) == {name.format("base"), name.format("full"), *ml}
    assert [found[n].target for n in ml] == [("conll2002-es", 10), ("conll2002-es", 50)]
    full = found[name.format("full")]
    assert len(full.cells) == 2 * 2, "two tests without labels, two ways to adapt"
    assert [(t.name, len(t.cells)) for t in full.tuned] == [
        (f"{name.format('full')}.conll2002-es-{share}", 2) for share in (10, 50)
    ], "two ways to adapt share what was fine-tuned"


def test_without_labels_there_is_nothing_to_learn_together() -> None:
    assert {c.share for c in cells(grid()) if c.variant.name == "ml"} == {10, 50}
    assert {c.test for c in cells(grid()) if c.share} == {"conll2002-es"}


def test_what_is_left_keeps_its_names(data: str, tmp_path: Path) -> None:
    job = Job(grid=grid(seeds=[0]), output=str(tmp_path / "out"), data=data)
    every, before = left(job)
    done = [c for c in every if c.variant.name == "full"]
    for cell in done:
        Path(cell.uri(job.output)).parent.mkdir(parents=True, exist_ok=True)
        Path(cell.uri(job.output)).write_text("{}")
    after = left(job)[1]
    assert {t.name for t in after} == {t.name for t in before}
    assert {t.name for x in after for t in x.tuned} == {t.name for x in before for t in x.tuned}
    assert {c.variant.name for t in after for c in t.every} == {"base", "ml", "adam"}


def test_a_grid_may_get_shares_later(data: str, tmp_path: Path) -> None:
    def claimed(found: Grid, extend: bool) -> None:
        job = Job(grid=found, output=str(tmp_path / "out"), data=data)
        claim(job.output, read(job).facts(job), extend=extend)

    variants = {name: dict(v) for name, v in values()["variants"].items() if name != "ml"}
    for v in variants.values():
        v.pop("tune", None)
    claimed(grid(shares=[0], variants=variants), extend=False)
    with pytest.raises(ValueError, match="--extend adds what is new"):
        claimed(grid(), extend=False)
    claimed(grid(), extend=True)
    claimed(grid(), extend=False)
    other = {**values()["variants"], "full": {**values()["variants"]["full"], "tune": {"epochs": 9}}}
    with pytest.raises(ValueError, match=r"with_labels.full.epochs: 2 then, 9 now"):
        claimed(grid(variants=other), extend=True)


VARIANTS = values()["variants"]
WRONG = {
    "no training set": ({"targets": ["embedded-fr"]}, "embedded-fr has no training set, of which `shares` takes"),
    "all tests, unless said": ({"targets": ["conll2002-es", "embedded-fr"]}, "embedded-fr has no training set"),
    "a share above all": ({"shares": [0, 150]}, "shares: a share of labels is 150; it must be above 0 and at most 100"),
    "a share below none": ({"shares": [-1]}, "a share of labels is -1; it must be above 0"),
    "no number": ({"shares": ["1%"]}, "shares is ['1%']; it must be a list with at least one in it, each a number"),
    "one twice": ({"shares": [1, 1.0]}, "shares names 1 twice"),
    "a target that is no test": ({"targets": ["conll2002-nl"]}, "targets: 'conll2002-nl' is unknown"),
    "labels of none": ({"shares": [0]}, "variants.ml.target is about labels of a target, of which this grid has no"),
    "an unknown way": ({"variants": {**VARIANTS, "ml": {"target": "both"}}}, "target is 'both'; it must be fine-tune"),
    "an unknown field": ({"variants": {**VARIANTS, "ml": {"tune": {"rat": 1}}}}, "fine-tuning has no field rat"),
    "two that are one": ({"variants": {**VARIANTS, "m": VARIANTS["ml"]}}, "variants ml and m are one"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_it_is_refused(what: str) -> None:
    changes, told = WRONG[what]
    with pytest.raises(ValueError, match=r"grid grid.toml:\n  ") as refused:
        grid(**changes)
    assert told in str(refused.value)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_it_runs(ray_local: None, data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A bundle without cells of its own is trained all the same, and stays; what is tuned of it goes."""
    few = {"tests": ["conll2002-es"], "shares": [50], "seeds": [0], "baseline": "full"}
    variants = {name: VARIANTS[name] for name in ("ml", "full")}
    found = grid(encoders=[save_tiny_bert(tmp_path / "tiny")], variants=variants, **few)
    job = Job(
        grid=found, output=str(tmp_path / "out"), data=data, failures=0, at_once=2, tensorboard=str(tmp_path / "tb")
    )
    command._say_what_would_run(job)
    assert "1 fine-tuning(s) of it" in capsys.readouterr().out
    assert experiment(job) == {}
    kept = {path.parent.name for path in (tmp_path / "out").glob("bundles/*/manifest.json")}
    assert kept == {"tiny.ml.PER-LOC-ORG-MISC.0.conll2002-es-50", "tiny.full.PER-LOC-ORG-MISC.0"}
    report(job)
    rows = pq.read_table(tmp_path / "out" / "results.parquet").to_pylist()
    assert {(r["variant"], r["share"]) for r in rows} == {("full", 50), ("ml", 50)}
    assert len(list((tmp_path / "tb").glob("scores/*/events.*"))) == 2
    (record,) = (json.loads(path.read_text()) for path in (tmp_path / "out" / "tuned").glob("*.json"))
    half = drawn(corpora.load("conll2002-es", "train", data=data), 50, 0)
    assert (record["sentences"], record["epochs"]) == (len(half), 2)
    command._say_what_would_run(job)
    assert "nothing is left to do" in capsys.readouterr().out
