"""Meta-training that goes on from a checkpoint, in one process and without Ray."""

from pathlib import Path

import pytest
import torch

from metaner_core.bundles.prepare import prepare
from metaner_core.data import corpora
from metaner_core.method.checkpoint import NoCheckpoints, TrainingState
from metaner_core.method.meta_train import MetaTrainer
from metaner_core.settings import preset
from tests.support.small import save_tiny_bert
from tests.support.stopped import Kept, Stop


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_tiny_bert(tmp_path_factory.mktemp("encoder"))


def trainer(optimizer: str, encoder: str) -> MetaTrainer:
    settings = preset("demo", meta_updates=6, dev_every=2, tasks_per_update=3, beta=2e-3, optimizer=optimizer)
    train, dev = corpora.load("embedded-en", "train")[:30], corpora.load("embedded-en", "dev")[:8]
    return prepare(settings, train, dev, encoder=encoder).trainer


def parameters(trained: MetaTrainer) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in trained.engine.tagger.trained().items()}


@pytest.mark.parametrize("optimizer", ["adam", "bertadam", "sgd"])
def test_a_resumed_run_ends_bit_for_bit_like_an_unbroken_one(tmp_path: Path, encoder: str, optimizer: str) -> None:
    whole = trainer(optimizer, encoder)
    unbroken = whole.run(NoCheckpoints())
    with pytest.raises(Stop):
        trainer(optimizer, encoder).run(Kept(tmp_path, stop_after=1))
    second = trainer(optimizer, encoder)
    resumed = second.run(Kept(tmp_path))
    assert all(torch.equal(p, parameters(second)[name]) for name, p in parameters(whole).items())
    assert resumed.history == unbroken.history
    assert [entry["update"] for entry in resumed.history] == [2, 4, 6]


def test_the_best_parameters_are_kept_and_the_first_of_equals(encoder: str) -> None:
    one = trainer("adam", encoder)
    state = TrainingState.start(one.engine.tagger, torch.optim.Adam(one.engine.tagger.trained().values()))
    bias = one.engine.tagger.classifier.bias
    for update, (value, f1) in enumerate([(1.0, 40.0), (2.0, 50.0), (3.0, 50.0), (4.0, 30.0)], start=1):
        with torch.no_grad():
            bias.fill_(value)
        state.update = update
        state.close_interval(f1)
    assert (state.best_update, state.best_f1) == (2, 50.0)
    assert state.best["classifier.bias"].unique().item() == 2.0
