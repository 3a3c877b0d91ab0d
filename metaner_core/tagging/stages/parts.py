"""What stages pass on: the things that `passing` makes tables of. Whoever takes these alone begins without a model."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from metaner_core.text.document import Row
from metaner_core.text.outcomes import Ready

if TYPE_CHECKING:
    from metaner_core.model.inputs import Input

Problem = str  # "stage: what is wrong" with a document, which is rejected for it


@dataclass(frozen=True)
class Made:
    """documents: each ready to be tagged, or its row if it is not to be. inputs: of each its sentences' (none of a
    row), or why they cannot be had."""

    documents: list[Ready | Row] = field(default_factory=list)
    inputs: "list[Sequence[Input] | Problem]" = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Found:
    """What the model found in one sentence. windows: that it was cut to. labels, probabilities: of each word.
    neighbours: (id, similarity), best first; none if nothing was adapted; where windows have their own, the first's.
    distributions, unadapted: [words, labels] float16 if they are kept.
    """

    windows: int
    labels: tuple[str, ...]
    probabilities: tuple[float, ...]
    neighbours: tuple[tuple[int, float], ...] = ()
    distributions: np.ndarray | None = field(default=None, compare=False)
    unadapted: np.ndarray | None = field(default=None, compare=False)


def problem(error: Exception) -> Problem:
    """Of a document that the model, or its tokenizer, fails on."""
    return f"model: {type(error).__name__}: {error}"
