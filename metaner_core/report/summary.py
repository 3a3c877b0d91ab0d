"""What a run did, as sums that add: of rows, of shards, of the whole. Small whatever the size of the run."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from metaner_core.report.sketches import Distinct, Frequent, digest, least
from metaner_core.text import schema
from metaner_core.text.canonical import normal
from metaner_core.text.languages import primary

BINS = 20  # of entity scores, from 0 to 1
SAMPLES, SAMPLE_CHARACTERS = 12, 1_200  # tagged documents, and how much of each one's text
KINDS, MAX_KIND = 200, 120  # kinds of reasons that are told apart, and characters of one
MAX_NAME = 100  # characters of an entity's text


@dataclass(frozen=True)
class Counts:
    """Of the documents of one language, or of all. cut: sentences of more than one window. entities: by type."""

    outcomes: Counter[str] = field(default_factory=Counter)
    characters: int = 0
    sentences: int = 0
    words: int = 0
    cut: int = 0
    entities: Counter[str] = field(default_factory=Counter)

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.outcomes + other.outcomes,
            self.characters + other.characters,
            self.sentences + other.sentences,
            self.words + other.words,
            self.cut + other.cut,
            self.entities + other.entities,
        )

    @property
    def documents(self) -> int:
        return self.outcomes.total()

    def to_dict(self) -> dict[str, Any]:
        plain = {name: getattr(self, name) for name in ("documents", "characters", "sentences", "words", "cut")}
        outcomes = {name: self.outcomes[name] for name in schema.OUTCOMES}
        return {**plain, "outcomes": outcomes, "entities": dict(sorted(self.entities.items()))}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> "Counts":
        plain = {name: values[name] for name in ("characters", "sentences", "words", "cut")}
        return Counts(outcomes=+Counter(values["outcomes"]), entities=Counter(values["entities"]), **plain)


class Kind(NamedTuple):
    """Documents that were turned away for one reason, numbers aside. example: id, reason, language, excerpt of one."""

    outcome: str
    stage: str
    documents: int
    example: Mapping[str, Any]

    def __add__(self, other: "Kind") -> "Kind":  # type: ignore[override]
        example = min(self.example, other.example, key=lambda e: (digest(e["id"]), e["reason"]))
        return self._replace(documents=self.documents + other.documents, example=example)


@dataclass(frozen=True)
class Summary:
    """Sums over rows. Adding is associative and commutative, and how the rows were split leaves no trace in it, but for
    the most frequent entities once there are too many different ones to count them all: see Frequent.

    languages: counts by the language of a code (`pt` of `pt-BR`), "" where none is known. scores: entities by type and
    bin. kinds: see Kind; KINDS of them. frequent: those of a score of SURE, as "TYPE text". adapted: sentences that
    have neighbours. support: their different sets of neighbours. samples: tagged documents by id: language,
    language_score, text (its beginning), characters (of all of it) and entities (of the beginning).
    """

    languages: Mapping[str, Counts] = field(default_factory=dict)
    scores: Mapping[str, Sequence[int]] = field(default_factory=dict)
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    frequent: Frequent = field(default_factory=Frequent)
    adapted: int = 0
    support: Distinct = field(default_factory=Distinct)
    samples: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def total(self) -> Counts:
        return sum(self.languages.values(), Counts())

    @property
    def documents(self) -> int:
        return self.total.documents

    @property
    def outcomes(self) -> dict[str, int]:
        """Every outcome, in the order of `schema.OUTCOMES`; they add up to `documents`."""
        return {name: self.total.outcomes[name] for name in schema.OUTCOMES}

    @staticmethod
    def of(rows: Iterable[Mapping[str, Any]]) -> "Summary":
        """The summary of rows of `tagging.tag_documents`, which are in memory together meanwhile."""
        rows = list(rows)
        tagged = [row for row in rows if row["outcome"] == schema.TAGGED]
        entities = [entity for row in tagged for entity in row["entities"]]
        sets = [_support(sentence) for row in tagged for sentence in row["sentences"] if sentence["neighbours"]]
        samples = least({_shown(row["id"]): row for row in tagged}, SAMPLES)
        return Summary(
            languages=_added((primary(row["language"]) or "", _counts(row)) for row in rows),
            scores=_scores(entities),
            kinds=least(_added(_kind(row) for row in rows if row.get("stage")), KINDS),
            frequent=Frequent.of(map(_name, filter(_sure, entities))),
            adapted=len(sets),
            support=Distinct.of(sets),
            samples={id_: _sample(row) for id_, row in samples.items()},
        )

    def __add__(self, other: "Summary") -> "Summary":
        return Summary(
            languages=_added([*self.languages.items(), *other.languages.items()]),
            scores={
                type_: _binwise(self.scores.get(type_), other.scores.get(type_))
                for type_ in {**self.scores, **other.scores}
            },
            kinds=least(_added([*self.kinds.items(), *other.kinds.items()]), KINDS),
            frequent=self.frequent + other.frequent,
            adapted=self.adapted + other.adapted,
            support=self.support + other.support,
            samples=least({**self.samples, **other.samples}, SAMPLES),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, the sums over all languages among them; of the frequent entities a shorter list."""
        frequent = self.frequent.shortened()
        return {
            **self.total.to_dict(),
            "languages": {code: counts.to_dict() for code, counts in sorted(self.languages.items())},
            "scores": {type_: list(bins) for type_, bins in sorted(self.scores.items())},
            "kinds": {key: kind._asdict() for key, kind in self.kinds.items()},
            "frequent": {"counts": dict(frequent.top(Frequent.SIZE)), "missed": frequent.missed},
            "adapted": self.adapted,
            "support_sets": self.support.count(),
            "support_hashes": list(self.support.hashes),
            "samples": {id_: dict(sample) for id_, sample in self.samples.items()},
        }

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> "Summary":
        return Summary(
            languages={code: Counts.from_dict(counts) for code, counts in values["languages"].items()},
            scores={type_: tuple(bins) for type_, bins in values["scores"].items()},
            kinds={key: Kind(**kind) for key, kind in values["kinds"].items()},
            frequent=Frequent(**values["frequent"]),
            adapted=values["adapted"],
            support=Distinct(tuple(values["support_hashes"])),
            samples=dict(values["samples"]),
        )


def _added(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Sums of the values of each key."""
    sums: dict[str, Any] = {}
    for key, value in pairs:
        sums[key] = sums[key] + value if key in sums else value
    return sums


def _counts(row: Mapping[str, Any]) -> Counts:
    outcomes = Counter({row["outcome"]: 1})
    if row["outcome"] != schema.TAGGED:
        return Counts(outcomes, row["characters"] or 0)
    sentences = row["sentences"]
    return Counts(
        outcomes,
        characters=len(row["text"]),
        sentences=len(sentences),
        words=sum(len(sentence["tokens"]) for sentence in sentences),
        cut=sum(sentence["windows"] > 1 for sentence in sentences),
        entities=Counter(entity["type"] for entity in row["entities"]),
    )


def _sure(entity: Mapping[str, Any]) -> bool:
    return bool(entity["score"] >= schema.SURE)


def _name(entity: Mapping[str, Any]) -> str:
    text = normal(" ".join(entity["text"].split()))  # one name, however its accents are coded
    return f"{entity['type']} {text[:MAX_NAME]}"


def _scores(entities: Iterable[Mapping[str, Any]]) -> dict[str, tuple[int, ...]]:
    bins: dict[str, list[int]] = {}
    for entity in entities:
        counts = bins.setdefault(entity["type"], [0] * BINS)
        counts[min(int(entity["score"] * BINS), BINS - 1)] += 1
    return {type_: tuple(counts) for type_, counts in bins.items()}


def _binwise(*bins: Sequence[int] | None) -> tuple[int, ...]:
    return tuple(map(sum, zip(*(b for b in bins if b is not None), strict=True)))


def _kind(row: Mapping[str, Any]) -> tuple[str, Kind]:
    reason = re.sub(r"\d+", "n", row["reason"])[:MAX_KIND]
    example = {name: row[name] for name in ("reason", "language", "excerpt")} | {"id": _shown(row["id"])}
    return f"{row['outcome']}/{row['stage']}: {reason}", Kind(row["outcome"], row["stage"], 1, example)


def _shown(id_: str) -> str:
    """An id that is too long for a report by its beginning, and a number that tells it from others."""
    return id_ if len(id_) <= 2 * MAX_NAME else f"{id_[:MAX_NAME]}… ({digest(id_)})"


def _support(sentence: Mapping[str, Any]) -> str:
    return " ".join(map(str, sorted(neighbour["id"] for neighbour in sentence["neighbours"])))


def _sample(row: Mapping[str, Any]) -> dict[str, Any]:
    """The beginning of a tagged document, to the end of the last entity or sentence that is whole in it."""
    ends = [s["end"] for s in row["sentences"] if s["end"] <= SAMPLE_CHARACTERS]
    end = max(ends) if ends else SAMPLE_CHARACTERS
    entities = [e for e in row["entities"] if e["end"] <= end]
    names = ("type", "text", "start", "end", "score")
    return {
        "language": row["language"],
        "language_score": row["language_score"],
        "text": row["text"][:end],
        "characters": len(row["text"]),
        "entities": [{name: entity[name] for name in names} for entity in entities],
    }
