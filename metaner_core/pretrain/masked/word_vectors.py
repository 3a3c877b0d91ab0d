"""A start for the embeddings that already knows which pieces mean alike, across languages too.

Random embeddings leave a small model on the level of unigrams for tens of millions of tokens. These are counted, not
trained: how often pieces stand near each other in text, and in translations merged by relative position, as positive
pointwise mutual information, factored by a truncated SVD (what skip-gram approximates: Levy & Goldberg, NeurIPS 2014).
"""

from collections.abc import Iterator

import numpy as np
import torch
from transformers import BertForMaskedLM

from metaner_core.pretrain.packed import Packed, Pairs
from metaner_core.pretrain.settings import PretrainSettings
from metaner_core.pretrain.vocabulary import SPECIAL, shares

AT_ONCE = 2_000_000  # tokens whose neighbours are counted in one go
SMOOTHING = 0.75  # exponent on context counts: rare contexts weigh less (Levy et al., TACL 2015)


def start(model: BertForMaskedLM, packed: Packed, settings: PretrainSettings) -> None:
    """Set the word embeddings and the head's bias (log unigram) in place. Leaves the model alone at start_tokens 0."""
    if not settings.start_tokens:
        return
    embeddings = model.bert.embeddings.word_embeddings.weight
    vocabulary, width = embeddings.shape
    counts, unigrams = neighbours(packed, settings, vocabulary)
    torch.manual_seed(settings.seed)
    vectors = word_vectors(counts.to(embeddings.device), width)
    known = vectors.norm(dim=1) > 0
    length = embeddings.detach().norm(dim=1).mean()  # as long as random ones, so that positions still matter
    with torch.no_grad():
        embeddings[known] = length * torch.nn.functional.normalize(vectors[known], dim=1)
        model.cls.predictions.bias.copy_(torch.log((unigrams + 1) / (unigrams + 1).sum()))


def neighbours(packed: Packed, settings: PretrainSettings, vocabulary: int) -> tuple[torch.Tensor, torch.Tensor]:
    """How often piece j stands within the window of piece i, sparse [V, V], and how often each occurs, [V]."""
    keys, values = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    unigrams = np.zeros(vocabulary, dtype=np.int64)
    for ids, window in _streams(packed, settings):
        unigrams += np.bincount(ids, minlength=vocabulary)
        near = [ids[:-d] * vocabulary + ids[d:] for d in range(1, window + 1)]
        new, often = np.unique(np.concatenate(near), return_counts=True)
        keys, inverse = np.unique(np.concatenate([keys, new]), return_inverse=True)
        values = np.bincount(inverse, np.concatenate([values, often])).astype(np.int64)
    left, right = np.divmod(keys, vocabulary)
    plain = (left >= len(SPECIAL)) & (right >= len(SPECIAL))
    indices = torch.from_numpy(np.stack([left[plain], right[plain]]))
    counts = torch.sparse_coo_tensor(
        indices, torch.from_numpy(values[plain]).float(), (vocabulary, vocabulary), check_invariants=True
    )
    return (counts + counts.T).coalesce(), torch.from_numpy(unigrams).float()


def _streams(packed: Packed, settings: PretrainSettings) -> Iterator[tuple[np.ndarray, int]]:
    """Stretches of ids and the window to count in. Half of the tokens are translations, if there are any."""
    budget = settings.start_tokens // (2 if packed.pairs else 1)
    rng = np.random.default_rng([settings.seed, 1])
    mono = shares({language: len(ids) for language, ids in packed.mono.items()}, settings.language_exponent)
    for language, share in mono.items():
        for ids in _stretch(packed.mono[language], int(share * budget), rng):
            yield ids, settings.start_window
    if not packed.pairs:
        return
    window = 2 * settings.start_window  # merged, the neighbours on one side are twice as far apart
    translated = shares({language: len(p.ids) for language, p in packed.pairs.items()}, settings.language_exponent)
    for language, share in translated.items():
        for ids in _merged(packed.pairs[language], int(share * budget), rng, apart=window):
            yield ids, window


def _stretch(stream: np.ndarray, budget: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    budget = min(budget, len(stream))
    begin = int(rng.integers(len(stream) - budget + 1))
    for start in range(begin, begin + budget, AT_ONCE):
        yield stream[start : min(start + AT_ONCE, begin + budget)].astype(np.int64)


def _merged(pairs: Pairs, budget: int, rng: np.random.Generator, *, apart: int) -> Iterator[np.ndarray]:
    """Pairs with the pieces of both sides in the order of their relative positions, `apart` [PAD] between pairs."""
    found: list[np.ndarray] = []
    size = 0
    for number in rng.permutation(len(pairs)):
        sides = pairs[number]
        where = np.concatenate([(np.arange(len(side)) + 0.5) / max(len(side), 1) for side in sides])
        found += [np.concatenate(sides)[np.argsort(where, kind="stable")].astype(np.int64), np.zeros(apart, np.int64)]
        size += len(where)
        budget -= len(where)
        if size >= AT_ONCE or budget <= 0:
            yield np.concatenate(found)
            found, size = [], 0
        if budget <= 0:
            return
    if found:
        yield np.concatenate(found)


def word_vectors(counts: torch.Tensor, width: int) -> torch.Tensor:
    """U √S of the positive PMI of symmetric counts, [V, width]."""
    (left, right), often = counts.indices(), counts.values()
    each = torch.zeros(len(counts), device=often.device).index_add_(0, left, often)
    smooth = each**SMOOTHING
    pmi = torch.log(often * smooth.sum() / (each[left] * smooth[right]))
    kept = pmi > 0
    indices = torch.stack([left[kept], right[kept]])
    matrix = torch.sparse_coo_tensor(indices, pmi[kept], counts.shape, check_invariants=True).coalesce()
    u, s, _ = torch.svd_lowrank(matrix, q=min(width, len(counts)), niter=2)
    vectors = torch.zeros(len(counts), width, device=often.device)
    vectors[:, : len(s)] = u * s.sqrt()
    return vectors
