"""How sure a score and a difference are: bootstrap over sentences and seeds, Student's t over seeds, Holm's correction.

Every resample draws sentences with replacement, the same for all systems and seeds, so that differences are paired;
where seeds are drawn too, the two systems' seeds are drawn together. F1 is that of the summed counts, as in scoring,
and a system's score the mean over its seeds. Few seeds tell little of their spread: of three or five a bootstrap makes
too little of it, so the t interval stands beside it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

import numpy as np

RESAMPLES = 10_000
LEVEL = 0.95
AT_ONCE = 2**22  # numbers of drawn sentences that are in memory


@dataclass(frozen=True)
class Counted:
    """Phrases of one system on one test, by sentence. predicted, correct: [n] for each seed. gold: [n]."""

    gold: np.ndarray
    predicted: Mapping[int, np.ndarray]
    correct: Mapping[int, np.ndarray]

    @property
    def seeds(self) -> list[int]:
        return sorted(self.predicted)

    def f1(self, seed: int) -> float:
        """In percent."""
        return float(_f1(self.correct[seed].sum(), self.predicted[seed].sum(), self.gold.sum()))


@dataclass(frozen=True)
class Spread:
    """Of scores over seeds. low, high: of the mean, from resampled sentences and seeds. deviation: None of one seed."""

    mean: float
    deviation: float | None
    low: float
    high: float
    seeds: int


@dataclass(frozen=True)
class Comparison:
    """A difference of two systems' means over the seeds that both have, in points of F1.

    low, high, p: from resampled sentences and seeds. within: p of each seed, from sentences alone. t_low, t_high, t_p:
    from the seeds' differences alone; None of fewer than two, or where they do not differ.
    """

    difference: float
    low: float
    high: float
    p: float
    within: Mapping[int, float]
    t_low: float | None
    t_high: float | None
    t_p: float | None


class Resampled:
    """F1 of several systems on the same sentences, resampled. All must have the same gold counts."""

    def __init__(self, systems: Mapping[str, Counted], *, resamples: int = RESAMPLES, seed: int = 0) -> None:
        self.systems = dict(systems)
        gold = next(iter(systems.values())).gold
        for name, counted in systems.items():
            if not np.array_equal(counted.gold, gold):
                raise ValueError(f"{name} was scored on other sentences than the rest: only like can be compared")
        self._random = np.random.default_rng(seed)
        self._scores = self._resampled(gold, resamples)  # by system: [resamples, seeds]

    def spread(self, name: str) -> Spread:
        """A system's score."""
        counted = self.systems[name]
        scores = [counted.f1(seed) for seed in counted.seeds]
        low, high = _interval(self._over_seeds(self._scores[name]))
        deviation = stdev(scores) if len(scores) > 1 else None
        return Spread(fmean(scores), deviation, low, high, len(scores))

    def comparison(self, name: str, other: str) -> Comparison | None:
        """name's score less other's. None: they have no seed in common."""
        a, b = self.systems[name], self.systems[other]
        seeds = [seed for seed in a.seeds if seed in b.seeds]
        if not seeds:
            return None
        apart = [a.f1(seed) - b.f1(seed) for seed in seeds]
        columns = (self._columns(x, seeds) for x in (name, other))
        drawn = np.subtract(*columns)
        both = self._over_seeds(drawn)
        within = {seed: _p(drawn[:, i]) for i, seed in enumerate(seeds)}
        return Comparison(fmean(apart), *_interval(both), _p(both), within, *student(apart))

    def _columns(self, name: str, seeds: Sequence[int]) -> np.ndarray:
        return self._scores[name][:, [self.systems[name].seeds.index(seed) for seed in seeds]]

    def _over_seeds(self, scores: np.ndarray) -> np.ndarray:
        """Means of scores [resamples, seeds] over seeds that are drawn too: [resamples]."""
        resamples, seeds = scores.shape
        drawn = np.random.default_rng(1).integers(seeds, size=(resamples, seeds))
        return np.take_along_axis(scores, drawn, axis=1).mean(1)

    def _resampled(self, gold: np.ndarray, resamples: int) -> dict[str, np.ndarray]:
        columns = [gold]
        for counted in self.systems.values():
            for seed in counted.seeds:
                columns += [counted.correct[seed], counted.predicted[seed]]
        table = np.stack(columns, 1).astype(np.float64)  # [n, 1 + 2 for each system and seed]
        sums = np.concatenate([times @ table for times in self._times(len(gold), resamples)])
        found, at = {}, 1
        for name, counted in self.systems.items():
            own = sums[:, at : at + 2 * len(counted.seeds)]
            found[name] = _f1(own[:, 0::2], own[:, 1::2], sums[:, :1])
            at += own.shape[1]
        return found

    def _times(self, n: int, resamples: int) -> Iterator[np.ndarray]:
        """How often each of n sentences is drawn, [some, n], for all resamples together."""
        some = max(1, AT_ONCE // max(n, 1))
        for first in range(0, resamples, some):
            rows = min(some, resamples - first)
            drawn = self._random.integers(n, size=(rows, n)) + n * np.arange(rows)[:, None]
            yield np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)


def student(differences: Sequence[float], level: float = LEVEL) -> tuple[float | None, float | None, float | None]:
    """Interval of the mean and p that it is zero, by Student's t; None for what so few or equal ones cannot say."""
    if len(differences) < 2 or len(set(differences)) == 1:
        return None, None, None
    from scipy import stats  # late: half a second

    found = stats.ttest_1samp(differences, 0.0)
    low, high = found.confidence_interval(level)
    return float(low), float(high), float(found.pvalue)


def holm(ps: Sequence[float]) -> list[float]:
    """The p of several comparisons, each corrected so that the chance of any false alarm among them stays its level."""
    order = sorted(range(len(ps)), key=lambda i: ps[i])
    corrected, most = [0.0] * len(ps), 0.0
    for rank, i in enumerate(order):
        most = max(most, min(1.0, (len(ps) - rank) * ps[i]))
        corrected[i] = most
    return corrected


def _f1(correct: np.ndarray, predicted: np.ndarray, gold: np.ndarray) -> np.ndarray:
    """Percent; 0 where there is nothing to divide by, as in conlleval."""
    whole = np.asarray(predicted + gold, np.float64)
    return np.divide(200.0 * correct, whole, out=np.zeros(np.shape(whole)), where=whole > 0)


def _interval(scores: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    low, high = np.quantile(scores, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _p(differences: np.ndarray) -> float:
    """Two-sided: twice the share of resamples on the rarer side of zero, with the observed one among them."""
    n = len(differences) + 1
    rarer = min(int((differences <= 0).sum()), int((differences >= 0).sum()))
    return min(1.0, 2 * (rarer + 1) / n)
