"""Intervals and p against plain readings, written here, and against scipy's bootstrap."""

import random
from statistics import fmean

import numpy as np
import pytest
from scipy import stats

from metaner_core.experiments.significance import Counted, Resampled, holm, student

N = 60
GOLD = np.random.default_rng(0).integers(0, 3, N)


def counted(skill: float, seeds: tuple[int, ...] = (0,)) -> Counted:
    draws = {seed: np.random.default_rng([7, seed, int(100 * skill)]) for seed in seeds}
    correct = {seed: draw.binomial(GOLD, skill) for seed, draw in draws.items()}
    predicted = {seed: correct[seed] + draw.binomial(1, 1 - skill, N) for seed, draw in draws.items()}
    return Counted(GOLD, predicted, correct)


def f1(correct: list[int], predicted: list[int], gold: list[int]) -> float:
    precision, recall = sum(correct) / max(sum(predicted), 1), sum(correct) / max(sum(gold), 1)
    return 100 * 2 * precision * recall / (precision + recall) if correct and precision + recall else 0.0


def picked(counts: Counted, seed: int, rows: list[int]) -> float:
    return f1(*([int(column[i]) for i in rows] for column in (counts.correct[seed], counts.predicted[seed], GOLD)))


def test_a_resample_is_the_f1_of_the_sentences_that_were_drawn() -> None:
    """One sentence is drawn n times or not at all: the weights can be told from the score."""
    system = Counted(np.array([1, 1]), {0: np.array([1, 1])}, {0: np.array([1, 0])})
    found = set(Resampled({"a": system}, resamples=200)._scores["a"][:, 0].round(6))
    assert found == {0.0, 50.0, 100.0}


def test_the_interval_within_a_seed_is_scipys() -> None:
    a, b = counted(0.8), counted(0.6)

    def difference(ca, pa, cb, pb, gold, axis):  # type: ignore[no-untyped-def]
        return 200 * (ca.sum(axis) / (pa + gold).sum(axis) - cb.sum(axis) / (pb + gold).sum(axis))

    columns = (a.correct[0], a.predicted[0], b.correct[0], b.predicted[0], GOLD)
    how = {"paired": True, "vectorized": True, "method": "percentile", "n_resamples": 9999, "rng": 1}
    theirs = stats.bootstrap(columns, difference, **how).confidence_interval
    ours = Resampled({"a": a, "b": b}).comparison("a", "b")
    assert ours is not None
    assert ours.low == pytest.approx(theirs.low, abs=0.6)
    assert ours.high == pytest.approx(theirs.high, abs=0.6)
    assert ours.difference == pytest.approx(picked(a, 0, list(range(N))) - picked(b, 0, list(range(N))))


def test_sentences_and_seeds_are_drawn_as_a_plain_loop_draws_them() -> None:
    seeds = (0, 1, 2)
    a, b = counted(0.72, seeds), counted(0.66, seeds)
    draw, differences = random.Random(3), []
    for _ in range(3000):
        rows, drawn = draw.choices(range(N), k=N), draw.choices(seeds, k=3)
        differences.append(fmean(picked(a, s, rows) - picked(b, s, rows) for s in drawn))
    ours = Resampled({"a": a, "b": b}).comparison("a", "b")
    assert ours is not None
    assert (ours.low, ours.high) == pytest.approx(tuple(np.quantile(differences, [0.025, 0.975])), abs=0.8)
    other_side = min(sum(d <= 0 for d in differences), sum(d >= 0 for d in differences))
    assert ours.p == pytest.approx(2 * (other_side + 1) / 3001, abs=0.03)
    assert 0.01 < ours.p < 0.9, "the data are such that p is neither end"


def test_a_system_against_itself_differs_in_nothing() -> None:
    ours = Resampled({"a": counted(0.7), "b": counted(0.7)}).comparison("a", "b")
    assert ours is not None
    assert (ours.difference, ours.low, ours.high, ours.p) == (0.0, 0.0, 0.0, 1.0)


def test_a_difference_is_over_the_seeds_that_both_have() -> None:
    found = Resampled({"a": counted(0.8, (0, 1)), "b": counted(0.6, (1, 2)), "c": counted(0.6, (3,))})
    both = found.comparison("a", "b")
    assert both is not None
    assert list(both.within) == [1]
    assert found.comparison("a", "c") is None


def test_mean_and_deviation_are_over_seeds() -> None:
    system = counted(0.7, (0, 1, 2))
    spread = Resampled({"a": system}).spread("a")
    scores = [system.f1(seed) for seed in system.seeds]
    assert spread.mean == pytest.approx(np.mean(scores))
    assert spread.deviation == pytest.approx(np.std(scores, ddof=1))
    assert spread.low < spread.mean < spread.high
    assert Resampled({"a": counted(0.7)}).spread("a").deviation is None


def test_student_is_the_textbooks() -> None:
    differences = [1.0, 2.0, 4.5]
    low, high, p = student(differences)
    error = np.std(differences, ddof=1) / np.sqrt(3)
    assert (low, high) == pytest.approx((2.5 - 4.302653 * error, 2.5 + 4.302653 * error))  # t of 2 degrees, 97.5%
    assert p == pytest.approx(2 * stats.t.sf(2.5 / error, 2))
    assert student([1.0]) == student([1.0, 1.0]) == (None, None, None)


def test_holm_is_the_step_down_rule() -> None:
    ps = [0.01, 0.04, 0.03, 0.005]
    corrected = holm(ps)
    assert corrected == pytest.approx([0.03, 0.06, 0.06, 0.02])
    for level in (0.015, 0.025, 0.035, 0.05, 0.07):  # reject the smallest while p <= level / (those left)
        rejected, left = set(), sorted(range(4), key=lambda i: ps[i])
        while left and ps[left[0]] <= level / len(left):
            rejected.add(left.pop(0))
        assert {i for i in range(4) if corrected[i] <= level} == rejected


def test_other_sentences_are_refused() -> None:
    other = Counted(GOLD + 1, {0: GOLD}, {0: GOLD})
    with pytest.raises(ValueError, match="b was scored on other sentences"):
        Resampled({"a": counted(0.5), "b": other})
