"""What a run will take, from a sample of its documents."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple


class Range(NamedTuple):
    """An expected value and its 95% interval."""

    expected: float
    low: float
    high: float


@dataclass(frozen=True)
class Sampled:
    """What was drawn at random together, and what tagging it took: documents of one place, or a single one.

    seconds: of one actor. bytes: of Parquet. text_bytes: size by which the plan knows all documents, if it does.
    """

    documents: int
    sentences: int
    seconds: float
    bytes: int
    text_bytes: int | None = None


@dataclass(frozen=True)
class Estimate:
    """Of the whole run. hours: from the first document to the last, on `actors` actors. cost: None without a price."""

    documents: int
    sample: int
    actors: int
    sentences: Range
    hours: Range
    bytes: Range
    cost: Range | None

    def to_dict(self) -> dict[str, Any]:
        raise NotImplementedError


def estimate(
    sample: Sequence[Sampled],
    *,
    documents: int,
    actors: int,
    text_bytes: int | None = None,
    price: float | None = None,
    startup_seconds: float = 0.0,
) -> Estimate:
    """The run's size and time. documents, text_bytes: of the whole input. price: of an actor for an hour."""
    scale = documents / sum(s.documents for s in sample)

    def total(name: str, factor: float = 1.0) -> Range:
        value = factor * scale * sum(getattr(s, name) for s in sample)
        return Range(value, value, value)

    hours = total("seconds", 1 / 3600 / actors)
    cost = None if price is None else Range(*(price * actors * h for h in hours))
    return Estimate(
        documents, sum(s.documents for s in sample), actors, total("sentences"), hours, total("bytes"), cost
    )
