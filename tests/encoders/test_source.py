"""A folder named from here is found by processes that work elsewhere."""

from pathlib import Path

import pytest

from jobs import distill, meta_train, pretrain_encoder
from metaner_core.encoders.source import settled
from metaner_core.settings import Settings

PLACES = ["--output", "out", "--storage", "runs"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With folders of which two are called as encoders are."""
    monkeypatch.chdir(tmp_path)
    for name in ("mine", "e5-small", "embedded", "same"):
        (tmp_path / name).mkdir()
    return tmp_path


def test_a_folder_gets_its_absolute_path_and_a_name_stays(here: Path) -> None:
    assert settled("mine") == settled("./mine") == settled(str(here / "mine")) == str(here / "mine")
    assert settled("./e5-small") == str(here / "e5-small")
    for name in ("e5-small", "embedded", "bert-base-cased", "org/name", "s3://bucket/encoder"):
        assert settled(name) == name


def test_trainings_are_given_folders_so(here: Path) -> None:
    found = meta_train.parse(["--encoder", "mine", "--set", "retrieval_encoder=mine", *PLACES])[0]
    assert (found.encoder, found.settings.retrieval_encoder) == (str(here / "mine"), str(here / "mine"))
    found = meta_train.parse(["--encoder", "e5-small", *PLACES])[0]
    assert (found.encoder, found.settings.retrieval_encoder) == ("e5-small", Settings().retrieval_encoder)
    assert distill.parse(["--tagged", "a", "--encoder", "mine", *PLACES])[0].encoder == str(here / "mine")


def test_pre_training_is_given_its_teachers_so(here: Path) -> None:
    sources = ["--teacher", "mine", "--set", "sentence_teacher=e5-small", "--set", "start_from=./embedded"]
    settings = pretrain_encoder.parse(["--packed", "packed", *sources, *PLACES])[0].settings
    assert settings.sources == (str(here / "mine"), "e5-small", str(here / "embedded"))
