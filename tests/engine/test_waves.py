"""Waves hold what their budget has room for: a token of a query takes an eighth of a source sentence's."""

from itertools import pairwise

import numpy as np
import pytest

from metaner_core.engine.waves import Query, in_order, waves
from metaner_core.model.encoding import Encoded, Window


def sentence(length):
    return Encoded(tuple(range(length)), (), (), None, (Window(0, length, 0),))


RNG = np.random.default_rng(0)
SOURCE = [sentence(int(n)) for n in RNG.integers(1, 40, size=30)]
QUERIES = in_order(
    [Query(sentence(int(n)), tuple(sorted(RNG.choice(12, 2, replace=False).tolist()))) for n in RNG.integers(1, 60, 80)]
)


def taken(wave):
    """In tokens, two special ones a sentence among them; each source sentence once."""
    support = {i for query in wave for i in query.support}
    return sum(len(SOURCE[i].ids) + 2 for i in support) + sum(len(query.sentence.ids) + 2 for query in wave) / 8


@pytest.mark.parametrize("budget", [1, 60, 100, 300, 10**6])
def test_a_wave_is_as_full_as_its_budget_allows(budget):
    found = list(waves(QUERIES, SOURCE, budget))
    assert [query for wave in found for query in wave] == QUERIES
    assert all(taken(wave) <= budget or len(wave) == 1 for wave in found)
    assert all(taken([*wave, following[0]]) > budget for wave, following in pairwise(found))
    assert (len(found) == 1) == (budget == 10**6)
