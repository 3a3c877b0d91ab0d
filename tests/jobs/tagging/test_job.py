"""What a tagging job is told, and what it finds at its output."""

import dataclasses
import json
from pathlib import Path

import pytest

from jobs.planning.shards import MANIFEST, RUN, release
from jobs.tagging import job as job_module
from jobs.tagging.claim import claim, decisive, finished
from jobs.tagging.job import Job, as_its_bundle, parse, with_lines
from metaner_core import storage
from metaner_core.reading.source import Input, Source, find
from metaner_core.settings import Settings
from metaner_core.text.rules import Rules

NEEDED = ["--input", "in.jsonl", "--bundle", "s3://b/bundle", "--output", "out"]
MODEL = {"fingerprint": "abc"}


def make(tmp_path: Path, **options: object) -> dict[str, object]:
    (tmp_path / "in").mkdir(exist_ok=True)
    path = tmp_path / "in" / "a.jsonl"
    if not path.exists():
        path.write_text('{"id": "a", "text": "x"}\n')
    job = Job(source=Source(uri=str(tmp_path / "in")), bundle="b", output=str(tmp_path / "out"), **options)  # type: ignore[arg-type]
    return decisive(job, find(job.source), MODEL)


def test_options_become_a_job_whose_paths_hold_anywhere() -> None:
    found = job_module.job(parse([*NEEDED, "--unadapted", "--languages", "de", "pt-BR", "--max-sentences=9"]))
    assert found.source.uri == str(Path("in.jsonl").absolute())
    assert (found.output, found.bundle) == (str(Path("out").absolute()), "s3://b/bundle")
    assert (found.adapted, found.actors) == (False, 1)
    assert found.rules == Rules(languages=("de", "pt-BR"), max_sentences=9)


def test_options_not_given_are_the_jobs_own_defaults() -> None:
    found = job_module.job(parse(NEEDED))
    assert found == Job(source=found.source, bundle=found.bundle, output=found.output)


def test_a_line_is_a_block_in_wet_alone_if_nothing_else_is_said(tmp_path: Path) -> None:
    assert make(tmp_path)["lines"] == "flow"
    assert make(tmp_path, rules=Rules(lines="block"))["lines"] == "block"
    job = Job(source=Source(uri="x"), bundle="b", output="o")
    wet = Input("wet", [], [], [], "", (None, None, None))
    assert with_lines(job, wet).rules.lines == "block"
    assert with_lines(dataclasses.replace(job, rules=Rules(lines="flow")), wet).rules.lines == "flow"


def test_every_bad_number_is_reported_at_once() -> None:
    with pytest.raises(ValueError, match=r"actors is 0; least is 1\n.*limit is -1; least is 1\n.*shard_mb is 0"):
        Job(source=Source(uri="x"), bundle="b", output="o", actors=0, limit=-1, shard_mb=0)


def test_the_same_run_is_taken_up_again(tmp_path: Path) -> None:
    started = claim(str(tmp_path / "out"), make(tmp_path))
    assert claim(str(tmp_path / "out"), make(tmp_path, actors=7, batch_size=3, threads=2, every_seconds=1)) == started
    assert claim(str(tmp_path / "out"), make(tmp_path, actors=(2, 7))) == started


def test_another_run_is_refused_with_what_differs(tmp_path: Path) -> None:
    claim(str(tmp_path / "out"), make(tmp_path))
    with pytest.raises(
        ValueError, match=r"(?s)rules.languages: absent then, \[\"de\"\] now.*limit: absent then, 5 now"
    ) as e:
        claim(str(tmp_path / "out"), make(tmp_path, limit=5, rules=Rules(languages=("de",))))
    assert "files" not in str(e.value)


@pytest.mark.parametrize("change", ["more", "other"])
def test_a_changed_input_is_refused_with_the_file(tmp_path: Path, change: str) -> None:
    claim(str(tmp_path / "out"), make(tmp_path))
    name = "a.jsonl" if change == "other" else "b.jsonl"
    (tmp_path / "in" / name).write_text('{"id": "b", "text": "xyz"}\n')
    with pytest.raises(ValueError, match=rf"files\.{name}: .* now"):
        claim(str(tmp_path / "out"), make(tmp_path))


def test_an_output_that_holds_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    storage.write_bytes(str(tmp_path / "out" / "other.txt"), b"1")
    with pytest.raises(FileExistsError, match="tagged output is never overwritten"):
        claim(str(tmp_path / "out"), make(tmp_path))
    assert [path.name for path in (tmp_path / "out").rglob("*")] == ["other.txt"]


def test_a_manifest_marks_the_end(tmp_path: Path) -> None:
    output = str(tmp_path / "out")
    claim(output, make(tmp_path))
    assert finished(output) is None
    storage.write_bytes(f"{output}/{MANIFEST}", json.dumps({"a": 1}).encode())
    assert finished(output) == {"a": 1}


def test_an_output_is_given_back_unused(tmp_path: Path) -> None:
    output = tmp_path / "out"
    claim(str(output), make(tmp_path))
    storage.write_bytes(f"{output}/plan/part-000000.json", b"[]")
    assert (output / RUN).exists()
    release(str(output))
    assert not output.exists()


@pytest.mark.parametrize("file", ["done/0000000.json", "tagged/part-0000000.parquet", "other/language=de/x.parquet"])
def test_an_output_where_anything_was_tagged_is_kept(tmp_path: Path, file: str) -> None:
    output = tmp_path / "out"
    claim(str(output), make(tmp_path))
    for name in (file, "plan/shards.jsonl"):
        storage.write_bytes(f"{output}/{name}", b"x")
    release(str(output))
    assert all((output / name).exists() for name in (RUN, file, "plan/shards.jsonl"))


def test_an_output_on_s3_is_given_back_too(tmp_path: Path, s3: str) -> None:
    claim(f"{s3}/out", make(tmp_path))
    storage.write_bytes(f"{s3}/out/plan/part-000000.json", b"[]")
    release(f"{s3}/out")
    assert storage.list_files(s3) == []


@pytest.fixture
def model() -> dict[str, object]:
    return {"fingerprint": "abc", "settings": Settings().to_dict(), "source": {"sentences": 3}}


def test_what_adapts_otherwise_than_the_bundle_is_kept(model: dict[str, object]) -> None:
    found = job_module.job(parse([*NEEDED, "--set", "gamma=1e-5", "--set", "adapt_optimizer=scaled_sgd"]))
    assert found.adapting == {"gamma": 1e-5, "adapt_optimizer": "scaled_sgd"}
    assert as_its_bundle(found, model).adapting == {"adapt_optimizer": "scaled_sgd"}, "γ is the bundle's"
    assert "adapting" not in as_its_bundle(found, model).settings()


def test_only_what_adapts_can_be_otherwise(model: dict[str, object]) -> None:
    found = job_module.job(parse([*NEEDED, "--set", "alpha=1e-4"]))
    with pytest.raises(ValueError, match="alpha: decided when the bundle was trained; only neighbours"):
        as_its_bundle(found, model)
    with pytest.raises(ValueError, match="gamma: how the model is adapted, and it is not to be: no set, or no unadap"):
        job_module.job(parse([*NEEDED, "--unadapted", "--set", "gamma=1"]))
    with pytest.raises(ValueError, match="leave out --set"):
        as_its_bundle(job_module.job(parse([*NEEDED, "--set", "gamma=1"])), {**model, "source": {"sentences": 0}})


def test_a_run_that_adapts_otherwise_is_another(tmp_path: Path) -> None:
    assert "adapting" not in make(tmp_path), "as it was before there was a choice"
    claim(str(tmp_path / "out"), make(tmp_path))
    with pytest.raises(ValueError, match=r"adapting: absent then, {\"gamma\": 0.5} now"):
        claim(str(tmp_path / "out"), make(tmp_path, adapting={"gamma": 0.5}))
