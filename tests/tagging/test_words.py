"""Sentences that come as words: tagged as they are, none divided or lost."""

from typing import Any

import pytest

from metaner_core.data.labels import spans
from metaner_core.engine import adapting
from metaner_core.tagging.api import BundleTagger
from metaner_core.tagging.words import MAX_CHARACTERS

TEXT = "La alcaldesa Rosa Vidal habló en Zaragoza.\n\nEl Ebro crece. 王小明 calló."
UNUSUAL = ["", " ", "New York", "a\nb", "\x00", "\u200b", "[SEP]", "ﷺ", "𝔘", "x" * 1_000, "Ana", "Ana"]


@pytest.mark.parametrize("adapted", [True, False])
def test_words_are_tagged_as_those_of_a_text(tagger: BundleTagger, adapted: bool) -> None:
    (document,) = tagger.tag([TEXT], adapted=adapted)
    words = [[token.text for token in sentence.tokens] for sentence in document.sentences]
    found = tagger.tag_words(words, adapted=adapted)
    assert [list(sentence.words) for sentence in found] == words
    assert [sentence.labels for sentence in found] == [
        tuple(token.label for token in sentence.tokens) for sentence in document.sentences
    ]
    assert [(s.neighbours, s.windows) for s in found] == [(s.neighbours, s.windows) for s in document.sentences]
    entities = [(n, entity) for n, sentence in enumerate(found) for entity in sentence.entities]
    assert len(entities) == len(document.entities) > 3
    for (n, entity), expected in zip(entities, document.entities, strict=True):
        tokens = document.sentences[n].tokens
        assert (n, entity.type) == (expected.sentence, expected.type)
        assert (tokens[entity.first].start, tokens[entity.last].end) == (expected.start, expected.end)
        assert entity.score == pytest.approx(expected.score, abs=1e-6)


def test_unusual_words_are_kept_one_label_each(tagger: BundleTagger) -> None:
    (found,) = tagger.tag_words([UNUSUAL])
    assert (found.outcome, list(found.words), len(found.labels)) == ("tagged", UNUSUAL, len(UNUSUAL))
    expected = [(span.type, span.start, span.end - 1) for span in spans(found.labels)]
    assert [(entity.type, entity.first, entity.last) for entity in found.entities] == expected
    for entity in found.entities:
        assert entity.text == " ".join(UNUSUAL[entity.first : entity.last + 1])
        assert 0 < entity.score <= 1


def test_words_are_not_joined_to_a_text_before_they_are_tagged(tagger: BundleTagger) -> None:
    one, two = (tagger.bundle.encode(words) for words in (["New York"], ["New", "York"]))
    assert (len(one.first), len(two.first)) == (1, 2)
    found = tagger.tag_words([["New York"], ["New", "York"]], adapted=False)
    expected = tagger.bundle.engine.plain([one, two])
    assert [len(sentence.labels) for sentence in found] == [len(prediction.labels) for prediction in expected] == [1, 2]


def test_there_is_a_result_for_every_sentence_in_order(tagger: BundleTagger) -> None:
    long = ["x" * MAX_CHARACTERS, "y"]
    sentences: list[Any] = [["Ana"], [], None, 7, ["a", 3], ["a", "b\ud800"], long, ("Eva", "Ruiz")]
    found = tagger.tag_words(sentences)
    assert [(sentence.outcome, sentence.stage, sentence.reason) for sentence in found] == [
        ("tagged", None, None),
        ("empty", None, None),
        ("rejected", "words", "expected a list of words, found NoneType"),
        ("rejected", "words", "expected a list of words, found int"),
        ("rejected", "words", "word 1: expected a string, found int"),
        ("rejected", "text", "word 1: half of a surrogate pair, which is no text"),
        ("filtered", "length", "50002 characters in one sentence, most is 50000"),
        ("tagged", None, None),
    ]
    assert [sentence.words for sentence in found] == [
        ("Ana",), (), (), (), (), ("a", "b\ud800"), tuple(long), ("Eva", "Ruiz"),
    ]  # fmt: skip
    assert [len(sentence.labels) for sentence in found] == [1, 0, 0, 0, 0, 0, 0, 2]


def test_a_sentence_that_breaks_the_model_is_rejected_alone(
    tagger: BundleTagger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(sentences: Any, *more: Any, **options: Any) -> Any:
        if any(snowman in sentence.ids for sentence in sentences):
            raise RuntimeError("out of memory")
        return real(sentences, *more, **options)

    real, snowman = adapting.collate, tagger.bundle.encode(["☃"]).ids[0]
    monkeypatch.setattr(adapting, "collate", fail)
    found = tagger.tag_words([["Ana"], ["☃"], ["Eva"]])
    assert [sentence.outcome for sentence in found] == ["tagged", "rejected", "tagged"]
    assert (found[1].words, found[1].stage, found[1].reason) == (("☃",), "model", "RuntimeError: out of memory")


@pytest.mark.parametrize("sentences", ["Ana Ruiz", ["Ana", "Ruiz"], [["Ana"], "Ruiz"], None, {"Ana": ["Ruiz"]}])
def test_what_is_no_list_of_lists_of_words_is_refused(tagger: BundleTagger, sentences: Any) -> None:
    with pytest.raises(TypeError, match=r"not a list of (lists of )?words; give "):
        tagger.tag_words(sentences)
