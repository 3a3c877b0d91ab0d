"""Documents to rows: what a row says, and that each document answers for itself only."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metaner_core.bundles import bundle
from metaner_core.bundles.bundle import Bundle
from metaner_core.data import labels
from metaner_core.engine import adapting
from metaner_core.method import adapt
from metaner_core.model.encoding import Encoded, collate
from metaner_core.model.subwords import Cut, Subwords
from metaner_core.tagging.pipeline import Document, Rules, tag_documents
from metaner_core.text import schema, screening, segmentation

SPANISH = Document("es", "La alcaldesa Rosa Vidal habló en Zaragoza.\n\nEl Ebro crece. Rosa Vidal calló.", "es")
GERMAN = Document("de", "Der Verein FC Lindau gewann in Bremen gegen Kiel mit 2:1.", "de")
CHINESE = Document("zh", "王小明在北京工作。他昨天去了上海。", "zh")
LONG = Document("long", "Maria ging nach Bremen und " * 30, "de")
DOCUMENTS = [SPANISH, GERMAN, CHINESE, LONG]


@pytest.fixture(scope="module")
def tiny(tiny_bundle: str) -> Bundle:
    """Its classifier drawn anew, and large, so that it finds all types after the adaptation too.

    In float64: in fp32 the loop itself is 2e-4 off, for with a γ of 1e-3 the rounding of a gradient near 0 shows.
    """
    loaded = bundle.load(tiny_bundle)
    weight = loaded.tagger.classifier.weight
    torch.nn.init.normal_(weight, generator=torch.Generator().manual_seed(1))
    torch.nn.init.zeros_(weight[0].detach())  # O: now hardly ever the largest, so entities stand side by side
    loaded.tagger.double()
    return loaded


@pytest.fixture(scope="module")
def reference(tiny: Bundle) -> adapt.Engine:
    """The loop over one sentence at a time, with the same model."""
    return adapt.Engine(**{f.name: getattr(tiny.engine, f.name) for f in dataclasses.fields(adapt.Engine)})


@pytest.fixture(scope="module")
def rows(tiny: Bundle) -> list[dict[str, Any]]:
    return tag_documents(tiny, DOCUMENTS)


def tokens(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return (token for sentence in row["sentences"] for token in sentence["tokens"])


def without_floats(row: dict[str, Any]) -> dict[str, Any]:
    sentences = [{**s, "neighbours": [n["id"] for n in s["neighbours"]]} for s in row["sentences"]]
    return {**row, "sentences": sentences, "entities": [{**e, "score": None} for e in row["entities"]]}


def floats(row: dict[str, Any]) -> list[float]:
    return [n["similarity"] for s in row["sentences"] for n in s["neighbours"]] + [e["score"] for e in row["entities"]]


def test_rows_are_of_the_documents_in_order_and_fit_the_schema(rows: list[dict[str, Any]]) -> None:
    assert [(row["id"], row["text"], row["language"]) for row in rows] == [
        (d.id, d.text, d.language) for d in DOCUMENTS
    ]
    assert {row["outcome"] for row in rows} == {schema.TAGGED}
    tagged, other = schema.tables(rows)
    assert tagged["id"].to_pylist() == [d.id for d in DOCUMENTS]
    assert len(other) == 0
    assert all(row.keys() == {"outcome", *schema.TAGGED_SCHEMA.names} for row in rows)


def test_tokens_and_entities_are_slices_of_the_text(rows: list[dict[str, Any]]) -> None:
    assert len({entity["type"] for row in rows for entity in row["entities"]}) > 1
    assert any("I-" in token["label"] for row in rows for token in tokens(row))
    for row in rows:
        for part in [*tokens(row), *row["entities"]]:
            assert row["text"][part["start"] : part["end"]] == part["text"]
        for sentence in row["sentences"]:
            ends = sentence["tokens"][0]["start"], sentence["tokens"][-1]["end"]
            assert (sentence["start"], sentence["end"]) == ends


def test_entities_are_the_phrases_of_the_labels(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        expected = []
        for number, sentence in enumerate(row["sentences"]):
            for span in labels.spans([token["label"] for token in sentence["tokens"]]):
                first, last = sentence["tokens"][span.start], sentence["tokens"][span.end - 1]
                expected.append((number, span.type, first["start"], last["end"]))
        assert [(e["sentence"], e["type"], e["start"], e["end"]) for e in row["entities"]] == expected


def test_labels_are_the_reference_engine_s_made_valid_bio(
    tiny: Bundle, reference: adapt.Engine, rows: list[dict[str, Any]]
) -> None:
    for row in rows:
        for sentence in row["sentences"]:
            words = [token["text"] for token in sentence["tokens"]]
            ids, similarities = tiny.support([words])
            expected = reference.adapted([tiny.encode(words)], ids)[0]
            assert [token["label"] for token in sentence["tokens"]] == labels.to_bio(expected.labels)
            assert [n["id"] for n in sentence["neighbours"]] == ids[0].tolist()
            assert [n["similarity"] for n in sentence["neighbours"]] == pytest.approx(similarities[0].tolist())


def test_an_entity_is_as_sure_as_its_least_sure_word(
    tiny: Bundle, reference: adapt.Engine, rows: list[dict[str, Any]]
) -> None:
    for row in rows:
        alone = [[token["text"] for token in sentence["tokens"]] for sentence in row["sentences"]]
        found = [reference.adapted([tiny.encode(w)], tiny.support([w])[0])[0].probabilities for w in alone]
        for entity in row["entities"]:
            sentence, probabilities = row["sentences"][entity["sentence"]], found[entity["sentence"]]
            inside = [entity["start"] <= token["start"] < entity["end"] for token in sentence["tokens"]]
            least = min(p for p, hit in zip(probabilities, inside, strict=True) if hit)
            assert entity["score"] == pytest.approx(least, abs=1e-5)


def test_a_sentence_says_how_many_windows_it_was_cut_to(rows: list[dict[str, Any]]) -> None:
    assert [sentence["windows"] for sentence in rows[0]["sentences"]] == [1, 1, 1]
    assert rows[3]["sentences"][0]["windows"] > 1


def test_unadapted_rows_are_the_model_s_own_and_name_no_neighbours(tiny: Bundle) -> None:
    row = tag_documents(tiny, [GERMAN], adapted=False)[0]
    expected = tiny.engine.plain([tiny.encode([token["text"] for token in tokens(row)])])[0]
    assert [token["label"] for token in tokens(row)] == labels.to_bio(expected.labels)
    assert row["sentences"][0]["neighbours"] == []


def test_a_document_s_row_does_not_depend_on_its_batch(tiny: Bundle, rows: list[dict[str, Any]]) -> None:
    alone = [tag_documents(tiny, [document])[0] for document in DOCUMENTS]
    assert list(map(without_floats, alone)) == list(map(without_floats, rows))
    for one, other in zip(alone, rows, strict=True):
        assert floats(one) == pytest.approx(floats(other), abs=1e-5)


def test_a_row_tells_how_its_language_is_known(tiny: Bundle) -> None:
    given, found, unknown = tag_documents(
        tiny, [GERMAN, dataclasses.replace(GERMAN, language=None), Document("x", "7.")]
    )
    assert (given["language"], given["language_score"]) == ("de", None)
    assert (found["language"], found["language_score"]) == ("de", pytest.approx(1, abs=0.3))
    assert (unknown["language"], unknown["language_score"]) == (None, None)


def test_the_input_s_other_columns_pass_through(tiny: Bundle) -> None:
    documents = [Document("a", "Ana.", extra='{"url": "x"}'), Document("b", "", extra='{"url": "y"}')]
    assert [row["extra"] for row in tag_documents(tiny, documents)] == ['{"url": "x"}', '{"url": "y"}']


def test_documents_that_are_not_tagged_keep_their_places_among_the_others(tiny: Bundle) -> None:
    documents = [SPANISH, Document("e", ""), GERMAN, Document("p", None, problem="gzip: cut off"), CHINESE]
    found = tag_documents(tiny, documents, rules=Rules(languages=("es", "zh")))
    assert [row["id"] for row in found] == [d.id for d in documents]
    assert [row["outcome"] for row in found] == ["tagged", "empty", "filtered", "rejected", "tagged"]


def test_a_word_of_300_000_letters_is_tagged_in_pieces_none_lost(tiny: Bundle) -> None:
    row = tag_documents(tiny, [Document("x", "Ana " + "a" * 300_000 + " y.", "es")], adapted=False)[0]
    assert row["outcome"] == "tagged"
    assert "".join(token["text"] for token in tokens(row)) == "Ana" + "a" * 300_000 + "y."
    assert max(len(token["text"]) for token in tokens(row)) == segmentation.MAX_RUN


def test_a_document_that_breaks_the_tokenizer_is_rejected_alone(
    tiny: Bundle, rows: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def segment(text: str, language: str | None, **options: Any) -> Any:
        if "poison" in text:
            raise RuntimeError("no words for this")
        return real(text, language, **options)

    real = screening.segment
    monkeypatch.setattr(screening, "segment", segment)
    found = tag_documents(tiny, [SPANISH, Document("bad", "poison"), GERMAN])
    assert [row["outcome"] for row in found] == ["tagged", "rejected", "tagged"]
    assert (found[1]["stage"], found[1]["reason"]) == ("segmentation", "no words for this")


def at_every_engine(monkeypatch: pytest.MonkeyPatch, before: Callable[[Sequence[Encoded]], None]) -> None:
    """Have `before` look at the sentences of each batch that an engine puts together."""
    real = collate

    def looked_at(sentences: Sequence[Encoded], *more: Any, **options: Any) -> Any:
        before(sentences)
        return real(sentences, *more, **options)

    for module in (adapt, adapting):
        monkeypatch.setattr(module, "collate", looked_at)


@pytest.mark.parametrize("adapted", [True, False])
def test_a_document_that_breaks_the_model_is_rejected_alone(
    tiny: Bundle, monkeypatch: pytest.MonkeyPatch, adapted: bool
) -> None:
    expected = tag_documents(tiny, [SPANISH, GERMAN], adapted=adapted)
    snowman = tiny.encode(["☃"]).ids[0]

    def fail(sentences: Sequence[Encoded]) -> None:
        if any(snowman in sentence.ids for sentence in sentences):
            raise RuntimeError("out of\nmemory")

    at_every_engine(monkeypatch, fail)
    found = tag_documents(tiny, [SPANISH, Document("bad", "Schnee ☃ fällt.", "de"), GERMAN], adapted=adapted)
    assert [row["outcome"] for row in found] == ["tagged", "rejected", "tagged"]
    assert (found[1]["stage"], found[1]["reason"]) == ("model", "RuntimeError: out of memory")
    assert [without_floats(found[0]), without_floats(found[2])] == list(map(without_floats, expected))
    assert floats(found[0]) + floats(found[2]) == pytest.approx(floats(expected[0]) + floats(expected[1]), abs=1e-5)


def test_a_model_that_tags_nothing_any_more_is_an_error_not_a_rejection(
    tiny: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(sentences: Sequence[Encoded]) -> None:
        raise RuntimeError("the device is gone")

    at_every_engine(monkeypatch, fail)
    with pytest.raises(RuntimeError, match="the device is gone"):
        tag_documents(tiny, [SPANISH, GERMAN])


TEXTS = st.lists(
    st.one_of(
        st.text(st.characters(), max_size=8),  # surrogates too
        st.sampled_from(
            [" ", ". ", "\n\n", "\u202e", "\u200b", "\x00", "\x1b", "北京", "𝔘", "Ana", "\ud800", "[SEP]", "a" * 600]
        ),
    ),
    max_size=20,
).map("".join)


@settings(max_examples=25, deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=4), adapted=st.booleans())
def test_no_text_makes_it_fail_and_every_row_can_be_written(tiny: Bundle, texts: list[str], adapted: bool) -> None:
    found = tag_documents(tiny, [Document(str(i), text) for i, text in enumerate(texts)], adapted=adapted)
    assert [row["id"] for row in found] == [str(i) for i in range(len(texts))]
    for table in schema.tables(found):
        table.validate(full=True)
    for row, text in zip(found, texts, strict=True):
        if row["outcome"] == schema.TAGGED:
            assert row["text"] == text
            assert all(text[part["start"] : part["end"]] == part["text"] for part in [*tokens(row), *row["entities"]])
        assert row["outcome"] != schema.REJECTED or row["stage"] == "text"


def test_no_documents_give_no_rows(tiny: Bundle) -> None:
    assert tag_documents(tiny, []) == []


def test_a_sentence_is_cut_into_subwords_once(tiny: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    cut: list[tuple[str, ...]] = []
    real = Subwords.__call__

    def count(self: Subwords, words: Sequence[str]) -> Cut:
        cut.append(tuple(words))
        return real(self, words)

    assert tiny.engine.source  # made before it is counted
    monkeypatch.setattr(Subwords, "__call__", count)
    tag_documents(tiny, [Document("one", "Anna met Berta in Ghent. They left.", "en")])
    assert cut == [("Anna", "met", "Berta", "in", "Ghent", "."), ("They", "left", ".")]
