"""The three jobs on a Ray head of their own, from beginning to end on tiny settings."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.local import free_ports, jobs
from metaner_core.bundles import bundle

TINY = ("meta_updates=2", "dev_every=2", "tasks_per_update=4")


@pytest.mark.slow
@pytest.mark.cluster
@pytest.mark.timeout(900)
def test_the_three_jobs_run_as_submitted_jobs(tmp_path: Path) -> None:
    settings = [f"--set={option}" for option in TINY]
    command = [sys.executable, "-m", "cluster.local", "--output", str(tmp_path / "out"), "--corpus", "embedded-nl"]
    root = Path(__file__).parents[2]
    done = subprocess.run([*command, *settings], cwd=root, capture_output=True, text=True, timeout=880)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    bundle.load(str(tmp_path / "out" / "bundle"))
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert [(test["test"], test["sentences"]) for test in scores["tests"]] == [("embedded-nl", 112)]
    manifest = json.loads((tmp_path / "out" / "crawl" / "manifest.json").read_text())
    assert manifest["counts"]["documents"] == 50


def test_every_job_puts_its_result_below_the_output() -> None:
    for options in jobs("s3://bucket/run", ["meta_updates=4"]).values():
        assert options[options.index("--output") + 1].startswith("s3://bucket/run/")


def test_free_ports_are_distinct() -> None:
    assert len(set(free_ports(5))) == 5
