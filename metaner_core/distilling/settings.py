"""What decides a student: how it learns, and from which of the tagged sentences."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from metaner_core.checked import Checked

AS_TAGGED, UNADAPTED = "as_tagged", "unadapted"
CHOICES = {
    "teacher": (AS_TAGGED, UNADAPTED),
    "loss": ("cross_entropy", "squared_error"),
    "optimizer": ("adam", "bertadam", "sgd"),
}


@dataclass(frozen=True, kw_only=True)
class Distillation(Checked):
    """How a student learns. Raises ValueError listing every bad field at once."""

    preset: str = "mixed"
    seed: int = 0

    steps: int = 3000
    batch: int = 32  # tagged sentences of a step; 0: none, which is the control: as many steps on gold labels alone
    gold: int = 16  # English sentences of a step, with their labels
    teacher: str = AS_TAGGED  # whose distributions; unadapted: those before adapting, of rows that kept both
    loss: str = "cross_entropy"  # to the teacher's distribution; squared_error: of probabilities, as in the literature
    temperature: float = 1.0  # above 1 both distributions are flatter: more is learnt of labels that were not chosen
    soft_weight: float = 1.0  # of the mean loss of the tagged sentences
    gold_weight: float = 1.0  # likewise of the English ones, cross-entropy at temperature 1

    optimizer: str = "adam"
    rate: float = 0.0  # linear warm-up, then linear decay; 0: β, the rate at which the teacher was trained
    warmup: float = 0.1  # share of the steps
    frozen_layers: int = -1  # bottom layers that are not trained; -1: as many as of the teacher
    dev_every: int = 100  # steps between two looks at English dev, each with a checkpoint

    least_certain: float = 0.0  # probability of its label that the least sure word of a sentence must have
    most_entropy: float = 1.0  # mean over a sentence's words at most; 1 is that of all labels alike
    agree: bool = False  # only sentences to which the unadapted model gave the same labels
    most_words: int = 200  # of a sentence
    nameless: float = 1.0  # share of the sentences without a name that is taken, drawn at random
    most_of_type: int = 0  # names in a pass: when all types of a sentence have so many, it is left out; 0: no limit
    most_of_language: int = 0  # sentences of one language in a pass; 0: no limit
    nearest: int = 0  # K: only words whose label is the most frequent among the K labelled words nearest to it; 0: all
    mixed: int = 8  # row groups whose sentences are mixed; twice so many are in memory, the next ones too

    LIMITS = {  # noqa: RUF012 (a ClassVar by its base)
        **dict.fromkeys(("seed", "batch", "gold", "most_of_type", "most_of_language", "nearest"), (0, math.inf)),
        **dict.fromkeys(("steps", "dev_every", "most_words", "mixed"), (1, math.inf)),
        **dict.fromkeys(("soft_weight", "gold_weight", "rate"), (0, 1e6)),
        **dict.fromkeys(("warmup", "least_certain", "most_entropy", "nameless"), (0, 1)),
        "temperature": (0.01, 100),
        "frozen_layers": (-1, math.inf),
    }

    @property
    def wants_unadapted(self) -> bool:
        """Whether what the unadapted model said is asked for."""
        return self.agree or self.teacher == UNADAPTED

    def _contradictions(self) -> Iterator[str]:
        if self.preset not in PRESETS:
            yield f"preset is {self.preset!r}; there are {', '.join(PRESETS)}"
        for field, allowed in CHOICES.items():
            if getattr(self, field) not in allowed:
                yield f"{field} is {getattr(self, field)!r}; it must be one of {', '.join(allowed)}"
        if not (self.batch and self.soft_weight) and not (self.gold and self.gold_weight):
            yield "batch and gold, or their weights, are 0: there is nothing to learn from; raise one"
        if self.agree and self.teacher == UNADAPTED:
            yield "agree goes with teacher=as_tagged: leave one of them out"


# `literature` is what Wu et al. (ACL 2020, Single-/Multi-Source Cross-Lingual NER via Teacher-Student Learning) have in
# their published code, with three passes over the Spanish training set as steps; `advpicker` that of Chen et al. (ACL
# 2021), whose ten passes these are, without its selection by a discriminator. Both begin with a pre-trained encoder.
SQUARED: dict[str, Any] = {"loss": "squared_error", "gold": 0, "batch": 32, "frozen_layers": 3}
PRESETS: dict[str, dict[str, Any]] = {
    "mixed": {},
    "literature": {**SQUARED, "rate": 1e-4, "warmup": 0.1, "steps": 780},
    "advpicker": {**SQUARED, "rate": 6e-5, "warmup": 0.05, "steps": 2600},
    "control": {"batch": 0, "gold": 48},  # what more training alone gives: `mixed` without tagged text
}


def preset(name: str, **overrides: Any) -> Distillation:
    """The settings of a preset, with single fields replaced. Raises ValueError for an unknown preset or a bad field."""
    if name not in PRESETS:
        raise ValueError(f"preset {name!r} is unknown; there are {', '.join(PRESETS)}")
    return Distillation(**{"preset": name, **PRESETS[name], **overrides})
