"""Where adapting gains: by type of entity, by how near the neighbours are, by whether they have the types."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from metaner_core.data.scoring import Counts, scores
from metaner_core.experiments.scored import ENGINES, Scored

PARTS = 4  # of the sentences, by their neighbours' similarity
Mask = Callable[[Mapping[str, np.ndarray]], np.ndarray]


@dataclass(frozen=True)
class Gain:
    """F1, in percent, of some of a test's phrases or sentences, counted over all seeds. gold: phrases of one seed."""

    label: str
    gold: int
    before: float
    after: float


def by_type(cells: Sequence[Scored]) -> list[Gain]:
    """cells: of one variant and column, one for each seed."""
    sums = [sum((cell.counts[engine] for cell in cells), Counts()) for engine in ENGINES]
    found = [scores(counts).by_type for counts in sums]
    types = sorted({*found[0], *found[1]})
    f1 = [[by[t].f1 if t in by else 0.0 for by in found] for t in types]
    return [Gain(t, sums[0].gold.get(t, 0) // len(cells), *both) for t, both in zip(types, f1, strict=True)]


def by_similarity(cells: Sequence[Scored]) -> list[Gain]:
    """Quarters of the sentences, from those with the farthest neighbours to those with the nearest."""
    similarity = cells[0].tally["similarity"]
    if not len(similarity) or similarity.min() == similarity.max():
        return []
    cuts = np.quantile(similarity, np.linspace(0, 1, PARTS + 1))
    cuts[-1] += 1
    stretches = [(low, high) for low, high in pairwise(cuts) if high > low]
    most = similarity.max()
    return [_of(f"{a / 1000:.2f} to {min(b, most) / 1000:.2f}", cells, _between(a, b)) for a, b in stretches]


def _between(low: float, high: float) -> Mask:
    return lambda tally: (tally["similarity"] >= low) & (tally["similarity"] < high)


def by_recall(cells: Sequence[Scored]) -> list[Gain]:
    """Sentences by how many of their entity types the neighbours have."""
    groups: dict[str, Mask] = {
        "none of them": lambda t: t["recall"] == 0,
        "some of them": lambda t: (t["recall"] > 0) & (t["recall"] < 100),
        "all of them": lambda t: t["recall"] == 100,
        "no entity in it": lambda t: t["recall"] < 0,
    }
    return [_of(label, cells, mask) for label, mask in groups.items()]


def _of(label: str, cells: Sequence[Scored], mask: Mask) -> Gain:
    rows = [(cell.tally, mask(cell.tally)) for cell in cells]
    gold = sum(int(tally["gold"][some].sum()) for tally, some in rows)
    both = []
    for engine in ENGINES:
        correct, predicted = (
            sum(int(tally[f"{engine}.{what}"][some].sum()) for tally, some in rows) for what in ("correct", "predicted")
        )
        both.append(200 * correct / (predicted + gold) if predicted + gold else 0.0)
    return Gain(label, gold // len(cells), both[0], both[1])
