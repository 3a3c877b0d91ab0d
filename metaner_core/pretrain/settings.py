"""What decides a packed text and a pre-training run: two frozen dataclasses, each checked as a whole."""

import dataclasses
import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

T = TypeVar("T", bound="Checked")
LARGEST_VOCABULARY = 65_535  # ids are kept in 16 bits


@dataclass(frozen=True, kw_only=True)
class Checked:
    """Fields of one type each, within limits. Raises ValueError listing every bad field at once."""

    LIMITS: ClassVar[Mapping[str, tuple[float, float]]] = {}

    def __post_init__(self) -> None:
        if problems := [*self._wrong(), *self._contradictions()]:
            raise ValueError(f"{type(self).__name__}:\n  " + "\n  ".join(problems))

    def _wrong(self) -> Iterator[str]:
        for field in dataclasses.fields(self):
            value: Any = getattr(self, field.name)
            kind: Any = type(field.default)
            if type(value) is not kind and not (kind is float and type(value) is int):
                yield f"{field.name} is {value!r}; it must be of type {kind.__name__}"
            elif field.name in self.LIMITS:
                low, high = self.LIMITS[field.name]
                if not low <= value <= high:
                    yield f"{field.name} is {value}; it must be a number from {low} to {high}"

    def _contradictions(self) -> Iterator[str]:
        yield from ()

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def fingerprint(self) -> str:
        """Twelve hex digits that change when any field does."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:12]


@dataclass(frozen=True, kw_only=True)
class PackSettings(Checked):
    """How text becomes a vocabulary and token ids."""

    seed: int = 0
    vocabulary: int = 20_000  # cased WordPieces, special tokens included
    alphabet: int = 5_500  # characters with a piece of their own, the most frequent ones; most are Chinese
    vocabulary_exponent: float = 0.5  # a language gets a share of the sample ∝ characters^exponent; 1: as it comes
    vocabulary_characters: int = 60_000_000  # size of the sample that the vocabulary is made from
    tokenizer_of: str = ""  # an encoder (as load_encoder takes it) whose WordPieces are used; "": new ones are made
    held_out: float = 0.005  # share of the translation pairs kept for the retrieval score

    LIMITS = {  # noqa: RUF012 (a ClassVar by its base)
        "seed": (0, math.inf),
        "vocabulary": (100, LARGEST_VOCABULARY),
        "alphabet": (1, LARGEST_VOCABULARY),
        "vocabulary_exponent": (0, 1),
        "vocabulary_characters": (1_000, math.inf),
        "held_out": (0, 0.5),
    }

    def _contradictions(self) -> Iterator[str]:
        if self.alphabet >= self.vocabulary:
            yield f"alphabet is {self.alphabet}; it must be smaller than vocabulary ({self.vocabulary})"


@dataclass(frozen=True, kw_only=True)
class PretrainSettings(Checked):
    """The encoder's shape and everything that decides how it is pre-trained."""

    preset: str = "laptop"
    seed: int = 0

    layers: int = 4
    width: int = 256
    heads: int = 4
    inner_width: int = 1024
    positions: int = 512  # those beyond `length` are never trained

    start_from: str = ""  # an encoder (as load_encoder takes it) to go on from, of this shape; "": a new one
    start_tokens: int = 10_000_000  # text that the first word vectors are counted on; 0: random ones
    start_window: int = 4  # how far apart two pieces count as neighbours

    steps: int = 20_000
    batch: int = 32  # sequences
    length: int = 132  # pieces in a sequence, [CLS] and [SEP] included: a tagger's windows take 130
    translation_share: float = 0.4  # of the batches: translation LM, the others mono text
    language_exponent: float = 0.7  # a language is drawn ∝ tokens^exponent
    mask_rate: float = 0.2
    whole_words: bool = True
    mask_token_share: float = 0.8  # of the chosen pieces; half of the others become random ones, half stay

    learning_rate: float = 8e-4  # linear warm-up, then linear decay
    warmup: float = 0.02  # share of the steps
    weight_decay: float = 0.01
    beta2: float = 0.98
    clip: float = 1.0  # norm of the gradient
    dropout: float = 0.0  # a small model is far from learning its text by heart
    bf16: bool = True

    save_every: int = 500  # steps between two checkpoints, each with a retrieval score

    LIMITS = {  # noqa: RUF012
        **dict.fromkeys(("seed", "start_tokens"), (0, math.inf)),
        **dict.fromkeys(("layers", "width", "heads", "inner_width", "start_window"), (1, math.inf)),
        **dict.fromkeys(("steps", "batch", "save_every"), (1, math.inf)),
        **dict.fromkeys(("positions", "length"), (8, math.inf)),
        **dict.fromkeys(("translation_share", "language_exponent", "mask_token_share", "warmup"), (0, 1)),
        **dict.fromkeys(("weight_decay", "dropout"), (0, 1)),
        "mask_rate": (0.01, 0.9),
        "beta2": (0, 0.99999),
        "learning_rate": (0, 1),
        "clip": (1e-6, 1e9),
    }

    def _contradictions(self) -> Iterator[str]:
        if type(self.width) is type(self.heads) is int and self.heads > 0 and self.width % self.heads:
            yield f"width is {self.width}; it must be a multiple of heads ({self.heads})"
        if self.length > self.positions:
            yield f"length is {self.length}; it must be at most positions ({self.positions})"
        if self.preset not in PRESETS:
            yield f"preset is {self.preset!r}; there are {', '.join(PRESETS)}"


PRESETS: dict[str, dict[str, Any]] = {
    "laptop": {},
    "gpu": {"batch": 512, "steps": 30_000, "learning_rate": 2e-3, "save_every": 1_000},
    "smoke": {"steps": 20, "save_every": 10, "start_tokens": 100_000},
}


def preset(name: str, **overrides: Any) -> PretrainSettings:
    """The settings of a preset, with single fields replaced. Raises ValueError for an unknown preset or field."""
    if name not in PRESETS:
        raise ValueError(f"preset {name!r} is unknown; there are {', '.join(PRESETS)}")
    return PretrainSettings(**{"preset": name, **PRESETS[name], **overrides})


def overrides(kind: type[Checked], pairs: Sequence[str]) -> dict[str, Any]:
    """`["steps=100", "bf16=false"]` to typed values of a settings class. Raises ValueError for a malformed pair."""
    kinds: dict[str, Any] = {field.name: type(field.default) for field in dataclasses.fields(kind)}
    found = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or name not in kinds:
            raise ValueError(f"{pair!r}: expected FIELD=VALUE with one of the fields {', '.join(sorted(kinds))}")
        try:
            found[name] = {"true": True, "false": False}[text.lower()] if kinds[name] is bool else kinds[name](text)
        except (KeyError, ValueError):
            raise ValueError(f"{pair!r}: {text!r} is no {kinds[name].__name__}") from None
    return found
