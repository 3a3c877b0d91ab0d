import copy
import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from metaner_core.encoders.encoder import load_encoder
from metaner_core.method import adapt
from metaner_core.model.encoding import Encoding
from metaner_core.model.tagger import Prediction
from metaner_core.settings import Settings
from tests.support.small import bert_tokenizer, encoded, save_tiny_xlm_roberta, tiny_engine

# γ is large enough that adaptation changes a fifth of the labels, and small enough that many labels remain.
SETTINGS = Settings(window=8, window_context=3, frozen_layers=1, gamma=3e-4)
SUPPORT = np.array([[(i + 3) % 10, (i * 7 + 1) % 10] for i in range(10)])


@pytest.fixture(scope="module")
def engine():
    return tiny_engine(SETTINGS)


def word_logits(model, sentence, tokenizer):
    """[words, C], a window at a time, with no batch and no padding."""
    found = []
    for window in sentence.windows:
        ids = [tokenizer.cls_token_id, *sentence.ids[window.start : window.stop], tokenizer.sep_token_id]
        hidden = model.encoder(input_ids=torch.tensor([ids])).last_hidden_state[0]
        fresh = [i - window.start + 1 for i in sentence.first if window.fresh <= i < window.stop]
        found.append(model.classifier(hidden[fresh]))
    return torch.cat(found)


def steps_by_hand(kind, parameters, rate):
    """A call that takes a step: torch's own optimisers, and scaled gradient descent written out."""
    if kind == "adam":
        return torch.optim.Adam(parameters, lr=rate, fused=False, foreach=False).step
    if kind == "sgd":
        return torch.optim.SGD(parameters, lr=rate).step

    def step():
        for p in parameters:
            size = p.grad.norm() / p.numel() ** 0.5
            p.data = p.data - rate / (size + 1e-8) * p.grad

    return step


def by_hand(engine, sentence, ids, kind):
    """The sentence's labels and probabilities from a copy of the model, adapted by a loop written out."""
    model, settings = copy.deepcopy(engine.tagger).eval(), engine.settings
    trained = [p for p in model.parameters() if p.requires_grad]
    step = steps_by_hand(kind, trained, settings.gamma)
    for _ in range(settings.adapt_steps):
        model.zero_grad()
        for neighbour in (engine.source[i] for i in ids):
            target = torch.tensor([engine.label_set.names.index(label) for label in neighbour.labels])
            F.cross_entropy(word_logits(model, neighbour, engine.tokenizer), target).backward()
        step()
    best, label = word_logits(model, sentence, engine.tokenizer).softmax(-1).max(-1)
    return tuple(engine.label_set.names[i] for i in label), best.tolist()


OPTIMIZERS = {
    "adam": {},
    "sgd": {"adapt_optimizer": "sgd", "gamma": 0.05},
    "scaled_sgd": {"adapt_optimizer": "scaled_sgd", "gamma": 2e-3},
}


@pytest.mark.parametrize("adapt_steps", [1, 3])
@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("family", ["bert", "xlm-roberta"])
def test_each_sentence_is_tagged_by_its_own_model_adapted_by_hand(family, kind, adapt_steps, tmp_path):
    settings = dataclasses.replace(SETTINGS, adapt_steps=adapt_steps, **OPTIMIZERS[kind])
    encoder, tokenizer = (None, None) if family == "bert" else load_encoder(save_tiny_xlm_roberta(tmp_path))
    engine = tiny_engine(settings, encoder=encoder, tokenizer=tokenizer)
    plain, adapted = engine.plain(engine.source), engine.adapted(engine.source, SUPPORT)
    assert [p.labels for p in plain] != [p.labels for p in adapted]
    for sentence, ids, found in zip(engine.source, SUPPORT, adapted, strict=True):
        labels, probabilities = by_hand(engine, sentence, ids, kind)
        assert found.labels == labels
        assert found.probabilities == pytest.approx(probabilities, abs=1e-5)


def test_adaptation_changes_labels_here_and_nothing_at_gamma_zero(engine):
    plain, adapted = engine.plain(engine.source), engine.adapted(engine.source, SUPPORT)
    pairs = [pair for p, a in zip(plain, adapted, strict=True) for pair in zip(p.labels, a.labels, strict=True)]
    assert sum(before != after for before, after in pairs) > 10
    assert len({after for _, after in pairs}) > 4
    still = dataclasses.replace(engine, settings=dataclasses.replace(SETTINGS, gamma=0.0))
    for found, expected in zip(still.adapted(engine.source, SUPPORT), plain, strict=True):
        assert found.labels == expected.labels
        assert found.probabilities == pytest.approx(expected.probabilities, abs=1e-9)


def test_the_taggers_weights_are_bit_identical_afterwards(engine):
    before = copy.deepcopy(engine.tagger.state_dict())
    trained = list(engine.tagger.trained())
    engine.adapted(engine.source, SUPPORT)
    assert all(torch.equal(value, before[name]) for name, value in engine.tagger.state_dict().items())
    assert list(engine.tagger.trained()) == trained
    assert all(p.grad is None for p in engine.tagger.parameters())


def test_the_weights_are_put_back_when_a_sentence_fails(engine):
    before = copy.deepcopy(engine.tagger.state_dict())
    broken = dataclasses.replace(engine.source[0], ids=(10**6, *engine.source[0].ids[1:]))  # no such subword
    with pytest.raises(IndexError):
        engine.adapted([broken], SUPPORT[:1])
    damaged = [name for name, value in engine.tagger.state_dict().items() if not torch.equal(value, before[name])]
    engine.tagger.load_state_dict(before)
    assert damaged == []


def test_predictions_do_not_depend_on_the_order_of_the_sentences(engine):
    forwards = engine.adapted(engine.source, SUPPORT)
    assert engine.adapted(engine.source[::-1], SUPPORT[::-1])[::-1] == forwards
    assert [engine.adapted([s], ids[None])[0] for s, ids in zip(engine.source, SUPPORT, strict=True)] == forwards


def test_with_dropout_too_they_do_not_depend_on_order_or_on_what_was_drawn_before():
    engine = tiny_engine(dataclasses.replace(SETTINGS, adapt_dropout=True, dropout=0.3))
    forwards = engine.adapted(engine.source, SUPPORT)
    assert engine.adapted(engine.source[::-1], SUPPORT[::-1])[::-1] == forwards


def test_an_empty_sentence_gives_an_empty_prediction(engine):
    empty = Encoding(bert_tokenizer(), SETTINGS)([])
    sentences = [empty, engine.source[0], empty]
    alone = engine.adapted(engine.source[:1], SUPPORT[:1])
    assert engine.adapted(sentences, SUPPORT[[5, 0, 7]]) == [Prediction(), *alone, Prediction()]
    assert engine.plain(sentences) == [Prediction(), *engine.plain(engine.source[:1]), Prediction()]
    assert engine.adapted([], SUPPORT[:0]) == engine.plain([]) == []


def test_masking_and_the_max_loss_have_no_part_in_adaptation(engine):
    settings = dataclasses.replace(SETTINGS, mask_ratio=1.0, max_loss_weight=50.0)
    other = dataclasses.replace(engine, settings=settings)
    assert other.adapted(engine.source, SUPPORT) == engine.adapted(engine.source, SUPPORT)


@pytest.mark.parametrize("batch_subwords", [1, 25, 10_000])
def test_plain_predictions_are_each_sentences_own_in_the_order_given(engine, monkeypatch, batch_subwords):
    monkeypatch.setattr(adapt, "CPU_BATCH", batch_subwords)
    for sentence, found in zip(engine.source, engine.plain(engine.source), strict=True):
        best, label = word_logits(engine.tagger, sentence, engine.tokenizer).softmax(-1).max(-1)
        assert found.labels == tuple(engine.label_set.names[i] for i in label)
        assert found.probabilities == pytest.approx(best.tolist(), abs=1e-5)


def test_a_tagger_left_in_training_mode_predicts_without_dropout():
    engine = tiny_engine(dataclasses.replace(SETTINGS, dropout=0.5))
    for predict in (engine.plain, lambda sentences: engine.adapted(sentences, SUPPORT)):
        engine.tagger.eval()
        expected = predict(engine.source)
        engine.tagger.train()
        assert predict(engine.source) == expected


def test_single_precision_agrees_with_double(engine):
    single = dataclasses.replace(engine, tagger=copy.deepcopy(engine.tagger).float())
    settings = encoded(SETTINGS)
    for a, b in zip(single.adapted(settings, SUPPORT), engine.adapted(settings, SUPPORT), strict=True):
        assert a.probabilities == pytest.approx(b.probabilities, abs=1e-3)
