"""The Ray Train job of pre-training: from raw text to an encoder, with the parameters of the loop without Ray."""

from pathlib import Path

import pytest
from safetensors.torch import load_file

from jobs.pretrain_encoder import Job, pack_text, parse, pretrain
from metaner_core.encoders.encoder import load_encoder
from metaner_core.method.checkpoint import NoCheckpoints
from metaner_core.pretrain.loop import Pretrainer
from metaner_core.pretrain.packed import open_packed
from metaner_core.pretrain.settings import PretrainSettings
from tests.support.pretrain_small import PACK, small, write_texts


def job(folder: Path, **changes: object) -> Job:
    options = {"output": str(folder / "encoder"), "storage": str(folder / "runs"), "settings": small()}
    return Job(**{**options, "pack_settings": PACK, **changes})  # type: ignore[arg-type]


@pytest.mark.slow
def test_two_workers_write_the_encoder_that_the_loop_alone_makes(ray_local: None, tmp_path: Path) -> None:
    two = job(tmp_path, texts=write_texts(tmp_path), workers=2)
    made = pretrain(two)
    packed = open_packed(Path(pack_text(two)))  # packed once: the same text is not packed again
    alone = Pretrainer(packed, two.settings).run(NoCheckpoints())
    found = load_file(tmp_path / "encoder" / "model.safetensors")
    for name, p in alone.model.named_parameters():
        assert (found[name].float() - p).abs().max() < 2e-3 * p.abs().max() + 1e-4, name
    assert made["workers"] == 2
    assert made["tokens"] == alone.tokens
    assert made["history"][-1]["loss"] == pytest.approx(alone.history[-1]["loss"], rel=1e-3)
    assert load_encoder(two.output)[0].config.num_hidden_layers == 2
    assert list(tmp_path.glob("runs/pretrain-smoke-*/checkpoint_*/state.safetensors"))
    with pytest.raises(FileExistsError, match="never overwritten"):
        pretrain(two)


def test_text_is_packed_once_and_again_when_it_changes(tmp_path: Path) -> None:
    texts = write_texts(tmp_path)
    first = pack_text(job(tmp_path, texts=texts))
    assert pack_text(job(tmp_path, texts=texts)) == first
    more = job(tmp_path, texts=write_texts(tmp_path, count=299))
    assert pack_text(more) != first
    assert len(list(tmp_path.glob("runs/packed-*/manifest.json"))) == 2


def test_the_command_line_makes_the_job() -> None:
    arguments = "--text en a.xz b.gz --text de c --text en d --translations de e.tsv --output out --workers 2 --gpu"
    found, address = parse([*arguments.split(), "--preset", "gpu", "--set", "steps=9", "--pack-set", "vocabulary=9000"])
    assert found.texts is not None
    assert found.texts.mono == {"en": ("a.xz", "b.gz", "d"), "de": ("c",)}
    assert found.texts.translations == {"de": ("e.tsv",)}
    assert (found.workers, found.gpu, found.settings.steps, found.settings.preset) == (2, True, 9, "gpu")
    assert found.pack_settings.vocabulary == 9000
    assert address is None


def test_a_teacher_brings_its_prefix_and_has_the_text_kept() -> None:
    found, _ = parse(["--text", "en", "a", "--output", "out", "--teacher", "e5-small", "--set", "layers=2"])
    assert (found.settings.teacher, found.settings.teacher_prefix) == ("e5-small", "query: ")
    assert found.pack_settings.keep_text
    assert not parse(["--text", "en", "a", "--output", "out"])[0].pack_settings.keep_text
    assert parse(["--text", "en", "a", "--output", "out", "--preset", "student"])[0].pack_settings.keep_text


def test_a_teacher_that_is_the_output_or_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="teacher is 'out/encoder', the run's own output"):
        parse(["--text", "en", "a", "--output", "out/encoder", "--teacher", "out/encoder"])
    missing = job(tmp_path, texts=write_texts(tmp_path), settings=small(teacher=str(tmp_path / "nothing")))
    with pytest.raises(FileNotFoundError, match=r"nothing'.*there is no such folder"):
        pretrain(missing)


@pytest.mark.parametrize("arguments", ["", "--text en a --packed b"])
def test_text_and_packed_text_exclude_each_other(arguments: str) -> None:
    with pytest.raises(ValueError, match="give either text"):
        parse([*arguments.split(), "--output", "out"])


def test_a_worker_without_a_sequence_is_refused(tmp_path: Path) -> None:
    for workers in (3, (1, 3)):
        with pytest.raises(ValueError, match="batch is 2 for 3 workers"):
            job(tmp_path, packed="somewhere", workers=workers, settings=PretrainSettings(batch=2))
