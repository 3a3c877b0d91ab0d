"""Raw text to sentences and words: offsets into the original, whatever the text."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metaner_core.text import segmentation
from metaner_core.text.segmentation import MAX_WORDS, segment


def words(text: str, language: str | None = None) -> list[list[str]]:
    return [[word.text for word in sentence] for sentence in segment(text, language)]


LANGUAGES = st.sampled_from(["en", "es", "nl", "de", "fr", "zh", "he", "ja", "unheard-of", None])
# Arbitrary text seldom holds what tokenizers act on: mix in punctuation, line breaks and invisible characters.
TEXTS = st.lists(
    st.one_of(
        st.text(max_size=8),
        st.sampled_from([" ", ".", "\n", "\n\n", "\r\n", "\u200f", "\u200b", "\x00", "'", "北", "𝔘"]),
    ),
    max_size=30,
).map("".join)


@settings(max_examples=150, deadline=None)
@given(text=TEXTS, language=LANGUAGES)
def test_every_word_is_the_slice_it_points_to_and_words_are_in_order(text: str, language: str | None) -> None:
    found = [word for sentence in segment(text, language) for word in sentence]
    assert [text[word.start : word.end] for word in found] == [word.text for word in found]
    ends = [0, *(word.end for word in found)]
    assert all(before <= word.start < word.end for before, word in zip(ends, found, strict=False))


@settings(max_examples=150, deadline=None)
@given(text=TEXTS, language=LANGUAGES)
def test_every_visible_character_is_in_a_word(text: str, language: str | None) -> None:
    covered = {i for sentence in segment(text, language) for word in sentence for i in range(word.start, word.end)}
    visible = {i for i, c in enumerate(text) if unicodedata.category(c) not in ("Cc", "Cf", "Zs", "Zl", "Zp")}
    assert visible <= covered


def test_a_sentence_ends_at_its_full_stop_but_not_at_an_abbreviation() -> None:
    assert words("El Sr. Pérez llegó. Ana no.", "es") == [["El", "Sr.", "Pérez", "llegó", "."], ["Ana", "no", "."]]


@pytest.mark.parametrize("gap", ["\n\n", "\r\n\r\n", "\n \t\n", "\u2029"])
def test_a_blank_line_ends_a_sentence(gap: str) -> None:
    assert words(f"A headline{gap}The text", "en") == [["A", "headline"], ["The", "text"]]


@pytest.mark.parametrize("gap", ["\n", "\r\n"])
def test_a_line_break_alone_does_not(gap: str) -> None:
    assert words(f"A broken{gap}line", "en") == [["A", "broken", "line"]]


@pytest.mark.parametrize("gap", ["\n", "\r\n", "\r", "\n \n", "\u2028", "\x0b", "\x85"])
def test_where_a_line_is_a_block_it_does(gap: str) -> None:
    found = segment(f"Ana Ruiz{gap}Bo Li{gap}", "en", lines="block")
    assert [[word.text for word in sentence] for sentence in found] == [["Ana", "Ruiz"], ["Bo", "Li"]]


def test_a_block_has_its_sentences_and_lines_do_not_cut_words() -> None:
    found = segment("Menu\nHe left. She\nstayed", "en", lines="block")
    assert [" ".join(word.text for word in s) for s in found] == ["Menu", "He left .", "She", "stayed"]


@pytest.mark.parametrize("language", ["zh", "zh-CN", "ZH_tw", "ja"])
def test_scripts_without_spaces_are_cut_by_character(language: str) -> None:
    assert words("我在北京。你呢", language) == [["我", "在", "北", "京", "。"], ["你", "呢"]]


def test_latin_words_and_numbers_stay_whole_among_characters() -> None:
    assert words("IBM在2024年收购Café公司。ok", "zh") == [
        ["IBM", "在", "2024", "年", "收", "购", "Café", "公", "司", "。"],
        ["ok"],
    ]
    assert words("增长3.5亿。见example.com.", "zh") == [
        ["增", "长", "3", ".", "5", "亿", "。"],
        ["见", "example", ".", "com", "."],
    ]
    assert words("Ends here. 好", "zh") == [["Ends", "here", "."], ["好"]]
    assert words("a b－c3", "zh") == [["a", "b", "－", "c3"]]
    assert [len(word) for word in words("a" * 600, "zh")[0]] == [256, 256, 88]


@pytest.mark.parametrize("language", [None, "", "qq", "und", "../en", "ko", "vi", "no"])
def test_a_language_without_rules_of_its_own_is_cut_at_spaces_and_punctuation(language: str | None) -> None:
    assert words("Ada, Bo.", language) == [["Ada", ",", "Bo", "."]]


@pytest.mark.parametrize("text", ["", " \n\t", "\u200f\u200b\ufeff", "\x00\x01", "\u00a0\u2028"])
def test_text_of_nothing_visible_has_no_sentence(text: str) -> None:
    assert segment(text, "en") == []


def test_invisible_characters_at_its_ends_are_not_in_the_word() -> None:
    text = "\u200fשלום\u200f \u200bx\u200dy\x00"
    assert [(w.text, w.start, w.end) for s in segment(text, "he") for w in s] == [("שלום", 1, 5), ("x\u200dy", 8, 11)]


def test_an_endless_sentence_is_cut_without_losing_a_word() -> None:
    found = segment("w " * (2 * MAX_WORDS + 7), "en")
    assert [len(sentence) for sentence in found] == [MAX_WORDS, MAX_WORDS, 7]


def test_a_run_that_was_cut_for_spacy_is_one_sentence_as_far_as_one_may_be_long() -> None:
    assert [len(sentence) for sentence in segment("Ana " + "a" * 300 + " y Bo. Sí.", "es")] == [6, 2]
    assert [len(sentence) for sentence in segment("a" * 256 * 40, "en")] == [16, 16, 8]
    assert [len(sentence) for sentence in segment("a" * 255 + "." + "A" * 9, "en")] == [2, 1]


def placed(text: str, found: list[list[segmentation.Word]]) -> None:
    """Nothing is lost, and offsets are the text's."""
    assert all(text[word.start : word.end] == word.text for sentence in found for word in sentence)
    assert "".join(word.text for sentence in found for word in sentence) == text.replace(" ", "")


@pytest.mark.parametrize(("language", "phrase"), [("th", "นายสมชายไปกรุงเทพ "), ("lo", "ທ່ານສົມໄປວຽງຈັນ ")])
def test_an_endless_text_without_marks_of_sentences_is_cut_at_spaces(language: str, phrase: str) -> None:
    text = phrase * 200
    found = segment(text, language)
    placed(text, found)
    assert all(text[sentence[-1].end] == " " for sentence in found)
    assert {len(sentence) for sentence in found[:-1]} <= set(range(MAX_WORDS // 2, MAX_WORDS + 1))


def test_without_spaces_no_vowel_is_cut_off_its_consonant() -> None:
    text = "ก" * 255 + "เก่า" * 200
    found = segment(text, "th")
    placed(text, found)
    assert [len(found[0]), found[1][0].text] == [255, "เ"]
    assert all(len(sentence) > MAX_WORDS - 2 for sentence in found[:-1])


def test_a_sentence_is_not_cut_before_a_comma() -> None:
    found = segment("w " * (MAX_WORDS - 1) + "Ana, Bo", "en")
    assert [word.text for word in found[1]] == ["Ana", ",", "Bo"]


def test_long_words_make_a_sentence_shorter() -> None:
    found = segment(("w" * 200 + " ") * 80, "en")
    assert [len(sentence) for sentence in found] == [20, 20, 20, 20]
    assert max(sum(len(word.text) for word in sentence) for sentence in found) <= segmentation.MAX_LETTERS


def test_text_longer_than_spacy_takes_at_once_keeps_every_word() -> None:
    import spacy

    text = "Extraordinariamente internacionalmente desproporcionada. " * 20_000
    assert len(text) > spacy.blank("es").max_length
    found = segment(text, "es")
    assert sum(map(len, found)) == 20_000 * 4
    assert found[-1][-1].end == len(text) - 1


def test_a_very_long_word_is_cut_not_lost() -> None:
    found = [word for sentence in segment("a" * 30_000, "en") for word in sentence]
    assert "".join(word.text for word in found) == "a" * 30_000
    assert max(len(word.text) for word in found) == segmentation.MAX_RUN


def test_segmentation_stops_soon_after_the_most_sentences_that_are_wanted() -> None:
    text = "One. Two. Three.\n\n" * 100
    assert segment(text, "en", most=300) == segment(text, "en")
    found = segment(text, "en", most=4)
    assert 4 < len(found) < 10
    assert found == segment(text, "en")[: len(found)]


def test_rules_are_made_once_a_language() -> None:
    assert segmentation._rules("de") is segmentation._rules("de")


@pytest.mark.parametrize("text", [None, 7, b"bytes"])
def test_what_is_no_string_is_refused(text: object) -> None:
    with pytest.raises(TypeError, match=f"expected a string, found {type(text).__name__}"):
        segment(text)  # type: ignore[arg-type]
