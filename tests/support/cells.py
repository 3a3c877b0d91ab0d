"""Cells of experiments that never ran, for tests of what is made of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from metaner_core.data.tallies import packed

TYPES = ("PER", "LOC", "ORG", "MISC")
EXAMPLE = {"words": ["Ana", "visited", "<b>Paris</b>", "."], "type": "LOC", "start": 2, "end": 3}


def cell(
    *,
    variant: str = "full",
    seed: int = 0,
    test: str = "conll2002-es",
    encoder: str = "embedded",
    types: Sequence[str] = TYPES,
    sentences: int = 200,
    skill: float = 0.7,
    gain: float = 0.02,
    share: float = 0,
) -> dict[str, Any]:
    """One that finds each name with the probability `skill`, adapted with `gain` more, and as many wrong ones."""
    random = np.random.default_rng([seed, len(variant), len(test)])
    gold = np.random.default_rng(len(test)).integers(0, 4, sentences)
    tally = {"gold": gold, "similarity": random.integers(800, 1000, sentences)}
    tally["recall"] = np.where(gold == 0, -1, random.choice([0, 50, 100], sentences))
    counts = {}
    for engine, chance in (("unadapted", skill), ("adapted", skill + gain)):
        correct = random.binomial(gold, chance)
        tally[f"{engine}.correct"] = correct
        tally[f"{engine}.predicted"] = correct + random.binomial(2, 1 - chance, sentences)
        parts = {"correct": correct, "predicted": tally[f"{engine}.predicted"], "gold": gold}
        counts[engine] = {name: _shared_out(int(column.sum()), types) for name, column in parts.items()}
    result = {
        "name": test,
        "sentences": sentences,
        "counts": counts,
        "seconds": {"unadapted": 1.0, "adapted": 3.0},
        "tally": {name: packed(column) for name, column in tally.items()},
        "changed": {"gained": dict.fromkeys(types, 3), "lost": dict.fromkeys(types, 2)},
        "examples": [{"kind": kind, **EXAMPLE} for kind in ("gained", "lost")],
    }
    own = {"encoder": encoder, "variant": variant, "types": list(types), "seed": seed, "test": test, "share": share}
    return {**own, "language": test[-2:], "dev_f1": 90.0, "result": result}


def _shared_out(n: int, types: Sequence[str]) -> dict[str, int]:
    return {t: n // len(types) + (n % len(types) if i == 0 else 0) for i, t in enumerate(types)}
