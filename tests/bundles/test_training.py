"""Meta-training without Ray: the command, from labels to a bundle, stopped and gone on with."""

from pathlib import Path

import pytest
import torch

from metaner_core.bundles import bundle, training
from metaner_core.bundles.prepare import prepare
from metaner_core.bundles.training import main, progress
from metaner_core.data import corpora
from metaner_core.method.checkpoint import NoCheckpoints
from metaner_core.settings import parse_overrides, preset
from tests.support.small import save_tiny_bert

SETS = ["meta_updates=4", "dev_every=2", "tasks_per_update=4", "beta=1e-3"]


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    for name, split, most in (("train.bio", "train", 40), ("dev.bio", "dev", 12)):
        sentences = corpora.load("embedded-en", split)[:most]
        rows = ("".join(f"{w}\t{t}\n" for w, t in zip(s.words, s.labels, strict=True)) for s in sentences)
        (tmp_path / name).write_text("\n".join(rows), encoding="utf-8")
    (tmp_path / "encoder").mkdir()
    named = {"train": "train.bio", "dev": "dev.bio", "output": "bundle", "storage": "runs"}
    places = [f"--{option}={tmp_path / name}" for option, name in named.items()]
    return [
        "--preset=demo",
        f"--encoder={save_tiny_bert(tmp_path / 'encoder')}",
        *places,
        *(f"--set={s}" for s in SETS),
    ]


def test_stopped_and_started_again_it_ends_like_an_unbroken_run(
    options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(metrics: object) -> str:
        if list(tmp_path.glob("runs/*/checkpoint-000000002")):  # told of the next one, before it is kept
            raise KeyboardInterrupt
        return "an interval"

    with monkeypatch.context() as patch:
        patch.setattr(training, "dev_line", stop)
        with pytest.raises(KeyboardInterrupt):
            main(options)
    assert not (tmp_path / "bundle" / "manifest.json").exists()
    main(options)
    parts = [corpora.read_sentences(str(tmp_path / name)) for name in ("train.bio", "dev.bio")]
    unbroken = prepare(preset("demo", **parse_overrides(SETS)), *parts, encoder=str(tmp_path / "encoder")).trainer
    state = unbroken.run(NoCheckpoints())
    made = bundle.load(str(tmp_path / "bundle"))
    for name, p in unbroken.engine.tagger.trained().items():
        torch.testing.assert_close(made.tagger.trained()[name], p, rtol=0, atol=1e-6)
    assert made.manifest["history"] == state.history
    capsys.readouterr()
    main(options)
    told = capsys.readouterr().out
    assert "is finished: nothing to do" in told
    assert f"best English dev F1 {state.best_f1:.2f} at meta-update {state.best_update}" in told


def test_another_run_does_not_write_over_it(options: list[str], tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="never overwritten"):
        main(options)


def test_checkpoints_do_not_go_to_s3(options: list[str]) -> None:
    with pytest.raises(ValueError, match="checkpoints go to a folder here"):
        main([*options, "--storage=s3://bucket/runs"])


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here, which has TF32")
def test_tf32_is_refused_where_there_is_none(options: list[str]) -> None:
    with pytest.raises(ValueError, match="--tf32 is of NVIDIA's GPUs, and there is none here: leave it out"):
        main([*options, "--tf32"])


def test_progress_is_told_every_ten_seconds_with_what_is_left() -> None:
    lines: list[str] = []
    tell = progress("meta-update", 100, lines.append)
    for update, seconds in ((41, 2.0), (46, 12.0), (47, 14.0), (51, 22.0)):
        tell(update, seconds)
    assert lines == ["meta-update 46/100, 2.00 s each, 2 min left", "meta-update 51/100, 2.00 s each, 2 min left"]
