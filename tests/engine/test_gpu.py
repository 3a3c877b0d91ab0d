"""What must not change when the model and the index are on a GPU. Each test skips itself without one."""

from typing import Any

import numpy as np
import pytest
import torch

from metaner_core.bundles import bundle
from metaner_core.bundles.prepare import prepare
from metaner_core.data.corpora import load
from metaner_core.engine.meta_training import chunk_gradient
from metaner_core.method.meta_train import MetaTrainer
from metaner_core.method.optim import fresh
from metaner_core.method.retrieval import SupportIndex
from metaner_core.settings import preset

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")]


@pytest.mark.parametrize(
    "changes",
    [{}, {"adapt_optimizer": "sgd", "gamma": 0.02}, {"adapt_optimizer": "scaled_sgd"}],
    ids=["adam", "sgd", "scaled_sgd"],
)
def test_adapted_and_plain_predictions_are_those_of_the_cpu(changes: dict[str, Any], tiny_bundle: str) -> None:
    on_cpu, on_gpu = (bundle.load(tiny_bundle, device=device, changes=changes) for device in ("cpu", "cuda"))
    words = [s.words for s in load("embedded-de", "test")[:30]]
    sentences = [on_cpu.encode(sentence) for sentence in words]
    support, similarities = on_cpu.support(words)
    found, found_similarities = on_gpu.support(words)
    assert np.mean(found == support) > 0.95  # a near tie may fall the other way
    assert np.allclose(found_similarities, similarities, atol=1e-4)
    for a, b in (
        (on_cpu.engine.plain(sentences), on_gpu.engine.plain(sentences)),
        (on_cpu.engine.adapted(sentences, support), on_gpu.engine.adapted(sentences, support)),
    ):
        for x, y in zip(a, b, strict=True):
            assert np.allclose(x.probabilities, y.probabilities, atol=2e-2)


def test_what_retrieval_keeps_serves_tagging(tiny_bundle: str) -> None:
    loaded = bundle.load(tiny_bundle, device="cuda")
    inputs = [loaded.inputs(s.words) for s in load("embedded-de", "test")[:30]]
    bottoms = loaded.engine.bottoms(loaded.retrieval)
    assert bottoms is not None
    ids, _ = loaded.nearest(inputs, bottoms)
    sentences = [sentence.tagging for sentence in inputs]
    assert any(bottoms.of(sentence.ids) is not None for sentence in sentences)
    pairs = zip(
        loaded.engine.adapted(sentences, ids, bottoms=bottoms), loaded.engine.adapted(sentences, ids), strict=True
    )
    for x, y in pairs:
        assert np.allclose(x.probabilities, y.probabilities, atol=1e-3)


def test_a_meta_gradient_is_that_of_the_cpu() -> None:
    settings = preset("demo", dropout=0.0, alpha=1e-4)
    parts = load("embedded-en", "train")[:20], load("embedded-en", "dev")[:5]
    on_cpu, on_gpu = (prepare(settings, *parts, encoder="embedded", device=d).trainer for d in ("cpu", "cuda"))
    task = on_cpu._tasks.of_update(0)[0]
    expected, found = (trainer.task_gradient(task, settings.alpha)[0] for trainer in (on_cpu, on_gpu))
    # A key's bias has no part in attention: its gradient is rounding, and says nothing by its own size.
    greatest = max(gradient.abs().max().item() for gradient in expected.values())
    for name, gradient in expected.items():
        atol = max(0.05 * gradient.abs().max().item(), 1e-6 * greatest)
        assert torch.allclose(found[name].cpu(), gradient, rtol=0.05, atol=atol), name


def test_tasks_together_have_the_gradient_and_the_noise_that_each_has_alone() -> None:
    settings = preset("demo", dropout=0.3, alpha=1e-4, optimizer="sgd", tasks_per_update=6)
    parts = load("embedded-en", "train")[:30], load("embedded-en", "dev")[:5]
    trainer = prepare(settings, *parts, encoder="embedded", device="cuda").trainer
    tasks = trainer._tasks.of_update(0)
    found, value = chunk_gradient(trainer.engine, tasks, settings.alpha)
    alone = [trainer.task_gradient(task, settings.alpha) for task in tasks]
    assert value.item() == pytest.approx(sum(v for _, v in alone), rel=1e-4)
    greatest = max(g.abs().max().item() for g in found.values())
    for name, gradient in found.items():
        expected = torch.stack([g[name] for g, _ in alone]).sum(0)
        assert torch.allclose(gradient, expected, rtol=1e-3, atol=1e-4 * greatest), name


def test_meta_updates_lower_the_loss() -> None:
    settings = preset("demo", tasks_per_update=8, beta=1e-3)
    parts = load("embedded-en", "train")[:40], load("embedded-en", "dev")[:5]
    trainer: MetaTrainer = prepare(settings, *parts, encoder="embedded", device="cuda").trainer
    optimizer = fresh("adam", trainer.engine.tagger.trained(), settings.beta)
    losses = [trainer.meta_update(update, optimizer) for update in range(15)]
    assert losses[-1] < losses[0]


def test_the_gpu_index_finds_what_the_cpu_index_finds() -> None:
    vectors = np.random.default_rng(0).normal(size=(5000, 64)).astype(np.float32)
    index = SupportIndex(vectors)
    if index.on_gpu is None:
        pytest.skip("faiss-cpu is installed, which has no GPU index")
    ids, similarities = index.search(vectors[:50] + 0.1, 5)
    index.on_gpu = None
    expected_ids, expected = index.search(vectors[:50] + 0.1, 5)
    assert np.array_equal(ids, expected_ids)
    assert np.allclose(similarities, expected)
