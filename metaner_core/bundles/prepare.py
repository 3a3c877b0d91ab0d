"""From labelled sentences to a trainer: encode, embed, retrieve, build the tasks (Eq. 4-6)."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from metaner_core.data.corpora import Sentence
from metaner_core.data.sentences import usable
from metaner_core.encoders.encoder import load_encoder, longest_input
from metaner_core.engine.adapting import new_engine
from metaner_core.engine.config import EngineConfig
from metaner_core.engine.meta_training import in_chunks
from metaner_core.method.meta_train import MetaTrainer
from metaner_core.method.retrieval import SupportIndex, sentence_vectors
from metaner_core.model.encoding import Encoded, Encoding, LabelSet
from metaner_core.model.tagger import Tagger
from metaner_core.settings import Settings


@dataclass(frozen=True)
class Prepared:
    """All that meta-training starts from. encoder: the frozen one. vectors: [N, d] of the source sentences."""

    encoder: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    source: list[Sentence]
    vectors: np.ndarray
    trainer: MetaTrainer


def prepare(
    settings: Settings,
    train: Sequence[Sentence],
    dev: Sequence[Sentence],
    *,
    encoder: str,
    device: torch.device | str = "cpu",
    engine: str = "batched",
    on_update: Callable[[int, float], None] = lambda update, seconds: None,
) -> Prepared:
    """Load the encoder, find every source sentence's neighbours, set up the trainer.

    engine: `batched`, or `reference` for the plain loops that it is checked against.

    Raises ValueError for an encoder that does not fit the settings or fewer source sentences than K needs.
    """
    frozen, tokenizer = load_encoder(encoder)
    frozen.to(device).requires_grad_(False)  # type: ignore[arg-type]
    label_set = LabelSet.of(settings)
    encode = Encoding(tokenizer, settings, longest=longest_input(frozen))
    source, dev = usable(train, settings.types), usable(dev, settings.types)
    encoded, dev_encoded = ([encode(s.words, s.labels) for s in part] for part in (source, dev))
    vectors = sentence_vectors(encoded, frozen, tokenizer, device=device)
    support, dev_support = _neighbours(settings, frozen, tokenizer, vectors, dev_encoded, device)
    tagger = Tagger(copy.deepcopy(frozen).requires_grad_(True), len(label_set.names), settings).to(device)
    runs = new_engine(EngineConfig(engine), tagger, tokenizer, label_set, settings, encoded, device)
    together = None if engine == "reference" else in_chunks
    trainer = MetaTrainer(runs, support, dev_encoded, dev_support, on_update, together)
    return Prepared(frozen, tokenizer, source, vectors, trainer)


def _neighbours(
    settings: Settings,
    encoder: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    vectors: np.ndarray,
    dev: Sequence[Encoded],
    device: torch.device | str,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Neighbours of each source sentence and, if dev is adapted too, of each dev sentence."""
    index = SupportIndex(vectors, similarity=settings.similarity)
    skip = settings.neighbour_rule == "skip_first"
    itself = None if skip else range(len(vectors))
    support, _ = index.search(vectors, settings.neighbours, without=itself, skip_first=skip)
    if settings.select_on == "unadapted":
        return support, None
    found = sentence_vectors(dev, encoder, tokenizer, device=device)
    return support, index.search(found, settings.neighbours, skip_first=skip)[0]
