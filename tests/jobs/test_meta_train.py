"""The Ray Train job: any number of workers, and any number of interruptions, lead to the same parameters."""

import dataclasses
import os
import time
from pathlib import Path

import pytest
import torch
from ray.util.placement_group import placement_group, remove_placement_group
from safetensors.torch import load_file

from jobs.meta_train import Job, meta_train, parse
from metaner_core import storage
from metaner_core.bundles import bundle
from metaner_core.bundles.prepare import prepare
from metaner_core.command import Ended
from metaner_core.data import corpora
from metaner_core.data.columns import Sentence
from metaner_core.engine import meta_training
from metaner_core.method.checkpoint import NoCheckpoints
from metaner_core.settings import parse_overrides, preset
from tests.support.small import save_tiny_bert
from tests.support.started import started

SETTINGS = preset("demo", meta_updates=4, dev_every=2, tasks_per_update=6, beta=1e-3)
TRAIN = corpora.load("embedded-en", "train")[:40]
DEV = corpora.load("embedded-en", "dev")[:12]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A random one: what goes to S3 and back is small."""
    return save_tiny_bert(tmp_path_factory.mktemp("encoder"))


def job(folder: Path, **changes: object) -> Job:
    options = {"settings": SETTINGS, "train": TRAIN, "dev": DEV, "encoder": "embedded"}
    return Job(**{**options, "output": str(folder / "bundle"), "storage": str(folder / "runs"), **changes})  # type: ignore[arg-type]


def theta(place: Path | str) -> dict[str, torch.Tensor]:
    with storage.local_copy(f"{place}/bundle") as folder:
        return load_file(folder / "tagger.safetensors")


def furthest(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    assert a.keys() == b.keys()
    return max((a[name] - b[name]).abs().max().item() for name in a)


@pytest.fixture(scope="module")
def two_workers(ray_local: None, module_s3: str, encoder: str) -> str:
    """The uri of all that a run of two workers keeps."""
    places = {"output": f"{module_s3}/bundle", "storage": f"{module_s3}/runs"}
    meta_train(job(Path("unused"), encoder=encoder, workers=2, **places))
    return module_s3


def test_two_workers_give_the_parameters_of_one(
    two_workers: str, encoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the same tasks together: gradients that are nothing but rounding, which Adam blows up, are the same too."""
    monkeypatch.setattr(meta_training, "CPU_TASKS", SETTINGS.tasks_per_update // 2)
    trainer = prepare(SETTINGS, TRAIN, DEV, encoder=encoder).trainer
    trained = trainer.engine.tagger.trained()
    start = {name: p.detach().clone() for name, p in trained.items()}
    trainer.run(NoCheckpoints())
    moved = furthest(theta(two_workers), start)
    assert moved > SETTINGS.beta
    assert furthest(theta(two_workers), dict(trained)) < 1e-4 * moved


def test_checkpoints_and_bundle_go_to_s3_and_no_secret_with_them(two_workers: str) -> None:
    assert [entry["update"] for entry in bundle.load(f"{two_workers}/bundle").manifest["history"]] == [2, 4]
    files = storage.list_files(two_workers)
    assert any("/runs/" in file and file.endswith("state.safetensors") for file in files)
    assert not [file for file in files if os.environ["AWS_SECRET_ACCESS_KEY"].encode() in storage.read_bytes(file)]


def test_a_taken_output_is_refused_before_any_work(two_workers: str) -> None:
    other = dataclasses.replace(SETTINGS, seed=5)
    with pytest.raises(FileExistsError, match="never overwritten"):
        meta_train(job(Path("unused"), output=f"{two_workers}/bundle", settings=other))


def test_what_is_finished_is_not_done_again(two_workers: str, encoder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.training.learning.fit", None)
    manifest = meta_train(job(Path("unused"), encoder=encoder, output=f"{two_workers}/bundle"))
    assert manifest == bundle.load(f"{two_workers}/bundle").manifest


def test_a_run_is_named_after_all_that_decides_its_result(tmp_path: Path) -> None:
    fewer = job(tmp_path, train=TRAIN[:-1])
    seeded = job(tmp_path, settings=preset("demo", seed=5))
    names = {j.name() for j in (job(tmp_path), fewer, seeded, job(tmp_path, encoder="other"))}
    assert len(names) == 4
    assert job(tmp_path, workers=3, output="elsewhere").name() == job(tmp_path).name()


def test_training_data_without_an_entity_is_refused(tmp_path: Path) -> None:
    plain = [Sentence(("nothing", "here"), ("O", "O"))] * 9
    with pytest.raises(ValueError, match="train has no entity of PER, LOC, ORG, MISC in 9 sentences"):
        meta_train(job(tmp_path, train=plain))


def test_an_encoder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such folder"):
        meta_train(job(tmp_path, encoder=str(tmp_path / "nothing")))


def test_what_a_worker_finds_wrong_reaches_the_user(ray_local: None, encoder: str, tmp_path: Path) -> None:
    deep = preset("demo", frozen_layers=9)
    with pytest.raises(ValueError, match="frozen_layers is 9, but the encoder has 3 layers"):
        meta_train(job(tmp_path, settings=deep, encoder=encoder, max_failures=0))


def test_workers_that_never_find_the_room_that_is_counted_on_end_the_job(
    ray_local: None, encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray counts what machines have, less what its own libraries hold there, not what is free of it."""
    monkeypatch.setattr("jobs.training.trainer.STARTS", 1)
    monkeypatch.setenv("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "3")
    other = placement_group([{"CPU": 5}])  # one is left: room for no two, as few as are counted
    try:
        assert other.wait(30)
        told = r"2 to 6 workers: more than 1 times there was no room .*one number of --workers"
        with pytest.raises(Ended, match=told):
            meta_train(job(tmp_path, encoder=encoder, workers=(2, 6)))
    finally:
        remove_placement_group(other)


def test_train_without_dev_is_refused() -> None:
    with pytest.raises(ValueError, match="go together"):
        parse(["--output", "x", "--train", "only.bio"])


OPTIONS = ["meta_updates=120", "dev_every=40", "tasks_per_update=4", "beta=1e-3"]


def arguments(folder: Path, encoder: str) -> list[str]:
    """The command line of a run on files in this folder."""
    for name, sentences in (("train.bio", TRAIN), ("dev.bio", DEV)):
        rows = ("".join(f"{w}\t{t}\n" for w, t in zip(s.words, s.labels, strict=True)) for s in sentences)
        (folder / name).write_text("\n".join(rows), encoding="utf-8")
    places = {"train": "train.bio", "dev": "dev.bio", "storage": "runs", "output": "bundle"}
    named = [f"--{option}={folder / name}" for option, name in places.items()]
    return ["--preset=demo", f"--encoder={encoder}", *named, *(f"--set={option}" for option in OPTIONS)]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_and_started_again_ends_like_an_unbroken_run(ray_local: None, encoder: str, tmp_path: Path) -> None:
    """Driver, workers and their Ray die by SIGKILL after the first checkpoint; the same job ends on another Ray."""
    options = arguments(tmp_path, encoder)
    with started("jobs.meta_train", options) as first:
        while not list(tmp_path.glob("runs/*/checkpoint_*/state.json")):
            assert first.poll() is None, "the job ended before it kept a checkpoint"
            time.sleep(0.05)
    assert not (tmp_path / "bundle" / "manifest.json").exists(), "the kill came too late to test anything"
    meta_train(parse(options)[0])
    parts = [corpora.read_sentences(str(tmp_path / name)) for name in ("train.bio", "dev.bio")]
    unbroken = prepare(preset("demo", **parse_overrides(OPTIONS)), *parts, encoder=encoder).trainer
    state = unbroken.run(NoCheckpoints())
    assert furthest(theta(tmp_path), dict(unbroken.engine.tagger.trained())) < 1e-6
    assert bundle.load(str(tmp_path / "bundle")).manifest["history"] == state.history
