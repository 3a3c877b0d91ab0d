import dataclasses

import numpy as np
import pytest
import torch

from metaner_core.method.retrieval import Retrieval, SupportIndex
from metaner_core.model.encoding import Encoding
from metaner_core.settings import Settings
from tests.support.small import SENTENCES, bert_tokenizer, tiny_bert


def brute(vectors, queries, k, *, without=None, skip_first=False):
    """Ids and cosines from one float64 product; what is equal to nine digits goes by id."""
    x, q = (
        a.astype(np.float64) / np.linalg.norm(a.astype(np.float64), axis=1, keepdims=True) for a in (vectors, queries)
    )
    cosines = q @ x.T
    ids = []
    for n, row in enumerate(cosines):
        order = sorted(range(len(row)), key=lambda i: (-round(row[i], 6), i))
        if without is not None:
            order.remove(without[n])
        ids.append(order[skip_first:][:k])
    return np.array(ids), np.take_along_axis(cosines, np.array(ids), 1)


def random_vectors(n, d=24, *, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32) * np.float32(3)


def with_duplicates(distinct=40, n=200):
    """n vectors, most of them several times, in no order."""
    pick = np.random.default_rng(1).integers(distinct, size=n)
    return random_vectors(distinct)[pick]


@pytest.mark.parametrize("vectors", [random_vectors(300), with_duplicates()], ids=["distinct", "duplicates"])
@pytest.mark.parametrize("rule", [{}, {"skip_first": True}], ids=["all", "skip_first"])
@pytest.mark.parametrize("k", [1, 2, 7])
def test_neighbours_are_those_of_a_brute_force_product(vectors, rule, k):
    queries = random_vectors(50, seed=2)
    ids, cosines = SupportIndex(vectors).search(queries, k, **rule)
    expected_ids, expected = brute(vectors, queries, k, **rule)
    np.testing.assert_array_equal(ids, expected_ids)
    np.testing.assert_allclose(cosines, expected, atol=1e-6)


@pytest.mark.parametrize("vectors", [random_vectors(100), with_duplicates()], ids=["distinct", "duplicates"])
def test_a_source_sentence_is_never_its_own_neighbour(vectors):
    itself = range(len(vectors))
    ids, cosines = SupportIndex(vectors).search(vectors, 2, without=itself)
    expected_ids, expected = brute(vectors, vectors, 2, without=itself)
    assert all(n not in row for n, row in enumerate(ids))
    np.testing.assert_array_equal(ids, expected_ids)
    np.testing.assert_allclose(cosines, expected, atol=1e-6)


@pytest.mark.parametrize("batch", [1, 3, 19, 20, 50])
def test_ties_go_to_the_lower_id_whatever_the_batch(batch):
    index, queries = SupportIndex(with_duplicates()), random_vectors(50, seed=3)
    together = index.search(queries, 3)
    parts = [index.search(queries[at : at + batch], 3) for at in range(0, len(queries), batch)]
    for whole, part in zip(together, zip(*parts, strict=True), strict=True):
        np.testing.assert_allclose(np.concatenate(part), whole, atol=1e-12)


@pytest.mark.parametrize("copies", [9, 10, 11, 60, 500])
def test_any_number_of_exact_duplicates(copies):
    vectors = random_vectors(600)
    places = np.sort(np.random.default_rng(4).permutation(600)[:copies])
    vectors[places] = vectors[places[0]]
    index, query = SupportIndex(vectors), vectors[places[:1]]
    assert index.search(query, 2)[0].tolist() == [places[:2].tolist()]
    assert index.search(query, 2, skip_first=True)[0].tolist() == [places[1:3].tolist()]
    last = places[-1:]
    assert index.search(vectors[last], 2, without=last)[0].tolist() == [places[:2].tolist()]


def test_dot_over_source_norm_has_the_cosines_order_and_its_own_values():
    vectors, queries = with_duplicates(), random_vectors(30, seed=5) * 40
    cosine = SupportIndex(vectors).search(queries, 5)
    dot = SupportIndex(vectors, similarity="dot_over_source_norm").search(queries, 5)
    np.testing.assert_array_equal(dot[0], cosine[0])
    for query, ids, values in zip(queries.astype(np.float64), *dot, strict=True):
        np.testing.assert_allclose(values, vectors[ids] @ query / np.linalg.norm(vectors[ids], axis=1), rtol=1e-5)


@pytest.mark.parametrize("similarity", ["cosine", "dot_over_source_norm"])
def test_sources_apart_by_rounding_alone_are_a_tie_whatever_the_querys_length(similarity):
    for seed in range(6):  # the higher id is ahead in some and behind in others
        vectors = random_vectors(8, seed=seed)
        vectors[5] = vectors[2]
        vectors[5, 0] = np.nextafter(vectors[2, 0], np.float32(99) * np.sign(vectors[2, 0]), dtype=np.float32)
        query = 1e4 * (vectors[2:3] + 0.1 * random_vectors(1, seed=100 + seed))
        assert SupportIndex(vectors, similarity=similarity).search(query, 2)[0].tolist() == [[2, 5]], seed


def test_too_few_source_sentences_is_an_error():
    index = SupportIndex(random_vectors(3))
    assert sorted(index.search(random_vectors(1), 3)[0][0]) == [0, 1, 2]
    assert sorted(index.search(index.unit[:1], 2, without=[0])[0][0]) == [1, 2]
    for rule in ({"without": [0]}, {"skip_first": True}):
        with pytest.raises(ValueError, match=r"3 source sentences are too few for K = 3 besides"):
            index.search(random_vectors(1), 3, **rule)
    with pytest.raises(ValueError, match=r"3 source sentences are too few for K = 4: .*neighbours lower"):
        index.search(random_vectors(1), 4)


def test_no_queries_give_no_neighbours():
    ids, similarities = SupportIndex(random_vectors(5)).search(np.zeros((0, 24), np.float32), 2)
    assert (ids.shape, similarities.shape) == ((0, 2), (0, 2))


SETTINGS = Settings(window=9, window_context=4)
ENCODER = tiny_bert().requires_grad_(False)
WORDS = [words for words, _ in SENTENCES]
IDS = [Encoding(bert_tokenizer(), SETTINGS)(words).ids for words in WORDS]


def test_a_sentences_vector_is_the_encoders_cls_on_its_first_window_alone():
    tokenizer, encode = bert_tokenizer(), Encoding(bert_tokenizer(), SETTINGS)
    sentences = [*WORDS, ()]
    assert any(len(encode(words).windows) > 1 for words in sentences)
    found = Retrieval(ENCODER, tokenizer, SETTINGS).vectors([encode(words).ids for words in sentences])
    for words, vector in zip(sentences, found, strict=True):
        ids = torch.tensor([[tokenizer.cls_token_id, *encode(words).ids[:9], tokenizer.sep_token_id]])
        expected = ENCODER(input_ids=ids).last_hidden_state[0, 0].numpy()
        np.testing.assert_allclose(vector, expected, atol=1e-5)


@pytest.mark.parametrize("change", [{"pooling": "mean"}, {"layer": 2}, {"prefix": "query:"}, {"window": 5}])
def test_the_settings_decide_what_a_vector_is(change):
    before, after = (
        Retrieval(ENCODER, bert_tokenizer(), dataclasses.replace(SETTINGS, **options)).vectors(IDS)
        for options in ({}, change)
    )
    assert np.abs(before - after).max() > 0.1


@pytest.mark.parametrize("rule", ["without_self", "skip_first"])
def test_support_is_that_of_the_sentences_vectors(rule):
    settings = dataclasses.replace(SETTINGS, neighbours=3, neighbour_rule=rule, pooling="mean")
    retrieval = Retrieval(ENCODER, bert_tokenizer(), settings)
    vectors = retrieval.vectors(IDS)
    ids, cosines = retrieval.support(IDS[::-1], SupportIndex(vectors))
    expected = brute(vectors, vectors[::-1], 3, skip_first=rule == "skip_first")
    np.testing.assert_array_equal(ids, expected[0])
    np.testing.assert_allclose(cosines, expected[1], atol=1e-6)
