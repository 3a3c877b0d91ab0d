"""Sentence vectors, against transformers' own model that reads one sentence at a time."""

import numpy as np
import pytest
import torch

from metaner_core import workers
from metaner_core.encoders.encoder import load_encoder
from metaner_core.model.encoding import Encoding
from metaner_core.model.sentence_vectors import SentenceVectors
from metaner_core.settings import Settings
from tests.support.small import SENTENCES, bert_tokenizer, save_tiny_xlm_roberta, tiny_bert

LAYERS, POSITIONS = 3, 80  # of both encoders
ROOM = POSITIONS - 2


@pytest.fixture(scope="module", params=["bert", "xlm-roberta"])
def pair(request, tmp_path_factory):
    """An encoder and its tokenizer."""
    if request.param == "bert":
        return tiny_bert(positions=POSITIONS).requires_grad_(False), bert_tokenizer()
    encoder, tokenizer = load_encoder(save_tiny_xlm_roberta(tmp_path_factory.mktemp("xlm"), positions=POSITIONS + 2))
    return encoder.requires_grad_(False), tokenizer


def ids_of(tokenizer, sentences=SENTENCES):
    encode = Encoding(tokenizer, Settings())
    return [encode(words).ids for words, _ in sentences]


def plainly(pair, ids, *, pooling="cls", layer=-1):
    """The vector of one input, special tokens and all."""
    hidden = pair[0](input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states[layer][0]
    return (hidden[0] if pooling == "cls" else sum(hidden) / len(hidden)).numpy()


def enclosed(tokenizer, ids):
    return [tokenizer.cls_token_id, *ids, tokenizer.sep_token_id]


@pytest.mark.parametrize("layer", [-1, LAYERS, -LAYERS, 2, 0])
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_a_vector_is_the_pooled_layer_of_the_sentence_alone(pair, pooling, layer):
    sentences = [*ids_of(pair[1]), ()]
    found = SentenceVectors(*pair, pooling=pooling, layer=layer)(sentences)
    assert found.dtype == np.float32
    for ids, vector in zip(sentences, found, strict=True):
        expected = plainly(pair, enclosed(pair[1], ids), pooling=pooling, layer=layer)
        np.testing.assert_allclose(vector, expected, atol=1e-5)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_a_prefix_is_read_as_part_of_the_text(pair, pooling):
    encoder, tokenizer = pair
    found = SentenceVectors(encoder, tokenizer, pooling, prefix=" find  this: ")(ids_of(tokenizer))
    for (words, _), vector in zip(SENTENCES, found, strict=True):
        joined = tokenizer(f"find this: {' '.join(words)}", add_special_tokens=False)["input_ids"]
        np.testing.assert_allclose(vector, plainly(pair, enclosed(tokenizer, joined), pooling=pooling), atol=1e-5)


def test_a_prefix_of_blanks_is_none(pair):
    sentences = ids_of(pair[1])
    np.testing.assert_array_equal(SentenceVectors(*pair, prefix="  ")(sentences), SentenceVectors(*pair)(sentences))


def test_of_no_words_there_is_the_vector_of_the_prefix_alone(pair):
    tokenizer = pair[1]
    prefix = tokenizer(["query:"], is_split_into_words=True, add_special_tokens=False)["input_ids"]
    found = SentenceVectors(*pair, pooling="mean", prefix="query: ")([()])
    expected = plainly(pair, enclosed(tokenizer, prefix), pooling="mean")
    np.testing.assert_allclose(found, [expected], atol=1e-5)


@pytest.mark.parametrize(("window", "kept"), [(None, ROOM), (12, 12), (100, ROOM)])
def test_a_long_sentence_is_cut_to_the_window_and_to_the_positions(pair, window, kept):
    long = [i for ids in ids_of(pair[1]) for i in ids]
    assert len(long) > ROOM
    found = SentenceVectors(*pair, window=window)([long])
    np.testing.assert_allclose(found, [plainly(pair, enclosed(pair[1], long[:kept]))], atol=1e-5)


def test_a_prefix_takes_its_room_from_the_sentence_where_positions_are_few(pair):
    tokenizer, long = pair[1], [i for ids in ids_of(pair[1]) for i in ids]
    prefix = tokenizer(["a", "b"], is_split_into_words=True, add_special_tokens=False)["input_ids"]
    found = SentenceVectors(*pair, prefix="a b", window=100)([long])
    expected = plainly(pair, enclosed(tokenizer, [*prefix, *long[: ROOM - len(prefix)]]))
    np.testing.assert_allclose(found, [expected], atol=1e-5)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_vectors_do_not_depend_on_order_or_batch(pair, pooling):
    vectors, sentences = SentenceVectors(*pair, pooling=pooling), ids_of(pair[1])
    whole = vectors(sentences)
    np.testing.assert_array_equal(vectors(sentences[::-1])[::-1], whole)
    for batch in (1, 40):
        np.testing.assert_allclose(vectors(sentences, batch=batch), whole, atol=1e-5)


def test_equal_sentences_have_bit_equal_vectors(pair):
    sentences = ids_of(pair[1])
    n = len(sentences)
    found = SentenceVectors(*pair, pooling="mean")([*sentences, *sentences[::-1], *sentences], batch=50)
    np.testing.assert_array_equal(found[:n], found[2 * n :])
    np.testing.assert_array_equal(found[:n], found[n : 2 * n][::-1])
    assert len(np.unique(found, axis=0)) == n


def test_workers_share_the_batches_and_their_sum_is_the_whole(pair, monkeypatch):
    vectors, sentences = SentenceVectors(*pair, pooling="mean"), ids_of(pair[1])
    whole, parts = vectors(sentences, batch=1), []
    monkeypatch.setattr(workers, "count", lambda: 3)
    monkeypatch.setattr(workers, "add_up", lambda tensors: None)
    for rank in range(3):
        monkeypatch.setattr(workers, "rank", lambda rank=rank: rank)
        parts.append(vectors(sentences, batch=1))
    assert [int((part != 0).any(1).sum()) for part in parts] == [4, 3, 3]
    np.testing.assert_array_equal(sum(parts), whole)


@pytest.mark.parametrize("half", [False, True])
def test_any_number_of_threads_finds_the_same(pair, half):
    """Batches are whole, and torch's settings for one thread (no gradients, bf16) hold on each."""
    vectors, sentences = SentenceVectors(*pair, pooling="mean", half=half), ids_of(pair[1])
    before, found = torch.get_num_threads(), []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            found.append(vectors(sentences, batch=40))
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_in_half_precision_a_vector_is_off_by_what_bf16_rounds(pair, pooling):
    sentences = ids_of(pair[1])
    whole, half = (SentenceVectors(*pair, pooling=pooling, half=half)(sentences) for half in (False, True))
    off = np.linalg.norm(half - whole, axis=1) / np.linalg.norm(whole, axis=1)
    assert half.dtype == np.float32
    assert off.min() > 1e-4
    assert off.max() < 0.05
    embedded = (SentenceVectors(*pair, pooling=pooling, layer=0, half=half)(sentences) for half in (False, True))
    np.testing.assert_array_equal(*embedded)


def test_no_sentences_have_no_vectors(pair):
    assert SentenceVectors(*pair)([]).shape == (0, 32)


def test_vectors_are_taken_without_dropout():
    found = (SentenceVectors(tiny_bert().train(), bert_tokenizer())(ids_of(bert_tokenizer())) for _ in range(2))
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pooling": "max"}, "pooling is 'max'; it must be one of cls, mean"),
        ({"layer": 4}, "layer is 4, but the retrieval encoder has 3 layers: give 1 to 3, -3 to -1 .* or 0"),
        ({"layer": -4}, "layer is -4, but the retrieval encoder has 3 layers"),
        (
            {"prefix": "x " * 9, "window": 5},
            r"prefix 'x x .*' has \d+ subwords, more than a window \(5\): give a short",
        ),
        (
            {"prefix": "x " * 80},
            r"prefix 'x x .*' has \d+ subwords, .* no room in the retrieval encoder's 80 positions",
        ),
    ],
)
def test_what_does_not_fit_is_refused(pair, options, message):
    with pytest.raises(ValueError, match=message):
        SentenceVectors(*pair, **options)
