"""Language identification: right on prose, silent on what is no language, bounded on long text."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metaner_core.data import corpora
from metaner_core.text import languages
from metaner_core.text.languages import among, identify, primary, standard

TEXTS = {
    "en": "The committee will meet again on Thursday to decide whether the old bridge should be repaired or replaced.",
    "es": "El comité volverá a reunirse el jueves para decidir si el viejo puente debe repararse o sustituirse.",
    "nl": "De commissie komt donderdag opnieuw bijeen om te beslissen of de oude brug wordt hersteld of vervangen.",
    "de": "Der Ausschuss tritt am Donnerstag erneut zusammen, um über die Zukunft der alten Brücke zu entscheiden.",
    "fr": "La commission se réunira de nouveau jeudi pour décider si le vieux pont doit être réparé ou remplacé.",
    "zh": "委员会将于星期四再次开会，决定这座旧桥应该修缮还是重建。",
}


@pytest.mark.parametrize("language", TEXTS)
def test_a_sentence_is_enough(language: str) -> None:
    code, score = identify(TEXTS[language])
    assert code == language
    assert score is not None
    assert 0.8 < score <= 1


@pytest.mark.parametrize("language", ["es", "nl", "de", "fr", "zh"])
def test_most_sentences_of_a_corpus_are_identified(language: str) -> None:
    gap = "" if language == "zh" else " "
    texts = [gap.join(sentence.words) for sentence in corpora.load(f"embedded-{language}", "test")]
    found = [identify(text)[0] for text in texts if len(text) >= (20 if language == "zh" else 60)]
    assert len(found) > 10
    assert found.count(language) >= 0.95 * len(found)


def test_cantonese_counts_as_chinese() -> None:
    assert identify("佢哋話聽日會喺中環開會，唔知你哋有冇時間一齊嚟呢？")[0] == "zh"


@pytest.mark.parametrize("text", ["", "  \n", "12345 67890", "!!! ???", "\x00\x01", "a" * 5_000, "🎉" * 30])
def test_what_is_in_no_language_has_none(text: str) -> None:
    assert identify(text) == (None, None)


def test_of_a_long_text_start_middle_and_end_count_alike() -> None:
    menu, prose = TEXTS["en"] * 20, TEXTS["de"] * 200
    assert identify(menu + prose)[0] == "de"


def test_what_a_long_text_costs_does_not_grow_with_it() -> None:
    def seconds(text: str) -> float:
        started = time.process_time()
        identify(text)
        return time.process_time() - started

    text = TEXTS["fr"] * 100
    once = min(seconds(text) for _ in range(5))
    assert min(seconds(text * 1_000) for _ in range(5)) < 5 * once + 0.01


@settings(max_examples=200, deadline=None)
@given(text=st.text())
def test_any_text_has_a_code_and_a_probability_or_neither(text: str) -> None:
    code, score = identify(text)
    assert (code is None) == (score is None)
    if code is not None and score is not None:
        assert primary(code) == code
        assert languages.LEAST <= score <= 1
    assert identify(text) == (code, score)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        *[("de", "de"), ("pt-BR", "pt"), ("ZH_tw", "zh"), (" en ", "en"), ("yue", "yue"), ("sr-Latn-RS", "sr")],
        *[("deu", "de"), ("ger", "de"), ("gsw", "gsw"), ("jpn_Jpan", "ja"), ("cmn_Hani", "zh"), ("arb_Arab", "ar")],
        *[
            ("__label__de", "de"),
            ("__label__nld_Latn", "nl"),
            ("iw", "he"),
            ("de_DE.UTF-8", "de"),
            ("zh-min-nan", "nan"),
        ],
        *[
            ("German", "de"),
            ("german", "de"),
            ("Deutsch", "de"),
            ("中文", "zh"),
            ("Haitian_Creole", "ht"),
            ("Farsi", "fa"),
        ],
        *[("tl", "tl"), ("fil", "tl"), ("nob", "nb"), ("sh", "sr"), ("en-US-u-co-phonebk", "en")],
    ],
)
def test_a_language_is_read_in_whichever_way_it_is_written(code: str, expected: str) -> None:
    assert primary(code) == expected


@pytest.mark.parametrize(
    "code",
    [
        *[
            None,
            7,
            "",
            "e",
            "../en",
            "eng,zho",
            "de-",
            "qq",
            "xyz",
            "und",
            "mul",
            "zxx",
            "qaa",
            "x-de",
            "unknown",
            "de\x00",
        ],
        *["<b>de</b>", "de" * 200, "\ud83d", "%64%65", "the page is mostly in German"],
    ],
)
def test_what_cannot_be_read_has_no_language(code: str | None) -> None:
    assert primary(code) is None
    assert standard(code) is None


@pytest.mark.parametrize(
    ("given", "tag"),
    [
        ("deu", "de"),
        ("jpn_Jpan", "ja"),
        ("cmn_Hani", "zh"),
        ("pt_br", "pt-BR"),
        ("zh-hant", "zh-Hant"),
        ("en-x-" + "a-" * 20 + "a", "en"),
    ],
)
def test_a_standard_tag_is_the_shortest_that_says_the_same(given: str, tag: str) -> None:
    assert standard(given) == tag
    assert standard(tag) == tag


@settings(max_examples=300, deadline=None)
@given(code=st.one_of(st.text(), st.from_regex(r"[a-zA-Z]{2,3}([-_][a-zA-Z0-9]{1,8}){0,9}", fullmatch=True)))
def test_a_standard_tag_is_short_and_safe_in_a_path_whatever_it_is_of(code: str) -> None:
    tag = standard(code)
    assert (tag is None) == (primary(code) is None)
    if tag is not None:
        assert re.fullmatch("[A-Za-z0-9-]{2,20}", tag)
        assert primary(tag) == primary(code)


def test_one_of_those_wanted_is_also_a_member_of_a_macrolanguage() -> None:
    assert among("deu", ["nl", "German"])
    assert among("yue", ["zh"])
    assert among("nb", ["no"])
    assert not among("zh", ["yue"])
    assert not among("nl", ["de"])
    assert not among(None, ["de"])
    assert not among("und", ["und"])


def test_what_is_identified_is_read_as_itself() -> None:
    codes = {code for code, _ in languages._identifier().rank("x")}
    found = {languages._MACROLANGUAGE.get(code) or primary(code) for code in codes}
    assert all(primary(code) == code for code in found if code)
