import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities

from metaner_core.data.labels import TYPES, Span, bio_labels, relabel, spans, split_tag, to_bio

# A sentence as segments (type or None for O, number of words): what every scheme below encodes.
segments = st.lists(st.tuples(st.sampled_from([None, None, *TYPES]), st.integers(1, 4)), max_size=8)


def phrases(sentence):
    found, position = [], 0
    for type_, length in sentence:
        if type_:
            found.append(Span(type_, position, position + length))
        position += length
    return found


def encode(sentence, *, begin="B", inside="I", end="I", single="B"):
    tags = []
    for type_, length in sentence:
        if type_ is None:
            tags += ["O"] * length
        elif length == 1:
            tags.append(f"{single}-{type_}")
        else:
            tags += [f"{begin}-{type_}", *[f"{inside}-{type_}"] * (length - 2), f"{end}-{type_}"]
    return tags


def encode_iob1(sentence):
    """I- everywhere, but B- for the first word of an entity that touches another of its type."""
    tags, previous = [], None
    for type_, length in sentence:
        first = "B" if type_ == previous else "I"
        tags += ["O"] * length if type_ is None else [f"{first}-{type_}", *[f"I-{type_}"] * (length - 1)]
        previous = type_
    return tags


@given(segments)
def test_bio_stays_as_it_is(sentence):
    tags = encode(sentence)
    assert to_bio(tags) == tags
    assert spans(tags) == phrases(sentence)


@given(segments)
def test_iob1_keeps_the_phrases(sentence):
    assert spans(to_bio(encode_iob1(sentence))) == phrases(sentence)


@given(segments)
def test_bioes_keeps_the_phrases(sentence):
    assert spans(to_bio(encode(sentence, end="E", single="S"))) == phrases(sentence)


@given(segments)
def test_bmes_keeps_the_phrases(sentence):
    assert spans(to_bio(encode(sentence, inside="M", end="E", single="S"))) == phrases(sentence)


@given(segments)
def test_inside_only_keeps_phrases_that_touch_none_of_their_type(sentence):
    apart = [part for segment in sentence for part in (segment, (None, 1))]
    assert spans(to_bio(encode(apart, begin="I", single="I"))) == phrases(apart)


# Anything a model may predict: I- after nothing and after another type too, and types that begin like another.
any_labels = st.lists(st.sampled_from(bio_labels((*TYPES, "ORG-PART", "P"))), max_size=14)


@given(any_labels)
def test_spans_are_those_of_seqeval(labels):
    assert spans(labels) == [Span(type_, first, last + 1) for type_, first, last in get_entities(labels)]


@given(any_labels)
def test_any_bio_sequence_keeps_its_phrases(labels):
    assert spans(to_bio(labels)) == spans(labels)


@given(segments, st.sampled_from(["IOB1", "BIOES", "BMES"]))
def test_to_bio_leaves_no_stray_inside_label(sentence, scheme):
    tags = {
        "IOB1": encode_iob1(sentence),
        "BIOES": encode(sentence, end="E", single="S"),
        "BMES": encode(sentence, inside="M", end="E", single="S"),
    }[scheme]
    assert to_bio(tags) == encode(sentence)


@pytest.mark.parametrize(
    ("tags", "bio"),
    [
        ("I-PER I-PER O I-PER", "B-PER I-PER O B-PER"),
        ("I-PER B-PER I-PER", "B-PER B-PER I-PER"),
        ("I-PER I-LOC I-LOC", "B-PER B-LOC I-LOC"),
        ("B-PER I-LOC", "B-PER B-LOC"),
        ("B-PER E-PER I-PER", "B-PER I-PER B-PER"),
        ("S-LOC M-LOC E-LOC", "B-LOC B-LOC I-LOC"),
        ("B-LOC S-LOC", "B-LOC B-LOC"),
        ("E-ORG E-ORG", "B-ORG B-ORG"),
        ("", ""),
    ],
)
def test_to_bio_begins_an_entity_where_there_is_none_to_continue(tags, bio):
    assert to_bio(tags.split()) == bio.split()


@pytest.mark.parametrize("tag", ["", "PER", "B", "B-", "-PER", "X-PER", "BI-PER", "b-PER", "B_PER", "o", "O-", "0"])
def test_unknown_tag_is_an_error_that_names_it(tag):
    with pytest.raises(ValueError, match="expected O or PREFIX-TYPE") as error:
        to_bio(["O", tag])
    assert repr(tag) in str(error.value)


def test_type_may_hold_hyphens():
    assert split_tag("I-ORG-PART") == ("I", "ORG-PART")
    assert spans(["B-ORG-PART", "I-ORG-PART"]) == [Span("ORG-PART", 0, 2)]


def test_spans_start_at_a_stray_inside_label():
    assert spans(["O", "I-PER", "I-LOC", "I-LOC"]) == [Span("PER", 1, 2), Span("LOC", 2, 4)]


def test_spans_reach_the_end_of_the_sentence():
    assert spans(("O", "B-PER", "I-PER")) == [Span("PER", 1, 3)]


@pytest.mark.parametrize("labels", [[], ["O", "O"]])
def test_no_spans_without_entities(labels):
    assert spans(labels) == []


@pytest.mark.parametrize("label", ["M-PER", "E-PER", "S-PER"])
def test_spans_of_another_scheme_is_an_error(label):
    with pytest.raises(ValueError, match=f"'{label}'.*to_bio"):
        spans(["B-PER", label])


def test_bio_labels_are_o_and_two_for_each_type():
    assert bio_labels(("PER", "LOC")) == ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")


def test_relabel_puts_o_for_other_types():
    labels = ["B-MISC", "I-MISC", "B-PER", "I-PER", "O"]
    assert relabel(labels, ("PER", "LOC", "ORG")) == ["O", "O", "B-PER", "I-PER", "O"]


@given(segments)
def test_relabel_keeps_the_phrases_of_the_kept_types(sentence):
    kept = [span for span in phrases(sentence) if span.type != "MISC"]
    assert spans(relabel(encode(sentence), ("PER", "LOC", "ORG"))) == kept
