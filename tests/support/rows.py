"""Rows as tagging makes them: made up, read back, compared."""

import random
from pathlib import Path
from typing import Any

import pyarrow.dataset as pads
import pytest

from metaner_core import storage
from metaner_core.text import schema

NAMES = ("Ana Ruiz", "Lima", "王小明", "דויד בן־גוריון", "FC Lindau", "A&B <x>")
TYPES = ("PER", "LOC", "ORG", "MISC")


def tagged(name: str, *sentences: list[Any], language: str | None = "es", **other: Any) -> dict[str, Any]:
    """A tagged document of sentences, each a list of text or (text, type[, score]), with a blank between them."""
    row: dict[str, Any] = {"id": name, "outcome": "tagged", "language": language, "language_score": 0.9, "extra": None}
    row |= {"sentences": [], "entities": []}
    text = ""
    for i, parts in enumerate(sentences):
        text += " " if i else ""
        start = len(text)
        for part in parts:
            if not isinstance(part, str):
                place = {"start": len(text), "end": len(text) + len(part[0]), "score": (*part, 0.9)[2], "sentence": i}
                row["entities"].append({"text": part[0], "type": part[1]} | place)
            text += part if isinstance(part, str) else part[0]
        tokens = [{"text": text[start:], "start": start, "end": len(text), "label": "O"}]
        sentence = {"start": start, "end": len(text), "tokens": tokens, "windows": 1, "neighbours": []}
        row["sentences"].append(sentence)
    return row | {"text": text} | other


def other(name: str, outcome: str, stage: str | None = None, reason: str | None = None, **more: Any) -> dict[str, Any]:
    """A document that was not tagged."""
    row = {"id": name, "outcome": outcome, "stage": stage, "reason": reason, "extra": None}
    return {**row, "language": None, "language_score": None, "characters": 7, "excerpt": "excerpt", **more}


def crawl(n: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """n documents of every outcome, most of them tagged."""
    draw = random.Random(seed)
    return [_drawn(f"d{i}", draw) for i in range(n)]


def _drawn(name: str, draw: random.Random) -> dict[str, Any]:
    language = draw.choice(["es", "de", "de-AT", "zh", "he", None])
    if draw.random() < 0.3:
        reason = draw.choice(["de is not among es, fr", f"{draw.randrange(9)} characters, least is 20", "no words"])
        stage = draw.choice(["language", "length", "model"])
        outcome = draw.choice(schema.OUTCOMES[1:])
        return other(name, outcome, *((None, None) if outcome == "empty" else (stage, reason)), language=language)
    row = tagged(name, *[_sentence(draw) for _ in range(draw.randrange(1, 5))], language=language)
    for sentence in row["sentences"]:
        sentence["windows"] = draw.choice([1, 1, 3])
        ids = draw.sample(range(9), 2)
        sentence["neighbours"] = [{"id": i, "similarity": 0.5} for i in ids]
    return row


def _sentence(draw: random.Random) -> list[Any]:
    names = [(draw.choice(NAMES), draw.choice(TYPES), draw.random()) for _ in range(draw.randrange(3))]
    return ["x ", *[part for name in names for part in (name, " y ")], "."]


def written(output: str | Path, table: str) -> dict[str, dict[str, Any]]:
    """A table of a tagging run's output by id; an id is in it once."""
    fs, path = storage.filesystem(f"{output}/{table}")
    found = pads.dataset(path, filesystem=fs).to_table().to_pylist()
    assert len({row["id"] for row in found}) == len(found)
    return {row["id"]: row for row in found}


def near(value: Any, *, within: float = 1e-4) -> Any:
    """The value with numbers that may differ in their last digits: other batches, other rounding."""
    if isinstance(value, dict):
        return {key: near(inner, within=within) for key, inner in value.items()}
    if isinstance(value, list):
        return [near(inner, within=within) for inner in value]
    return pytest.approx(value, abs=within) if isinstance(value, float) else value
