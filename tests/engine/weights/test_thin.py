"""Adapting without forming a gradient against the loop that forms every one, in float64 to 1e-8."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies
from torch.utils._python_dispatch import TorchDispatchMode

from metaner_core import threads
from metaner_core.bundles import bundle
from metaner_core.engine.adapting import BatchedEngine
from metaner_core.method.adapt import Engine
from metaner_core.model import tagger
from metaner_core.settings import Settings
from tests.support import small
from tests.support.small import tiny_engine

KINDS = {"sgd": 0.05, "scaled_sgd": 3e-3}  # with a γ that changes labels
SETTINGS = Settings(window=8, window_context=3, frozen_layers=1)
SUPPORT = np.array([[(i + 3) % 10, (i * 7 + 1) % 10] for i in range(10)])  # twice the same sentence in two of them
VARIANTS = {
    "paper": {},
    "loss of all tokens": {"batch_loss": "mean_of_tokens", "loss_tokens": "all"},
    "mean of words": {"batch_loss": "mean_of_tokens"},
    "dropout": {"adapt_dropout": True, "dropout": 0.3},
    "dropout, mean of words": {"adapt_dropout": True, "dropout": 0.3, "batch_loss": "mean_of_tokens"},
    "head only": {"frozen_layers": 3},
    "nothing frozen": {"frozen_layers": 0},
    "three steps": {"adapt_steps": 3},
    "no windows": {"window": 128, "window_context": 64},
}


def batched(engine, **changes):
    parts = {f.name: getattr(engine, f.name) for f in dataclasses.fields(engine)}
    return BatchedEngine(**{**parts, **changes})


def engine_of(kind, parts=None, **changes):
    own = {"adapt_optimizer": kind, "gamma": KINDS[kind], **changes}
    return tiny_engine(dataclasses.replace(SETTINGS, **own), **(parts or {}))


def logits_of(engine, support, sentences=None):
    """Each sentence's logits on its own: [words, C], as the engine decodes them."""
    seen = []

    def decode(logits, batch, label_set, *, every):
        rows = [logits[batch.sentence == n] for n in range(batch.sentences)]
        seen.append(rows)
        return [tagger.Prediction((str(len(seen) - 1), str(n))) for n in range(batch.sentences)]

    with pytest.MonkeyPatch.context() as patch:
        for module in ("metaner_core.method.adapt", "metaner_core.engine.adapting"):
            patch.setattr(f"{module}.decode", decode)
        found = engine.adapted(engine.source if sentences is None else sentences, support)
    return [seen[int(p.labels[0])][int(p.labels[1])] for p in found]


def assert_the_loops(engine, support=SUPPORT, sentences=None, **changes):
    found, expected = (logits_of(e, support, sentences) for e in (batched(engine, **changes), engine))
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-8)
        assert torch.equal(a.argmax(-1), b.argmax(-1))
    return expected


CASES = [*(("bert", name) for name in VARIANTS), ("xlm-roberta", "paper"), ("chinese", "loss of all tokens")]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("family", "name"), CASES)
def test_logits_are_those_of_the_loop(family, name, kind, tmp_path):
    engine = engine_of(kind, small.family(family, tmp_path), **VARIANTS[name])
    adapted = assert_the_loops(engine)
    still = logits_of(dataclasses.replace(engine, settings=dataclasses.replace(engine.settings, gamma=0.0)), SUPPORT)
    assert max((a - b).abs().max() for a, b in zip(adapted, still, strict=True)) > 0.1  # or there is nothing to see


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("together", [2, 5])
def test_several_sets_at_once_as_on_a_gpu(together, kind, monkeypatch):
    monkeypatch.setattr(BatchedEngine, "_at_once", lambda self, size: together)
    for name in ("paper", "dropout, mean of words", "head only"):
        assert_the_loops(engine_of(kind, **VARIANTS[name]))


@pytest.mark.parametrize("kind", KINDS)
def test_sets_of_one_and_of_all_sentences_and_without_an_entity(kind):
    engine = engine_of(kind)
    for support in (np.arange(10)[:, None], np.tile(np.arange(10), (10, 1)), np.tile([[1, 6, 9]], (10, 1))):
        assert_the_loops(engine, support)
    assert {label for i in (1, 6, 9) for label in engine.source[i].labels} == {"O"}


ENGINES = {kind: engine_of(kind) for kind in KINDS}


@settings(max_examples=25, deadline=None)
@given(
    rows=strategies.lists(strategies.tuples(*[strategies.integers(0, 9)] * 2), min_size=1, max_size=12),
    tokens=strategies.sampled_from([1, 40, 10**6]),
    kind=strategies.sampled_from(list(KINDS)),
)
def test_a_sentences_answer_does_not_depend_on_its_batch(rows, tokens, kind):
    """Any sentences in any order, with sets of their own and shared ones, in waves of any size."""
    engine = ENGINES[kind]
    sentences, support = [engine.source[i] for i, _ in rows], SUPPORT[[j for _, j in rows]]
    found = logits_of(batched(engine, tokens=tokens), support, sentences)
    for a, sentence, ids in zip(found, sentences, support, strict=True):
        (alone,) = logits_of(engine, ids[None], [sentence])
        torch.testing.assert_close(a, alone, rtol=1e-8, atol=1e-8)


class Products(TorchDispatchMode):
    """Counts matrix products that come to one of some shapes and have no weight among their factors."""

    def __init__(self, shapes):
        super().__init__()
        self.shapes, self.found = {*shapes, *(shape[::-1] for shape in shapes)}, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        if function.overloadpacket.__name__.rstrip("_") in ("mm", "addmm", "bmm", "baddbmm"):
            factors = {tuple(factor.shape[-2:]) for factor in args[-2:]}
            self.found += tuple(found.shape[-2:]) in self.shapes and not factors & self.shapes
        return found


@pytest.mark.parametrize("together", [1, 5])
def test_no_matrix_of_a_weights_size_is_formed(together, monkeypatch):
    monkeypatch.setattr(BatchedEngine, "_at_once", lambda self, size: together)
    monkeypatch.setattr(threads, "count", lambda device: 1)  # what is looked at is this thread's
    formed = {}
    for kind in ("adam", *KINDS):
        engine = batched(tiny_engine(dataclasses.replace(SETTINGS, adapt_optimizer=kind)))
        # Of the encoder's weights, and of queries, keys and values side by side.
        shapes = {tuple(p.shape) for p in engine.tagger.encoder.parameters() if p.requires_grad and p.ndim == 2}
        short = engine.source[:7]  # the next has as many tokens as weights have rows, 32
        with Products(shapes | {(96, 32)}) as products:
            engine.adapted(short, SUPPORT[:7] % 7)
        formed[kind] = products.found
    assert formed["adam"] > 0
    assert (formed["sgd"], formed["scaled_sgd"]) == (0, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_trained_model_in_single_and_half_precision(kind, tiny_bundle):
    changes = {"adapt_optimizer": kind, "gamma": {"sgd": 0.02, "scaled_sgd": 1e-3}[kind]}
    loaded = bundle.load(tiny_bundle, changes=changes)
    engine, support = loaded.engine, loaded.support([s.words for s in loaded.source])[0]
    parts = {f.name: getattr(engine, f.name) for f in dataclasses.fields(Engine)}
    expected, found, low = (
        np.concatenate([p.probabilities for p in e.adapted(engine.source, support)])
        for e in (Engine(**parts), engine, batched(engine, precision="bf16"))
    )
    plain = np.concatenate([p.probabilities for p in engine.plain(engine.source)])
    assert np.abs(found - expected).max() < 1e-4
    assert 0 < np.abs(low - expected).mean() < 0.01
    assert np.abs(plain - expected).mean() > 5 * np.abs(low - expected).mean()
