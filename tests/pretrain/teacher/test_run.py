"""A student's run: it learns, stops and goes on without a trace, alone or shared out, and writes an encoder."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from metaner_core.encoders.encoder import load_encoder
from metaner_core.method.checkpoint import FolderCheckpoints, NoCheckpoints
from metaner_core.pretrain import __main__ as command
from metaner_core.pretrain.loop import Pretrainer, drawing
from metaner_core.pretrain.packed import Packed, open_packed
from metaner_core.pretrain.settings import PretrainSettings, preset, require_other, with_teacher
from metaner_core.pretrain.teacher.aims import lesson_loss
from metaner_core.pretrain.teacher.lessons import Lesson
from tests.support.pretrain_small import Stopped, packed_small, small, stop_at
from tests.support.teachers import save_tiny_teacher

NARROW = {"width": 16, "teacher_start": "embeddings"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the teacher and the packed text."""
    found = tmp_path_factory.mktemp("of")
    save_tiny_teacher(found / "teacher")
    save_tiny_teacher(found / "other", seed=7)
    packed_small(found, keep_text=True)
    return found


@pytest.fixture(scope="module")
def packed(folder: Path) -> Packed:
    return open_packed(folder / "packed")


def taught(folder: Path, **changes: object) -> PretrainSettings:
    return small(teacher=str(folder / "teacher"), teacher_prefix="query: ", **changes)


def test_a_lesson_is_learnt_by_heart(folder: Path, packed: Packed) -> None:
    settings = taught(folder, steps=60, teacher_start="nothing", start_tokens=0, learning_rate=3e-3)
    trainer = Pretrainer(packed, settings)
    state, lesson = trainer.start(), drawing(packed, settings, trainer.teacher)(0)
    losses = []
    for _ in range(settings.steps):
        trainer.step(state, lesson)
        losses.append(state.mean_loss() * state.losses)
    first, last = losses[0], losses[-1] - losses[-2]
    mean = vectors_around_their_mean(trainer, lesson)
    assert last < 0.5 * mean < mean < first  # better than to say the same of every word and sentence


def vectors_around_their_mean(trainer: Pretrainer, lesson: Lesson) -> float:
    """The loss of a student that gives every token the mean of the teacher's."""
    assert trainer.teacher is not None
    theirs = trainer.teacher([sentence.teachers for row in lesson.rows for sentence in row]).mean(0)
    constant = lambda ids: theirs.expand(sum(len(own) + 2 for own in ids), -1)  # noqa: E731
    return lesson_loss(constant, trainer.teacher, lesson, trainer.settings).item()


def test_a_teacher_is_read_in_half_precision_and_its_student_begins_with_all_of_it(
    folder: Path, packed: Packed
) -> None:
    halved, whole = (Pretrainer(packed, taught(folder, bf16=bf16)) for bf16 in (True, False))
    begun = [dict(trainer.start().named()) for trainer in (halved, whole)]
    assert all(torch.equal(p, begun[1][name]) for name, p in begun[0].items())
    assert halved.teacher is not None
    assert whole.teacher is not None
    assert (halved.teacher.encoder.dtype, whole.teacher.encoder.dtype) == (torch.bfloat16, torch.float32)
    lesson = drawing(packed, whole.settings, whole.teacher)(0)
    ids = [sentence.teachers for row in lesson.rows for sentence in row]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = halved.teacher(ids)
    expected = whole.teacher(ids)
    assert 0 < (found - expected).norm() < 0.05 * expected.norm()


@pytest.mark.parametrize(
    "changes",
    [{}, {"teacher_share": 0.5}, NARROW, {"sentence_teacher": "other", "sentence_share": 0.5}],
    ids=["taught", "masked words beside", "narrow", "sentences by another"],
)
def test_stopped_and_started_again_it_ends_bit_for_bit_like_an_unbroken_run(
    folder: Path, packed: Packed, tmp_path: Path, changes: dict[str, object]
) -> None:
    if "sentence_teacher" in changes:
        changes = {**changes, "sentence_teacher": str(folder / "other")}
    settings = taught(folder, steps=10, **changes)
    whole = Pretrainer(packed, settings).run(NoCheckpoints())
    for stop in (2, 6, 9):  # before the first checkpoint, between, and after the second
        with pytest.raises(Stopped):
            Pretrainer(packed, settings, on_step=stop_at(stop)).run(FolderCheckpoints(tmp_path, print, counter="step"))
    again = Pretrainer(packed, settings).run(FolderCheckpoints(tmp_path, print, counter="step"))
    assert again.history == whole.history
    expected = dict(whole.named())
    assert ("projection.weight" in expected) == (changes == NARROW)
    for name, p in again.named():
        assert torch.equal(p, expected[name]), name


def test_masked_words_beside_the_teacher_train_the_head_and_the_teacher_alone_does_not(
    folder: Path, packed: Packed
) -> None:
    for share, moved in ((1.0, False), (0.5, True)):
        trainer = Pretrainer(packed, taught(folder, teacher_share=share))
        before = trainer.start().model.cls.predictions.transform.dense.weight.clone()
        after = trainer.run(NoCheckpoints()).model.cls.predictions.transform.dense.weight
        assert torch.equal(before, after) != moved


def arguments(folder: Path, output: Path, **changes: object) -> list[str]:
    told = {name: value for name, value in taught(folder, **changes).to_dict().items() if name != "preset"}
    options = ["--packed", str(folder / "packed"), "--storage", str(output / "runs"), "--preset", "smoke"]
    return [*options, "--output", str(output / "encoder"), *(f"--set={name}={value}" for name, value in told.items())]


def test_the_output_is_an_encoder_without_a_head_that_can_be_gone_on_from(
    folder: Path, packed: Packed, tmp_path: Path
) -> None:
    command.pretrain(command.parser().parse_args(arguments(folder, tmp_path)))
    written = str(tmp_path / "encoder")
    tensors = load_file(tmp_path / "encoder" / "model.safetensors")
    assert not [name for name in tensors if "cls" in name or "projection" in name]
    encoder, _ = load_encoder(written)
    going_on = Pretrainer(packed, taught(folder, start_from=written)).start()
    for name, p in encoder.state_dict().items():
        assert torch.equal(going_on.model.bert.state_dict()[name], p), name
    with pytest.raises(ValueError, match="it must have its masked-LM head"):
        Pretrainer(packed, small(start_from=written)).start()


def test_two_processes_write_the_student_that_one_does(folder: Path, tmp_path: Path) -> None:
    script = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    two = [*script, "-m", "metaner_core.pretrain", "--threads", "1", *arguments(folder, tmp_path / "two", **NARROW)]
    subprocess.run(two, check=True, capture_output=True, timeout=120)
    command.pretrain(command.parser().parse_args(arguments(folder, tmp_path / "one", **NARROW)))
    one, other = (load_file(tmp_path / name / "encoder" / "model.safetensors") for name in ("one", "two"))
    assert one.keys() == other.keys()
    for name, p in one.items():
        assert (other[name].float() - p.float()).abs().max() < 2e-3 * p.abs().max() + 1e-4, name


def test_a_teacher_that_the_run_would_write_over_is_refused(folder: Path, tmp_path: Path) -> None:
    for field in ("teacher", "start_from"):  # and "sentence_teacher", which wants a teacher
        with pytest.raises(ValueError, match=f"{field} is .*encoder/', the run's own output"):
            require_other(small(**{field: f"{tmp_path}/encoder/"}), str(tmp_path / "encoder"))
    with pytest.raises(ValueError, match=r"sentence_teacher is .*encoder', the run's own output"):
        require_other(taught(folder, sentence_teacher=f"{tmp_path}/encoder"), str(tmp_path / "encoder"))
    require_other(taught(folder), str(tmp_path / "encoder"))


def test_a_teacher_of_sentences_of_another_width_is_refused(folder: Path, packed: Packed, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"embedded' has vectors of \d+; they must be as wide as the teacher's, 32"):
        Pretrainer(packed, taught(folder, sentence_teacher="embedded")).start()


def test_a_slow_tokenizer_is_refused(folder: Path, packed: Packed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transformers.PreTrainedTokenizerFast.is_fast", False)
    with pytest.raises(ValueError, match="has no fast tokenizer, which word positions need"):
        Pretrainer(packed, taught(folder)).start()


def test_a_teacher_known_by_name_brings_its_prefix() -> None:
    assert with_teacher(small(), "e5-small").teacher_prefix == "query: "
    assert with_teacher(small(teacher_prefix="passage: "), "e5-small").teacher_prefix == "passage: "
    assert (with_teacher(small(), "other").teacher, with_teacher(small(), "other").teacher_prefix) == ("other", "")
    assert with_teacher(preset("student"), None) == preset("student")
