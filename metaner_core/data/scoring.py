"""Phrase-level precision, recall and F1, as Perl's conlleval computes them.

A predicted phrase is correct when its words and its type are those of a gold phrase. Counts are sums, so each shard of
a distributed run counts its own sentences and the totals are added before any division.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import zip_longest
from typing import Any

from metaner_core.data.labels import spans


@dataclass(frozen=True)
class Counts:
    """Phrases by entity type: predicted correctly, predicted, and in the gold labels. `sum(shards, Counts())` adds."""

    correct: Mapping[str, int] = field(default_factory=dict)
    predicted: Mapping[str, int] = field(default_factory=dict)
    gold: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            _sum(self.correct, other.correct),
            _sum(self.predicted, other.predicted),
            _sum(self.gold, other.gold),
        )

    def to_dict(self) -> dict[str, dict[str, int]]:
        """As plain dictionaries, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Counts:
        """The inverse of `to_dict`.

        Raises:
            ValueError: a key is missing or unknown, or a value is not a mapping of types to whole numbers.
        """
        expected = set(cls.__dataclass_fields__)
        if set(data) != expected:
            raise ValueError(f"counts with keys {sorted(data)}: expected {sorted(expected)}; write them with to_dict")
        for key, by_type in data.items():
            if not isinstance(by_type, Mapping) or any(type(n) is not int or n < 0 for n in by_type.values()):
                raise ValueError(f"counts {key}={by_type!r}: expected whole numbers by type; write them with to_dict")
        return cls(**{key: dict(by_type) for key, by_type in data.items()})


@dataclass(frozen=True)
class Score:
    """Percentages, unrounded; 0 where there is nothing to divide by, as in conlleval."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class Scores:
    """`overall` is the micro average, conlleval's first line; `by_type` its further lines, sorted by type."""

    overall: Score
    by_type: Mapping[str, Score]


def count(gold: Iterable[Sequence[str]], predicted: Iterable[Sequence[str]]) -> Counts:
    """Counts the phrases of many sentences, each a sequence of BIO labels; no phrase crosses from one to the next.

    Raises:
        ValueError: the two differ in sentences or in the labels of one, or a label is not BIO.
    """
    correct, n_predicted, n_gold = Counter[str](), Counter[str](), Counter[str]()
    for i, (truth, guess) in enumerate(zip_longest(gold, predicted)):
        _check_aligned(i, truth, guess)
        true_spans, guessed_spans = set(spans(truth)), set(spans(guess))
        n_gold.update(span.type for span in true_spans)
        n_predicted.update(span.type for span in guessed_spans)
        correct.update(span.type for span in true_spans & guessed_spans)
    return Counts(dict(correct), dict(n_predicted), dict(n_gold))


def scores(counts: Counts) -> Scores:
    """Precision, recall and F1 of the counts, overall and for every type that was predicted or is in the gold."""
    by_type = {
        type_: _score(counts.correct.get(type_, 0), counts.predicted.get(type_, 0), counts.gold.get(type_, 0))
        for type_ in sorted({*counts.predicted, *counts.gold})
    }
    totals = (sum(part.values()) for part in (counts.correct, counts.predicted, counts.gold))
    return Scores(overall=_score(*totals), by_type=by_type)


def _sum(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return dict(Counter(one) + Counter(other))


def _score(correct: int, predicted: int, gold: int) -> Score:
    return Score(
        precision=_percent(correct, predicted),
        recall=_percent(correct, gold),
        f1=_percent(2 * correct, predicted + gold),  # 2PR / (P + R) with its divisions carried out once
    )


def _percent(part: int, whole: int) -> float:
    return 100 * part / whole if whole else 0.0


def _check_aligned(index: int, gold: Sequence[str] | None, predicted: Sequence[str] | None) -> None:
    if gold is None or predicted is None:
        more, fewer = ("predicted", "gold") if gold is None else ("gold", "predicted")
        raise ValueError(
            f"{fewer} ends after {index} sentences, {more} goes on: give both the same sentences, in order"
        )
    if len(gold) != len(predicted):
        raise ValueError(
            f"sentence {index}: {len(gold)} gold labels, {len(predicted)} predicted; give one of each for every word"
        )
