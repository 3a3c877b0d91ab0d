"""The end of a run: everything is counted and compared, then report, card and manifest are written."""

import json
from pathlib import Path
from typing import Any

import pytest

from jobs.planning.shards import DONE, MANIFEST, Shard
from jobs.tagging.finish import finish
from jobs.tagging.job import Job
from jobs.tagging.write import write_tables
from metaner_core import storage
from metaner_core.reading.files import Stretch
from metaner_core.reading.record import Place
from metaner_core.reading.source import Input, Source
from metaner_core.report.summary import Summary
from metaner_core.text import schema
from tests.support.rows import crawl

FOUND = Input("jsonl", ["/in/a.jsonl"], [1000], [0], "/in", ("id", "text", None))
MODEL = {"fingerprint": "abc", "settings": {"types": ["PER"]}}
DOCUMENTS = 25  # of a shard


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(source=Source(uri="/in"), bundle="b", output=str(tmp_path / "out"))


@pytest.fixture
def shards(job: Job) -> list[Shard]:
    """Four shards, done."""
    rows = crawl(4 * DOCUMENTS)
    found = [Shard(n, (Stretch(0, Place(n, 0, n), DOCUMENTS, 100),)) for n in range(4)]
    for n, shard in enumerate(found):
        own = rows[n * DOCUMENTS : (n + 1) * DOCUMENTS]
        files = write_tables(job.output, shard, *schema.tables(own), partition=False)
        times = {"started": 10.0 + n, "finished": 12.0 + n, "cpu_seconds": 1.5, "peak_bytes": 1000 + n}
        facts = {"documents": len(own), "files": files, "summary": Summary.of(own).to_dict()}
        content = json.dumps({**times, **facts, "engine": {"sets": 10, "halved": n % 2}}).encode()
        storage.write_bytes(f"{job.output}/{DONE}/{shard.name}.json", content)
    return found


def done(job: Job, shards: list[Shard]) -> dict[str, Any]:
    return finish(job, FOUND, MODEL, shards, run="r", started=5.0)


def test_the_manifest_sums_what_the_records_say(job: Job, shards: list[Shard]) -> None:
    manifest = done(job, shards)
    assert json.loads(Path(job.output, MANIFEST).read_text()) == manifest
    assert manifest["counts"]["documents"] == 4 * DOCUMENTS
    assert manifest["counts"]["outcomes"] == Summary.of(crawl(4 * DOCUMENTS)).outcomes
    assert (manifest["seconds"]["actors"], manifest["seconds"]["actors_cpu"]) == (8.0, 6.0)
    assert manifest["peak_bytes"]["actor"] == 1003
    assert manifest["engine"] == {"sets": 40, "halved": 2}
    assert manifest["tables"]["tagged"]["rows"] + manifest["tables"]["other"]["rows"] == 4 * DOCUMENTS
    assert {path.name for path in Path(job.output).iterdir()} == {
        *("tagged", "other", "done", "report.html", "README.md", "manifest.json")
    }


def test_what_readers_and_writers_took_is_told_apart(job: Job, shards: list[Shard]) -> None:
    """Two shards of four had them, as in a run that went on with another number of readers."""
    part = {"started": 1.0, "finished": 4.0, "cpu_seconds": 2.0}
    for shard in shards[:2]:
        uri = f"{job.output}/{DONE}/{shard.name}.json"
        more = {"waited": 0.5, "reader": {**part, "peak_bytes": 7}, "writer": {**part, "peak_bytes": 6}}
        storage.write_bytes(uri, json.dumps(json.loads(storage.read_bytes(uri)) | more).encode())
    manifest = done(job, shards)
    assert manifest["seconds"]["actors"] == 8.0
    assert manifest["seconds"]["waited"] == 1.0
    assert [manifest["seconds"][name] for name in ("readers", "readers_cpu", "writers", "writers_cpu")] == [6, 4, 6, 4]
    assert {name: manifest["peak_bytes"][name] for name in ("actor", "reader", "writer")} == {
        "actor": 1003,
        "reader": 7,
        "writer": 6,
    }


def test_documents_that_are_lost_fail_the_job(job: Job, shards: list[Shard]) -> None:
    shards[2] = Shard(2, (Stretch(0, Place(2, 0, 2), DOCUMENTS + 1, 100),))
    with pytest.raises(RuntimeError, match=r"shard 0000002: 26 documents went in, 25 came out, 25 rows were written"):
        done(job, shards)
    assert not Path(job.output, MANIFEST).exists()


@pytest.mark.parametrize("what", ["missing", "cut", "more"])
def test_files_that_are_not_those_of_the_records_fail_the_job(job: Job, shards: list[Shard], what: str) -> None:
    file = Path(job.output, "tagged", "part-0000001.parquet")
    if what == "missing":
        file.unlink()
    elif what == "cut":
        file.write_bytes(file.read_bytes()[:100])
    else:
        file.with_name("part-0000009.parquet").write_bytes(b"x")
    with pytest.raises(RuntimeError, match=r"is not what its records say:\n  tagged/part-000000[19].parquet: "):
        done(job, shards)
    assert not Path(job.output, MANIFEST).exists()


class Killed(BaseException):
    pass


def test_what_a_killed_writer_had_half_written_is_no_file(
    job: Job, shards: list[Shard], monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(path: Path, target: Path) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        for name in ("tagged/part-0000001.parquet", "other/part-0000007.parquet", f"{DONE}/0000002.json"):
            with pytest.raises(Killed):
                storage.write_whole(f"{job.output}/{name}", b"half")
    assert len([file for file in storage.list_files(job.output) if "/." in file]) == 3
    done(job, shards)
    assert not [file for table in ("tagged", "other") for file in Path(job.output, table).glob(".*")]


def test_a_shard_without_record_is_named(job: Job, shards: list[Shard]) -> None:
    Path(job.output, DONE, "0000003.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"done/0000003.json"):
        done(job, shards)
