"""Pieces are matched by the characters that they share, whatever the tokenizers."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from metaner_core.pretrain.teacher.offsets import shared, trimmed


@st.composite
def spans(draw: st.DrawFn) -> list[tuple[int, int]]:
    """In the order of a text of twenty characters, with gaps, and some of nothing."""
    cuts = sorted(draw(st.lists(st.integers(0, 20), min_size=2, max_size=16)))
    pairs = list(itertools.pairwise(cuts))
    return [pair for pair in pairs if draw(st.integers(0, 4))]


@given(own=spans(), others=spans())
def test_pairs_are_those_that_have_a_character_in_common(
    own: list[tuple[int, int]], others: list[tuple[int, int]]
) -> None:
    expected = [(i, j) for i, a in enumerate(own) for j, b in enumerate(others) if {*range(*a)} & {*range(*b)}]
    mine, theirs = shared(*(np.array(each, dtype=np.int64).reshape(-1, 2) for each in (own, others)))
    assert list(zip(mine.tolist(), theirs.tolist(), strict=True)) == expected


def test_one_character_may_be_several_pieces() -> None:
    mine, theirs = shared(np.array([[0, 1], [1, 3]]), np.array([[0, 1], [0, 1], [1, 2], [2, 3]]))
    assert (mine.tolist(), theirs.tolist()) == ([0, 0, 1, 1], [0, 1, 2, 3])


def test_spaces_at_the_ends_of_a_piece_are_no_part_of_it() -> None:
    text = " a  bc "
    assert trimmed(text, [(0, 2), (2, 4), (3, 7), (7, 7)]).tolist() == [[1, 2], [4, 4], [4, 6], [7, 7]]
