"""From outputs to a bundle without Ray, what that bundle does, and what is refused before any work."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from metaner_core import load
from metaner_core.bundles import bundle
from metaner_core.data import corpora
from metaner_core.distilling.__main__ import main
from metaner_core.distilling.run import Distilling
from metaner_core.distilling.settings import Distillation
from metaner_core.encoders.encoder import load_encoder
from metaner_core.method.checkpoint import NoCheckpoints
from metaner_core.text.schema import NOTHING, Keep
from tests.support.small import save_tiny_bert
from tests.support.tagged import save_manifest

HOW = Distillation(steps=2, batch=4, gold=2, dev_every=1, mixed=2, rate=1e-2)
TRAIN, DEV = corpora.load("embedded-en", "train")[:12], corpora.load("embedded-en", "dev")[:8]
TEXT = "Angela Merkel besuchte Paris."


def distilling(*tagged: str, **changes: Any) -> Distilling:
    return Distilling(**{"tagged": tagged, "train": TRAIN, "dev": DEV, "settings": HOW, **changes})


@pytest.fixture(scope="module")
def student(tagged: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The bundle of a run from the teacher's own parameters."""
    output = str(tmp_path_factory.mktemp("student") / "bundle")
    run = distilling(tagged)
    assert run.written(output) is None
    run.run(output, NoCheckpoints(), tell=lambda line: None, facts={"workers": 1})
    return output


def test_the_bundle_says_what_made_it_and_is_not_made_again(student: str, tagged: str, tiny_bundle: str) -> None:
    manifest = json.loads(Path(student, "manifest.json").read_text(encoding="utf-8"))
    assert manifest["source"]["sentences"] == 0
    assert [entry["update"] for entry in manifest["history"]] == [1, 2]
    told = manifest["distilled"]
    assert (told["outputs"], told["teachers"], told["start"]) == ([tagged], [tiny_bundle], tiny_bundle)
    assert told["settings"] == HOW.to_dict()
    assert told["selection"]["kept"]["sentences"] >= 8
    assert distilling(tagged).written(student) == manifest
    with pytest.raises(FileExistsError, match="never overwritten"):
        distilling(tagged, settings=Distillation(steps=3)).written(student)


def test_it_begins_as_the_teacher_and_another_encoder_as_itself(
    student: str, tagged: str, tiny_bundle: str, tmp_path: Path
) -> None:
    teacher, found = bundle.load(tiny_bundle), bundle.load(student)
    moved = [(p - found.tagger.trained()[name]).abs().max().item() for name, p in teacher.tagger.trained().items()]
    assert 0 < max(moved) < 0.05
    other = distilling(tagged, encoder=save_tiny_bert(tmp_path / "encoder"))
    assert other.written(str(tmp_path / "b")) is None
    other.run(str(tmp_path / "b"), NoCheckpoints(), tell=lambda line: None, facts={})
    manifest = bundle.load(str(tmp_path / "b")).manifest
    assert (manifest["distilled"]["start"], manifest["encoder"]) == (None, other.encoder)
    assert other.name() != distilling(tagged).name()


def test_a_bundle_without_source_sentences_tags_as_it_is(student: str) -> None:
    tagger = load(student)
    assert not tagger.bundle.adapts
    adapted, plain = (tagger.tag([TEXT], language="de", adapted=how)[0] for how in (True, False))
    assert adapted == plain
    assert adapted.outcome == "tagged"
    assert all(not sentence.neighbours for sentence in adapted.sentences)
    with pytest.raises(ValueError, match="has no source sentences, so there are no neighbours to adapt to"):
        tagger.bundle.support([["Angela"]])


def test_what_is_written_is_what_was_learnt(student: str, tagged: str) -> None:
    """The encoder in the bundle is the taught one, so that it can be taken as another's --encoder."""
    found = bundle.load(student)
    again, _ = load_encoder(f"{student}/encoder")
    for name, p in found.tagger.encoder.named_parameters():
        assert torch.equal(p, again.get_parameter(name)), name


def refusal(tmp_path: Path, *tagged: str, **changes: Any) -> str:
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        distilling(*tagged, **changes).written(str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    return str(error.value)


@pytest.fixture
def copy(tagged: str, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tagged, tmp_path / "copy"))


def test_outputs_that_are_none_or_not_whole(copy: Path, tiny_bundle: str, tmp_path: Path) -> None:
    assert "has no manifest.json; give another folder" in refusal(tmp_path, str(tmp_path / "nothing"))
    assert "is no output of metaner tag: its manifest.json is of something else" in refusal(tmp_path, tiny_bundle)
    next(copy.rglob("part-0000001.parquet")).unlink()
    assert "is not whole: below tagged/ there are 2 files, not 3 and" in refusal(tmp_path, str(copy))
    (copy / "manifest.json").unlink()
    assert "was not tagged to its end" in refusal(tmp_path, str(copy))


def test_outputs_without_what_is_needed(copy: Path, tiny_bundle: str, tmp_path: Path) -> None:
    save_manifest(copy, tiny_bundle, NOTHING)
    assert "its rows have no probabilities to learn from; tag it again, into another --output, with" in refusal(
        tmp_path, str(copy)
    )
    save_manifest(copy, tiny_bundle, Keep(probabilities=True))
    for field, value in (("agree", True), ("teacher", "unadapted")):
        told = refusal(tmp_path, str(copy), settings=Distillation(**{field: value}))
        assert "which its rows have not; tag it again, into another --output, with --keep-unadapted" in told
    save_manifest(copy, tiny_bundle, Keep(probabilities=True), adapted=False)
    assert "there is nothing to agree with" in refusal(tmp_path, str(copy), settings=Distillation(agree=True))
    assert distilling(str(copy), settings=Distillation(teacher="unadapted")).written(str(tmp_path / "out")) is None


def test_outputs_of_other_labels_and_of_several_teachers(
    copy: Path, tagged: str, tiny_bundle: str, tmp_path: Path
) -> None:
    fewer = ["O", "B-PER", "I-PER"]
    save_manifest(copy, tiny_bundle, labels=fewer)
    assert "outputs of different labels: " in refusal(tmp_path, tagged, str(copy))
    assert "was tagged with O, B-PER, I-PER, but" in refusal(tmp_path, str(copy))
    settings = json.loads(Path(tiny_bundle, "manifest.json").read_text())["settings"]
    save_manifest(copy, tiny_bundle, bundle={"uri": "other", "settings": settings})
    assert f"tagged by {tiny_bundle} and other: say by --bundle or --encoder" in refusal(tmp_path, tagged, str(copy))
    assert distilling(tagged, str(copy), bundle=tiny_bundle).written(str(tmp_path / "out")) is None


def test_places_to_start_from_that_are_none(tagged: str, tiny_bundle: str, tmp_path: Path) -> None:
    assert "no such folder; give a folder, s3://" in refusal(tmp_path, tagged, encoder=str(tmp_path / "encodr"))
    assert "there is no such folder" in refusal(tmp_path, tagged, bundle=str(tmp_path / "none"))
    assert "are two places to start from" in refusal(tmp_path, tagged, bundle=tiny_bundle, encoder="embedded")
    told = refusal(tmp_path, tagged, settings=Distillation(frozen_layers=3))
    assert "frozen_layers is 3, but" in told
    assert "leave it out (-1), or start from an --encoder" in told
    assert "train has no entity of" in refusal(tmp_path, tagged, train=[])


def test_settings_by_which_nothing_is_left(tagged: str, tmp_path: Path) -> None:
    told = refusal(tmp_path, tagged, settings=Distillation(least_certain=1.0))
    assert "no tagged sentence is left to learn from: uncertain" in told
    assert distilling(tagged, settings=Distillation(least_certain=1.0, batch=0)).written(str(tmp_path / "out")) is None


def test_the_command_goes_on_to_the_bundle_and_tells_what_was_taken(
    tagged: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sets = ["steps=2", "batch=4", "gold=2", "dev_every=2", "rate=1e-2", "least_certain=0.3", "agree=true"]
    options = ["--tagged", tagged, f"--output={tmp_path / 'b'}", f"--storage={tmp_path / 'runs'}"]
    main([*options, *(f"--set={s}" for s in sets)])
    told = capsys.readouterr().out
    assert "step 2: loss " in told
    for part in ("  kept ", "  uncertain ", "  disagreement ", "best English dev F1 "):
        assert part in told
    with pytest.raises(ValueError, match="'certain=1': expected FIELD=VALUE with one of the fields agree, batch,"):
        main([*options, "--set=certain=1"])
    with pytest.raises(ValueError, match="checkpoints go to a folder here"):
        main([*options, "--storage=s3://bucket"])
