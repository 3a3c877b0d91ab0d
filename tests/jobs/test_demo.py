"""The demo, and the three jobs on a Ray head of their own, from beginning to end on tiny settings."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.local import free_ports, jobs
from jobs.demo import demo, read_rows
from metaner_core.bundles import bundle
from metaner_core.settings import preset

TINY = {"meta_updates": 2, "dev_every": 1, "tasks_per_update": 4}


@pytest.mark.slow
def test_the_demo_leaves_a_bundle_a_tagged_crawl_and_a_page(ray_local: None, tmp_path: Path) -> None:
    found = demo(str(tmp_path / "demo"), settings=preset("demo", **TINY), actors=1)
    assert bundle.load(found["bundle"]).manifest["source_name"] == "embedded-en"
    rows = list(read_rows(found["crawl"]))
    assert len({row["id"] for row in rows}) == len(rows) == 40
    html = Path(found["page.html"]).read_text(encoding="utf-8")
    assert all(row["id"] in html for row in rows)
    assert all(f"embedded-{language}" in html for language in ("es", "nl", "de", "fr", "zh"))
    assert Path(found["crawl"], "report.html").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_three_jobs_run_as_submitted_jobs(tmp_path: Path) -> None:
    settings = [f"--set={name}={value}" for name, value in TINY.items()]
    command = [sys.executable, "-m", "cluster.local", "--output", str(tmp_path / "out"), "--corpus", "embedded-nl"]
    root = Path(__file__).parents[2]
    done = subprocess.run([*command, *settings], cwd=root, capture_output=True, text=True, timeout=880)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    bundle.load(str(tmp_path / "out" / "bundle"))
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert [(test["test"], test["sentences"]) for test in scores["tests"]] == [("embedded-nl", 112)]
    manifest = json.loads((tmp_path / "out" / "crawl" / "manifest.json").read_text())
    assert manifest["counts"]["documents"] == 40


def test_every_job_puts_its_result_below_the_output() -> None:
    for options in jobs("s3://bucket/run", ["meta_updates=4"]).values():
        assert options[options.index("--output") + 1].startswith("s3://bucket/run/")


def test_free_ports_are_distinct() -> None:
    assert len(set(free_ports(5))) == 5
