"""The job that fine-tunes: what workers do together, or one after a kill, is what one process does; what is refused."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from jobs import meta_train
from jobs.fine_tune import parse, tune
from metaner_core.bundles import bundle
from metaner_core.bundles.fine_tuning import FineTuning
from metaner_core.data import corpora
from metaner_core.data.sentences import drawn

HOW = ["--rate=1e-2", "--optimizer=sgd", "--epochs=2", "--batch=8"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder in which the Spanish corpus has a training set: sentences of the embedded one."""
    folder = tmp_path_factory.mktemp("data") / "conll2002-es"
    folder.mkdir()
    sentences = corpora.load("embedded-es", "test")[:40]
    rows = ("".join(f"{w} {t}\n" for w, t in zip(s.words, s.labels, strict=True)) for s in sentences)
    (folder / "esp.train").write_text("\n".join(rows), encoding="utf-8")
    return str(folder.parent)


def options(start: str, data: str, output: Path, *more: str) -> list[str]:
    named = {"bundle": start, "data": data, "output": str(output / "tuned"), "storage": str(output / "runs")}
    return [*(f"--{name}={value}" for name, value in named.items()), *more]


def test_two_workers_give_the_bundle_of_one_process(
    ray_local: None, tiny_bundle: str, data: str, tmp_path: Path
) -> None:
    """There might be one: there is room for two."""
    given = ["--corpus=conll2002-es", "--share=50", "--workers", "1", "2", *HOW]
    job = parse(options(tiny_bundle, data, tmp_path, *given))[0]
    assert list(job.train) == drawn(corpora.load("conll2002-es", "train", data=data), 50, 0)
    assert len(job.train) == 20
    lines: list[str] = []
    manifest = tune(job, lines.append)
    assert lines[0] == "2 worker(s) of at most 2"
    assert (manifest["tuned"]["share"], manifest["tuned"]["corpus"]) == (50, "conll2002-es")
    FineTuning(start=job.start, train=job.train, tuning=job.tuning).run(
        str(tmp_path / "alone"), tell=lambda line: None, facts={}
    )
    found, alone = (bundle.load(str(tmp_path / name)).tagger.trained() for name in ("tuned", "alone"))
    for name, p in alone.items():
        torch.testing.assert_close(found[name], p, rtol=0, atol=1e-5, msg=name)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_it_goes_on_and_gives_the_bundle_of_one_process(
    ray_local: None, tiny_bundle: str, data: str, tmp_path: Path
) -> None:
    """SIGKILL to the driver, and with it to its worker, at the third checkpoint: before, Ray may have noted none.

    A checkpoint comes after three epochs of forty batches.
    """
    import ray

    how = ["--rate=1e-3", "--epochs=30", "--batch=1", "--corpus=conll2002-es"]
    given = options(tiny_bundle, data, tmp_path, *how)
    command = [sys.executable, "-m", "jobs.fine_tune", *given, "--address", ray.get_runtime_context().gcs_address]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    seen: set[Path] = set()
    with subprocess.Popen(command, env=environment) as driver:
        try:
            while len(seen) < 3:
                assert driver.poll() is None, "it ended before it could be killed"
                seen |= {*tmp_path.glob("runs/*/checkpoint_*/state.json")}
                time.sleep(0.02)
        finally:
            driver.kill()
    assert not (tmp_path / "tuned" / "manifest.json").exists(), "the kill came too late to test anything"
    job, lines = parse(given)[0], []
    manifest = tune(job, tell=lines.append)
    told = [int(line.split()[1].split("/")[0]) for line in lines if line.startswith("epoch")]
    assert told == list(range(31 - len(told), 31))
    assert 0 < len(told) <= 27, "it went on from a checkpoint"
    alone = FineTuning(start=job.start, train=job.train, tuning=job.tuning)
    alone.run(str(tmp_path / "alone"), tell=lambda line: None, facts={})
    found, expected = (bundle.load(str(tmp_path / name)) for name in ("tuned", "alone"))
    assert manifest["tuned"]["losses"] == pytest.approx(expected.manifest["tuned"]["losses"])
    for name, p in expected.tagger.trained().items():
        torch.testing.assert_close(found.tagger.trained()[name], p, rtol=0, atol=1e-6, msg=name)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--corpus=msra-zh"], "msra-zh has no training set to take a share of, only test; name a corpus that has one"),
        (["--corpus=conll2002-es", "--share=0"], "--share: a share of labels is 0.0; it must be above 0 and at most"),
        (["--corpus=conll2002-es", "--share=101"], "it must be above 0 and at most 100 percent"),
        (["--corpus=conll2002-es", "--epochs=0"], "epochs is 0; it must be a whole number"),
        ([], "give a --corpus, or your own file as --train: one of the two"),
        (["--corpus=conll2002-es", "--train=x"], "one of the two"),
    ],
)
def test_it_is_refused(tiny_bundle: str, data: str, tmp_path: Path, more: list[str], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        parse(options(tiny_bundle, data, tmp_path, *more))


def test_no_bundle_to_start_from(data: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no such folder"):
        parse(options(str(tmp_path / "none"), data, tmp_path, "--corpus=conll2002-es"))


def test_english_and_a_share_together_are_one_training_set(data: str, tmp_path: Path) -> None:
    english = ["--preset=demo", f"--data={data}", f"--output={tmp_path}"]
    job = meta_train.parse([*english, "--target=conll2002-es", "--share=25", "--seed=3"])[0]
    source, target = corpora.load("embedded-en", "train"), corpora.load("conll2002-es", "train", data=data)
    assert list(job.train) == [*source, *drawn(target, 25, 3)]
    assert job.source_name == "embedded-en and 25% of conll2002-es"
    assert job.name() != meta_train.parse(english)[0].name()
    with pytest.raises(ValueError, match="--share is of a --target's training set: name a corpus"):
        meta_train.parse([*english, "--share=25"])
    with pytest.raises(ValueError, match="msra-zh has no training set"):
        meta_train.parse([*english, "--target=msra-zh"])
