"""A bundle's unadapted model as a transformers model for token classification, with its tokenizer."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import torch
from tokenizers import pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import AutoModelForTokenClassification, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from metaner_core.bundles.bundle import Bundle
from metaner_core.data import corpora
from metaner_core.data.columns import Sentence
from metaner_core.model.encoding import Batch, LabelSet, collate

LIMIT = 1e-4  # largest difference of two logits that rounding explains: a wrong weight makes far larger ones
CHECKED = 8  # source sentences that what was written is tried on, and one that is longer than a window


@dataclass(frozen=True)
class Written:
    """What was written and read back. inputs: those that the tokenizer gives. distance: to the tagger's logits."""

    model: PreTrainedModel
    inputs: tuple[str, ...]
    distance: float


def write(loaded: Bundle, folder: Path) -> Written:
    """Write model and tokenizer, and read them back.

    Raises ValueError when the encoder's family has no such model, or when what was read back is not the bundle's.
    """
    classifier(loaded).save_pretrained(folder)
    tokenizer(loaded).save_pretrained(folder)
    model = AutoModelForTokenClassification.from_pretrained(folder, dtype=torch.float32, use_safetensors=True).eval()
    found = AutoTokenizer.from_pretrained(folder)
    _require_same_ids(loaded, found)
    return Written(model, tuple(found("a")), _distance_from_tagger(loaded, model))


def classifier(loaded: Bundle) -> PreTrainedModel:
    """The tagger, as transformers' model of the encoder's family. Raises ValueError for a family that has none."""
    labels = LabelSet.of(loaded.settings).names
    config = copy.deepcopy(loaded.tagger.encoder.config)
    config.id2label, config.label2id = dict(enumerate(labels)), {name: n for n, name in enumerate(labels)}
    config.classifier_dropout = loaded.settings.dropout
    try:
        model = AutoModelForTokenClassification.from_config(config)
        model.base_model.load_state_dict(loaded.tagger.encoder.state_dict())
        model.classifier.load_state_dict(loaded.tagger.classifier.state_dict())
    except (ValueError, RuntimeError, AttributeError) as error:
        raise ValueError(
            f"an encoder of the type {config.model_type!r} cannot be exported: transformers has no model for token "
            "classification that takes its weights; those of the types bert, roberta and xlm-roberta can"
        ) from error
    return model.eval()


def tokenizer(loaded: Bundle) -> PreTrainedTokenizerBase:
    """The bundle's tokenizer, which cuts texts off after a window and puts [CLS] and [SEP] where the bundle does.

    A SentencePiece's place in the text begins behind the space, or names would begin with one.
    """
    found = copy.deepcopy(loaded.tokenizer)
    spaces = found.backend_tokenizer.pre_tokenizer
    if isinstance(spaces, pre_tokenizers.Metaspace):
        found.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), spaces])
    found.model_max_length = loaded.settings.window + 2
    cls, sep = str(found.cls_token), str(found.sep_token)
    if not _encloses(found):
        found.backend_tokenizer.post_processor = TemplateProcessing(
            single=[cls, "$A", sep],
            pair=[cls, "$A", sep, "$B", sep],
            special_tokens=[(name, found.convert_tokens_to_ids(name)) for name in (cls, sep)],
        )
    return found


def _encloses(found: PreTrainedTokenizerBase) -> bool:
    bare = found("a", add_special_tokens=False)["input_ids"]
    return found("a")["input_ids"] == [found.cls_token_id, *bare, found.sep_token_id]


def samples(loaded: Bundle) -> list[Batch]:
    """A sentence by itself; several together, padded, with one of more than one window where the source has so much."""
    source = checked_on(loaded)
    one, *others = [loaded.encode(sentence.words) for sentence in source[:CHECKED]]
    words = chain.from_iterable(sentence.words for sentence in source)
    long = loaded.encode(list(islice(words, loaded.settings.window + 1)))
    return [collate([one], loaded.tokenizer), collate([one, *others, long], loaded.tokenizer)]


def checked_on(loaded: Bundle) -> Sequence[Sentence]:
    """Sentences for comparing models: the source, or of the package where a bundle has none."""
    return loaded.source or corpora.load("embedded-en", "train")


@torch.inference_mode()
def run(model: PreTrainedModel, batch: Batch) -> torch.Tensor:
    """Logits [W, T, C]."""
    return model(input_ids=batch.ids, attention_mask=batch.attention).logits


@torch.inference_mode()
def _distance_from_tagger(loaded: Bundle, model: PreTrainedModel) -> float:
    pairs = [(run(model, b)[b.row, b.col], loaded.tagger(b)) for b in samples(loaded)]
    return require_near(pairs, "transformers' model differs from the bundle's")


def require_near(pairs: Sequence[tuple[torch.Tensor, torch.Tensor]], what: str) -> float:
    """The largest difference of logits. Raises ValueError when it is more than rounding explains, or no number."""
    largest = float(torch.stack([(a - b).abs().max() for a, b in pairs]).max())  # NaN if any is: Python's max loses it
    if not largest <= LIMIT:
        raise ValueError(f"{what}: logits by up to {largest:.1e}, and {LIMIT:.0e} is allowed; nothing was written")
    return largest


def _require_same_ids(loaded: Bundle, found: PreTrainedTokenizerBase) -> None:
    for sentence in checked_on(loaded)[:CHECKED]:
        words = list(sentence.words)
        bare = loaded.tokenizer(words, is_split_into_words=True, add_special_tokens=False)["input_ids"]
        expected = [found.cls_token_id, *bare[: loaded.settings.window], found.sep_token_id]
        if found(words, is_split_into_words=True, truncation=True)["input_ids"] != expected:
            text = " ".join(words)[:80]
            raise ValueError(f"the tokenizer is another one when it is read back: it divides {text!r} otherwise")
