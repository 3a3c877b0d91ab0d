"""The loop: a step by hand, a run that goes on as if it had never stopped, and what selection on dev keeps."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from metaner_core.bundles.student import new_student
from metaner_core.data import corpora
from metaner_core.distilling.loop import Distiller
from metaner_core.distilling.outputs import read
from metaner_core.distilling.settings import Distillation
from metaner_core.distilling.stream import Stream
from metaner_core.method.checkpoint import NoCheckpoints
from metaner_core.model.encoding import collate
from metaner_core.settings import preset
from tests.support.small import save_tiny_xlm_roberta
from tests.support.stopped import Kept, Stop

TRAIN, DEV = corpora.load("embedded-en", "train")[:12], corpora.load("embedded-en", "dev")[:8]


def distiller(tagged: str, start: str | None, encoder: str | None = None, **changes: Any) -> Distiller:
    small = {"steps": 6, "batch": 5, "gold": 3, "dev_every": 2, "mixed": 2, "rate": 2e-3}
    how = Distillation(**{**small, **changes})
    student = new_student(preset("demo"), start=start, encoder=encoder)
    gold, dev = ([student.encode(s.words, s.labels) for s in part] for part in (TRAIN, DEV))
    outputs = [read(tagged, how)]
    return Distiller(
        student.engine, student.encode, how, lambda place: Stream(outputs, how, place), gold, dev, how.rate
    )


def parameters(one: Distiller) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in one.engine.tagger.trained().items()}


def test_a_step_is_the_one_made_by_hand(tagged: str, tiny_bundle: str) -> None:
    """With gradient descent and no dropout: sentence by sentence, by autograd of a plain sum."""
    changes: dict[str, Any] = {"optimizer": "sgd", "steps": 1, "warmup": 0.0, "soft_weight": 0.7, "gold_weight": 0.4}
    one, other = (distiller(tagged, tiny_bundle, **changes) for _ in range(2))
    for each in (one, other):
        each.engine.tagger.dropout = 0.0
    one.dev = []
    one.rate = other.rate = 0.5
    one.run(NoCheckpoints())
    tagger, tokenizer = other.engine.tagger, other.engine.tokenizer
    stream = other.stream(None)
    total = torch.zeros(())
    for sentence in stream.take(5):
        batch = collate([other.encode(sentence.words)], tokenizer)
        target = torch.tensor(sentence.teacher)
        total = total - 0.7 / 5 * (target * tagger(batch).log_softmax(-1)).sum(1).mean()
    order = np.random.default_rng([0, 24, 0]).permutation(len(TRAIN))
    for i in order[:3]:
        batch = collate([other.gold[i]], tokenizer, label_set=other.engine.label_set)
        total = total + 0.4 / 3 * F.cross_entropy(tagger(batch), batch.labels)
    total.backward()
    for name, p in tagger.trained().items():
        expected = p.detach() - 0.5 * (torch.zeros(()) if p.grad is None else p.grad)
        torch.testing.assert_close(one.engine.tagger.trained()[name], expected, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize("changes", [{}, {"optimizer": "bertadam", "most_of_language": 6}, {"batch": 0}])
def test_a_resumed_run_ends_bit_for_bit_like_an_unbroken_one(
    tagged: str, tiny_bundle: str, tmp_path: Path, changes: dict[str, Any]
) -> None:
    whole = distiller(tagged, tiny_bundle, **changes)
    unbroken = whole.run(NoCheckpoints())
    with pytest.raises(Stop):
        distiller(tagged, tiny_bundle, **changes).run(Kept(tmp_path, stop_after=1))
    second = distiller(tagged, tiny_bundle, **changes)
    resumed = second.run(Kept(tmp_path))
    assert all(torch.equal(p, parameters(second)[name]) for name, p in parameters(whole).items())
    assert (resumed.history, resumed.place) == (unbroken.history, unbroken.place)
    assert [entry["update"] for entry in resumed.history] == [2, 4, 6]


def test_an_encoder_of_other_pieces_learns_of_the_same_words(tagged: str, tmp_path: Path) -> None:
    encoder = save_tiny_xlm_roberta(tmp_path)
    one = distiller(tagged, None, encoder, steps=30, batch=8, dev_every=10, loss="squared_error", temperature=2.0)
    losses = [entry["loss"] for entry in one.run(NoCheckpoints()).history]
    assert len(losses) == 3
    assert losses[2] < losses[1] < losses[0]
