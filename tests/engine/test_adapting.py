"""The batched engine against the loop that adapts one sentence at a time."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies
from torch.utils._python_dispatch import TorchDispatchMode

from metaner_core import threads
from metaner_core.bundles import bundle
from metaner_core.engine.adapting import BatchedEngine
from metaner_core.engine.config import EngineConfig
from metaner_core.engine.weights import adapted, trace
from metaner_core.method import adapt
from metaner_core.model import transformer
from metaner_core.model.encoding import Encoding
from metaner_core.model.tagger import Prediction
from metaner_core.settings import Settings
from tests.support import small
from tests.support.small import SENTENCES, bert_tokenizer, tiny_engine

# γ is large enough that adaptation changes a fifth of the labels.
SETTINGS = Settings(window=8, window_context=3, frozen_layers=1, gamma=3e-4)
SUPPORT = np.array([[(i + 3) % 10, (i * 7 + 1) % 10] for i in range(10)])


def batched(engine, **changes):
    parts = {f.name: getattr(engine, f.name) for f in dataclasses.fields(engine)}
    return BatchedEngine(**{**parts, **changes})


def assert_same(found, expected, tolerance=1e-6):
    assert [p.labels for p in found] == [p.labels for p in expected]
    assert [p.words for p in found] == [p.words for p in expected]
    for a, b in zip(found, expected, strict=True):
        assert a.probabilities == pytest.approx(b.probabilities, abs=tolerance)


VARIANTS = {
    "paper": {},
    "bertadam": {"optimizer": "bertadam"},
    "sgd": {"optimizer": "sgd", "gamma": 0.05},
    "loss of all tokens": {"batch_loss": "mean_of_tokens", "loss_tokens": "all"},
    "scaled": {"adapt_optimizer": "scaled_sgd", "gamma": 3e-3},
    "mean of words": {"batch_loss": "mean_of_tokens", "optimizer": "sgd", "gamma": 0.05},
    "dropout": {"adapt_dropout": True, "dropout": 0.3},
    "head only": {"frozen_layers": 3},
    "nothing frozen": {"frozen_layers": 0},
    "three steps": {"adapt_steps": 3},
    "no windows": {"window": 128, "window_context": 64},
    "clipped": {"optimizer": "bertadam", "batch_loss": "sum_of_sentences", "loss_tokens": "all"},
}


@pytest.mark.parametrize("family", ["bert", "xlm-roberta", "chinese"])
@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_it_predicts_what_the_loop_does(changes, family, tmp_path):
    engine = tiny_engine(dataclasses.replace(SETTINGS, **changes), **small.family(family, tmp_path))
    expected = engine.adapted(engine.source, SUPPORT)
    assert_same(batched(engine).adapted(engine.source, SUPPORT), expected)
    plain = engine.plain(engine.source)
    moved = [
        abs(x - y)
        for a, b in zip(expected, plain, strict=True)
        for x, y in zip(a.probabilities, b.probabilities, strict=True)
    ]
    assert max(moved) > 1e-3  # or there would be nothing to see


def test_overlaps_are_predicted_too():
    engine = tiny_engine(SETTINGS)
    expected = engine.adapted(engine.source, SUPPORT, overlaps=True)
    assert max(len(p.words) - len(set(p.words)) for p in expected) > 0
    assert_same(batched(engine).adapted(engine.source, SUPPORT, overlaps=True), expected)


@pytest.mark.parametrize("together", [2, 5])
def test_several_sets_at_once_as_on_a_gpu(together, monkeypatch):
    monkeypatch.setattr(BatchedEngine, "_at_once", lambda self, size: together)
    for changes in VARIANTS.values():
        engine = tiny_engine(dataclasses.replace(SETTINGS, **changes))
        assert_same(batched(engine).adapted(engine.source, SUPPORT), engine.adapted(engine.source, SUPPORT))


class Launches(TorchDispatchMode):
    """Counts the operations of this thread: on a GPU each is a launch, and it is launches that are waited for."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += 1
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("kind", ["adam", "sgd", "scaled_sgd"])
def test_as_many_launches_on_a_gpu_for_many_sentences_as_for_few(kind, monkeypatch):
    monkeypatch.setattr(BatchedEngine, "_at_once", lambda self, size: 1000)
    monkeypatch.setattr(transformer, "_cuts", lambda sizes, device: [(0, len(sizes))])
    monkeypatch.setattr(threads, "count", lambda device: 1)
    reference = tiny_engine(dataclasses.replace(SETTINGS, adapt_optimizer=kind))
    for name in ("SUPPORT", "OWN"):  # all sets in one group
        monkeypatch.setattr(adapted, name, 1000)
    engine = dataclasses.replace(batched(reference), tokens=10**6)
    launches = []
    for many in (3, len(engine.source)):
        engine.adapted(engine.source[:many], SUPPORT[:many])
        with Launches() as counted:
            engine.adapted(engine.source[:many], SUPPORT[:many])
        launches.append(counted.count)
    assert launches[0] > 200
    assert launches[1] <= launches[0] + 10


def test_sets_of_similar_size_go_together_as_on_a_gpu(monkeypatch):
    monkeypatch.setattr(BatchedEngine, "_at_once", lambda self, size: 5)
    sizes = {"SUPPORT": 8, "OWN": 3, "TIMES": 2}
    for name, rows in sizes.items():
        monkeypatch.setattr(adapted, name, rows)
    together, own = [], adapted.Adapted._groups

    def groups(self, names):
        found = own(self, names)
        together.append([list(sets) for sets, _, _ in found])
        return found

    monkeypatch.setattr(adapted.Adapted, "_groups", groups)
    for kind, rate in {"adam": SETTINGS.gamma, "sgd": 0.05, "scaled_sgd": 3e-3}.items():
        for changes in VARIANTS.values():
            change = {"gamma": rate, **changes, "adapt_optimizer": kind}
            engine = tiny_engine(dataclasses.replace(SETTINGS, **change))
            assert_same(batched(engine).adapted(engine.source, SUPPORT), engine.adapted(engine.source, SUPPORT))
    orders = [[s for sets in found for s in sets] for found in together]
    assert all(sorted(order) == list(range(len(order))) for order in orders)
    assert any(len(found) > 2 and max(map(len, found)) > 1 for found in together)
    assert any(order != sorted(order) for order in orders)  # not the order of the rows


def test_weights_are_formed_some_rows_at_a_time(monkeypatch):
    monkeypatch.setattr(trace, "BLOCK", 50)
    for changes in VARIANTS.values():
        engine = tiny_engine(dataclasses.replace(SETTINGS, **changes))
        assert_same(batched(engine).adapted(engine.source, SUPPORT), engine.adapted(engine.source, SUPPORT))


def test_support_sets_of_one_and_of_all_sentences_and_without_an_entity():
    engine = tiny_engine(SETTINGS)
    for support in (np.arange(10)[:, None], np.tile(np.arange(10), (10, 1)), np.tile([[1, 6, 9]], (10, 1))):
        assert_same(batched(engine).adapted(engine.source, support), engine.adapted(engine.source, support))
    assert {label for i in (1, 6, 9) for label in engine.source[i].labels} == {"O"}


def test_empty_sentences_and_none_at_all():
    engine = batched(tiny_engine(SETTINGS))
    empty = Encoding(bert_tokenizer(), SETTINGS)([])
    alone = engine.adapted(engine.source[:1], SUPPORT[:1])
    assert engine.adapted([empty, engine.source[0], empty], SUPPORT[[5, 0, 7]]) == [Prediction(), *alone, Prediction()]
    assert engine.adapted([], SUPPORT[:0]) == []
    (unadapted,) = engine.plain(engine.source[:1])
    assert engine.plain([empty, engine.source[0], empty]) == [Prediction(), unadapted, Prediction()]
    assert engine.plain([empty]) == [Prediction()]
    assert engine.plain([]) == []


@pytest.mark.parametrize("tokens", [1, 25, 10_000])
@pytest.mark.parametrize("family", ["bert", "xlm-roberta", "chinese"])
def test_without_adaptation_it_predicts_what_transformers_does(family, tokens, tmp_path, monkeypatch):
    monkeypatch.setattr(adapt, "CPU_BATCH", tokens)
    parts = small.family(family, tmp_path)
    for name in ("paper", "loss of all tokens", "no windows"):
        engine = tiny_engine(dataclasses.replace(SETTINGS, **VARIANTS[name]), **parts)
        sentences = [*engine.source, *engine.source[3:5]]
        for overlaps in (False, True):
            assert_same(batched(engine).plain(sentences, overlaps=overlaps), engine.plain(sentences, overlaps=overlaps))


@settings(max_examples=25, deadline=None)
@given(
    rows=strategies.lists(strategies.tuples(*[strategies.integers(0, 9)] * 2), min_size=1, max_size=12),
    tokens=strategies.sampled_from([1, 40, 10**6]),
    seed=strategies.integers(0, 5),
)
def test_a_sentences_answer_does_not_depend_on_its_batch(rows, tokens, seed):
    """Any sentences in any order with any support sets, repeated ones too, in waves of any size."""
    engine = ENGINE
    pairs = [(engine.source[i], SUPPORT[(i + seed * j) % 10]) for i, j in rows]
    together = batched(engine, tokens=tokens).adapted([s for s, _ in pairs], np.array([ids for _, ids in pairs]))
    for (sentence, ids), found in zip(pairs, together, strict=True):
        assert_same([found], engine.adapted([sentence], ids[None]))


ENGINE = tiny_engine(SETTINGS)


def test_equal_work_is_done_once():
    engine = batched(tiny_engine(SETTINGS))
    sentences = [*engine.source[:4], *engine.source[:4]]
    support = np.array([[0, 1], [1, 0], [0, 1], [2, 1]] * 2)
    engine.adapted(sentences, support)
    shared = engine.shared
    assert (shared.sentences, shared.distinct, shared.sets, shared.source, shared.waves) == (8, 4, 2, 3, 1)


def test_what_is_kept_stays_within_its_tokens():
    engine = batched(tiny_engine(SETTINGS), tokens=120)
    engine.adapted(engine.source, SUPPORT)
    assert engine.shared.waves > 2
    assert engine.shared.distinct == 10
    assert engine.shared.source < 20  # two a sentence, if none were kept from one wave to the next


def test_it_tells_how_far_it_is(monkeypatch):
    monkeypatch.setattr(adapt, "CPU_BATCH", 40)
    for make, pieces in (
        (batched, range(3, 10)),
        (lambda engine, **changes: dataclasses.replace(engine, **changes), [10]),
    ):
        told = []
        engine = make(tiny_engine(SETTINGS), tell=told.append, **({"tokens": 120} if make is batched else {}))
        engine.adapted(engine.source, SUPPORT)
        assert (sum(told), len(told) in pieces) == (10, True)
        told.clear()
        engine.plain(engine.source)
        assert sum(told) == 10
        assert len(told) > 2


def test_threads_get_waves_of_about_one_size(monkeypatch):
    engine = tiny_engine(SETTINGS)
    expected = engine.adapted(engine.source, SUPPORT)
    alone, two = batched(engine), batched(engine)
    alone.adapted(engine.source, SUPPORT)
    monkeypatch.setattr(threads, "count", lambda device: 2)
    sizes = []
    whole = BatchedEngine._together

    def seen(self, queries, *rest):
        sizes.append(sum(query.tokens for query in queries))
        return whole(self, queries, *rest)

    monkeypatch.setattr(BatchedEngine, "_together", seen)
    assert_same(two.adapted(engine.source, SUPPORT), expected)
    assert_same(two.plain(engine.source), engine.plain(engine.source))
    assert (alone.shared.waves, two.shared.waves) == (1, 2)
    assert max(sizes) < 1.5 * min(sizes)


def test_out_of_gpu_memory_it_goes_on_with_halves_and_counts_them(monkeypatch):
    engine = batched(tiny_engine(SETTINGS))
    expected = engine.adapted(engine.source, SUPPORT)
    whole = BatchedEngine._together

    def small_gpu(self, queries, *rest):
        if len(queries) > 3:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return whole(self, queries, *rest)

    monkeypatch.setattr(BatchedEngine, "_together", small_gpu)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    again = batched(tiny_engine(SETTINGS))
    assert_same(again.adapted(again.source, SUPPORT), expected)
    assert again.shared.halved == 3  # 10 = 5 + 5, each 2 + 3


def test_what_does_not_fit_even_alone_is_an_error(monkeypatch):
    def no_gpu(self, *rest):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(BatchedEngine, "_together", no_gpu)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    engine = batched(tiny_engine(SETTINGS))
    with pytest.raises(torch.cuda.OutOfMemoryError):
        engine.adapted(engine.source, SUPPORT)


def test_the_tagger_is_left_as_it_was():
    engine = batched(tiny_engine(SETTINGS))
    before = {name: value.clone() for name, value in engine.tagger.state_dict().items()}
    engine.adapted(engine.source, SUPPORT)
    assert all(torch.equal(value, before[name]) for name, value in engine.tagger.state_dict().items())
    assert all(p.grad is None for p in engine.tagger.parameters())


def test_a_trained_model_in_single_precision(tiny_bundle):
    """Probabilities to 1e-4: in fp32 a weight whose gradient is rounding noise still moves by γ."""
    loaded = [bundle.load(tiny_bundle, config=EngineConfig(kind)) for kind in ("reference", "batched")]
    words = [*(words for words, _ in SENTENCES), ("Köln",)]
    sentences = [loaded[0].encode(sentence) for sentence in words]
    support = loaded[0].support(words)[0]
    reference, fast = (b.engine.adapted(sentences, support) for b in loaded)
    assert_same(fast, reference, tolerance=1e-4)
    assert type(loaded[1].engine) is BatchedEngine


def test_half_precision_is_near_and_says_where_it_cannot_be_had(tiny_bundle):
    loaded = bundle.load(tiny_bundle)
    sentences = loaded.engine.source
    support = loaded.support([s.words for s in loaded.source])[0]
    exact, low = loaded.engine, batched(loaded.engine, precision="bf16")
    pairs = zip(exact.adapted(sentences, support), low.adapted(sentences, support), strict=True)
    differences = np.array(
        [abs(x - y) for a, b in pairs for x, y in zip(a.probabilities, b.probabilities, strict=True)]
    )
    assert 0 < differences.mean() < 0.01
    pairs = zip(exact.plain(sentences), low.plain(sentences), strict=True)
    differences = np.array(
        [abs(x - y) for a, b in pairs for x, y in zip(a.probabilities, b.probabilities, strict=True)]
    )
    assert 0 < differences.mean() < 0.01
    with pytest.raises(ValueError, match="precision bf16 is for adam and sgd"):
        batched(tiny_engine(dataclasses.replace(SETTINGS, optimizer="bertadam")), precision="bf16")
    with pytest.raises(ValueError, match="it must be fp32 or bf16"):
        batched(tiny_engine(SETTINGS), precision="int8")
    with pytest.raises(ValueError, match="the reference is fp32"):
        EngineConfig("reference", "bf16")
    with pytest.raises(ValueError, match="there are batched, reference"):
        EngineConfig("fast")
