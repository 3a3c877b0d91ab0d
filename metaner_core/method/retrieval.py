"""Retrieval (Eq. 5-6): sentence vectors of a frozen encoder and their nearest source sentences, through FAISS."""

from collections.abc import Callable, Sequence

import faiss
import numpy as np
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from metaner_core.model.bottoms import Bottoms
from metaner_core.model.sentence_vectors import SentenceVectors
from metaner_core.settings import Settings

GPU_MOST = 2048  # neighbours that FAISS finds at once on a GPU
TIE = 1e-7  # cosines are ranked in steps of this; of those that round to the same step the lower id comes first
Subwords = Sequence[Sequence[int]]  # of each sentence its ids in retrieval's tokenizer, such as `Input.retrieval`


class Retrieval:
    """Finds a sentence's support set as the settings have it, by the vectors of an encoder as it was pre-trained."""

    def __init__(
        self, encoder: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, settings: Settings, *, half: bool = False
    ) -> None:
        """half: see `SentenceVectors`. Raises ValueError for a layer or a prefix that does not fit the encoder."""
        self.encoder, self.tokenizer = encoder, tokenizer
        self._settings = settings
        self._vectors = SentenceVectors(
            encoder, tokenizer, settings.pooling, settings.layer, settings.prefix, settings.window, half
        )

    def vectors(self, sentences: Subwords) -> np.ndarray:
        """r(x), [n, d] float32 (Eq. 5). A sentence longer than a window is represented by its first."""
        return self._vectors(sentences)

    def passes(self, encoder: nn.Module, depth: int) -> bool:
        """As `SentenceVectors.passes`."""
        return self._vectors.passes(encoder, depth)

    def support(
        self,
        sentences: Subwords,
        index: "SupportIndex",
        bottoms: Bottoms | None = None,
        tell: Callable[[], object] = lambda: None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Ids and similarities [n, K] of each sentence's nearest source sentences, for sentences that are none.

        bottoms, tell: as `SentenceVectors` takes them.
        """
        skip = self._settings.neighbour_rule == "skip_first"
        vectors = self._vectors(sentences, bottoms=bottoms, tell=tell)
        return index.search(vectors, self._settings.neighbours, skip_first=skip)


class SupportIndex:
    """The source sentences' vectors, searchable: exact inner products on the GPU if FAISS has one, else on the CPU."""

    def __init__(self, vectors: np.ndarray, *, similarity: str = "cosine") -> None:
        """vectors: [N, d] float32. similarity: `cosine`, or `dot_over_source_norm` (same order, other values)."""
        _finite(vectors)
        self.similarity = similarity
        self.unit = _unit(vectors)
        self.flat: faiss.Index = faiss.IndexFlatIP(vectors.shape[1])
        self.flat.add(self.unit)
        self.on_gpu: faiss.Index | None = None
        if getattr(faiss, "get_num_gpus", lambda: 0)():
            self.on_gpu = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, self.flat)

    def __len__(self) -> int:
        return len(self.unit)

    def search(
        self, vectors: np.ndarray, k: int, *, without: Sequence[int] | None = None, skip_first: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """The k most similar source sentences of each vector: ids [n, k] and similarities [n, k], best first.

        without: for each vector the id of the source sentence it is itself. skip_first: leave out the best one,
        whatever it is (the authors' code). Ties go to the lower id. Raises ValueError when the index is too small.
        """
        extra = int(without is not None or skip_first)
        if len(self) < k + extra:
            raise ValueError(
                f"{len(self)} source sentences are too few for K = {k}{' besides the first' if extra else ''}: "
                "add source sentences or set neighbours lower"
            )
        _finite(vectors)
        queries = _unit(vectors)
        ids = np.zeros((len(queries), k), np.int64)
        similarities = np.zeros((len(queries), k))
        open_ = np.arange(len(queries))
        wanted = min(len(self), k + extra + 8)
        while len(open_):
            index = self.on_gpu if self.on_gpu is not None and wanted <= GPU_MOST else self.flat
            found = index.search(queries[open_], wanted)[1]
            unsure = []
            for row, candidates in zip(open_, found, strict=True):
                ranked, scores = self._rank(queries[row], candidates)
                if wanted < len(self) and scores[k + extra - 1] - scores[-1] <= TIE:
                    unsure.append(row)  # the last places are a tie that may go on beyond the candidates
                    continue
                keep = np.ones(len(ranked), bool)
                keep[0] = not skip_first
                if without is not None:
                    keep &= ranked != without[int(row)]
                ids[row], similarities[row] = ranked[keep][:k], scores[keep][:k]
            open_ = np.array(unsure, dtype=int)
            wanted = min(len(self), wanted * 4)
        if self.similarity == "dot_over_source_norm":
            similarities *= np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
        return ids, similarities

    def _rank(self, query: np.ndarray, candidates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Candidates by similarity in float64, which unlike the search's own does not vary with the batch."""
        scores = self.unit[candidates].astype(np.float64) @ query.astype(np.float64)
        order = np.lexsort((candidates, -np.round(scores / TIE)))
        return candidates[order], scores[order]


def _finite(vectors: np.ndarray) -> None:
    if not np.isfinite(vectors).all():
        bad = int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])
        raise ValueError(f"sentence vector {bad} holds NaN or infinity: the encoder's weights or precision are broken")


def _unit(vectors: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    return np.ascontiguousarray(vectors / np.maximum(norms, 1e-12), np.float32)
