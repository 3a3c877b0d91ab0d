"""The bulk tagging job on a real local Ray: what comes out, what a second call does, what is refused."""

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest

from jobs.bulk_tag import bulk_tag, summary
from jobs.planning.shards import DONE, MANIFEST
from jobs.tagging import supervisor
from jobs.tagging.job import Job
from jobs.tagging.stages.pipeline import Instead
from jobs.tagging.watch import Stalled
from metaner_core import storage
from metaner_core.bundles import bundle
from metaner_core.reading.source import Input, Source, find
from metaner_core.tagging.pipeline import tag_documents
from metaner_core.text import schema
from metaner_core.text.document import Document
from metaner_core.text.rules import Rules
from tests.support.patient import Patient
from tests.support.rows import near, written

TEXTS = {
    "a": "Rosa Vidal vive en Zaragoza. El Ebro crece.",
    "b": "Kiel verlor 0:2.",
    "c": " \n",
    "d": "王小明在北京。",
    "e": None,
    "f": "Ana." * 100,
    **{f"g{n}": f"Ana {n}." for n in range(6)},
}
DOCUMENTS = [Document(id_, text, "es") for id_, text in TEXTS.items()]
RULES = Rules(max_characters=100)

pytestmark = pytest.mark.usefixtures("ray_local")


def jsonl(path: Path, rows: list[Any]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def modified(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def job(tiny_bundle: str, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A job that has run: adapted, two actors, several shards."""
    folder = tmp_path_factory.mktemp("run")
    rows = [{"id": d.id, "text": d.text, "language": "es", "n": [1]} for d in DOCUMENTS]
    jsonl(folder / "in" / "x.jsonl", rows[:7])
    jsonl(folder / "in" / "y.jsonl", rows[7:])
    source = Source(uri=str(folder / "in"))
    found = Job(source=source, bundle=tiny_bundle, output=str(folder / "out"), rules=RULES, actors=2, shard_mb=0.001)
    bulk_tag(found)
    return found


@pytest.fixture(scope="module")
def manifest(job: Job) -> dict[str, Any]:
    return json.loads(Path(job.output, MANIFEST).read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def test_the_rows_are_those_of_tagging_without_ray(job: Job) -> None:
    expected = tag_documents(bundle.load(job.bundle), DOCUMENTS, rules=RULES)
    for name, table in zip(("tagged", "other"), schema.tables(expected), strict=True):
        found = written(job.output, name)
        assert len(found) == table.num_rows > 0
        for row in table.to_pylist():
            assert found[row["id"]] == near({**row, "extra": '{"n": [1]}'})


def test_the_manifest_counts_what_is_written(job: Job, manifest: dict[str, Any]) -> None:
    tagged, other = written(job.output, "tagged"), written(job.output, "other")
    counts = manifest["counts"]
    assert counts["outcomes"] == {"tagged": 9, "empty": 1, "filtered": 1, "rejected": 1}
    assert counts["documents"] == len(tagged) + len(other) == len(TEXTS)
    assert counts["sentences"] == sum(len(row["sentences"]) for row in tagged.values())
    assert counts["entities"] == Counter(e["type"] for row in tagged.values() for e in row["entities"])
    assert (manifest["tables"]["tagged"]["rows"], manifest["tables"]["other"]["rows"]) == (9, 3)
    assert manifest["shards"] == len(list(Path(job.output, DONE).iterdir())) > 2
    engine = manifest["engine"]
    assert engine["sentences"] == counts["sentences"] == counts["adapted"]
    assert engine["halved"] == 0
    assert "documents  12: 9 tagged, 1 empty, 1 filtered, 1 rejected" in summary(manifest)


def test_pandas_and_polars_read_it_without_options(job: Job) -> None:
    expected = {id_: row["text"] for id_, row in written(job.output, "tagged").items()}
    assert pd.read_parquet(Path(job.output, "tagged")).set_index("id")["text"].to_dict() == expected
    frame = pl.read_parquet(Path(job.output, "tagged"))
    assert dict(zip(frame["id"], frame["text"], strict=True)) == expected
    assert pads.dataset(Path(job.output, "tagged")).schema.metadata[b"metaner_schema"] == str(schema.VERSION).encode()


def test_report_and_card_are_there(job: Job, manifest: dict[str, Any]) -> None:
    assert manifest["bundle"]["fingerprint"] in Path(job.output, "report.html").read_text(encoding="utf-8")
    assert Path(job.output, "README.md").read_text(encoding="utf-8").startswith("---\n")


def test_a_finished_run_does_nothing(job: Job, manifest: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    before = modified(Path(job.output))
    assert bulk_tag(job) == manifest
    assert modified(Path(job.output)) == before
    assert "is finished: nothing to do" in capsys.readouterr().out


def test_other_options_are_refused_with_what_differs(job: Job) -> None:
    other = Job(source=job.source, bundle=job.bundle, output=job.output, rules=RULES, shard_mb=0.001, adapted=False)
    with pytest.raises(
        ValueError, match="begun by a run that differs in\n  adapted: true then, false now\nTake the input"
    ):
        bulk_tag(other)


def test_a_run_goes_on_with_the_shards_that_are_not_done(job: Job) -> None:
    """Of a finished run the end is taken away, one record, and half of that shard's file."""
    output = Path(job.output)
    before, rows = modified(output), (written(output, "tagged"), written(output, "other"))
    (output / MANIFEST).unlink()
    (output / DONE / "0000001.json").unlink()
    file = output / "tagged" / "part-0000001.parquet"
    file.write_bytes(file.read_bytes()[:100])
    manifest = bulk_tag(job)
    assert manifest["counts"]["documents"] == len(TEXTS)
    changed = {Path(path).name for path, when in modified(output).items() if before[path] != when}
    names = {"0000001.json", "part-0000001.parquet", "manifest.json", "report.html", "README.md"}
    assert changed == names
    for name, before_ in zip(("tagged", "other"), rows, strict=True):
        assert written(output, name) == near(before_)


def test_parquet_to_partitions_on_s3(tiny_bundle: str, s3: str, tmp_path: Path) -> None:
    languages = ["es", "de", None, "de"]
    table = pa.table({"body": [f"Ana {n}." for n in range(4)], "nr": range(4), "code": languages})
    pq.write_table(table, tmp_path / "x.parquet")
    storage.write_bytes(f"{s3}/in/x.parquet", (tmp_path / "x.parquet").read_bytes())
    storage.write_bytes(f"{s3}/in/_SUCCESS", b"")
    columns = {"text_column": "body", "id_column": "nr", "language_column": "code"}
    source, rules = Source(uri=f"{s3}/in", **columns), Rules(identify=False)
    options = {"rules": rules, "adapted": False, "partition_by_language": True}
    manifest = bulk_tag(Job(source=source, bundle=tiny_bundle, output=f"{s3}/out", **options))
    files = [file.removeprefix(f"{s3}/out/tagged/") for file in storage.list_files(f"{s3}/out/tagged")]
    assert files == [f"language={code}/part-0000000.parquet" for code in ("de", "es", "und")]
    fs, path = storage.filesystem(f"{s3}/out/tagged")
    rows = pads.dataset(path, filesystem=fs, partitioning="hive").to_table().to_pylist()
    assert {(row["id"], row["language"]) for row in rows} == {("0", "es"), ("1", "de"), ("2", "und"), ("3", "de")}
    assert json.loads(storage.read_bytes(f"{s3}/out/manifest.json")) == manifest
    everything = b"".join(storage.read_bytes(file) for file in storage.list_files(f"{s3}/out"))
    assert b"test-secret" not in everything


def test_it_adapts_otherwise_than_the_bundle_where_it_is_told_to(tiny_bundle: str, tmp_path: Path) -> None:
    source = Source(uri=jsonl(tmp_path / "in.jsonl", [{"id": id_, "text": TEXTS[id_]} for id_ in "abd"]))
    changes = {"adapt_optimizer": "sgd", "gamma": 3.0}
    job = Job(source=source, bundle=tiny_bundle, output=str(tmp_path / "out"), adapting=changes)
    settings = bulk_tag(job)["bundle"]["settings"]
    assert settings == bundle.load(tiny_bundle).settings.adapting(changes).to_dict() | {"types": settings["types"]}
    documents = [Document(id_, TEXTS[id_], None) for id_ in "abd"]
    told, as_made = (
        schema.tables(tag_documents(bundle.load(tiny_bundle, changes=with_), documents))[0].to_pylist()
        for with_ in (changes, {})
    )
    found = written(job.output, "tagged")
    assert [found[row["id"]] for row in told] == [near(row) for row in told]
    assert [near(row) for row in told] != [near(row) for row in as_made]


def test_a_run_that_stalls_ends_with_the_name_of_what_stalls(
    tiny_bundle: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "Supervisor", Patient)
    source = Source(uri=jsonl(tmp_path / "in.jsonl", [{"id": id_, "text": "Ana."} for id_ in "abc"]))
    job = Job(source=source, bundle=tiny_bundle, output=str(tmp_path / "out"), stall_minutes=0.05, every_seconds=1)
    in_flight = r"(?s)no progress for 0.05 minutes, 0 of 1 shards.*documents 0 to 2 of it, on process"

    def asleep(*_: Any, **__: Any) -> Any:
        time.sleep(600)

    started = time.monotonic()
    with pytest.raises(Stalled, match=in_flight):
        bulk_tag(job, instead=Instead(tag=asleep))
    assert time.monotonic() - started < 150


def test_ids_must_be_unique_and_the_output_stays_unused(tiny_bundle: str, tmp_path: Path) -> None:
    uri = jsonl(tmp_path / "in.jsonl", [{"id": id_, "text": "x"} for id_ in "aba"])
    with pytest.raises(ValueError, match=r"'a' in in.jsonl:1 and in.jsonl:3"):
        bulk_tag(Job(source=Source(uri=uri), bundle=tiny_bundle, output=str(tmp_path / "out")))
    assert not (tmp_path / "out").exists()


def test_without_a_bundle_nothing_is_started(tmp_path: Path) -> None:
    source = Source(uri=jsonl(tmp_path / "in.jsonl", [{"text": "x"}]))
    with pytest.raises(FileNotFoundError, match=r"nowhere: there is no such folder; give the folder"):
        bulk_tag(Job(source=source, bundle=str(tmp_path / "nowhere"), output=str(tmp_path / "out")))
    assert not (tmp_path / "out").exists()


def test_more_actors_than_the_cluster_carries_are_refused(tiny_bundle: str, tmp_path: Path) -> None:
    source = Source(uri=jsonl(tmp_path / "in.jsonl", [{"text": "x"}]))
    with pytest.raises(ValueError, match=r"1000 actor.* need 1000 logical CPUs, this Ray has"):
        bulk_tag(Job(source=source, bundle=tiny_bundle, output=str(tmp_path / "out"), actors=1000))
    assert not (tmp_path / "out").exists()


def test_any_failure_in_planning_leaves_the_output_unused(
    tiny_bundle: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it is; the same call is then right once the reason is gone."""
    jsonl(tmp_path / "in" / "a.jsonl", [{"text": "Ana."}])
    gone = jsonl(tmp_path / "in" / "b.jsonl", [{"text": "Kiel."}])
    job = Job(source=Source(uri=str(tmp_path / "in")), bundle=tiny_bundle, output=str(tmp_path / "out"))

    def found(source: Source) -> Input:
        result = find(source)
        Path(gone).unlink()
        return result

    with monkeypatch.context() as patched:
        patched.setattr("jobs.bulk_tag.find", found)
        with pytest.raises(ValueError, match=r"b\.jsonl cannot be read"):
            bulk_tag(job)
    assert not (tmp_path / "out").exists()
    with monkeypatch.context() as patched:
        patched.setattr("jobs.planning.plan.pack", None)
        with pytest.raises(TypeError):
            bulk_tag(job)
    assert not (tmp_path / "out").exists()


def test_an_output_inside_the_input_is_refused_at_the_first_start(tiny_bundle: str, tmp_path: Path) -> None:
    jsonl(tmp_path / "in" / "a.jsonl", [{"text": "Ana."}])
    job = Job(source=Source(uri=str(tmp_path / "in")), bundle=tiny_bundle, output=str(tmp_path / "in" / "out"))
    with pytest.raises(ValueError, match=r"is part of the input"):
        bulk_tag(job)
    assert not (tmp_path / "in" / "out").exists()
