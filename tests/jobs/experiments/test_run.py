"""A grid on Ray: killed twice and continued it has the cells of an unbroken one, and a failure costs its own cells."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from jobs import experiment as command
from jobs.experiments.claim import claim
from jobs.experiments.data import read
from jobs.experiments.grid import load
from jobs.experiments.job import Job
from jobs.experiments.report import report
from jobs.experiments.run import experiment
from tests.support.small import save_tiny_bert

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # its first test waits for all of a grid

SETTINGS = "{ meta_updates = 6, dev_every = 3, tasks_per_update = 4, beta = 2e-2 }"
TEXT = """
source = "embedded-en"
encoders = ["%s"]
seeds = [0]
tests = ["embedded-es", "embedded-fr"]
protocols = ["four"]
limit = 30
[variants.base]
preset = "embedded-base"
set = %s
reads = "unadapted"
[variants.full]
preset = "embedded"
set = %s
[variants.adam]
preset = "embedded"
set = %s
adapt = { adapt_optimizer = "adam", gamma = 5e-3 }
"""
CELLS = 3 * 2


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file: two trainings and six cells."""
    folder = tmp_path_factory.mktemp("grid")
    (folder / "tiny.toml").write_text(TEXT % (save_tiny_bert(folder / "tiny"), *[SETTINGS] * 3))
    return str(folder / "tiny.toml")


def job(grid: str, output: Path, **changes: Any) -> Job:
    return Job(grid=load(grid), output=str(output), failures=0, **changes)


@pytest.fixture(scope="module")
def unbroken(ray_local: None, grid: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the whole grid's cells are."""
    output = tmp_path_factory.mktemp("unbroken") / "out"
    assert experiment(job(grid, output, at_once=2)) == {}
    return output


def cells(output: Path) -> dict[str, dict[str, Any]]:
    """All but what a clock decides, by name."""
    found = {}
    for path in output.glob("cells/*/*.json"):
        cell = json.loads(path.read_text())
        del cell["result"]["seconds"], cell["bundle"]["fingerprint"]
        found[str(path.relative_to(output))] = cell
    return found


def test_every_cell_is_there_and_its_checkpoints_and_parts_are_gone(unbroken: Path) -> None:
    assert len(cells(unbroken)) == CELLS
    assert len(list(unbroken.glob("bundles/*/manifest.json"))) == 2, "adapting otherwise needs no other bundle"
    left = [p for part in ("runs", "parts") for p in (unbroken / part).rglob("*.safetensors")]
    assert left == list((unbroken / "parts").rglob("*.json")) == []


def test_adapting_otherwise_gives_other_cells_of_the_same_bundle(unbroken: Path) -> None:
    full, adam = (next(c for n, c in cells(unbroken).items() if f".{v}." in n and "-es" in n) for v in ("full", "adam"))
    assert full["bundle"] == adam["bundle"]
    assert full["result"]["counts"]["unadapted"] == adam["result"]["counts"]["unadapted"]
    assert [(c["settings"]["adapt_optimizer"], c["settings"]["gamma"]) for c in (full, adam)] == [
        ("scaled_sgd", 1e-4),
        ("adam", 0.005),
    ]


def test_what_is_done_is_not_done_again(unbroken: Path, grid: str) -> None:
    def none() -> None:
        raise AssertionError("no Ray is needed")

    assert experiment(job(grid, unbroken), none) == {}


def test_the_report_and_its_tables_are_of_the_cells(unbroken: Path, grid: str) -> None:
    assert "6 of 6 cells" in report(job(grid, unbroken))
    rows = [row for row in pq.read_table(unbroken / "results.parquet").to_pylist() if row["type"] == "all"]
    assert len(rows) == CELLS * 2
    for row in rows:
        whole = row["predicted"] + row["gold"]
        assert row["f1"] == pytest.approx(200 * row["correct"] / whole if whole else 0)
    assert len(pq.read_table(unbroken / "comparisons.parquet")) == 2 * (2 + 3)
    assert {row["update"] for row in pq.read_table(unbroken / "curves.parquet").to_pylist()} == {3, 6}
    assert "embedded-fr" in (unbroken / "report.html").read_text()


def test_a_variant_may_be_scored_unadapted_alone(unbroken: Path, grid: str, tmp_path: Path) -> None:
    """Of a bundle that is there: its scores are those of the variant that is scored both ways."""
    output, more = tmp_path / "out", tmp_path / "plain.toml"
    shutil.copytree(unbroken, output)
    plain = f'[variants.plain]\npreset = "embedded"\nset = {SETTINGS}\n'
    more.write_text(Path(grid).read_text() + plain + "unadapted = true\n")
    assert experiment(job(str(more), output, extend=True)) == {}
    done = cells(output)
    found = {name: cell for name, cell in done.items() if ".plain." in name}
    assert len(found) == 2
    for name, cell in found.items():
        both = done[name.replace(".plain.", ".full.")]["result"]["counts"]
        assert cell["result"]["counts"] == {"unadapted": both["unadapted"]}
    assert "8 of 8 cells" in report(job(str(more), output))
    rows = pq.read_table(output / "results.parquet").to_pylist()
    assert {row["engine"] for row in rows if row["variant"] == "plain"} == {"unadapted"}
    more.write_text(Path(grid).read_text() + plain + 'reads = "unadapted"\n')
    with pytest.raises(ValueError, match=r"variants.plain.unadapted: true then, absent now"):
        experiment(job(str(more), output, extend=True))


def test_what_fails_is_named_and_the_rest_is_done(unbroken: Path, grid: str, tmp_path: Path) -> None:
    """To what is there a variant is added that cannot be trained, and another that can."""
    text = Path(grid).read_text() + (
        f'[variants.deep]\npreset = "embedded"\nset = {SETTINGS[:-2]}, frozen_layers = 9 }}\n'
        f'[variants.far]\npreset = "embedded"\nset = {SETTINGS}\nadapt = {{ gamma = 0.5 }}\n'
    )
    (tmp_path / "more.toml").write_text(text)
    errors = experiment(job(str(tmp_path / "more.toml"), unbroken, extend=True, at_once=2))
    assert len(errors) == 2
    told = "its training: ValueError: frozen_layers is 9, but the encoder has 3 layers"
    assert all(".deep." in name and error.startswith(told) for name, error in errors.items())
    done = cells(unbroken)
    assert len([name for name in done if ".far." in name]) == 2
    assert not [name for name in done if ".deep." in name]


def test_a_bundle_of_another_grid_is_refused_before_any_work(grid: str, tmp_path: Path) -> None:
    task = job(grid, tmp_path)
    claim(task.output, read(task).facts(task), extend=False)
    place = tmp_path / "bundles" / "tiny.full.PER-LOC-ORG-MISC.0"
    place.mkdir(parents=True)
    (place / "manifest.json").write_text(json.dumps({"run": "another"}))
    with pytest.raises(FileExistsError, match=f"{place.name} already holds files; a bundle is never overwritten"):
        experiment(task)


def test_more_than_the_cluster_has_is_refused(grid: str, tmp_path: Path, ray_local: None) -> None:
    with pytest.raises(ValueError, match=r"1 worker\(s\) or actor\(s\) need as many logical GPUs .* this Ray has 0"):
        experiment(job(grid, tmp_path / "gpu", gpu=True))
    with pytest.raises(ValueError, match="this Ray has 6: set --workers and --actors lower"):
        experiment(job(grid, tmp_path / "many", workers=60))
    with pytest.raises(ValueError, match="workers is 0; least is 1"):
        job(grid, tmp_path, workers=0)


def test_a_dry_run_says_what_would_run_and_how_long(
    unbroken: Path, grid: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(output: Path) -> str:
        command._say_what_would_run(job(grid, output))
        return capsys.readouterr().out

    new = said(tmp_path / "new")
    assert "6 to do with 2 bundle(s)" in new
    assert "cannot be known before one of each" in new
    assert not (tmp_path / "new").exists()
    part = tmp_path / "part"
    (part / "cells").mkdir(parents=True)
    for name in ("trainings", "cells"):
        for path in (unbroken / name).rglob("*.json"):
            if "embedded-fr" not in path.name:
                target = part / path.relative_to(unbroken)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(path.read_text())
    assert "by what was measured here so far" in said(part)


@contextmanager
def driver(grid: str, output: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The command on the session's Ray, one training at once. Killed at the end, if it has not ended."""
    import ray

    address = ray.get_runtime_context().gcs_address
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    options = [grid, "--output", str(output), "--address", address, "--at-once", "1", "--max-failures", "0"]
    started = subprocess.Popen([sys.executable, "-m", "jobs.experiment", *options], env=environment)
    try:
        yield started
    finally:
        started.send_signal(signal.SIGKILL)
        started.wait()


def test_killed_twice_and_continued_it_equals_an_unbroken_one(unbroken: Path, grid: str, tmp_path: Path) -> None:
    """SIGKILL to the driver, and with it to all its actors: in the first training, and after the first cells."""

    def killed(output: Path, when: Callable[[], object]) -> None:
        with driver(grid, output) as running:
            while not when():
                assert running.poll() is None, "it ended before it could be killed"
                time.sleep(0.05)

    def trains(output: Path) -> list[Path]:
        return list(output.glob("runs/*/checkpoint_*/state.json"))

    for attempt in range(5):  # on a busy machine a kill may come when the training is over
        output = tmp_path / f"out{attempt}"
        killed(output, partial(trains, output))
        if not list(output.glob("bundles/*/manifest.json")):
            break
    assert not list(output.glob("bundles/*/manifest.json")), "the kills came too late to test anything"
    killed(output, lambda: cells(output))
    assert 0 < len(cells(output)) < CELLS, "the kill came too late to test anything"
    assert experiment(job(grid, output, at_once=2)) == {}
    expected = {name: cell for name, cell in cells(unbroken).items() if ".far." not in name}
    assert len(expected) == CELLS
    assert cells(output) == expected
