"""From labelled sentences to a trainer: encode, embed, retrieve, build the tasks (Eq. 4-6)."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from metaner_core.data.corpora import Sentence
from metaner_core.data.sentences import usable
from metaner_core.encoders.encoder import layers, load_encoder, longest_input, trainable_copy
from metaner_core.engine.adapting import new_engine
from metaner_core.engine.config import EngineConfig
from metaner_core.engine.meta_training import in_chunks
from metaner_core.method.meta_train import MetaTrainer
from metaner_core.method.retrieval import Retrieval, SupportIndex
from metaner_core.model.encoding import LabelSet
from metaner_core.model.examples import Examples
from metaner_core.model.inputs import Input, Inputs
from metaner_core.model.tagger import Tagger
from metaner_core.settings import SAME, Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """All that meta-training starts from. encoder: as it was pre-trained; its frozen layers are the tagger's too.

    vectors: [N, d] of the source's examples, which are its sentences, or windows of them, by `retrieval`.
    """

    encoder: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    retrieval: Retrieval
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
    if settings.frozen_layers == (many := len(layers(frozen))):
        told = "all that is trained is the classifier on top; set frozen_layers lower if that is not meant"
        log.warning("frozen_layers is %d and %s has %d layers: %s", many, encoder, many, told)
    retrieval = _retrieval(settings, encoder, frozen, tokenizer, device)
    label_set = LabelSet.of(settings)
    read = Inputs(tokenizer, settings, retrieval=retrieval.tokenizer, longest=longest_input(frozen))
    source = usable(train, settings.types)
    inputs, dev_inputs = ([read(s.words, s.labels) for s in part] for part in (source, usable(dev, settings.types)))
    examples, dev_encoded = Examples.of(inputs, settings), [s.tagging for s in dev_inputs]
    vectors = retrieval.vectors([example.retrieval for example in examples.inputs])
    support, dev_support = _neighbours(settings, retrieval, vectors, dev_inputs)
    tagger = Tagger(trainable_copy(frozen, settings.frozen_layers), len(label_set.names), settings).to(device)
    runs = new_engine(EngineConfig(engine), tagger, tokenizer, label_set, settings, examples.encoded, device)
    together = None if engine == "reference" else in_chunks
    trainer = MetaTrainer(runs, support, dev_encoded, dev_support, on_update, together)
    return Prepared(frozen, tokenizer, retrieval, source, vectors, trainer)


def _retrieval(
    settings: Settings,
    name: str,
    encoder: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    device: torch.device | str,
) -> Retrieval:
    """By the encoder that the settings name, if it is another than the tagger's. name: of the tagger's."""
    if settings.retrieval_encoder not in (SAME, name):
        encoder, tokenizer = load_encoder(settings.retrieval_encoder)
        encoder.to(device).requires_grad_(False)  # type: ignore[arg-type]
    return Retrieval(encoder, tokenizer, settings)


def _neighbours(
    settings: Settings, retrieval: Retrieval, vectors: np.ndarray, dev: Sequence[Input]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Neighbours of each source sentence and, if dev is adapted too, of each dev sentence."""
    index = SupportIndex(vectors, similarity=settings.similarity)
    skip = settings.neighbour_rule == "skip_first"
    itself = None if skip else range(len(vectors))
    support, _ = index.search(vectors, settings.neighbours, without=itself, skip_first=skip)
    if settings.select_on == "unadapted":
        return support, None
    return support, retrieval.support([s.retrieval for s in dev], index)[0]
