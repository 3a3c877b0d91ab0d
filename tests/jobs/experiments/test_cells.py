"""An output belongs to one grid: the same goes on, another is refused by what differs, more is added when asked."""

from pathlib import Path
from typing import Any

import pytest

from jobs.experiments.cells import cells, left, trainings
from jobs.experiments.claim import changed, claim, facts
from jobs.experiments.data import Data, read
from jobs.experiments.grid import parse
from jobs.experiments.job import Job
from jobs.experiments.making.bundles import training_of
from jobs.scoring.result import Test
from metaner_core import storage
from metaner_core.data.columns import Sentence
from tests.jobs.experiments.test_grid import values

Test.__test__ = False  # type: ignore[attr-defined]  # not a test class, whatever its name
SENTENCES = [Sentence(("Ana",), ("B-PER",))]
HOW = {"engine": "batched", "precision": "fp32"}


def told(dev: list[Sentence] = SENTENCES, **changes: Any) -> dict[str, Any]:
    grid = parse(values(**changes), "grid.toml")
    tests = {name: Test(name=name, sentences=SENTENCES, types=("PER",)) for name in grid.tests}
    return facts(grid, SENTENCES, dev, tests, HOW)


def test_the_same_grid_goes_on(tmp_path: Path) -> None:
    for _ in range(2):
        claim(str(tmp_path / "out"), told(), extend=False)
    labels = values()
    labels["variants"]["full"] |= {"label": "ours", "published": "full method"}
    claim(str(tmp_path / "out"), told(**labels), extend=False)  # how a report calls things decides no cell


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seeds": [0, 2]}, ["seeds.1: true then, absent now", "seeds.2: absent then, true now"]),
        ({"tests": ["embedded-es"]}, ["tests.embedded-fr"]),
        ({"types": ["PER"]}, ['types: ["PER", "LOC", "ORG", "MISC"] then, ["PER"] now']),
        ({"dev": []}, ["source.dev"]),
    ],
)
@pytest.mark.parametrize("extend", [False, True])
def test_another_grid_is_refused_by_what_differs(
    tmp_path: Path, changes: dict[str, Any], said: list[str], extend: bool
) -> None:
    claim(str(tmp_path), told(), extend=False)
    with pytest.raises(ValueError, match="is of a grid that differs in") as refused:
        claim(str(tmp_path), told(**changes), extend=extend)
    lines = str(refused.value)
    assert all(line in lines for line in said[: 1 if extend else None])
    assert "another --output" in lines
    assert list(changed(str(tmp_path), told())) == []


def test_a_grid_begun_before_there_was_a_setting_goes_on(tmp_path: Path) -> None:
    then = told()
    for variant in then["variants"].values():
        del variant["settings"]["long_sentences"]
    claim(str(tmp_path), then, extend=False)
    claim(str(tmp_path), told(), extend=False)
    assert changed(str(tmp_path), told()) == []


def test_a_variants_settings_are_part_of_it(tmp_path: Path) -> None:
    claim(str(tmp_path), told(), extend=False)
    other = values()
    other["variants"]["full"]["set"] = {"meta_updates": 7}
    with pytest.raises(ValueError, match=r"variants.full.settings.meta_updates: 1000 then, 7 now"):
        claim(str(tmp_path), told(**other), extend=True)


def test_what_is_new_is_added_when_asked(tmp_path: Path) -> None:
    claim(str(tmp_path), told(), extend=False)
    more = {
        "seeds": [0, 1, 2],
        "tests": ["embedded-es", "embedded-fr", "embedded-nl"],
        "encoders": ["embedded", "e5-small"],
    }
    with pytest.raises(ValueError, match="--extend adds what is new"):
        claim(str(tmp_path), told(**more), extend=False)
    claim(str(tmp_path), told(**more), extend=True)
    claim(str(tmp_path), told(**more), extend=False)
    with pytest.raises(ValueError, match=r"seeds\.2: true then, absent now"):
        claim(str(tmp_path), told(), extend=False)


def test_an_output_that_holds_anything_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(FileExistsError, match="already holds files; a grid of cells is never overwritten"):
        claim(str(tmp_path), told(), extend=False)


def test_cells_that_are_done_are_found_on_s3(s3: str) -> None:
    job = Job(grid=parse(values(), "grid.toml"), output=f"{s3}/out")
    claim(job.output, told(), extend=False)
    claim(job.output, told(), extend=False)
    every, todo = left(job)
    assert sum(len(training.cells) for training in todo) == len(every)
    for cell in every[:-1]:
        storage.write_whole(cell.uri(job.output), b"{}")
    (training,) = left(job)[1]
    assert training.cells == (every[-1],)


def test_an_encoder_that_is_not_there_is_refused_before_any_work(tmp_path: Path) -> None:
    job = Job(grid=parse(values(encoders=[str(tmp_path / "none")]), "grid.toml"), output=str(tmp_path / "out"))
    with pytest.raises(FileNotFoundError, match="none': there is no such folder"):
        read(job)


def test_a_corpus_that_is_not_there_is_refused_before_any_work(tmp_path: Path) -> None:
    grid = parse(values(tests=["conll2002-es"]), "grid.toml")
    with pytest.raises(ValueError, match="conll2002-es does not come with the package; give the folder"):
        read(Job(grid=grid, output=str(tmp_path / "out")))
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        read(Job(grid=grid, output=str(tmp_path / "out"), data=str(tmp_path)))


def test_trainings_are_given_folders_by_their_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's workers are elsewhere. A grid and the names of its cells stay as they were written."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    variants = {"own": {"preset": "embedded", "set": {"retrieval_encoder": "mine"}}}
    grid = parse(values(encoders=["mine"], seeds=[0], tests=["embedded-es"], variants=variants), "grid.toml")
    job, data = Job(grid=grid, output=str(tmp_path / "out")), Data(SENTENCES, SENTENCES, {}, {})
    (training,) = trainings(cells(grid))
    found = training_of(job, data, training)
    assert found.encoder == found.settings.retrieval_encoder == str(tmp_path / "mine")
    assert training.encoder == training.settings.retrieval_encoder == "mine"
    assert training.name == "mine.own.PER-LOC-ORG-MISC.0"
