"""Fine-tuning on target labels (Sec. 4.6) against a loop written out: batches, losses and steps by hand."""

import copy
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from metaner_core.engine.adapting import BatchedEngine
from metaner_core.engine.meta_training import in_chunks
from metaner_core.method import fine_tune as module
from metaner_core.method.adapt import Engine
from metaner_core.method.fine_tune import fine_tune
from metaner_core.method.meta_train import MetaTrainer
from metaner_core.model.encoding import collate
from metaner_core.settings import Settings, preset
from metaner_core.tuning import Tuning, plain
from tests.method.test_resume import Kept, Stop, parameters
from tests.support.small import tiny_bert, tiny_engine

SMALL = {"window": 8, "window_context": 3, "dropout": 0.0, "beta": 3e-3}
PAPER, CODE = (preset(name, **SMALL) for name in ("paper", "official-code"))
KEPT, FRESH = Tuning(epochs=3, batch=4), Tuning(epochs=3, batch=4, state="fresh")


def trainer(settings: Settings, kind: str = "reference") -> MetaTrainer:
    """Of a tagger that was trained with the settings."""
    engine = tiny_engine(plain(settings), encoder=tiny_bert(layers=5))
    if kind == "batched":
        engine = BatchedEngine(*(getattr(engine, f.name) for f in dataclasses.fields(Engine)))
    together = in_chunks if kind == "batched" else None
    return MetaTrainer(engine, np.zeros((len(engine.source), 0), int), [], together=together)


def orders(of: MetaTrainer, tuning: Tuning) -> list[list[int]]:
    """The batches of all epochs: this, which is random, is taken from the trainer's own stream."""
    found = []
    for epoch in range(tuning.epochs):
        order = of._tasks.order(epoch).tolist()
        assert sorted(order) == [*range(10)], "every sentence once an epoch"
        found += [order[:4], order[4:8], order[8:]]
    return found


def by_hand(engine: Engine, batches: list[list[int]], rate: float, *, code: bool, fresh: bool) -> dict:
    """The parameters that Adam, or the published BertAdam, reaches on a deep copy."""
    model = copy.deepcopy(engine.tagger)
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    first, second, done = {}, {}, 0
    for rows in batches:
        batch = collate([engine.source[i] for i in rows], engine.tokenizer, label_set=engine.label_set)
        token = F.cross_entropy(model(batch), batch.labels, reduction="none")
        parts = [token[batch.sentence == n].mean() for n in range(len(rows))]
        gradients = torch.autograd.grad(token.mean() if code else sum(parts), list(trained.values()))
        if fresh:
            first, second, done = {}, {}, 0
        done += 1
        for (name, p), g in zip(trained.items(), gradients, strict=True):
            g = g * min(1.0, 1.0 / (g.norm().item() + 1e-6)) if code else g
            first[name] = 0.9 * first.get(name, 0) + 0.1 * g
            second[name] = 0.999 * second.get(name, 0) + 0.001 * g * g
            if code:
                decay = 0.0 if name.endswith("bias") or "LayerNorm" in name else 0.01
                p.data -= rate * (first[name] / (second[name].sqrt() + 1e-6) + decay * p.data)
            else:
                size = (second[name] / (1 - 0.999**done)).sqrt() + 1e-8
                p.data -= rate * first[name] / (1 - 0.9**done) / size
    return {name: p.detach() for name, p in trained.items()}


@pytest.mark.parametrize("kind", ["reference", "batched"])
@pytest.mark.parametrize(("settings", "tuning"), [(PAPER, KEPT), (PAPER, FRESH), (CODE, FRESH)])
def test_it_is_the_loop(settings: Settings, tuning: Tuning, kind: str) -> None:
    found, code = trainer(settings, kind), settings is CODE
    start = {name: p.detach().clone() for name, p in found.engine.tagger.trained().items()}
    batches = orders(found, tuning)
    expected = by_hand(found.engine, batches, 1e-3, code=code, fresh=tuning.state == "fresh")
    fine_tune(found, tuning.of(settings), lambda epoch, loss: None)
    for name, p in found.engine.tagger.trained().items():
        torch.testing.assert_close(p.detach(), expected[name], rtol=0, atol=1e-6, msg=name)
    assert max((p - start[name]).abs().max().item() for name, p in expected.items()) > 1e-3


@pytest.mark.parametrize(("settings", "tuning"), [(PAPER, KEPT), (PAPER, FRESH), (CODE, KEPT)])
def test_a_resumed_one_ends_bit_for_bit_like_an_unbroken_one(
    settings: Settings, tuning: Tuning, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, tuning = trainer(settings), tuning.of(settings)
    losses = fine_tune(whole, tuning, lambda epoch, loss: None)
    monkeypatch.setattr(module, "KEPT_AFTER", 1)
    told: list[int] = []
    with pytest.raises(Stop):
        fine_tune(trainer(settings), tuning, lambda epoch, loss: told.append(epoch), Kept(tmp_path, stop_after=1))
    second = trainer(settings)
    assert fine_tune(second, tuning, lambda epoch, loss: told.append(epoch), Kept(tmp_path)) == losses
    assert told == [1, 2, 3]
    assert all(torch.equal(p, parameters(second)[name]) for name, p in parameters(whole).items())


@pytest.mark.parametrize(("batches", "saves"), [(1, 2), (4, 1), (100, 0)])
def test_it_is_kept_after_so_many_batches_but_not_at_the_end(
    batches: int, saves: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three epochs of three batches."""
    monkeypatch.setattr(module, "KEPT_AFTER", batches)
    kept = Kept(tmp_path)
    fine_tune(trainer(PAPER), KEPT.of(PAPER), lambda epoch, loss: None, kept)
    assert kept.saves == saves


def test_every_epochs_loss_is_told_and_falls() -> None:
    told: list[tuple[int, float]] = []
    losses = fine_tune(trainer(PAPER), KEPT.of(PAPER), lambda epoch, loss: told.append((epoch, loss)))
    assert told == [*enumerate(losses, 1)]
    assert losses[-1] < losses[0]


def test_what_is_not_said_is_as_in_training() -> None:
    assert Tuning().of(preset("paper")).rate == pytest.approx(1e-5)
    assert Tuning().of(preset("official-code")).optimizer == "bertadam"
    assert Tuning(rate=0.5, optimizer="sgd").of(PAPER) == Tuning(rate=0.5, optimizer="sgd")


def test_all_that_cannot_be_is_told_at_once() -> None:
    with pytest.raises(ValueError, match="epochs is 0") as refused:
        Tuning(epochs=0, batch=True, rate=-1.0, optimizer="adm", state="new")
    assert len(str(refused.value).splitlines()) == 6
