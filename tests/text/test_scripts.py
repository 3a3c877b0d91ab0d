"""Words that touch on paper: by their characters, as Unicode names them."""

import sys
import unicodedata
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaner_core.text.scripts import runs, without_spaces


def texts(words: list[str], most: int = 100) -> list[str]:
    return ["".join(words[run.start : run.stop]) for run in runs(words, most)]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("李 明 在 北 京 。", "李明在北京。"),
        ("ส วั ส ดี", "สวัสดี"),
        ("ភ្នំពេញ និង បាត់ដំបង", "ភ្នំពេញនិងបាត់ដំបង"),
        ("カ ー ド と か な", "カードとかな"),
        ("在 iPhone 上", "在iPhone上"),
        ("看 “ CNN ” ， 2008 年", "看“CNN”，2008年"),
        ("买 iPhone 12 了 吗", "买iPhone 12了吗"),  # Latin words and numbers had a space between them
        ("今 年 是 2 0 0 8 年", "今年是2008年"),  # as a corpus by character has it
        ("GPT - 4 发 布 了", "GPT-4发布了"),
        ("Peking ( 北京 ) ist groß .", "Peking ( 北京 ) ist groß ."),
        ("the word 北 京 means capital", "the word 北京 means capital"),
        ("나는 서울에 간다", "나는 서울에 간다"),
        ("scored 3 2 1 .", "scored 3 2 1 ."),
        ("U.S. , 2 0", "U.S. , 2 0"),
    ],
)
def test_words_that_touch(words: str, expected: str) -> None:
    assert texts(words.split()) == expected.split()


def test_no_words_and_words_without_characters() -> None:
    assert texts([]) == []
    assert texts(["", "北", "", "京", "", ""]) == ["", "北", "", "京", "", ""]


WORDS = st.lists(st.one_of(st.text(max_size=3), st.sampled_from([*"北京。のไทย2a.", "Rome", "2008", "한국", "𠮷"])))


@given(words=WORDS, most=st.integers(1, 8))
def test_every_word_is_in_one_run_and_no_run_has_more_than_the_most(words: list[str], most: int) -> None:
    found = list(runs(words, most))
    assert [at for run in found for at in run] == list(range(len(words)))
    assert all(1 <= len(run) <= most for run in found)


@given(words=WORDS)
def test_neighbours_without_spaces_are_in_one_run_and_words_of_other_sentences_alone(words: list[str]) -> None:
    run_of = {at: run for run in runs(words, len(words)) for at in run}
    for (_, before), (at, after) in pairwise(enumerate(words)):
        if without_spaces(before[-1:]) and without_spaces(after[:1]):
            assert run_of[at - 1] == run_of[at]
    if not any(map(without_spaces, words)):
        assert all(len(run) == 1 for run in run_of.values())


WITHOUT = ("CJK UNIFIED", "CJK COMPATIBILITY", "HIRAGANA", "KATAKANA", "BOPOMOFO", "THAI", "LAO", "KHMER", "MYANMAR")
WITH = ("LATIN", "GREEK", "CYRILLIC", "ARABIC", "HEBREW", "DEVANAGARI", "HANGUL SYLLABLE", "HANGUL LETTER", "DIGIT")


def test_scripts_are_those_that_unicode_names() -> None:
    names = {chr(code): unicodedata.name(chr(code), "") for code in range(sys.maxunicode + 1)}
    wrong = [c for c, name in names.items() if name.startswith(WITHOUT) and not without_spaces(c)]
    wrong += [c for c, name in names.items() if name.startswith(WITH) and without_spaces(c)]
    assert wrong == []
    assert all(map(without_spaces, "、。「」〇々ー！（Ａ９"))
