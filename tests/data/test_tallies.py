"""Counts by sentence add up to the counts of a test, and come back from their packed form."""

import numpy as np
import pytest

from metaner_core.data.labels import Span
from metaner_core.data.scoring import count
from metaner_core.data.tallies import packed, phrases, unpacked

GOLD = [["B-PER", "I-PER", "O"], ["O", "B-LOC"], ["I-LOC", "O"], []]
GUESS = [["B-PER", "I-PER", "O"], ["B-ORG", "B-LOC"], ["I-LOC", "B-PER"], []]


@pytest.mark.parametrize("as_one", [False, True])
def test_sentences_add_up_to_the_counts_of_the_whole(as_one: bool) -> None:
    gold, guess = phrases(GOLD, as_one=as_one), phrases(GUESS, as_one=as_one)
    joined = [[[x for s in labels for x in s]] if as_one else labels for labels in (GOLD, GUESS)]
    counts = count(*joined)
    assert sum(map(len, gold)) == sum(counts.gold.values())
    assert sum(map(len, guess)) == sum(counts.predicted.values())
    assert sum(len(g & p) for g, p in zip(gold, guess, strict=True)) == sum(counts.correct.values())


def test_without_ends_a_phrase_is_of_the_sentence_it_began_in() -> None:
    assert phrases(GOLD, as_one=True)[1:3] == [{Span("LOC", 1, 3)}, set()]
    assert phrases(GOLD)[1:3] == [{Span("LOC", 1, 2)}, {Span("LOC", 0, 1)}]


def test_columns_come_back() -> None:
    column = np.array([0, -1, 65_536, 2**31 - 1])
    assert unpacked(packed(column)).tolist() == column.tolist()
    assert len(packed(np.zeros(5_000))) < 100
    assert unpacked(packed(np.array([]))).tolist() == []


@pytest.mark.parametrize("text", ["", "no base64!", "AAAA"])
def test_what_is_no_column_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        unpacked(text)
