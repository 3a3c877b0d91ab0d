"""What a student minimises, against a plain reading word by word."""

import math

import numpy as np
import pytest
import torch

from metaner_core.distilling.loss import Lesson, lessons_loss, one_hot
from metaner_core.distilling.settings import Distillation
from metaner_core.model.encoding import LabelSet, collate
from metaner_core.settings import preset
from tests.support.small import CHINESE, SENTENCES, encoded, tiny_engine, unigram


def softmax(values: list[float]) -> list[float]:
    raised = [math.exp(v - max(values)) for v in values]
    return [v / sum(raised) for v in raised]


def plain(logits: list[float], p: list[float], gold: bool, settings: Distillation) -> float:
    """One word's loss, as the docstrings and the literature have it."""
    t = 1.0 if gold else settings.temperature
    own = softmax([z / t for z in logits])
    raised = [x ** (1 / t) for x in p]
    target = [x / sum(raised) for x in raised]
    if settings.loss == "squared_error" and not gold:
        return sum((a - b) ** 2 for a, b in zip(own, target, strict=True)) / len(own)
    return -t * t * sum(b * math.log(a) for a, b in zip(own, target, strict=True) if b)


@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_it_is_the_plain_reading(loss: str, temperature: float) -> None:
    how, settings = Distillation(loss=loss, temperature=temperature), preset("paper", window=8, window_context=3)
    engine = tiny_engine(settings)
    rng = np.random.default_rng(0)
    lessons, expected = [], 0.0
    for n, (words, labels) in enumerate(SENTENCES):
        target = one_hot(labels, engine.label_set) if n % 3 == 0 else rng.dirichlet(np.full(9, 0.3), len(words))
        trusted = rng.random(len(words)) < 0.6 if n % 2 else None
        lessons.append(Lesson(engine.source[n], target.astype(np.float32), n % 3 == 0, 0.1 * (n + 1), n, trusted))
        alone = collate([engine.source[n]], engine.tokenizer)
        rows = engine.tagger(alone).tolist()
        assert alone.word.tolist() == list(range(len(words)))
        losses = [plain(z, p, n % 3 == 0, how) for z, p in zip(rows, lessons[n].target.tolist(), strict=True)]
        losses = [x for i, x in enumerate(losses) if trusted is None or trusted[i]]
        expected += 0.1 * (n + 1) * sum(losses) / max(len(losses), 1)
    batch = collate([lesson.encoded for lesson in lessons], engine.tokenizer)
    found = lessons_loss(engine.tagger(batch), batch, lessons, engine.label_set, how)
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_of_words_that_share_a_subword_the_first_teaches() -> None:
    settings = preset("paper")
    labels = LabelSet.of(settings)
    tokenizer = unigram(["".join(words) for words, _ in CHINESE])
    sentence = encoded(settings, tokenizer, CHINESE)[0]
    assert len(set(sentence.first)) < len(sentence.first)
    batch = collate([sentence], tokenizer)
    target = np.random.default_rng(0).dirichlet(np.ones(9), len(sentence.first)).astype(np.float32)
    logits = torch.randn(len(batch.row), 9, generator=torch.Generator().manual_seed(0))
    how = Distillation()
    found = lessons_loss(logits, batch, [Lesson(sentence, target, False, 1.0, 0)], labels, how)
    pairs = zip(logits.tolist(), batch.word.tolist(), strict=True)
    losses = [plain(z, target[word].tolist(), False, how) for z, word in pairs]
    assert found.item() == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_labels_of_no_word_are_taught_to_have_no_chance() -> None:
    """Where every token has a label, as in the authors' code, a word's distribution leaves the others out."""
    settings = preset("official-code", frozen_layers=1)
    engine = tiny_engine(settings)
    target = np.random.default_rng(0).dirichlet(np.ones(9), len(SENTENCES[0][0])).astype(np.float32)
    lesson = Lesson(engine.source[0], target, False, 1.0, 0)
    batch = collate([lesson.encoded], engine.tokenizer)
    logits = engine.tagger(batch).detach().requires_grad_()
    lessons_loss(logits, batch, [lesson], engine.label_set, Distillation()).backward()
    others = [n for n, name in enumerate(engine.label_set.names) if name not in engine.label_set.words]
    assert len(others) == 4
    assert (logits.grad[:, others] > 0).all()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"loss": "kl", "temperature": 0.0},
            "temperature is 0.0; it must be a number from 0.01 to 100\n  loss is 'kl'",
        ),
        ({"batch": 0, "gold": 0}, "there is nothing to learn from; raise one"),
        ({"soft_weight": 0.0, "gold": 0}, "there is nothing to learn from; raise one"),
        ({"agree": True, "teacher": "unadapted"}, "agree goes with teacher=as_tagged"),
        ({"least_certain": 1.5}, "least_certain is 1.5; it must be a number from 0 to 1"),
    ],
)
def test_settings_that_cannot_be(changes: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=r"^Distillation:") as error:
        Distillation(**changes)  # type: ignore[arg-type]
    assert told in str(error.value)
