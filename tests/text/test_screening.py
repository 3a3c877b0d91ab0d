"""What becomes of a document before the model: one outcome each, whatever its text, in bounded time."""

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metaner_core.text import schema
from metaner_core.text.document import Document
from metaner_core.text.outcomes import Ready, rejected
from metaner_core.text.rules import Rules
from metaner_core.text.screening import screen

GERMAN = "Der Ausschuss tritt am Donnerstag erneut zusammen, um über die alte Brücke zu entscheiden."
HALF = "half \ud800 a pair"


def row(text: Any, own: str | None = None, **options: Any) -> dict[str, Any]:
    found = screen(Document("x", text, own), Rules(**options))
    assert isinstance(found, dict)
    assert found.keys() == set(schema.OTHER_SCHEMA.names)
    return found


def outcome(text: Any, own: str | None = None, **options: Any) -> tuple[str | None, ...]:
    found = row(text, own, **options)
    return found["outcome"], found["stage"], found["reason"]


def ready(text: str, own: str | None = None, **options: Any) -> Ready:
    found = screen(Document("x", text, own), Rules(**options))
    assert isinstance(found, Ready), found
    return found


@pytest.mark.parametrize("text", ["", " \n\n ", "\u200f\u200b", "\x00\x01\x00", "\u2028\u2029"])
def test_text_without_words_is_empty(text: str) -> None:
    assert outcome(text) == outcome(text, "en", min_characters=50) == ("empty", None, None)


@pytest.mark.parametrize(("text", "kind"), [(None, "null"), (7, "int"), (b"bytes", "bytes"), (["a"], "list")])
def test_what_is_no_text_is_rejected(text: Any, kind: str) -> None:
    assert outcome(text) == ("rejected", "text", f"expected a string, found {kind}")
    assert (row(text)["characters"], row(text)["excerpt"]) == (None, None)


def test_half_a_surrogate_pair_is_rejected_in_a_row_that_shows_it() -> None:
    assert outcome(HALF) == ("rejected", "text", "half of a surrogate pair at character 5, which is no text")
    assert row(HALF)["excerpt"] == r"half \ud800 a pair"


def test_what_could_not_be_read_is_rejected_with_the_reader_s_reason() -> None:
    found = screen(Document("x", "Stra\ufffde", "de", problem="utf-8: byte 4 is\n0xdf"), Rules())
    assert isinstance(found, dict)
    assert (found["outcome"], found["stage"], found["reason"]) == ("rejected", "utf-8", "byte 4 is 0xdf")
    assert (found["language"], found["excerpt"]) == ("de", "Stra\ufffde")


def test_a_problem_without_a_stage_is_one_of_reading() -> None:
    assert rejected(Document("x", None), "cut off")["stage"] == "reading"


def test_an_error_message_without_end_is_cut() -> None:
    assert len(rejected(Document("x", None), "model: " + "no " * 9_999)["reason"]) == 500


def test_too_long_and_too_short_are_filtered_by_length() -> None:
    rules = {"min_characters": 5, "max_characters": 8}
    assert outcome("four", **rules) == ("filtered", "length", "4 characters, least is 5")
    assert outcome("nine char", **rules) == ("filtered", "length", "9 characters, most is 8")
    assert all(ready(text, **rules).sentences for text in ("five.", "eight ch"))


def test_too_many_sentences_are_filtered_by_length() -> None:
    assert len(ready("A bed. A cot. A sofa.", "en", max_sentences=3).sentences) == 3
    assert outcome("A bed. A cot. A sofa.", "en", max_sentences=2) == ("filtered", "length", "more than 2 sentences")


@pytest.mark.parametrize(
    ("own", "rules", "expected"),
    [
        (None, {}, ("de", True)),
        ("es", {}, ("es", False)),
        (" es ", {}, ("es", False)),
        ("", {}, ("de", True)),
        ("es", {"language": "fr"}, ("fr", False)),
        (None, {"language": "fr"}, ("fr", False)),
        (None, {"identify": False}, (None, False)),
    ],
)
def test_a_given_language_goes_before_an_identified_one(own: Any, rules: Any, expected: tuple[str, bool]) -> None:
    found = ready(GERMAN, own, **rules)
    assert (found.language, found.score is not None) == expected


def test_other_languages_are_filtered_with_what_was_identified() -> None:
    found = row(GERMAN, languages=("es", "fr"))
    assert (found["outcome"], found["stage"], found["reason"]) == ("filtered", "language", "de is not among es, fr")
    assert found["language"] == "de"
    assert found["language_score"] > 0.9


@pytest.mark.parametrize("language", ["pt", "pt-BR", "PT_pt"])
def test_a_language_in_the_filter_stands_for_its_variants(language: str) -> None:
    assert ready("Olá, Ana.", language, languages=("pt",)).language == language


@pytest.mark.parametrize("languages", [("es",), ("es", "de")])
def test_a_text_in_no_language_does_not_pass_a_filter(languages: tuple[str, ...]) -> None:
    assert outcome("123 456", languages=languages)[:2] == ("filtered", "language")


def test_all_that_is_wrong_with_rules_is_said_at_once() -> None:
    with pytest.raises(ValueError, match="rules:") as error:
        Rules(language="Elbonian", languages=("de", "x y"), min_characters=-1, max_characters=0, max_sentences=0)
    for part in (
        "'Elbonian' is no",
        "'x y' is no",
        "min_characters is -1",
        "max_characters is 0",
        "max_sentences is 0",
    ):
        assert part in str(error.value)


@pytest.mark.parametrize("options", [{"languages": ()}, {"min_characters": 9, "max_characters": 8}])
def test_rules_by_which_nothing_could_be_tagged_are_refused(options: Any) -> None:
    with pytest.raises(ValueError, match=r"languages is empty|above max_characters"):
        Rules(**options)


@pytest.mark.parametrize(
    ("text", "rules", "reason"),
    [
        ("ab " * 17_500_000, {}, "52500000 characters, most is 1000000"),
        ("a" * 52_500_000, {}, "52500000 characters, most is 1000000"),
        ("\x00" * 52_500_000, {}, "52500000 characters, most is 1000000"),
        ("Go. " * 1_000_000, {}, "4000000 characters, most is 1000000"),
        ("Go. " * 1_000_000, {"max_characters": 10**8}, "more than 10000 sentences"),
        ("A\n\n" * 1_000_000, {"max_characters": 10**8}, "more than 10000 sentences"),
        ("我。" * 1_000_000, {"max_characters": 10**8}, "more than 10000 sentences"),
    ],
    ids=["50 MB", "50 MB word", "50 MB of NUL", "sentences", "sentences only", "paragraphs only", "Chinese"],
)
def test_pathological_text_is_filtered_before_work_is_put_into_it(text: str, rules: Any, reason: str) -> None:
    started = time.process_time()
    found = row(text, **rules)
    assert time.process_time() - started < 20  # far less; to segment all of it takes minutes
    assert (found["outcome"], found["stage"], found["reason"]) == ("filtered", "length", reason)
    assert (found["characters"], len(found["excerpt"])) == (len(text), 200)


PIECES = st.one_of(
    st.text(st.characters(), max_size=8),  # surrogates too
    st.sampled_from(
        [" ", ".", "\n\n", "\u200f", "\u202e", "\u200b", "\ufeff", "\x00", "\x1b", "'", "北", "𝔘", "\ud800"]
    ),
)
TEXTS = st.lists(PIECES, max_size=30).map("".join)


@settings(max_examples=200, deadline=None)
@given(text=st.one_of(TEXTS, st.none()), name=TEXTS, language=st.one_of(TEXTS, st.none()), problem=st.none() | TEXTS)
def test_any_document_is_ready_or_a_row_that_can_be_written(
    text: str | None, name: str, language: str | None, problem: str | None
) -> None:
    found = screen(Document(name, text, language, extra=text, problem=problem), Rules(max_sentences=5))
    if isinstance(found, dict):
        tagged, other = schema.tables([found])
        assert (len(tagged), len(other)) == (0, 1)
        other.validate(full=True)
    else:
        assert found.sentences
        assert len(found.sentences) <= 5
        for word in (word for sentence in found.sentences for word in sentence):
            assert found.document.text is not None
            assert found.document.text[word.start : word.end] == word.text
