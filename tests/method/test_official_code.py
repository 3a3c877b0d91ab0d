"""Each row of method's table "where the authors' published code departs from their text": the preset does it."""

import dataclasses
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from metaner_core.engine.adapting import BatchedEngine
from metaner_core.engine.meta_training import in_chunks
from metaner_core.method import optim
from metaner_core.method.adapt import Engine, steps
from metaner_core.method.meta_train import MetaTrainer
from metaner_core.method.optim import schedule
from metaner_core.method.retrieval import SupportIndex
from metaner_core.method.tasks import masked
from metaner_core.model.encoding import LabelSet, collate, windows
from metaner_core.model.tagger import loss
from metaner_core.settings import PRESETS, preset
from tests.support.small import bert_tokenizer, encoded, tiny_bert, tiny_engine

PAPER, CODE = (preset(name, window=8, window_context=3, dropout=0.0) for name in ("paper", "official-code"))
WHOLE = preset("official-code")
SUPPORT = np.array([[(i + 3) % 10, (i + 8) % 10] for i in range(10)])


def engine_of(settings, **changes):
    return tiny_engine(dataclasses.replace(settings, **changes), encoder=tiny_bert(layers=5))


def test_the_rows_are_all_that_differs():
    paper, code = PAPER.to_dict(), CODE.to_dict()
    same_here = {"window"}  # which both have small
    assert {name for name in paper if paper[name] != code[name]} | same_here == {"preset", *PRESETS["official-code"]}


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
    expected = [schedule(update, updates=20, warmup=0.1, kind="from_zero") for update in range(5)]
    assert alphas(CODE, monkeypatch) == expected


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


@pytest.mark.parametrize(("settings", "further_too"), [(PAPER, True), (CODE, False)])
def test_tokens_that_may_be_masked(settings, further_too):
    settings = dataclasses.replace(settings, mask_ratio=1.0)
    seen = set()
    for n, sentence in enumerate(encoded(settings)):
        hidden = masked(sentence, n, 0, -1, settings)
        for i, word in enumerate(sentence.word):
            entity, further = sentence.labels[word] != "O", i > 0 and sentence.word[i - 1] == word
            assert (hidden[i] == -1) == (entity and (further_too or not further))
            seen.add((entity, further))
    assert len(seen) == 4


def test_first_learning_rate():
    published = [x / 0.1 if x < 0.1 else (x - 1) / (0.1 - 1) for x in (step / 3000 for step in range(3001))]
    factors = [schedule(n, updates=WHOLE.meta_updates, warmup=0.1, kind=WHOLE.schedule) for n in range(3001)]
    assert factors == pytest.approx(published)
    assert factors[0] == factors[-1] == 0
    assert schedule(0, updates=3000, warmup=0.1, kind=preset("paper").schedule) == 1 / 300


@pytest.mark.parametrize(
    ("name", "expected"), [("paper", range(100, 3001, 100)), ("official-code", range(1, 3002, 300))]
)
def test_looks_at_dev(name, expected, monkeypatch):
    settings = dataclasses.replace(preset(name), window=8, window_context=3)
    trainer = MetaTrainer(engine_of(settings), SUPPORT, [])
    looks = []
    monkeypatch.setattr(MetaTrainer, "meta_update", lambda self, update, optimizer: 0.0)
    monkeypatch.setattr(MetaTrainer, "dev_scores", lambda self: SimpleNamespace(overall=SimpleNamespace(f1=0.0)))
    keeper = SimpleNamespace(load=lambda: None, save=lambda entry, write: looks.append(entry["update"]))
    trainer.run(keeper)
    assert looks == [*expected]


def windows_of_the_code(length):
    """126 subwords at a time, 64 of them again: on to the next for as long as a window was full."""
    found, start = [], 0
    while True:
        stop = min(start + 126, length)
        found.append((start, stop))
        start += 126 - 64
        if stop - found[-1][0] < 126 or length == 126:
            return found


@pytest.mark.parametrize("length", [1, 125, 126, 127, 187, 188, 189, 249, 250, 251, 312, 400])
def test_windows(length):
    def read(settings):
        rule = {"after_full": settings.last_window == "after_full"}
        return [(w.start, w.stop) for w in windows(length, settings.window, settings.window_context, **rule)]

    assert read(WHOLE) == windows_of_the_code(length)
    more = dataclasses.replace(WHOLE, last_window="as_needed")
    assert len(read(WHOLE)) - len(read(more)) == (length in (188, 250, 312))


def test_a_window_with_nothing_new_in_it_predicts_nothing_twice():
    engine = engine_of(dataclasses.replace(CODE, window=4, window_context=2))
    full = next(s for s in engine.source if s.windows[-1].fresh == s.windows[-1].stop)
    found = engine.plain([full])[0]
    assert sorted(found.words) == [*range(len(full.first))]
    assert engine.adapted([full], SUPPORT[:1])[0].words == found.words


@pytest.mark.parametrize("kind", ["reference", "batched"])
def test_base_model_has_one_mean_over_the_whole_batch(kind):
    settings = preset("official-code-base", window=8, window_context=3, dropout=0.0, tasks_per_update=4)
    engine = engine_of(settings)
    if kind == "batched":
        engine = BatchedEngine(*(getattr(engine, f.name) for f in dataclasses.fields(Engine)))
    trainer = MetaTrainer(engine, SUPPORT, [], together=in_chunks if kind == "batched" else None)
    tasks = trainer._tasks.of_update(0)
    queries = [engine.source[task.query] for task in tasks]
    assert len({len(s.ids) for s in queries}) > 1
    batch = collate(queries, engine.tokenizer, label_set=engine.label_set)
    value = torch.nn.functional.cross_entropy(engine.tagger(batch), batch.labels)
    value.backward()
    expected = {name: p.grad.clone() for name, p in engine.tagger.trained().items()}
    engine.tagger.zero_grad(set_to_none=True)
    found = list(trainer.gradients(tasks, 0.0))
    assert sum(float(v) for _, v in found) == pytest.approx(value.item())
    for name, p in expected.items():
        torch.testing.assert_close(sum(g[name] for g, _ in found), p, rtol=1e-8, atol=1e-10, msg=name)
    outer = optim.fresh("sgd", engine.tagger.trained(), 0.0)
    assert trainer.meta_update(0, outer) == pytest.approx(value.item())


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
