"""Hyper-parameters: one frozen dataclass, checked as a whole, and named presets of it.

The default is the paper's text (Sec. 4.2). `official-code` follows the authors' published code instead; the names
of the fields that differ say in what.
"""

import dataclasses
import hashlib
import json
import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from metaner_core import __version__
from metaner_core.data.labels import TYPES

CHOICES: dict[str, tuple[str, ...]] = {
    "touching_words": ("together", "apart"),
    "last_window": ("as_needed", "after_full"),
    "long_sentences": ("whole", "windows"),
    "neighbour_rule": ("without_self", "skip_first"),
    "similarity": ("cosine", "dot_over_source_norm"),
    "pooling": ("cls", "mean"),
    "loss_tokens": ("first", "all"),
    "batch_loss": ("sum_of_sentences", "mean_of_tokens"),
    "masked_sets": ("support+query", "query"),
    "masked_tokens": ("all", "first"),
    "schedule": ("from_first_step", "from_zero"),
    "dev_at": ("multiples", "after_first"),
    "optimizer": ("adam", "bertadam", "sgd"),
    "adapt_optimizer": ("same", "adam", "bertadam", "sgd", "scaled_sgd"),
    "select_on": ("unadapted", "adapted"),
}
# What may be other than in training.
ADAPTING = ("neighbours", "neighbour_rule", "adapt_optimizer", "adapt_steps", "gamma", "adapt_dropout")
SAME = "same"  # an encoder: the tagger's own, as it was pre-trained; an optimiser: that of training
POSITIVE = ("neighbours", "tasks_per_update", "meta_updates", "adapt_steps", "dev_every")  # at least 1


# What bundles do whose version had no such field, by field. A new field comes with an entry, which then never changes.
EARLIER: dict[str, Any] = {
    "touching_words": "apart",
    "retrieval_encoder": "same",
    "pooling": "cls",
    "layer": -1,
    "prefix": "",
    "adapt_optimizer": "same",
    "last_window": "as_needed",
    "long_sentences": "whole",
    "masked_tokens": "all",
    "schedule": "from_first_step",
    "dev_at": "multiples",
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that decides what a training run computes. Raises ValueError listing every bad field at once."""

    preset: str = "paper"
    seed: int = 0
    types: tuple[str, ...] = TYPES  # entity types; a type of the corpus that is left out becomes O

    window: int = 128  # subwords in one encoder input, [CLS] and [SEP] not counted
    window_context: int = 64  # subwords that a following window repeats
    last_window: str = "as_needed"  # after_full: after a last window that is full one more, which holds nothing new
    long_sentences: str = "whole"  # windows: each has a vector, neighbours, a task and an adapted model of its own
    touching_words: str = "together"  # go to a SentencePiece tokenizer as one text; apart: each with a ▁ before it

    neighbours: int = 2  # K, size of the support set
    neighbour_rule: str = "without_self"  # skip_first: the K after the first, whatever the first is
    similarity: str = "cosine"  # Eq. 6
    retrieval_encoder: str = SAME  # whose vectors find the support set: the tagger's own, or another by its name
    pooling: str = "cls"  # of a sentence's tokens (Eq. 5); mean: of all, [CLS], prefix and [SEP] among them
    layer: int = -1  # whose vectors: -1 the last, 1 the lowest, 0 the embeddings
    prefix: str = ""  # text before every sentence, in retrieval only: `query: ` for E5

    frozen_layers: int = 3  # bottom encoder layers that are never trained; the embeddings never are
    dropout: float = 0.1
    loss_tokens: str = "first"  # all: further subwords, [CLS] and [SEP] have labels of their own
    batch_loss: str = "sum_of_sentences"  # mean_of_tokens: mean over all tokens of a batch, λ times the mean of maxima
    max_loss_weight: float = 2.0  # λ of Eq. 13, in meta-training only

    mask_ratio: float = 0.2  # chance that a subword inside an entity becomes [MASK], in meta-training only
    masked_sets: str = "support+query"
    masked_tokens: str = "all"  # first: of a word inside an entity its first subword only

    optimizer: str = "adam"  # of the inner steps and the meta-update
    inner_steps: int = 2  # n of Eq. 7; 0 is plain fine-tuning (the base model)
    alpha: float = 3e-5  # inner learning rate
    alpha_follows_schedule: bool = False
    beta: float = 3e-5  # meta learning rate, scheduled: linear warm-up, then linear decay
    warmup: float = 0.1  # share of the meta-updates
    schedule: str = "from_first_step"  # from_zero: the first and the last meta-update have a rate of 0
    tasks_per_update: int = 32
    meta_updates: int = 3000

    adapt_optimizer: str = SAME  # sgd and scaled_sgd cost least; scaled: the root mean square of a step is γ
    adapt_steps: int = 1
    gamma: float = 1e-5  # adaptation learning rate, of a size that depends on the optimiser
    adapt_dropout: bool = False

    dev_every: int = 100  # meta-updates between two looks at English dev
    dev_at: str = "multiples"  # of dev_every; after_first: after the first meta-update, and from there on
    select_on: str = "unadapted"  # which dev F1 decides what the best model is
    score_overlaps: bool = False  # score words in window overlaps twice, in one sequence without sentence ends

    def __post_init__(self) -> None:
        wrong = self._wrong_types()
        bad = [*self._bad_choices(), *self._bad_numbers()]
        problems = [*wrong.values(), *(problem for name, problem in bad if name not in wrong)]
        if problems:
            raise ValueError("settings:\n  " + "\n  ".join(problems))

    def _wrong_types(self) -> dict[str, str]:
        found = {}
        for field in dataclasses.fields(self):
            value, kind = getattr(self, field.name), type(field.default)
            if type(value) is not kind and not (kind is float and type(value) is int):
                found[field.name] = f"{field.name} is {value!r}; it must be of type {kind.__name__}"
        return found

    def _bad_choices(self) -> Iterator[tuple[str, str]]:
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                yield name, f"{name} is {getattr(self, name)!r}; it must be one of {', '.join(allowed)}"
        types = tuple(self.types) if isinstance(self.types, tuple) else ()
        if not types or set(types) - set(TYPES) or len(set(types)) < len(types):
            yield "types", f"types is {self.types!r}; it must hold one or more of {', '.join(TYPES)}, each once"
        if self.long_sentences == "windows":
            for name, needed in (("retrieval_encoder", SAME), ("select_on", "unadapted")):
                if getattr(self, name) != needed:
                    told = f"with long_sentences=windows it must be {needed}; or set long_sentences=whole"
                    yield name, f"{name} is {getattr(self, name)!r}; {told}"
        if not self.retrieval_encoder:
            yield "retrieval_encoder", f"retrieval_encoder is ''; it must be `{SAME}` or the name of an encoder"

    def _bad_numbers(self) -> Iterator[tuple[str, str]]:
        limits: dict[str, tuple[float, float]] = dict.fromkeys(POSITIVE, (1, math.inf))
        limits["window"] = (2, math.inf)
        limits |= dict.fromkeys(("seed", "window_context", "frozen_layers", "inner_steps"), (0, math.inf))
        limits |= dict.fromkeys(("alpha", "beta", "gamma", "max_loss_weight"), (0, sys.float_info.max))
        limits |= dict.fromkeys(("dropout", "mask_ratio", "warmup"), (0, 1))
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if isinstance(value, int | float) and not low <= value <= high:
                most = f" and at most {high}" if high == 1 else ""
                yield name, f"{name} is {value}; it must be a number of at least {low}{most}"
        sizes = (self.window, self.window_context)
        if all(type(size) is int for size in sizes) and self.window_context >= self.window:
            yield "window", f"window_context is {self.window_context}; it must be smaller than window ({self.window})"

    @property
    def adapts_with(self) -> str:
        """The optimiser of the adaptation."""
        return self.optimizer if self.adapt_optimizer == SAME else self.adapt_optimizer

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def fingerprint(self) -> str:
        """Twelve hex digits that change when any field does."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:12]

    def adapting(self, changes: Mapping[str, Any]) -> "Settings":
        """These settings with others for the adaptation. Raises ValueError for a field that training decided."""
        if fixed := sorted(set(changes) - set(ADAPTING)):
            others = ", ".join(ADAPTING)
            raise ValueError(
                f"{', '.join(fixed)}: decided when the bundle was trained; only {others} can be others now"
            )
        return dataclasses.replace(self, **changes)

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> "Settings":
        """The inverse of to_dict, for what this version or an earlier one wrote.

        Raises ValueError for fields that only a newer version can have written, and for some that every version wrote.
        """
        fields = {field.name for field in dataclasses.fields(Settings)}
        if unknown := sorted(set(values) - fields):
            raise ValueError(
                f"made by a newer metaner: this one ({__version__}) does not know the settings {', '.join(unknown)}; "
                "upgrade it, or make the bundle again with this one"
            )
        if missing := sorted(fields - set(values) - set(EARLIER)):
            raise ValueError(
                f"the settings lack {', '.join(missing)}, which every version wrote: copy the bundle again"
            )
        return Settings(**{**EARLIER, **values, "types": tuple(values["types"])})


OFFICIAL_CODE: dict[str, Any] = {
    "window": 126,  # 128 with [CLS] and [SEP]
    "last_window": "after_full",
    "long_sentences": "windows",
    "frozen_layers": 4,
    "loss_tokens": "all",
    "optimizer": "bertadam",
    "alpha_follows_schedule": True,
    "batch_loss": "mean_of_tokens",
    "masked_sets": "query",
    "masked_tokens": "first",
    "schedule": "from_zero",
    "meta_updates": 3001,
    "dev_every": 300,
    "dev_at": "after_first",
    "neighbour_rule": "skip_first",
    "similarity": "dot_over_source_norm",
    "adapt_dropout": True,
    "score_overlaps": True,
}
# A small encoder has fewer layers and was pre-trained for minutes: it needs larger steps and less of it frozen.
# Chosen on English dev only (docs/findings/results.md); K, masking, λ, warm-up and the rest stay the paper's.
# Its adaptation takes a step of gradient descent as long as Adam's, which on English dev gains most and needs no matrix
# of a weight's size.
EMBEDDED: dict[str, Any] = {
    "frozen_layers": 1,
    "alpha": 5e-5,
    "beta": 1e-3,
    "adapt_optimizer": "scaled_sgd",
    "gamma": 1e-4,
    "meta_updates": 1000,
}
# multilingual-e5-small: 12 layers as the paper has, but 384 wide, and sentence vectors that are the mean of all tokens.
# The step that adapts, γ and the pooling were chosen on English dev; β, at which it learns, was not compared. The
# encoder was made with a prefix: retrieval without one costs less, and English dev, adapted, lost nothing by it
# (docs/findings/results.md).
E5: dict[str, Any] = {
    "beta": 2e-4,
    "adapt_optimizer": "scaled_sgd",
    "gamma": 1e-5,
    "pooling": "mean",
}
BASE: dict[str, Any] = {"inner_steps": 0, "max_loss_weight": 0.0, "mask_ratio": 0.0}

WITHOUT_MAX_LOSS: dict[str, Any] = {"max_loss_weight": 0.0}
WITHOUT_MASKING: dict[str, Any] = {"mask_ratio": 0.0}

PRESETS: dict[str, dict[str, Any]] = {
    "paper": {},
    "official-code": OFFICIAL_CODE,
    "without-max-loss": WITHOUT_MAX_LOSS,
    "without-masking": WITHOUT_MASKING,
    "without-both": {**WITHOUT_MAX_LOSS, **WITHOUT_MASKING},
    "base": BASE,
    "official-code-base": {**OFFICIAL_CODE, **BASE},
    "e5": E5,
    "e5-base": {**E5, **BASE},
    "e5-without-max-loss": {**E5, **WITHOUT_MAX_LOSS},
    "e5-without-masking": {**E5, **WITHOUT_MASKING},
    "e5-without-both": {**E5, **WITHOUT_MAX_LOSS, **WITHOUT_MASKING},
    "embedded": EMBEDDED,
    "embedded-base": {**EMBEDDED, **BASE},
    "demo": {**EMBEDDED, "meta_updates": 300, "tasks_per_update": 8, "dev_every": 100},  # minutes on two cores
}


def preset(name: str, **overrides: Any) -> Settings:
    """The settings of a preset, with single fields replaced. Raises ValueError for an unknown preset or field."""
    if name not in PRESETS:
        raise ValueError(f"preset {name!r} is unknown; there are {', '.join(PRESETS)}")
    fields = {field.name for field in dataclasses.fields(Settings)}
    unknown = sorted(set(overrides) - fields)
    if unknown:
        raise ValueError(f"settings have no field {', '.join(unknown)}; there are {', '.join(sorted(fields))}")
    return Settings(**{"preset": name, **PRESETS[name], **overrides})


def parse_overrides(pairs: list[str]) -> dict[str, Any]:
    """`["alpha=1e-4", "types=PER,LOC"]` to typed values. Raises ValueError for a malformed pair."""
    kinds = {field.name: field.type for field in dataclasses.fields(Settings)}
    return dict(_parse(pair, kinds) for pair in pairs)


KINDS: dict[Any, str] = {int: "a whole number", float: "a number", bool: "true or false"}


def _parse(pair: str, kinds: Mapping[str, Any]) -> tuple[str, Any]:
    name, equals, text = pair.partition("=")
    if not equals or name not in kinds:
        raise ValueError(
            f"--set {pair!r}: expected FIELD=VALUE with a field of the settings: {', '.join(sorted(kinds))}"
        )
    try:
        if kinds[name] is bool:
            return name, {"true": True, "false": False}[text.lower()]
        return name, tuple(text.split(",")) if name == "types" else kinds[name](text)
    except (KeyError, ValueError):
        raise ValueError(f"--set {pair!r}: {text!r} is not {KINDS.get(kinds[name], 'right')}") from None
