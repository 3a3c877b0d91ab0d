"""What retrieval and tagging compute alike is computed once: against passes that share nothing."""

import copy
import dataclasses

import numpy as np
import pytest
import torch

from metaner_core import threads
from metaner_core.bundles import bundle
from metaner_core.engine import adapting
from metaner_core.engine.adapting import BatchedEngine
from metaner_core.engine.config import EngineConfig
from metaner_core.method.retrieval import Retrieval, SupportIndex
from metaner_core.model import sentence_vectors
from metaner_core.model.bottoms import Bottoms
from metaner_core.model.examples import Examples
from metaner_core.model.inputs import Input
from metaner_core.model.sentence_vectors import SentenceVectors
from metaner_core.settings import Settings, preset
from metaner_core.tagging.stages.predicting import predict
from tests.support import small
from tests.support.small import tiny_engine

SETTINGS = Settings(window=8, window_context=3, frozen_layers=1, gamma=3e-4)
SUPPORT = np.array([[(i + 3) % 10, (i * 7 + 1) % 10] for i in range(10)])
VARIANTS = {
    "paper": {},
    "mean": {"pooling": "mean"},
    "the frozen layers are all of retrieval": {"layer": 1},
    "and by the mean": {"layer": 1, "pooling": "mean"},
    "two frozen": {"frozen_layers": 2},
    "head only": {"frozen_layers": 3},
    "one window each": {"window": 128, "window_context": 64},
    "scaled": {"adapt_optimizer": "scaled_sgd", "gamma": 3e-3},
    "dropout": {"adapt_dropout": True, "dropout": 0.3},
}


def both(changes, **parts):
    """The reference engine, the batched one, and retrieval by the encoder of both."""
    engine = tiny_engine(dataclasses.replace(SETTINGS, **changes), **parts)
    fields = {f.name: getattr(engine, f.name) for f in dataclasses.fields(engine)}
    retrieval = Retrieval(engine.tagger.encoder, engine.tokenizer, engine.settings)
    return engine, BatchedEngine(**fields), retrieval


def kept(bottoms, sentences):
    return [s for s in sentences if len(s.windows) == 1 and bottoms.of(s.ids) is not None]


@pytest.mark.parametrize("room", [0, 40, 10_000])
@pytest.mark.parametrize("family", ["bert", "xlm-roberta", "chinese"])
@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_sentences_are_adapted_to_as_without(changes, family, room, tmp_path, monkeypatch):
    monkeypatch.setattr(adapting, "CPU_BOTTOMS", room)
    monkeypatch.setattr(sentence_vectors, "CPU_BATCH", 15)
    engine, batched, retrieval = both(changes, **small.family(family, tmp_path))
    subwords = [s.ids for s in engine.source]
    index = SupportIndex(retrieval.vectors(subwords))
    bottoms = batched.bottoms(retrieval)
    found = retrieval.support(subwords, index, bottoms)
    for a, b in zip(found, retrieval.support(subwords, index), strict=True):
        np.testing.assert_array_equal(a, b)
    its = kept(bottoms, engine.source)
    assert sum(s.tokens for s in its) <= room
    assert bool(its) == bool(room)
    assert len(its) < len(engine.source) or changes.get("window") == 128
    expected = engine.adapted(engine.source, SUPPORT, overlaps=True)
    predictions = batched.adapted(engine.source, SUPPORT, overlaps=True, bottoms=bottoms)
    for a, b in zip(predictions, expected, strict=True):
        assert (a.labels, a.words) == (b.labels, b.words)
        assert a.probabilities == pytest.approx(b.probabilities, abs=1e-8)


def test_what_was_kept_is_what_is_used_and_nothing_is_passed_twice(monkeypatch):
    engine, batched, retrieval = both({"window": 128, "window_context": 64})
    bottoms = batched.bottoms(retrieval)
    subwords = [s.ids for s in engine.source]
    retrieval.support(subwords, SupportIndex(retrieval.vectors(subwords)), bottoms)
    assert len(kept(bottoms, engine.source)) == len(engine.source)
    passed = []
    bottom = BatchedEngine._bottom

    def seen(self, theta, packed, noise):
        passed.append(packed.tokens)
        return bottom(self, theta, packed, noise)

    monkeypatch.setattr(BatchedEngine, "_bottom", seen)
    before = batched.adapted(engine.source, SUPPORT, bottoms=bottoms)
    assert passed == [sum(s.tokens for s in engine.source)]  # source sentences alone, which are the same ten here
    bottoms.of(engine.source[3].ids).add_(1)
    after = batched.adapted(engine.source, SUPPORT, bottoms=bottoms)
    assert [a.probabilities == b.probabilities for a, b in zip(after, before, strict=True)].index(False) == 3


def test_they_are_the_vectors_that_transformers_has_there():
    engine, batched, retrieval = both({"frozen_layers": 2})
    bottoms = batched.bottoms(retrieval)
    SentenceVectors(retrieval.encoder, retrieval.tokenizer)([s.ids for s in engine.source], bottoms=bottoms)
    some = kept(bottoms, engine.source)
    assert len(some) > 2
    for sentence in some:
        ids = [engine.tokenizer.cls_token_id, *sentence.ids, engine.tokenizer.sep_token_id]
        expected = retrieval.encoder(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states[2][0]
        torch.testing.assert_close(bottoms.of(sentence.ids), expected)


def test_no_more_is_kept_than_there_is_room_for():
    bottoms = Bottoms(depth=1, room=10)
    assert [bottoms.reserve(tokens) for tokens in (6, 5, 4, 1)] == [True, False, True, False]
    assert bottoms.of((1, 2)) is None


def test_threads_keep_the_same(monkeypatch):
    monkeypatch.setattr(sentence_vectors, "CPU_BATCH", 15)
    engine, batched, retrieval = both({"window": 128, "window_context": 64})
    found = []
    for many in (1, 2):
        monkeypatch.setattr(threads, "count", lambda device, many=many: many)
        found.append(batched.bottoms(retrieval))
        SentenceVectors(retrieval.encoder, retrieval.tokenizer)([s.ids for s in engine.source], bottoms=found[-1])
    for sentence in engine.source:
        torch.testing.assert_close(*(bottoms.of(sentence.ids) for bottoms in found), rtol=0, atol=0)


@pytest.mark.parametrize(
    "changes",
    [{"prefix": "query: "}, {"layer": 0}, {"layer": -3, "frozen_layers": 2}, {"frozen_layers": 0}, {"adapt_steps": 2}],
)
def test_passes_that_begin_otherwise_share_nothing(changes):
    _, batched, retrieval = both(changes)
    assert batched.bottoms(retrieval) is None


@pytest.mark.parametrize("name", ["paper", "e5", "embedded", "demo"])
def test_retrieval_and_tagging_begin_alike_in_the_presets_that_are_to_be_fast(name):
    has = preset(name)
    assert has.frozen_layers > 0
    _, batched, retrieval = both({f: getattr(has, f) for f in ("retrieval_encoder", "pooling", "layer", "prefix")})
    assert batched.bottoms(retrieval) is not None


def test_nor_do_other_encoders_or_precisions():
    engine, batched, retrieval = both({})
    assert batched.bottoms(retrieval) is not None
    assert engine.bottoms(retrieval) is None
    assert dataclasses.replace(batched, precision="bf16").bottoms(retrieval) is None
    other = Retrieval(copy.deepcopy(retrieval.encoder), retrieval.tokenizer, engine.settings)
    assert batched.bottoms(other) is None
    half = Retrieval(retrieval.encoder, retrieval.tokenizer, engine.settings, half=True)
    assert batched.bottoms(half) is None


def test_a_tagging_run_shares_them(tiny_bundle, monkeypatch):
    """And finds what it finds without, and with the reference."""
    loaded = bundle.load(tiny_bundle)
    words = [s.words for s in loaded.source[:20]]
    documents = [[loaded.inputs(its) for its in words[n : n + 3]] for n in range(0, 20, 3)]
    had = []
    own = BatchedEngine.adapted

    def seen(self, sentences, support, *, overlaps=False, bottoms=None):
        had.append(bottoms is not None and len(kept(bottoms, sentences)))
        return own(self, sentences, support, overlaps=overlaps, bottoms=bottoms)

    monkeypatch.setattr(BatchedEngine, "adapted", seen)
    found = predict(loaded, documents, adapted=True)
    monkeypatch.setattr(BatchedEngine, "bottoms", lambda self, retrieval: None)
    for other in (loaded, bundle.load(tiny_bundle, config=EngineConfig("reference"))):
        assert_found_alike(predict(other, documents, adapted=True), found)
    assert had == [20, False]


def assert_found_alike(found, expected):
    for a, b in zip([s for d in found for s in d], [s for d in expected for s in d], strict=True):
        assert a.labels == b.labels
        assert a.probabilities == pytest.approx(b.probabilities, abs=1e-4)


def test_a_window_that_is_an_example_of_its_own_is_kept_too():
    engine, batched, retrieval = both({"long_sentences": "windows"})
    examples = Examples.of([Input(s) for s in engine.source], engine.settings)
    assert len(examples.inputs) > len(engine.source)
    subwords, support = [s.retrieval for s in examples.inputs], SUPPORT[[n % 10 for n in examples.sentence]]
    bottoms = batched.bottoms(retrieval)
    retrieval.support(subwords, SupportIndex(retrieval.vectors(subwords)), bottoms)
    assert len(kept(bottoms, examples.encoded)) == len(examples.inputs)
    expected = engine.adapted(examples.encoded, support)
    for a, b in zip(batched.adapted(examples.encoded, support, bottoms=bottoms), expected, strict=True):
        assert a.labels == b.labels
        assert a.probabilities == pytest.approx(b.probabilities, abs=1e-8)
