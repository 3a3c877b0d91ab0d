"""Each row of method's table "where the authors' published code departs from their text": the preset does it."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from metaner_core.method import optim
from metaner_core.method.adapt import steps
from metaner_core.method.meta_train import MetaTrainer
from metaner_core.method.optim import schedule
from metaner_core.method.retrieval import SupportIndex
from metaner_core.model.encoding import LabelSet, collate
from metaner_core.model.tagger import loss
from metaner_core.settings import PRESETS, preset
from tests.support.small import bert_tokenizer, encoded, tiny_bert, tiny_engine

PAPER, CODE = (preset(name, window=8, window_context=3, dropout=0.0) for name in ("paper", "official-code"))
SUPPORT = np.array([[(i + 3) % 10, (i + 8) % 10] for i in range(10)])


def engine_of(settings, **changes):
    return tiny_engine(dataclasses.replace(settings, **changes), encoder=tiny_bert(layers=5))


def test_the_rows_are_all_that_differs():
    paper, code = PAPER.to_dict(), CODE.to_dict()
    assert {name for name in paper if paper[name] != code[name]} == {"preset", *PRESETS["official-code"]}


@pytest.mark.parametrize(("settings", "frozen"), [(PAPER, 3), (CODE, 4)])
def test_layers_frozen(settings, frozen):
    trained = engine_of(settings).tagger.trained()
    layers = {int(name.split(".")[3]) for name in trained if ".layer." in name}
    assert layers == set(range(frozen, 5))
    assert not any("embeddings" in name for name in trained)


def labels_in_loss(settings):
    label_set = LabelSet.of(settings)
    batch = collate(encoded(settings), bert_tokenizer(), label_set=label_set)
    return batch, [label_set.names[i] for i in batch.labels]


def test_tokens_in_the_loss():
    batch, names = labels_in_loss(PAPER)
    assert len(names) == sum(len(s.first) for s in encoded(PAPER))
    assert not {"X", "[CLS]", "[SEP]"} & set(names)
    batch, names = labels_in_loss(CODE)
    assert len(names) == batch.attention.sum()
    assert names.count("[CLS]") == names.count("[SEP]") == len(batch.ids)
    assert names.count("X") > 0
    assert batch.labels.min() == 1


def largest_first_step(settings):
    """How far one step of learning rate 1e-3 moves the classifier's bias at most, in learning rates."""
    engine = engine_of(settings)
    before = engine.tagger.classifier.bias.detach().clone()
    batch = collate(engine.source, engine.tokenizer, label_set=engine.label_set)
    optimizer = optim.fresh(settings.optimizer, engine.tagger.trained(), 1e-3)
    objective = {"reduction": "mean_of_tokens", "max_loss_weight": 0.0}
    steps(engine.tagger, lambda: loss(engine.tagger(batch), batch, **objective), optimizer, 1)
    return (engine.tagger.classifier.bias - before).abs().max().item() / 1e-3


def test_optimiser():
    assert largest_first_step(PAPER) == pytest.approx(1.0, rel=1e-3)
    assert largest_first_step(CODE) == pytest.approx(0.1 / math.sqrt(0.001), rel=1e-3)


def test_weight_decay_and_clipping():
    start = torch.full((4,), 2.0, dtype=torch.float64)
    ends = {}
    for settings in (PAPER, CODE):
        for name in ("dense.weight", "dense.bias"):
            p = torch.nn.Parameter(start.clone())
            p.grad = torch.tensor([1e3, 0.0, 0.0, 0.0], dtype=torch.float64)
            optimizer = optim.fresh(settings.optimizer, {name: p}, 0.1)
            optimizer.step()
            ends[settings.preset, name] = p.detach()[1:].unique().item()
    assert ends["paper", "dense.weight"] == ends["paper", "dense.bias"] == ends["official-code", "dense.bias"] == 2.0
    assert ends["official-code", "dense.weight"] == pytest.approx(2.0 - 0.1 * 0.01 * 2.0)


def alphas(settings, monkeypatch):
    """The inner learning rate of each meta-update."""
    settings = dataclasses.replace(settings, alpha=1.0, tasks_per_update=1, meta_updates=20)
    trainer = MetaTrainer(engine_of(settings), SUPPORT, [])
    seen = []
    original = optim.fresh
    monkeypatch.setattr(optim, "fresh", lambda kind, p, lr: seen.append(lr) or original(kind, p, lr))
    outer = original(settings.optimizer, trainer.engine.tagger.trained(), 0.0)
    for update in range(5):
        trainer.meta_update(update, outer)
    return seen


def test_inner_learning_rate(monkeypatch):
    assert alphas(PAPER, monkeypatch) == [1.0] * 5
    monkeypatch.undo()
    assert alphas(CODE, monkeypatch) == [schedule(update, updates=20, warmup=0.1) for update in range(5)]


def test_loss_of_a_batch():
    batch, _ = labels_in_loss(PAPER)
    torch.manual_seed(0)
    logits = torch.randn(len(batch.labels), 9, dtype=torch.float64)
    token = torch.nn.functional.cross_entropy(logits, batch.labels, reduction="none")
    parts = [token[batch.sentence == n] for n in range(batch.sentences)]
    expected = {
        "paper": sum(part.mean() + 2 * part.max() for part in parts),
        "official-code": token.mean() + 2 * sum(part.max() for part in parts) / len(parts),
    }
    for s in (PAPER, CODE):
        found = loss(logits, batch, reduction=s.batch_loss, max_loss_weight=s.max_loss_weight)
        assert found.item() == pytest.approx(expected[s.preset].item())


@pytest.mark.parametrize(("settings", "expected"), [(PAPER, [True, True, True]), (CODE, [False, False, True])])
def test_masking(settings, expected):
    trainer = MetaTrainer(engine_of(settings, mask_ratio=1.0, tasks_per_update=1), SUPPORT, [])
    seen = []
    mask_id = bert_tokenizer().mask_token_id
    trainer.engine.tagger.register_forward_pre_hook(lambda _, args: seen.append(bool((args[0].ids == mask_id).any())))
    task = next(t for n in range(10) for t in trainer._tasks.of_update(n) if t.query == 0)  # has entities, and 3 and 8
    trainer.task_gradient(task, 1e-3)
    assert seen == expected


def neighbours(settings, vectors, queries):
    index = SupportIndex(vectors, similarity=settings.similarity)
    return index.search(queries, settings.neighbours, skip_first=settings.neighbour_rule == "skip_first")


def test_neighbours_of_a_query_in_another_language():
    random = np.random.default_rng(0)
    vectors, queries = (random.normal(size=(n, 16)).astype(np.float32) for n in (50, 20))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    order = np.argsort(-(queries @ unit.T), axis=1)
    np.testing.assert_array_equal(neighbours(PAPER, vectors, queries)[0], order[:, :2])
    np.testing.assert_array_equal(neighbours(CODE, vectors, queries)[0], order[:, 1:3])


def test_similarity():
    random = np.random.default_rng(0)
    vectors, queries = (random.normal(size=(n, 16)).astype(np.float32) for n in (50, 20))
    same_rule = dataclasses.replace(PAPER, similarity=CODE.similarity)
    cosine, dot = neighbours(PAPER, vectors, queries), neighbours(same_rule, vectors, queries)
    np.testing.assert_array_equal(cosine[0], dot[0])
    np.testing.assert_allclose(dot[1], cosine[1] * np.linalg.norm(queries, axis=1, keepdims=True), rtol=1e-5)


@pytest.mark.parametrize(("settings", "varies"), [(PAPER, False), (CODE, True)])
def test_dropout_in_adaptation(settings, varies):
    found = []
    for p in (0.0, 0.4):
        engine = engine_of(settings, dropout=p, gamma=1e-2)
        found.append(engine.adapted(engine.source[:3], SUPPORT[:3]))
    assert (found[0] != found[1]) is varies


@pytest.mark.parametrize(("settings", "again"), [(PAPER, 0), (CODE, 1)])
def test_words_in_window_overlaps(settings, again):
    engine = engine_of(settings)
    for sentence, found in zip(
        engine.source, engine.plain(engine.source, overlaps=settings.score_overlaps), strict=True
    ):
        repeated = [sentence.word[i] for w in sentence.windows for i in range(w.start, w.fresh) if i in sentence.first]
        assert sorted(found.words) == sorted([*range(len(sentence.first)), *repeated * again])
    assert any(len(s.windows) > 1 for s in engine.source)


def test_label_never_predicted():
    engine = engine_of(CODE)
    with torch.no_grad():
        engine.tagger.classifier.bias[0] += 1e3
    assert engine.label_set.names[0] == "[PAD]"
    assert {label for p in engine.plain(engine.source) for label in p.labels} == {"O"}
    probabilities = {q for p in engine.plain(engine.source) for q in p.probabilities}
    assert probabilities == {1.0}  # of what was predicted, id 0
