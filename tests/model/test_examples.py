"""Windows as examples of their own, as the authors' published code has them, against slices made here."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from metaner_core.bundles import bundle
from metaner_core.bundles.prepare import prepare
from metaner_core.data import corpora
from metaner_core.engine.config import EngineConfig
from metaner_core.model.encoding import Encoding, LabelSet, collate
from metaner_core.model.examples import Examples, apart
from metaner_core.model.inputs import Input
from metaner_core.model.tagger import Prediction
from metaner_core.settings import Settings, preset
from metaner_core.tagging.stages.predicting import predict
from tests.support.bundles import write_lively
from tests.support.small import SENTENCES, bert_tokenizer, save_tiny_bert

CODE = preset("official-code", window=8, window_context=3, frozen_layers=1, dropout=0.0, gamma=3e-3)
WHOLE = dataclasses.replace(CODE, long_sentences="whole")
LONG = corpora.load("embedded-de", "test")[:3]


def inputs(settings: Settings) -> list[Input]:
    encode = Encoding(bert_tokenizer(), settings)
    return [Input(encode(words, labels)) for words, labels in SENTENCES]


def test_a_window_is_the_slice_and_its_words_are_those_that_it_holds() -> None:
    for sentence in (i.tagging for i in inputs(CODE)):
        for (part, first), window in zip(apart(sentence), sentence.windows, strict=True):
            assert part.ids == sentence.ids[window.start : window.stop]
            assert [w + first for w in part.word] == [*sentence.word[window.start : window.stop]]
            assert part.labels == sentence.labels[first : first + len(part.first)]
            begun = [w for w, i in enumerate(sentence.first) if window.start <= i < window.stop]
            assert [first + w for w, i in enumerate(part.first) if i >= 0] == begun


@pytest.mark.parametrize("loss_tokens", ["first", "all"])
def test_windows_apart_have_the_labels_that_they_have_in_their_sentence(loss_tokens: str) -> None:
    settings = dataclasses.replace(CODE, loss_tokens=loss_tokens)
    sentences, labels = inputs(settings), LabelSet.of(settings)
    batches = [
        collate([i.tagging for i in some], bert_tokenizer(), label_set=labels)
        for some in (sentences, Examples.of(sentences, settings).inputs)
    ]
    for name in ("ids", "row", "col", "labels", "words"):
        torch.testing.assert_close(getattr(batches[1], name), getattr(batches[0], name), msg=name)
    assert batches[1].sentences == len(batches[0].ids) > batches[0].sentences


def test_as_whole_sentences_they_are_themselves() -> None:
    sentences = inputs(WHOLE)
    examples = Examples.of(sentences, WHOLE)
    assert list(examples.inputs) == sentences
    assert examples.first == [*range(len(sentences))]


@given(st.lists(st.integers(0, 40), max_size=6))
def test_predictions_come_together_again(lengths: list[int]) -> None:
    encode = Encoding(bert_tokenizer(), CODE)
    sentences = [Input(encode(["Rain"] * n)) for n in lengths]
    examples = Examples.of(sentences, CODE)
    predictions = []
    for example in examples.encoded:
        fresh = [w for w, i in enumerate(example.first) if example.windows and i >= example.windows[0].fresh]
        predictions.append(Prediction(("O",) * len(fresh), (0.5,) * len(fresh), tuple(fresh)))
    assert [p.words for p in examples.joined(predictions)] == [tuple(range(n)) for n in lengths]
    assert len(examples.first) == len(lengths)


def test_each_source_window_has_a_vector_and_neighbours_of_its_own(tmp_path: Path) -> None:
    source = [corpora.Sentence(tuple(words), tuple(labels)) for words, labels in SENTENCES]
    made = prepare(CODE, source, source, encoder=save_tiny_bert(tmp_path))
    slices = [i.tagging.ids[w.start : w.stop] for i in inputs(CODE) for w in i.tagging.windows]
    assert [s.ids for s in made.trainer.engine.source] == slices
    tokenizer, vectors = made.tokenizer, []
    for ids in slices:
        row = torch.tensor([[tokenizer.cls_token_id, *ids, tokenizer.sep_token_id]])
        with torch.no_grad():
            vectors.append(made.encoder(input_ids=row).last_hidden_state[0, 0].numpy())
    np.testing.assert_allclose(made.vectors, np.array(vectors), atol=1e-4)
    unit = made.vectors / np.linalg.norm(made.vectors, axis=1, keepdims=True)
    scores = np.sort(unit @ unit.T, axis=1)[:, ::-1][:, 1:3]
    found = np.take_along_axis(unit @ unit.T, made.trainer.support, axis=1)
    np.testing.assert_allclose(found, scores, atol=1e-6)


def test_each_window_is_tagged_by_a_model_adapted_to_itself(tmp_path: Path) -> None:
    loaded = bundle.load(write_lively(str(tmp_path / "b"), CODE, encoder=save_tiny_bert(tmp_path / "encoder")))
    one_by_one = bundle.load(str(tmp_path / "b"), config=EngineConfig("reference")).engine
    sentences = [loaded.inputs(s.words) for s in LONG]
    found = predict(loaded, [sentences], adapted=True)[0]
    for sentence, words, tagged in zip(sentences, LONG, found, strict=True):
        labels, windows = [], [part for part, _ in apart(sentence.tagging)]
        near = loaded.nearest([Input(part) for part in windows])[0]
        for part, ids in zip(windows, near, strict=True):
            labels += one_by_one.adapted([part], ids[None])[0].labels
        assert tagged.labels == tuple(labels)
        assert len(labels) == len(words.words)
        lines = [i for i, s in enumerate(loaded.source) for _ in loaded.inputs(s.words).tagging.windows]
        assert [i for i, _ in tagged.neighbours] == [lines[i] for i in near[0]]
    assert any(len(s.tagging.windows) > 1 for s in sentences)
    unadapted = [t.labels for t in predict(loaded, [sentences], adapted=False)[0]]
    assert unadapted != [t.labels for t in found]


@pytest.mark.parametrize("changes", [{"retrieval_encoder": "e5-small"}, {"select_on": "adapted"}])
def test_what_goes_with_whole_sentences_only_is_refused(changes: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"with long_sentences=windows it must be .*; or set long_sentences=whole"):
        preset("official-code", **changes)
