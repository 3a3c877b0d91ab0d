"""Many tasks' gradients at once against one task at a time, and whole meta-updates of either engine."""

import dataclasses
import gc

import numpy as np
import pytest
import torch

from metaner_core.engine import meta_training
from metaner_core.engine.adapting import BatchedEngine
from metaner_core.engine.weights import trace
from metaner_core.method import optim
from metaner_core.method.meta_train import MetaTrainer
from metaner_core.method.tasks import Task
from metaner_core.settings import Settings
from tests.support.small import family, tiny_engine

SETTINGS = Settings(window=8, window_context=3, frozen_layers=1, dropout=0.0, mask_ratio=0.5, tasks_per_update=7)
SUPPORT = np.array([[(i + 3) % 10, (i * 7 + 1) % 10] for i in range(10)])
TASKS = [Task(i % 3, i, tuple(map(int, SUPPORT[i]))) for i in range(10)]
VARIANTS = {
    "paper without dropout": {},
    "dropout": {"dropout": 0.3},
    "no inner step": {"inner_steps": 0, "dropout": 0.2},
    "one inner step": {"inner_steps": 1},
    "three inner steps": {"inner_steps": 3},
    "bertadam": {"optimizer": "bertadam"},
    "bertadam, four steps": {"optimizer": "bertadam", "inner_steps": 4},
    "sgd": {"optimizer": "sgd"},
    "official code": {"batch_loss": "mean_of_tokens", "loss_tokens": "all", "masked_sets": "query"},
    "head only": {"frozen_layers": 3},
    "nothing frozen": {"frozen_layers": 0},
}


def batched(engine):
    return BatchedEngine(**{f.name: getattr(engine, f.name) for f in dataclasses.fields(engine)})


def assert_the_loops(engine):
    """A chunk's gradient and loss are the sums of those that the loop gives task by task."""
    one_by_one = [MetaTrainer(engine, SUPPORT, []).task_gradient(task, 1e-3) for task in TASKS]
    found, value = meta_training.chunk_gradient(engine, TASKS, 1e-3)
    assert found.keys() == one_by_one[0][0].keys()
    for name, g in found.items():
        expected = sum(gradient[name] for gradient, _ in one_by_one)
        torch.testing.assert_close(g, expected, rtol=1e-8, atol=1e-11, msg=lambda m, n=name: f"{n}: {m}")
    assert value.item() == pytest.approx(sum(v for _, v in one_by_one))


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_the_sum_over_tasks_is_that_of_the_loop(changes):
    engine = tiny_engine(dataclasses.replace(SETTINGS, **changes))
    assert_the_loops(engine)


@pytest.mark.parametrize("name", ["dropout", "official code"])
def test_and_where_words_share_a_subword(name, tmp_path):
    assert_the_loops(tiny_engine(dataclasses.replace(SETTINGS, **VARIANTS[name]), **family("chinese", tmp_path)))


@pytest.mark.parametrize("name", ["dropout", "three inner steps", "bertadam, four steps", "sgd"])
def test_weights_are_formed_some_rows_at_a_time(name, monkeypatch):
    monkeypatch.setattr(trace, "BLOCK", 50)
    assert_the_loops(tiny_engine(dataclasses.replace(SETTINGS, **VARIANTS[name])))


def test_several_tasks_products_at_once_as_on_a_gpu(monkeypatch):
    start = meta_training._Chunk.__init__

    def many(self, *arguments):
        start(self, *arguments)
        self._at_once = 4

    monkeypatch.setattr(meta_training._Chunk, "__init__", many)
    assert_the_loops(tiny_engine(dataclasses.replace(SETTINGS, dropout=0.3)))


@pytest.mark.parametrize("optimizer", ["adam", "bertadam", "sgd"])
def test_meta_updates_lead_to_the_parameters_of_the_loop(optimizer):
    settings = dataclasses.replace(SETTINGS, optimizer=optimizer, dropout=0.2, beta=1e-3)

    def after(engine):
        together = meta_training.in_chunks if isinstance(engine, BatchedEngine) else None
        trainer = MetaTrainer(engine, SUPPORT, [], together=together)
        outer = optim.fresh(optimizer, engine.tagger.trained(), settings.beta)
        losses = [trainer.meta_update(update, outer) for update in range(4)]
        return {n: p.detach() for n, p in engine.tagger.trained().items()}, losses

    start = {n: p.detach().clone() for n, p in tiny_engine(settings).tagger.trained().items()}
    expected, losses = after(tiny_engine(settings))
    found, fast = after(batched(tiny_engine(settings)))
    assert fast == pytest.approx(losses)
    for name, p in found.items():
        noise = name.endswith("attention.self.key.bias")  # its gradient is 0 but for rounding, which Adam blows up
        torch.testing.assert_close(p, expected[name], rtol=0, atol=1e-2 if noise else 1e-8, msg=name)
    assert max((found[name] - start[name]).abs().max() for name in found) > 1e-5


@pytest.mark.parametrize(("hands", "expected"), [(1, 8), (3, 6), (4, 8), (5, 7), (8, 4), (40, 1)])
def test_workers_share_the_tasks_evenly(hands, expected, monkeypatch):
    engine = tiny_engine(SETTINGS)
    monkeypatch.setattr(meta_training.threads, "count", lambda device: 1)
    monkeypatch.setattr(meta_training.workers, "count", lambda: hands)
    assert meta_training.tasks_at_once(engine, 32) == expected


@pytest.mark.parametrize("size", [1, 3, 4, 10])
def test_chunks_have_each_task_once_and_about_the_same_work(size, monkeypatch):
    engine = tiny_engine(SETTINGS)
    monkeypatch.setattr(meta_training, "tasks_at_once", lambda engine, tasks: size)
    found = meta_training.dealt(engine, TASKS)
    assert sorted(task.query for part in found for task in part) == list(range(10))
    assert max(map(len, found)) <= size
    assert len(found) == -(-10 // size)

    def tokens(task):
        return sum(len(engine.source[i].ids) for i in (*task.support * SETTINGS.inner_steps, task.query))

    work = [sum(map(tokens, part)) for part in found]
    as_they_come = [sum(map(tokens, TASKS[start : start + size])) for start in range(0, 10, size)]
    assert max(work) <= max(as_they_come)
    if size == 3:
        assert max(work) < 0.9 * max(as_they_come)
        assert max(work) < 1.4 * min(work)


def test_a_chunk_of_a_large_model_is_what_memory_holds(monkeypatch):
    engine = tiny_engine(SETTINGS)
    kept = 2 * sum(p.numel() for p in engine.tagger.trained().values())
    monkeypatch.setattr(meta_training.threads, "count", lambda device: 1)
    monkeypatch.setattr(meta_training, "CPU_NUMBERS", 3 * kept + 1)
    assert meta_training.tasks_at_once(engine, 32) == 3
    monkeypatch.setattr(meta_training, "CPU_NUMBERS", 1)
    assert meta_training.tasks_at_once(engine, 32) == 1


def test_no_memory_is_held_from_one_chunk_to_the_next():
    """A trace and autograd's graph that held each other would stay for ever: Python cannot see through the graph."""
    engine = batched(tiny_engine(SETTINGS))
    meta_training.chunk_gradient(engine, TASKS, 1e-3)
    engine.adapted(engine.source, SUPPORT)
    gc.collect()
    before = sum(isinstance(thing, torch.Tensor) for thing in gc.get_objects())
    meta_training.chunk_gradient(engine, TASKS, 1e-3)
    engine.adapted(engine.source, SUPPORT)
    gc.collect()
    assert sum(isinstance(thing, torch.Tensor) for thing in gc.get_objects()) <= before


def test_a_chunk_leaves_theta_as_it_was():
    engine = batched(tiny_engine(SETTINGS))
    before = {name: value.clone() for name, value in engine.tagger.state_dict().items()}
    meta_training.chunk_gradient(engine, TASKS, 1e-2)
    assert all(torch.equal(value, before[name]) for name, value in engine.tagger.state_dict().items())
    assert all(p.grad is None for p in engine.tagger.parameters())
