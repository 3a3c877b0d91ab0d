"""The bulk tagging job on a real local Ray: what comes out, and what is refused before any work."""

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest

from jobs.bulk_tag import Job, bulk_tag, parse, summary
from jobs.inputs import Source
from metaner_core import schema, storage

TEXTS = {"a": "Rosa Vidal vive en Zaragoza. El Ebro crece.", "b": "Kiel verlor 0:2.", "c": " \n", "d": "王小明在北京。"}
ROWS = [{"id": id_, "text": text, "language": "es"} for id_, text in TEXTS.items()]

pytestmark = pytest.mark.usefixtures("ray_local")


def jsonl(path: Path, rows: list[Any]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def job(bundle: str, uri: str, output: str | Path, **options: Any) -> Job:
    source = {name: options.pop(name) for name in ("format", "text_column", "id_column", "language") if name in options}
    return Job(
        source=Source(uri=uri, **source), bundle=bundle, output=str(output), batch_size=2, adapted=False, **options
    )


def rows_of(output: str | Path) -> dict[str, dict[str, Any]]:
    fs, path = storage.filesystem(f"{output}/tagged")
    return {row["id"]: row for row in pads.dataset(path, filesystem=fs).to_table().to_pylist()}


def test_jsonl_adapted_by_two_actors(tiny_bundle: str, tmp_path: Path) -> None:
    uri = jsonl(tmp_path / "in.jsonl", ROWS)
    run = Job(source=Source(uri=uri), bundle=tiny_bundle, output=str(tmp_path / "out"), actors=2, batch_size=1)
    manifest = bulk_tag(run)
    found = rows_of(tmp_path / "out")
    assert {id_: row["text"] for id_, row in found.items()} == TEXTS
    assert manifest["counts"]["outcomes"] == {"tagged": 3, "empty": 1, "rejected": 0}
    assert manifest["counts"]["sentences"] == sum(len(row["sentences"]) for row in found.values()) == 4
    types = Counter(entity["type"] for row in found.values() for entity in row["entities"])
    assert manifest["counts"]["entities"] == dict(types)
    assert all(len(sentence["neighbours"]) == 2 for row in found.values() for sentence in row["sentences"])
    assert json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8")) == manifest
    assert "documents  4: 3 tagged, 1 empty, 0 rejected" in summary(manifest)


def test_parquet_of_several_files_with_other_column_names_reads_back(tiny_bundle: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name, part in (("x", range(3)), ("y", range(3, 5))):
        table = pa.table(
            {"body": [f"Ana {n}." if n != 4 else None for n in part], "nr": list(part), "more": list(part)}
        )
        pq.write_table(table, tmp_path / "in" / f"{name}.parquet")
    (tmp_path / "in" / "_SUCCESS").touch()
    manifest = bulk_tag(
        job(tiny_bundle, str(tmp_path / "in"), tmp_path / "out", text_column="body", id_column="nr", language="es")
    )
    assert manifest["counts"]["outcomes"] == {"tagged": 4, "empty": 0, "rejected": 1}
    found = pads.dataset(tmp_path / "out" / "tagged")
    assert found.schema.equals(schema.SCHEMA)
    assert found.schema.metadata[b"metaner_schema"] == b"1"
    frame = pd.read_parquet(tmp_path / "out" / "tagged").set_index("id")
    assert frame["text"].dropna().to_dict() == {str(n): f"Ana {n}." for n in range(4)}
    assert set(frame["language"]) == {"es"}
    assert frame["reason"]["4"] == "text: expected a string, found null"


def test_plain_text_is_a_document_a_line_named_by_file_and_line(tiny_bundle: str, tmp_path: Path) -> None:
    (tmp_path / "in" / "sub").mkdir(parents=True)
    (tmp_path / "in" / "one.txt").write_bytes("\ufeffEn Ávila.\r\n\nAna".encode())
    (tmp_path / "in" / "sub" / "two.txt.gz").write_bytes(gzip.compress(b"broken \xff bytes\nKiel\n"))
    manifest = bulk_tag(job(tiny_bundle, str(tmp_path / "in"), tmp_path / "out"))
    found = rows_of(tmp_path / "out")
    texts = {"one.txt:1": "En Ávila.", "one.txt:2": "", "one.txt:3": "Ana", "sub/two.txt.gz:1": None}
    assert {id_: row["text"] for id_, row in found.items()} == {**texts, "sub/two.txt.gz:2": "Kiel"}
    assert manifest["counts"]["outcomes"] == {"tagged": 3, "empty": 1, "rejected": 1}
    assert found["sub/two.txt.gz:1"]["reason"].startswith("reading: the line is not UTF-8")


def test_lines_that_hold_no_text_are_rejected_and_counted(tiny_bundle: str, tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    good = json.dumps({"id": "good", "text": "Ana."})
    lines = [good, '{"id": "null", "text": null}', '{"id": "number", "text": 7}', '{"id": "absent"}', "{broken", ""]
    path.write_text("\n".join([*lines, '{"id": "half", "text": "\\ud800"}', "[1]"]), encoding="utf-8")
    manifest = bulk_tag(job(tiny_bundle, str(path), tmp_path / "out"))
    reasons = {id_: row["reason"] for id_, row in rows_of(tmp_path / "out").items()}
    broken = reasons.pop("in.jsonl:5")
    assert broken is not None
    assert broken.startswith("reading: the line is no JSON object: ")
    assert reasons == {
        "good": None,
        "null": "text: expected a string, found null",
        "number": "text: expected a string, found int",
        "absent": "text: expected a string, found null",
        "half": "text: holds half of a surrogate pair",
        "in.jsonl:8": "reading: the line is no JSON object: expected an object, found list",
    }
    assert manifest["counts"]["outcomes"] == {"tagged": 1, "empty": 0, "rejected": 6}


def test_a_limit_takes_the_first_documents(tiny_bundle: str, tmp_path: Path) -> None:
    for part in range(3):
        jsonl(tmp_path / "in" / f"{part}.jsonl", [{"id": f"{part}-{n}", "text": "Ana."} for n in range(4)])
    manifest = bulk_tag(job(tiny_bundle, f"{tmp_path}/in/*.jsonl", tmp_path / "out", limit=6))
    assert manifest["counts"]["documents"] == 6
    assert sorted(rows_of(tmp_path / "out")) == ["0-0", "0-1", "0-2", "0-3", "1-0", "1-1"]


def test_input_and_output_on_s3(tiny_bundle: str, tmp_path: Path, s3: str) -> None:
    content = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
    storage.write_bytes(f"{s3}/in/crawl.jsonl", content)
    manifest = bulk_tag(job(tiny_bundle, f"{s3}/in", f"{s3}/out"))
    assert {id_: row["text"] for id_, row in rows_of(f"{s3}/out").items()} == TEXTS
    assert json.loads(storage.read_bytes(f"{s3}/out/manifest.json")) == manifest
    assert "secret" not in json.dumps(manifest)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"id": "a", "text": "x"}, {"id": "b", "text": "y"}, {"id": "a", "text": "z"}], "unique, but .*: 'a'"),
        ([{"id": "a", "text": "x"}, {"id": None, "text": "y"}, {"text": "z"}], "2 of 3 documents have no id"),
    ],
)
def test_ids_must_be_there_and_unique(tiny_bundle: str, tmp_path: Path, rows: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bulk_tag(job(tiny_bundle, jsonl(tmp_path / "in.jsonl", rows), tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_an_output_in_use_is_refused_and_left_alone(tiny_bundle: str, tmp_path: Path) -> None:
    before = jsonl(tmp_path / "out" / "other.txt", [1])
    with pytest.raises(FileExistsError, match="tagged output is never overwritten"):
        bulk_tag(job(tiny_bundle, jsonl(tmp_path / "in.jsonl", ROWS), tmp_path / "out"))
    assert [str(path) for path in (tmp_path / "out").rglob("*")] == [before]


def test_without_a_bundle_nothing_is_started(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere/manifest.json"):
        bulk_tag(job(str(tmp_path / "nowhere"), jsonl(tmp_path / "in.jsonl", ROWS), tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_more_actors_than_the_cluster_carries_are_refused(tiny_bundle: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"1000 actor.* need 1002 logical CPUs, this Ray has"):
        bulk_tag(job(tiny_bundle, jsonl(tmp_path / "in.jsonl", ROWS), tmp_path / "out", actors=1000))


def test_lost_documents_fail_the_job(tiny_bundle: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.bulk_tag.check_ids", lambda documents, found: 5)
    with pytest.raises(RuntimeError, match="5 documents went in, 4 came out"):
        bulk_tag(job(tiny_bundle, jsonl(tmp_path / "in.jsonl", ROWS), tmp_path / "out"))
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_options_become_a_job_whose_paths_hold_anywhere() -> None:
    found, address = parse(["--input", "in.jsonl", "--bundle", "s3://b/bundle", "--output", "out", "--unadapted"])
    assert found.source.uri == str(Path("in.jsonl").absolute())
    assert (found.output, found.bundle) == (str(Path("out").absolute()), "s3://b/bundle")
    assert (found.adapted, found.actors, address) == (False, 1, None)


def test_every_bad_number_is_reported_at_once() -> None:
    with pytest.raises(ValueError, match=r"actors is 0; least is 1\n.*limit is -1; least is 1"):
        Job(source=Source(uri="x"), bundle="b", output="o", actors=0, limit=-1)
