"""Which tagged sentences can be trusted, and which are too many of their kind: decided for a row group at once.

A sentence that is left out is counted under the first reason that holds; REASONS has their order.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from metaner_core.distilling.settings import Distillation

KEPT = "kept"
REASONS = ("long", "uncertain", "entropy", "disagreement", "nameless", "language", "type")
OUTCOMES = (KEPT, *REASONS)
OPEN, LONG, UNCERTAIN, ENTROPY, DISAGREEMENT, NAMELESS, LANGUAGE, TYPE = range(len(OUTCOMES))


@dataclass(frozen=True)
class Group:
    """The n sentences of a row group, W words in all.

    words: [W]. starts: [n + 1], where in them each sentence begins, and the end. teacher: [W, C] probabilities, the
    distributions that are learnt. unadapted: likewise, the unadapted model's, if agreement is asked for. languages:
    [n]. Every sentence has a word.
    """

    words: Any
    starts: np.ndarray
    teacher: np.ndarray
    unadapted: np.ndarray | None
    languages: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.starts)


def names(group: Group, labels: tuple[str, ...]) -> tuple[tuple[str, ...], np.ndarray]:
    """Types, and how many names of each every sentence has, [n, types], by its words' most probable labels.

    A name begins at B-, and at I- where nothing of its type goes on, as `data.labels.to_bio` has it.
    """
    types = tuple(label[2:] for label in labels if label.startswith("B-"))
    type_of = np.array([types.index(label[2:]) if label != "O" else -1 for label in labels])
    label = group.teacher.argmax(1)
    of_word = type_of[label]
    before = np.concatenate([[-1], of_word[:-1]])
    before[group.starts[:-1]] = -1
    first = np.array([label.startswith("B-") for label in labels])[label]
    begins = (of_word >= 0) & (first | (of_word != before))
    sentence = np.repeat(np.arange(len(group.lengths)), group.lengths)
    found = np.zeros((len(group.lengths), len(types)), np.int64)
    np.add.at(found, (sentence[begins], of_word[begins]), 1)
    return types, found


def trusted(group: Group, counted: np.ndarray, settings: Distillation, rng: np.random.Generator) -> np.ndarray:
    """[n] each sentence's outcome, an index into OUTCOMES, before caps. counted: of `names`. rng: for `nameless`."""
    starts, lengths = group.starts[:-1], group.lengths
    p = group.teacher.astype(np.float32)
    entropy = -(p * np.log(np.maximum(p, 1e-9))).sum(1) / np.log(p.shape[1])
    rejected = [
        (LONG, lengths > settings.most_words),
        (UNCERTAIN, ~(np.minimum.reduceat(p.max(1), starts) >= settings.least_certain)),  # NaN too
        (NAMELESS, (counted.sum(1) == 0) & (rng.random(len(lengths)) >= settings.nameless)),
    ]
    if settings.most_entropy < 1:
        rejected.append((ENTROPY, np.add.reduceat(entropy, starts) / lengths > settings.most_entropy))
    if group.unadapted is not None:
        same = group.teacher.argmax(1) == group.unadapted.argmax(1)
        rejected.append((DISAGREEMENT, ~np.logical_and.reduceat(same, starts)))
    found = np.full(len(lengths), OPEN)
    for reason, which in sorted(rejected, key=lambda pair: -pair[0]):  # the first reason of a sentence is set last
        found[which] = reason
    return found


class Caps:
    """How many sentences of each language and names of each type a pass has had so far."""

    def __init__(self, settings: Distillation, languages: Mapping[str, int], types: Mapping[str, int]) -> None:
        self._settings = settings
        self.languages, self.types = dict(languages), dict(types)

    @property
    def any(self) -> bool:
        return bool(self._settings.most_of_language or self._settings.most_of_type)

    def take(self, language: str, found: Mapping[str, int]) -> int:
        """The outcome of one more sentence, with so many names of its types; it is counted if there is room."""
        most, names = self._settings.most_of_language, self._settings.most_of_type
        if most and self.languages.get(language, 0) >= most:
            return LANGUAGE
        if names and found and all(self.types.get(type_, 0) >= names for type_ in found):
            return TYPE
        self.languages[language] = self.languages.get(language, 0) + 1
        for type_, many in found.items():
            self.types[type_] = self.types.get(type_, 0) + many
        return OPEN


Counts = dict[str, dict[str, Any]]  # by outcome: sentences, tokens, names by type, sentences by language


def counts(group: Group, outcomes: np.ndarray, types: tuple[str, ...], counted: np.ndarray) -> Counts:
    """What became of a group's sentences."""
    found: Counts = {}
    for number in np.unique(outcomes).tolist():
        which = outcomes == number
        of_type = counted[which].sum(0).tolist()
        entry: dict[str, Any] = {"sentences": int(which.sum()), "tokens": int(group.lengths[which].sum())}
        entry["names"] = {type_: n for type_, n in zip(types, of_type, strict=True) if n}
        languages, times = np.unique(group.languages[which], return_counts=True)
        entry["languages"] = dict(zip(languages.tolist(), times.tolist(), strict=True))
        found[OUTCOMES[number]] = entry
    return found


def added(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    """The sum of two trees of counts."""
    found = dict(a)
    for key, value in b.items():
        found[key] = added(found.get(key, {}), value) if isinstance(value, Mapping) else found.get(key, 0) + value
    return found


def told(selection: Mapping[str, Any]) -> list[str]:
    """The counts, a line for each outcome."""
    lines = []
    for outcome in (outcome for outcome in OUTCOMES if outcome in selection):
        entry = selection[outcome]
        of_type = ", ".join(f"{n:,} {type_}" for type_, n in entry["names"].items()) or "no names"
        lines.append(f"{outcome:<13}{entry['sentences']:,} sentences, {entry['tokens']:,} tokens, {of_type}")
    return lines
