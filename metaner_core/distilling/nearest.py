"""Agreement with labelled words: a tagged word is learnt where the source words most like it have the teacher's label.

Words are alike by their vectors in the teacher's last layer (CoLaDa, Ma et al. 2023, weighs words by it). All words of
the source are held, [words, width] float32 twice; FAISS finds the nearest, on a GPU if it has one.
"""

from collections.abc import Sequence

import numpy as np
import torch

from metaner_core.bundles.bundle import Bundle
from metaner_core.method.adapt import batch_subwords, by_length
from metaner_core.method.retrieval import SupportIndex
from metaner_core.model.encoding import Encoded, collate


class Nearest:
    """Asks the source words of a teacher."""

    def __init__(self, teacher: Bundle, neighbours: int) -> None:
        """Raises ValueError when there are fewer source words than neighbours."""
        self._teacher, self._neighbours = teacher, neighbours
        self._labels = teacher.engine.label_set.words
        source = [teacher.encode(sentence.words) for sentence in teacher.source]
        names = [label for sentence in teacher.source for label in sentence.labels]
        self._label = np.array([self._labels.index(label) for label in names])
        self._index = SupportIndex(np.concatenate(self._vectors(source)))
        self._counts = np.zeros((len(self._labels), 2), np.int64)

    def agree(self, sentences: Sequence[tuple[str, ...]], labels: Sequence[np.ndarray]) -> list[np.ndarray]:
        """[words] bool for each sentence: whether no label is more frequent among a word's neighbours than its own.

        labels: [words] of each sentence, indices into `LabelSet.words`.
        """
        if not sentences:
            return []
        vectors = self._vectors([self._teacher.encode(words) for words in sentences])
        found, _ = self._index.search(np.concatenate(vectors), self._neighbours)
        votes = (self._label[found][:, :, None] == np.arange(len(self._labels))).sum(1)  # [words, C]
        own = np.concatenate(labels)
        agreed = votes[np.arange(len(own)), own] == votes.max(1)
        np.add.at(self._counts, (own, np.where(agreed, 0, 1)), 1)
        return np.split(agreed, np.cumsum([len(of) for of in labels])[:-1])

    def counted(self) -> np.ndarray:
        """[C, 2] of each label how many words agreed and how many did not, since this was last asked."""
        found, self._counts = self._counts, np.zeros_like(self._counts)
        return found

    @torch.no_grad()
    def _vectors(self, sentences: Sequence[Encoded]) -> list[np.ndarray]:
        """[words, width] of each sentence; words that share a subword share a vector."""
        engine = self._teacher.engine
        found = [np.zeros((0, 0), np.float32)] * len(sentences)
        for rows in by_length(sentences, batch_subwords(engine.device)):
            batch = collate([sentences[i] for i in rows], engine.tokenizer, device=engine.device)
            hidden = engine.tagger.encoder(input_ids=batch.ids, attention_mask=batch.attention).last_hidden_state
            words = hidden[batch.row, batch.col].float().repeat_interleave(batch.words, 0).cpu().numpy()
            ends = np.cumsum([len(sentences[i].first) for i in rows])
            for i, part in zip(rows, np.split(words, ends[:-1]), strict=True):
                found[i] = part
        return found
