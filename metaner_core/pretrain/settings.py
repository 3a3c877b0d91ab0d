"""What decides a packed text and a pre-training run: two frozen dataclasses, each checked as a whole."""

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from metaner_core import storage
from metaner_core.checked import Checked
from metaner_core.encoders import e5_small
from metaner_core.encoders.source import settled

LARGEST_VOCABULARY = 65_535  # ids are kept in 16 bits


@dataclass(frozen=True, kw_only=True)
class PackSettings(Checked):
    """How text becomes a vocabulary and token ids."""

    seed: int = 0
    vocabulary: int = 20_000  # pieces, special tokens included
    alphabet: int = 5_500  # characters with a piece of their own, the most frequent ones; most are Chinese
    vocabulary_exponent: float = 0.5  # a language gets a share of the sample ∝ characters^exponent; 1: as it comes
    vocabulary_characters: int = 60_000_000  # size of the sample that the vocabulary is made from
    # An encoder (as load_encoder takes it): its WordPieces are used, or of its SentencePieces the most frequent ones in
    # the text. "": WordPieces are made from the text.
    tokenizer_of: str = ""
    held_out: float = 0.005  # share of the translation pairs kept for the retrieval score
    keep_text: bool = False  # keep the text too, as it is written: a teacher reads it in pieces of its own

    EARLIER = {"keep_text": False}  # noqa: RUF012 (a ClassVar by its base)
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

    teacher: str = ""  # an encoder (as load_encoder takes it) whose vectors are learnt; "": masked words only
    teacher_prefix: str = ""  # before every sentence that the teacher reads: `query: ` for E5
    teacher_pooling: str = "mean"  # what the teacher's vector of a sentence is; the student's is made in the same way
    teacher_standard: bool = True  # its vectors less their mean, each dimension with variance 1: taggers learn sooner
    teacher_error: str = "relative"  # each relative to its aim's length; squared: aims far from the mean count more
    teacher_start: str = "layers"  # what is taken from it: embeddings and layers; embeddings; nothing
    teacher_layers: str = ""  # which, lowest first, as in 1,4,8,12; "": evenly apart, from the first to the last
    teacher_share: float = 1.0  # of the steps; in the others masked words are learnt
    sentence_teacher: str = ""  # another encoder, whose sentences' vectors the student's [CLS] learns; "": the teacher
    sentence_prefix: str = ""  # before every sentence that it reads
    sentence_share: float = 1.0  # of a step's rows, those whose sentences' vectors are learnt
    sentence_weight: float = 1.0  # of the error of sentences' vectors, relative to their length
    word_weight: float = 1.0  # likewise of words' vectors

    EARLIER = {  # noqa: RUF012
        "teacher": "",
        "teacher_prefix": "",
        "teacher_pooling": "mean",
        "teacher_standard": True,
        "teacher_error": "relative",
        "teacher_start": "layers",
        "teacher_layers": "",
        "teacher_share": 1.0,
        "sentence_teacher": "",
        "sentence_prefix": "",
        "sentence_share": 1.0,
        "sentence_weight": 1.0,
        "word_weight": 1.0,
    }
    LIMITS = {  # noqa: RUF012
        **dict.fromkeys(("seed", "start_tokens"), (0, math.inf)),
        **dict.fromkeys(("layers", "width", "heads", "inner_width", "start_window"), (1, math.inf)),
        **dict.fromkeys(("steps", "batch", "save_every"), (1, math.inf)),
        **dict.fromkeys(("positions", "length"), (8, math.inf)),
        **dict.fromkeys(("translation_share", "language_exponent", "mask_token_share", "warmup"), (0, 1)),
        **dict.fromkeys(("weight_decay", "dropout", "teacher_share", "sentence_share"), (0, 1)),
        **dict.fromkeys(("sentence_weight", "word_weight"), (0, 1e6)),
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
        for field, choices in CHOICES.items():
            if getattr(self, field) not in choices:
                yield f"{field} is {getattr(self, field)!r}; it must be one of {', '.join(choices)}"
        if self.sentence_teacher and not self.teacher:
            yield f"sentence_teacher is {self.sentence_teacher!r} and there is no teacher: name it as teacher"
        if self.teacher:
            yield from self._of_a_teacher()

    def _of_a_teacher(self) -> Iterator[str]:
        if self.dropout:
            yield f"dropout is {self.dropout}; with a teacher it must be 0, for its vectors are without any"
        if not self.sentence_weight and not self.word_weight:
            yield "sentence_weight and word_weight are 0; one must be above, or teacher left out"
        if self.teacher_error == "squared" and not self.teacher_standard:
            yield "teacher_error is 'squared'; it wants vectors of a known size: teacher_standard=true, or 'relative'"
        if not self.teacher_share:
            yield "teacher_share is 0; it must be above, or teacher left out"
        if self.sentence_weight and not self.sentence_share:
            yield "sentence_share is 0; it must be above, or sentence_weight 0"
        numbers = self.teacher_layers.split(",") if self.teacher_layers else []
        if not all(number.strip().isdecimal() and int(number) for number in numbers):
            yield f"teacher_layers is {self.teacher_layers!r}; it must be numbers from 1, as in 1,4,8,12"
        elif numbers and len(numbers) != self.layers:
            yield f"teacher_layers names {len(numbers)}; it must name as many as there are layers ({self.layers})"

    @property
    def sources(self) -> tuple[str, ...]:
        """The encoders that a run begins with or learns from."""
        return tuple(filter(None, (self.teacher, self.sentence_teacher, self.start_from)))

    def settled(self) -> "PretrainSettings":
        """The same with folders among them as processes find them that work elsewhere."""
        named = ("teacher", "sentence_teacher", "start_from")
        places: dict[str, Any] = {field: settled(source) for field in named if (source := getattr(self, field))}
        return dataclasses.replace(self, **places)

    @property
    def masks_words(self) -> bool:
        """Whether any step learns masked words: else there is no masked-LM head to keep."""
        return not self.teacher or self.teacher_share < 1


CHOICES = {
    "teacher_pooling": ("cls", "mean"),
    "teacher_error": ("relative", "squared"),
    "teacher_start": ("layers", "embeddings", "nothing"),
}
PREFIXES = dict.fromkeys(e5_small.NAMES, "query: ")  # what teachers known by name want
E5_SHAPE = {"layers": 3, "width": 384, "heads": 12, "inner_width": 1536}
PRESETS: dict[str, dict[str, Any]] = {
    "laptop": {},
    "gpu": {"batch": 512, "steps": 30_000, "learning_rate": 2e-3, "save_every": 1_000},
    "student": {"teacher": e5_small.NAME, "teacher_prefix": PREFIXES[e5_small.NAME], **E5_SHAPE},
    "smoke": {"steps": 20, "save_every": 10, "start_tokens": 100_000},
}


def preset(name: str, **overrides: Any) -> PretrainSettings:
    """The settings of a preset, with single fields replaced. Raises ValueError for an unknown preset or field."""
    if name not in PRESETS:
        raise ValueError(f"preset {name!r} is unknown; there are {', '.join(PRESETS)}")
    return PretrainSettings(**{"preset": name, **PRESETS[name], **overrides})


def from_options(name: str, changes: Mapping[str, Any], teacher: str | None) -> PretrainSettings:
    """The settings that a command line asks for: a preset's, fields of it replaced, a teacher. Raises ValueError."""
    named = {"teacher": teacher} if teacher else {}
    return with_teacher(preset(name, **{**changes, **named}), teacher)


def with_teacher(settings: PretrainSettings, teacher: str | None) -> PretrainSettings:
    """The settings with a teacher named on the command line, and the prefix that it wants unless they have one."""
    if not teacher:
        return settings
    prefix = settings.teacher_prefix or PREFIXES.get(teacher, "")
    return dataclasses.replace(settings, teacher=teacher, teacher_prefix=prefix)


def require_other(settings: PretrainSettings, output: str) -> None:
    """Raises ValueError when the teacher, or what is started from, is what the run is to write."""
    for field in ("teacher", "sentence_teacher", "start_from"):
        source = getattr(settings, field)
        if source and storage.absolute(source) == storage.absolute(output):
            raise ValueError(f"{field} is {source!r}, the run's own output: name another folder as one of them")
