"""What is measured: a tagger of some shape, source sentences, and sentences that are to be tagged."""

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoModelForTokenClassification,
    BertConfig,
    BertModel,
    PreTrainedModel,
    TokenClassificationPipeline,
)

from metaner_core.data import corpora
from metaner_core.data.corpora import Sentence
from metaner_core.encoders.encoder import load_encoder
from metaner_core.engine.adapting import BatchedEngine
from metaner_core.method.adapt import Engine
from metaner_core.method.retrieval import Retrieval, SupportIndex
from metaner_core.model.encoding import Encoded, LabelSet
from metaner_core.model.inputs import Inputs
from metaner_core.model.tagger import Tagger
from metaner_core.settings import preset


@dataclass(frozen=True)
class Shape:
    """An encoder's size, and the preset that it is used with. All have the embedded encoder's vocabulary."""

    preset: str
    layers: int
    width: int
    heads: int


SHAPES = {
    "embedded": Shape("embedded", 3, 384, 12),
    "e5-small": Shape("e5", 12, 384, 12),
    "bert-base": Shape("paper", 12, 768, 12),
}

ADAM = {"adapt_optimizer": "adam", "gamma": 1e-4}  # of all rows that do not say otherwise


class Workload:
    """A tagger of one shape, English sentences as source, and sentences that are to be tagged."""

    def __init__(
        self,
        shape: str,
        device: str,
        precision: str,
        *,
        words: Sequence[Sequence[str]] | None = None,
        source: Sequence[Sentence] | None = None,
        changes: Mapping[str, Any] | None = None,
    ) -> None:
        """words: of the sentences that are tagged; None: the embedded test sets. source: None: the embedded ones.
        changes: settings that replace those of the shape's preset."""
        settings = preset(SHAPES[shape].preset, **{**ADAM, **(changes or {})})
        encoder, tokenizer = load_encoder("embedded")
        if shape != "embedded":
            encoder = _random(SHAPES[shape], len(tokenizer))
        self.read = Inputs(tokenizer, settings)
        encode = self.read.encode
        sentences = corpora.load("embedded-en", "train") if source is None else source
        self.source = [encode(s.words, s.labels) for s in sentences]
        self.words = embedded_words() if words is None else list(words)
        self.texts = [" ".join(sentence) for sentence in self.words]
        self.queries = [encode(sentence) for sentence in self.words]
        encoder.to(device)  # type: ignore[arg-type]
        labels = LabelSet.of(settings)
        tagger = Tagger(encoder, len(labels.names), settings).to(device)
        self.reference = Engine(tagger, tokenizer, labels, settings, self.source, device)
        parts = {f.name: getattr(self.reference, f.name) for f in dataclasses.fields(Engine)}
        self.batched = BatchedEngine(**parts, precision=precision)
        self.retrieval = Retrieval(encoder, tokenizer, settings, half=precision == "bf16")
        vectors = self.retrieval.vectors([s.ids for s in self.source])
        self.index = SupportIndex(vectors)
        self.support = self.index.search(vectors, settings.neighbours, without=range(len(vectors)))[0]

    def nearest(self, count: int) -> np.ndarray:
        """Ids [n, K] of the nearest source sentences of so many queries, from the first one on again where they end."""
        ids = self.retrieval.support([s.ids for s in self.queries[:count]], self.index)[0]
        return np.resize(ids, (count, ids.shape[1]))

    def as_they_come(self, count: int) -> list[tuple[str, ...]]:
        """Words of so many different sentences, in their order; where they end, with a last word of their own."""
        rounds = (divmod(n, len(self.words)) for n in range(count))
        return [(*self.words[at], str(again)) if again else tuple(self.words[at]) for again, at in rounds]

    def adapting(self, kind: str) -> BatchedEngine:
        """The batched engine with another optimiser of the adaptation."""
        settings = dataclasses.replace(self.batched.settings, adapt_optimizer=kind)
        return dataclasses.replace(self.batched, settings=settings)

    def pipeline(self) -> TokenClassificationPipeline:
        """transformers' own tagger, with copies of the same weights."""
        tagger = self.reference.tagger
        encoder: Any = tagger.encoder
        config = copy.deepcopy(encoder.config)
        config.num_labels = tagger.classifier.out_features
        model = AutoModelForTokenClassification.from_config(config)
        getattr(model, model.base_model_prefix).load_state_dict(encoder.state_dict())
        model.classifier.load_state_dict(tagger.classifier.state_dict())
        return TokenClassificationPipeline(
            model=model, tokenizer=self.reference.tokenizer, device=torch.device(self.reference.device)
        )

    def distinct(self, count: int) -> list[Encoded]:
        """So many different sentences; where the test sets end, they go on with a last word of their own."""
        found = []
        for n in range(count):
            sentence = self.queries[n % len(self.queries)]
            ids = (*sentence.ids[:-1], 1_000 + n // len(self.queries)) if n >= len(self.queries) else sentence.ids
            found.append(dataclasses.replace(sentence, ids=ids))
        return found

    def sets(self, count: int, group: int) -> np.ndarray:
        """Random support sets, each for `group` sentences in a row; no source sentence is in two if that can be."""
        rng = np.random.default_rng(0)
        needed = -(-count // group) * 2
        ids = np.concatenate([rng.permutation(len(self.source)) for _ in range(needed // len(self.source) + 1)])
        return np.repeat(ids[:needed].reshape(-1, 2), group, axis=0)[:count]


def embedded_words() -> list[tuple[str, ...]]:
    """Of the embedded test sets, one language after the other."""
    tests = (f"embedded-{language}" for language in ("es", "nl", "de", "fr", "zh"))
    return [tuple(s.words) for name in tests for s in corpora.load(name, "test")]


def _random(shape: Shape, vocabulary: int) -> PreTrainedModel:
    """With random weights."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=vocabulary,
        hidden_size=shape.width,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=4 * shape.width,
    )
    return BertModel(config, add_pooling_layer=False).eval()
