import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaner_core.data.labels import bio_labels
from metaner_core.data.scoring import Counts, Score, count, scores

# Random labels, valid or not; sentences of (gold, predicted) pairs.
label = st.sampled_from(bio_labels(("PER", "LOC", "X-Y")))
sentence = st.lists(st.tuples(label, label), max_size=10)
corpus = st.lists(sentence, max_size=5)


def unzip(sentences):
    return [[gold for gold, _ in pairs] for pairs in sentences], [[guess for _, guess in pairs] for pairs in sentences]


# conlleval's rules, written down straight: one pass over the lines, a sentence end is a line with O and O.


def conlleval_ends(previous_tag, tag, previous_type, type_):
    if (previous_tag, tag) in {("B", "B"), ("B", "O"), ("I", "B"), ("I", "O")}:
        return True
    return previous_tag != "O" and previous_type != type_


def conlleval_starts(previous_tag, tag, previous_type, type_):
    if (previous_tag, tag) in {("B", "B"), ("I", "B"), ("O", "B"), ("O", "I")}:
        return True
    return tag != "O" and previous_type != type_


def conlleval_counts(sentences):
    correct, predicted, gold = Counter[str](), Counter[str](), Counter[str]()
    in_correct = False
    last_gold, last_guess = ("O", ""), ("O", "")
    for pair in [pair for pairs in sentences for pair in [*pairs, ("O", "O")]]:
        (tag, _, type_), (guess_tag, _, guess_type) = (one.partition("-") for one in pair)
        gold_step = (last_gold[0], tag, last_gold[1], type_)
        guess_step = (last_guess[0], guess_tag, last_guess[1], guess_type)
        gold_ends, guess_ends = conlleval_ends(*gold_step), conlleval_ends(*guess_step)
        gold_starts, guess_starts = conlleval_starts(*gold_step), conlleval_starts(*guess_step)
        if in_correct:
            if gold_ends and guess_ends and last_guess[1] == last_gold[1]:
                in_correct = False
                correct[last_gold[1]] += 1
            elif gold_ends != guess_ends or guess_type != type_:
                in_correct = False
        if gold_starts and guess_starts and guess_type == type_:
            in_correct = True
        if gold_starts:
            gold[type_] += 1
        if guess_starts:
            predicted[guess_type] += 1
        last_gold, last_guess = (tag, type_), (guess_tag, guess_type)
    return Counts(dict(correct), dict(predicted), dict(gold))


@given(corpus)
def test_counts_are_those_of_conlleval(sentences):
    assert count(*unzip(sentences)) == conlleval_counts(sentences)


@given(corpus, st.integers(0, 5))
def test_counts_of_shards_add_up(sentences, cut):
    shards = [count(*unzip(sentences[:cut])), count(*unzip(sentences[cut:]))]
    assert sum(shards, Counts()) == count(*unzip(sentences))


@given(corpus)
def test_counts_survive_json(sentences):
    counts = count(*unzip(sentences))
    assert Counts.from_dict(json.loads(json.dumps(counts.to_dict()))) == counts


@pytest.mark.parametrize(
    ("labels", "phrases"),
    [
        ("O I-PER", {"PER": 1}),
        ("I-PER I-LOC", {"PER": 1, "LOC": 1}),
        ("B-PER I-LOC", {"PER": 1, "LOC": 1}),
        ("B-PER B-PER", {"PER": 2}),
        ("B-PER I-PER", {"PER": 1}),
        ("O O", {}),
    ],
)
def test_awkward_sequences(labels, phrases):
    assert count([labels.split()], [labels.split()]) == Counts(phrases, phrases, phrases)


def test_a_phrase_ends_with_its_sentence():
    assert count([["B-PER"], ["I-PER"]], [["B-PER"], ["I-PER"]]).gold == {"PER": 2}


def test_a_stray_inside_label_starts_the_same_phrase():
    assert count([["O", "B-PER"]], [["O", "I-PER"]]).correct == {"PER": 1}


def test_a_phrase_with_another_border_is_wrong():
    assert count([["B-PER", "I-PER"]], [["B-PER", "O"]]) == Counts({}, {"PER": 1}, {"PER": 1})


def test_a_phrase_of_another_type_is_wrong():
    assert count([["B-PER"]], [["B-LOC"]]) == Counts({}, {"LOC": 1}, {"PER": 1})


def test_scores_are_percentages():
    counts = Counts({"PER": 1}, {"PER": 2, "LOC": 2}, {"PER": 1, "LOC": 1})
    result = scores(counts)
    assert result.overall == Score(precision=25.0, recall=50.0, f1=100 / 3)
    assert result.by_type == {"LOC": Score(0.0, 0.0, 0.0), "PER": Score(50.0, 100.0, f1=200 / 3)}


def test_nothing_to_divide_by_is_zero():
    assert scores(Counts()).overall == Score(0.0, 0.0, 0.0)
    assert scores(Counts({}, {"PER": 1}, {})).by_type == {"PER": Score(0.0, 0.0, 0.0)}


def test_sentences_of_other_lengths_are_an_error():
    with pytest.raises(ValueError, match="sentence 1: 1 gold labels, 2 predicted"):
        count([["O"], ["O"]], [["O"], ["O", "O"]])


@pytest.mark.parametrize(("gold", "predicted"), [([["O"]], []), ([], [["O"]])])
def test_a_missing_sentence_is_an_error(gold, predicted):
    with pytest.raises(ValueError, match="ends after 0 sentences"):
        count(gold, predicted)


@pytest.mark.parametrize(
    "data",
    [
        {"correct": {}, "predicted": {}},
        {"correct": {}, "predicted": {}, "gold": {}, "wrong": {}},
        {"correct": {}, "predicted": {}, "gold": 3},
        {"correct": {}, "predicted": {}, "gold": {"PER": 1.5}},
        {"correct": {}, "predicted": {}, "gold": {"PER": -1}},
    ],
)
def test_counts_from_something_else_are_an_error(data):
    with pytest.raises(ValueError, match="to_dict"):
        Counts.from_dict(data)
