"""The first word vectors: neighbours are counted and factored right, and words that translate each other are near."""

import numpy as np
import pytest
import torch

from metaner_core.pretrain.masked import word_vectors
from metaner_core.pretrain.model import new_model
from metaner_core.pretrain.packed import Packed
from tests.support.pretrain_small import ciphered, packed_small, small


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Packed:
    return packed_small(tmp_path_factory.mktemp("packed"))


def test_neighbours_are_counted_within_the_window_and_across_a_translation(packed: Packed) -> None:
    settings = small(start_tokens=10**6, start_window=2)
    size = packed.tokenizer.get_vocab_size()
    expected = np.zeros((size, size))
    for ids in packed.mono.values():
        _count(expected, ids.tolist(), 2)
    for i in range(len(packed.pairs["xx"])):
        sides = packed.pairs["xx"][i]
        placed = [
            ((k + 0.5) / len(side), n, int(piece)) for n, side in enumerate(sides) for k, piece in enumerate(side)
        ]
        _count(expected, [piece for _, _, piece in sorted(placed)], 4)
    found, _ = word_vectors.neighbours(packed, settings, size)
    assert expected.sum() > 10_000
    assert np.array_equal(found.to_dense().numpy()[5:, 5:], expected[5:, 5:])
    assert not found.to_dense().numpy()[:5].any()


def _count(table: np.ndarray, ids: list[int], window: int) -> None:
    for i, a in enumerate(ids):
        for b in ids[i + 1 : i + 1 + window]:
            table[a, b] += 1
            table[b, a] += 1


def test_vectors_are_the_root_of_the_positive_pmi() -> None:
    """With as many dimensions as pieces, V V^T = (P P^T)^1/2 for the matrix P of positive PMI, computed densely."""
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.8, size=(12, 12)).astype(float)
    counts += counts.T
    each, smooth = counts.sum(1), counts.sum(1) ** 0.75
    with np.errstate(divide="ignore"):
        pmi = np.log(counts * smooth.sum() / np.outer(each, smooth)).clip(0)
    values, basis = np.linalg.eigh(pmi @ pmi.T)
    expected = basis @ np.diag(np.sqrt(values.clip(0))) @ basis.T
    vectors = word_vectors.word_vectors(torch.from_numpy(counts).float().to_sparse().coalesce(), 12)
    assert np.allclose((vectors @ vectors.T).numpy(), expected, atol=1e-4)


def test_words_start_near_their_translations(packed: Packed) -> None:
    """Frequent words that are one piece in English and one in the cipher, among all such words."""
    settings = small(start_tokens=10**6)
    model = new_model(settings, packed.tokenizer.get_vocab_size())
    random = model.bert.embeddings.word_embeddings.weight.detach().clone()
    word_vectors.start(model, packed, settings)
    vectors = torch.nn.functional.normalize(model.bert.embeddings.word_embeddings.weight.detach(), dim=1)
    pieces = packed.tokenizer.get_vocab()
    both = [(i, pieces[ciphered(w)]) for w, i in pieces.items() if len(w) > 1 and w.islower() and ciphered(w) in pieces]
    english, cipher = map(list, zip(*both, strict=True))
    assert len(both) > 15
    right = ((vectors[english] @ vectors[cipher].T).argmax(1) == torch.arange(len(both))).float().mean()
    assert right > 0.3  # by chance it is one in len(both)
    length = model.bert.embeddings.word_embeddings.weight.detach().norm(dim=1).mean().item()
    assert length == pytest.approx(random.norm(dim=1).mean().item(), rel=0.05)


def test_without_start_tokens_the_embeddings_stay_random(packed: Packed) -> None:
    settings = small(start_tokens=0)
    model, same = (new_model(settings, packed.tokenizer.get_vocab_size()) for _ in range(2))
    word_vectors.start(model, packed, settings)
    assert torch.equal(model.bert.embeddings.word_embeddings.weight, same.bert.embeddings.word_embeddings.weight)
