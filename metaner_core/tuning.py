"""How a trained tagger is fine-tuned on some labels of the target language (Sec. 4.6, Table 5).

The default is the paper's text: on the entire share, with the optimiser of training, at the rate of the adaptation.
The authors' published code forgets the optimiser's history with every batch: `state="fresh"`.
"""

import dataclasses
import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from metaner_core.settings import CHOICES, SAME, Settings

STATES = ("kept", "fresh")
MOST = 100.0  # percent: all of a training set


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """One way to fine-tune. Raises ValueError listing every bad field at once."""

    epochs: int = 10
    batch: int = 32  # sentences; the last batch of an epoch has what is left
    rate: float | None = None  # None: a third of β, as the paper's 1e-5 is of its 3e-5
    optimizer: str = SAME  # as in training
    state: str = "kept"  # fresh: an optimiser without history for every batch

    def __post_init__(self) -> None:
        if problems := list(self._problems()):
            raise ValueError("fine-tuning:\n  " + "\n  ".join(problems))

    def _problems(self) -> Iterator[str]:
        for name in ("epochs", "batch"):
            n = getattr(self, name)
            if type(n) is not int or n < 1:
                yield f"{name} is {n!r}; it must be a whole number of at least 1"
        if self.rate is not None and not (type(self.rate) in (int, float) and 0 <= self.rate <= sys.float_info.max):
            yield f"rate is {self.rate!r}; it must be a number of at least 0"
        for name, allowed in (("optimizer", (SAME, *CHOICES["optimizer"])), ("state", STATES)):
            if (value := getattr(self, name)) not in allowed:
                yield f"{name} is {value!r}; it must be one of {', '.join(allowed)}"

    def of(self, settings: Settings) -> "Tuning":
        """The same with all that training decides: of a tagger that was trained with these settings."""
        optimizer = settings.optimizer if self.optimizer == SAME else self.optimizer
        rate = settings.beta / 3 if self.rate is None else self.rate
        return dataclasses.replace(self, optimizer=optimizer, rate=rate)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def tuning(values: Mapping[str, Any]) -> Tuning:
    """From a file's values. Raises ValueError for an unknown field too."""
    fields = [field.name for field in dataclasses.fields(Tuning)]
    if unknown := sorted(set(values) - set(fields)):
        raise ValueError(f"fine-tuning has no field {', '.join(unknown)}; there are {', '.join(fields)}")
    return Tuning(**values)


def plain(settings: Settings) -> Settings:
    """Those of a trained tagger for learning from labels as they are: the loss of Eq. 3, no tasks, no masks."""
    return dataclasses.replace(settings, inner_steps=0, max_loss_weight=0.0, mask_ratio=0.0)


def share_problem(share: float) -> str | None:
    """Why it is no share of a training set, in percent; None: it is one."""
    if isinstance(share, int | float) and not isinstance(share, bool) and 0 < share <= MOST and math.isfinite(share):
        return None
    return f"a share of labels is {share!r}; it must be above 0 and at most {MOST:g} percent"
