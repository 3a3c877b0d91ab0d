"""A bundle that cannot be loaded: the jobs say so in a user's error, soon, and the output is as unused as before."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.bulk_tag import bulk_tag
from jobs.evaluate import Test, evaluate
from jobs.tagging.estimate import PLACES, estimate_run
from jobs.tagging.job import Job
from metaner_core.data.corpora import Sentence
from metaner_core.reading.source import Source

Test.__test__ = False  # type: ignore[attr-defined]  # not a test class, whatever its name


@pytest.fixture
def copy(tiny_bundle: str, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


@pytest.fixture
def job(copy: Path, tmp_path: Path) -> Job:
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"text": f"Ana {n}."}) + "\n" for n in range(30)))
    return Job(source=Source(uri=str(tmp_path / "in.jsonl")), bundle=str(copy), output=str(tmp_path / "out"))


def altered(bundle: Path) -> None:
    """One letter of a file: only its checksum tells."""
    file = bundle / "support.jsonl"
    content = bytearray(file.read_bytes())
    content[12] ^= 1
    file.write_bytes(content)


def changed(bundle: Path, change: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    change(manifest)
    (bundle / "manifest.json").write_text(json.dumps(manifest))


BEFORE = [
    (
        lambda b: (b / "index.safetensors").write_bytes(b"short"),
        "index.safetensors has 5 bytes instead of [0-9]+.*Copy",
    ),
    (lambda b: (b / "encoder" / "config.json").unlink(), "encoder/config.json is missing"),
    (lambda b: (b / "manifest.json").write_text("{"), "its manifest.json is no JSON .*copy the bundle again"),
    (lambda b: (b / "manifest.json").write_text('{"counts": 1}'), "is no bundle: .* is of something else; give"),
    (lambda b: (b / "manifest.json").unlink(), "is no bundle, or was not written to its end.*; give the folder"),
    (lambda b: changed(b, lambda m: m.update(format=99)), "bundle format 99, but metaner .* upgrade"),
    (lambda b: changed(b, lambda m: m.pop("files")), "is no bundle: its manifest.json lacks files; give"),
    (lambda b: changed(b, lambda m: m["settings"].update(later=1)), "made by a newer metaner.*later; upgrade it"),
    (lambda b: (shutil.rmtree(b), b.write_text("x")), "bundle is no bundle"),
]


@pytest.mark.parametrize(("damage", "told"), BEFORE)
def test_what_needs_no_file_read_is_told_before_anything_starts(
    job: Job, copy: Path, damage: Callable[[Path], object], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.bulk_tag.connect", None)
    damage(copy)
    for call in (lambda: bulk_tag(job), lambda: estimate_run(job, documents=PLACES)):
        with pytest.raises((ValueError, FileNotFoundError), match=told):
            call()
    assert not Path(job.output).exists()


def test_what_an_actor_finds_is_the_users_error_and_the_output_unused(ray_local: None, job: Job, copy: Path) -> None:
    altered(copy)
    started = time.monotonic()
    with pytest.raises(ValueError, match=r"\Abundle .*support.jsonl was altered.* Copy it again or make it again\Z"):
        bulk_tag(job)
    assert time.monotonic() - started < 120
    assert not Path(job.output).exists()


def test_an_estimate_tells_it_alike(ray_local: None, job: Job, copy: Path) -> None:
    altered(copy)
    with pytest.raises(ValueError, match=r"\Abundle .*support.jsonl was altered.* make it again\Z"):
        estimate_run(job, documents=PLACES)


def test_evaluation_tells_it_alike(ray_local: None, copy: Path) -> None:
    altered(copy)
    test = Test(name="t", sentences=[Sentence(("Ana",), ("B-PER",))], types=("PER",))
    with pytest.raises(ValueError, match=r"\Abundle .*support.jsonl was altered.* make it again\Z"):
        evaluate(str(copy), [test])
