"""Tagging runs that an earlier version began."""

import json
import os
import shutil
from pathlib import Path

import pytest

from jobs.bulk_tag import bulk_tag
from jobs.tagging import claim as claim_module
from jobs.tagging.claim import as_now, claim, decisive
from jobs.tagging.job import Job
from metaner_core.reading.source import Source, find
from tests.support.rows import near, written

FIXTURE = Path(__file__).parents[2] / "fixtures" / "version-0.1.0"
MODIFIED = 1_790_000_000  # when the input was last changed, as the run's facts have it


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """The run's own job, on copies."""
    for name in ("tagged", "bundle"):
        shutil.copytree(FIXTURE / name, tmp_path / name)
    shutil.copy(FIXTURE / "documents.jsonl", tmp_path)
    os.utime(tmp_path / "documents.jsonl", (MODIFIED, MODIFIED))
    source = Source(uri=str(tmp_path / "documents.jsonl"))
    return Job(source=source, bundle=str(tmp_path / "bundle"), output=str(tmp_path / "tagged"), shard_mb=0.0002)


def test_where_rows_would_be_the_same_this_version_goes_on_with_it(
    job: Job, ray_local: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metaner_core.text.schema.ROWS", 1)
    output = Path(job.output)
    before = {table: written(output, table) for table in ("tagged", "other")}
    records = {file.name: file.read_bytes() for file in (output / "done").iterdir()}
    for shard in ("0000001", "0000003"):
        (output / "done" / f"{shard}.json").unlink()
        (output / "tagged" / f"part-{shard}.parquet").unlink()
    manifest = bulk_tag(job)
    assert manifest["counts"]["documents"] == 6
    assert {table: near(written(output, table)) for table in before} == before
    now = {file.name: file.read_bytes() for file in (output / "done").iterdir()}
    assert {name for name in now if now[name] != records[name]} == {"0000001.json", "0000003.json"}


def facts_of(job: Job) -> dict[str, object]:
    model = json.loads((Path(job.bundle) / "manifest.json").read_text())
    return decisive(job, find(job.source), model)


def test_it_is_refused_since_rows_differ_with_a_remedy_that_works(job: Job) -> None:
    with pytest.raises(
        ValueError,
        match=r"(?s)versions\.rows: 1 then, 2 now.*Take metaner 0\.1\.0, which began it .*, or give another --output",
    ):
        claim(job.output, facts_of(job))


def test_a_version_that_is_not_known_is_refused(job: Job) -> None:
    run = Path(job.output) / "run.json"
    run.write_text(run.read_text().replace("0.1.0", "0.0.9"))
    with pytest.raises(ValueError, match=r'versions.rows: "those of metaner 0.0.9" then, 2 now'):
        claim(job.output, facts_of(job))


def test_a_fact_that_its_version_did_not_know_is_what_that_version_did(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = json.loads((Path(job.output) / "run.json").read_text())["facts"]
    monkeypatch.setattr("metaner_core.text.schema.ROWS", 1)
    monkeypatch.setattr(claim_module, "EARLIER", {"lines": "joined", "kept": [], "limit": 3})
    assert as_now(facts) == {**facts_of(job), "lines": "joined"}


def test_a_line_break_of_an_earlier_run_is_what_it_was(job: Job) -> None:
    facts = json.loads((Path(job.output) / "run.json").read_text())["facts"]
    assert as_now(facts)["lines"] == "flow"
