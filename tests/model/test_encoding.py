import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metaner_core.encoders.encoder import load_encoder, longest_input
from metaner_core.model.encoding import Encoding, LabelSet, collate, windows
from metaner_core.settings import Settings, preset
from tests.support.small import SENTENCES, bert_tokenizer, encoded, save_tiny_xlm_roberta, tiny_bert

SHORT = Settings(window=6, window_context=2)
APART = Settings(window=6, window_context=2, touching_words="apart")  # together: test_subwords.py


@pytest.fixture(scope="module")
def xlm_roberta(tmp_path_factory):
    return load_encoder(save_tiny_xlm_roberta(tmp_path_factory.mktemp("xlm-roberta")))


@pytest.fixture(params=["bert", "xlm-roberta"])
def tokenizer(request, xlm_roberta):
    return bert_tokenizer() if request.param == "bert" else xlm_roberta[1]


@st.composite
def window_cases(draw):
    size = draw(st.integers(2, 40))
    return draw(st.integers(0, 300)), size, draw(st.integers(0, size - 1))


@given(window_cases())
def test_every_subword_is_fresh_in_exactly_one_window(case):
    length, size, context = case
    fresh = [i for window in windows(length, size, context) for i in range(window.fresh, window.stop)]
    assert fresh == list(range(length))


@given(window_cases())
def test_a_window_is_within_its_size_and_starts_with_the_last_context_of_the_one_before(case):
    length, size, context = case
    found = windows(length, size, context)
    for window in found:
        assert 0 <= window.start <= window.fresh < window.stop <= window.start + size
    for before, after in itertools.pairwise(found):
        assert before.stop - before.start == size
        assert (after.start, after.fresh) == (before.stop - context, before.stop)


def test_the_papers_windows():
    found = [(w.start, w.stop, w.fresh) for w in windows(300, 128, 64)]
    assert found == [(0, 128, 0), (64, 192, 128), (128, 256, 192), (192, 300, 256)]
    assert [(w.start, w.stop) for w in windows(128, 128, 64)] == [(0, 128)]
    assert windows(0, 128, 64) == ()


def subwords_one_word_at_a_time(tokenizer, words):
    found = [tokenizer(word, add_special_tokens=False)["input_ids"] or [tokenizer.unk_token_id] for word in words]
    return [(subword, n) for n, subwords in enumerate(found) for subword in subwords]


def assert_every_word_predicted_once(sentences, tokenizer):
    batch = collate(sentences, tokenizer)
    seen = list(zip(batch.sentence.tolist(), batch.word.tolist(), strict=True))
    assert sorted(seen) == [(n, word) for n, s in enumerate(sentences) for word in range(len(s.first))]
    firsts = [sentences[n].ids[sentences[n].first[word]] for n, word in seen]
    assert batch.ids[batch.row.long(), batch.col.long()].tolist() == firsts


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="[]<>"), max_size=30)


@settings(deadline=None, max_examples=60)
@given(words=st.lists(st.one_of(TEXT, st.sampled_from(["Merkel", "in", "\u200b", "\x01", "Konstantinopel-Straße"]))))
@pytest.mark.parametrize("family", ["bert", "xlm-roberta"])
def test_any_words_become_subwords_and_each_is_predicted_once(family, words, xlm_roberta):
    tokenizer = bert_tokenizer() if family == "bert" else xlm_roberta[1]
    sentence = Encoding(tokenizer, APART)(words)
    assert list(zip(sentence.ids, sentence.word, strict=True)) == subwords_one_word_at_a_time(tokenizer, words)
    assert [sentence.word[i] for i in sentence.first] == list(range(len(words)))
    assert all(i == 0 or sentence.word[i - 1] != sentence.word[i] for i in sentence.first)
    if words:
        assert_every_word_predicted_once([sentence], tokenizer)


@pytest.mark.parametrize("before", range(8))
def test_a_word_of_many_subwords_across_a_border_is_predicted_where_it_begins(tokenizer, before):
    words = [*["a"] * before, "Llanfairpwllgwyngyll-gogerychwyrndrobwll", "z"]
    sentence = Encoding(tokenizer, SHORT)(words)
    assert len(sentence.windows) > 2
    assert_every_word_predicted_once([sentence], tokenizer)


@pytest.mark.parametrize("word", ["\x01", "\u200b", "", "\x00\x7f", "\ufeff"])
def test_a_word_without_subwords_becomes_unknown(word):
    tokenizer = bert_tokenizer()
    assert tokenizer(word, add_special_tokens=False)["input_ids"] == []
    sentence = Encoding(tokenizer, SHORT)(["Rome", word, "fell"])
    assert sentence.ids[sentence.first[1]] == tokenizer.unk_token_id
    assert sentence.first[2] == sentence.first[1] + 1


def test_the_text_of_a_special_token_is_ordinary_text(tokenizer):
    specials = [tokenizer.cls_token, tokenizer.sep_token, tokenizer.mask_token, tokenizer.pad_token]
    sentence = Encoding(tokenizer, SHORT)(["He", *specials, "x" + tokenizer.sep_token])
    ids = {tokenizer.convert_tokens_to_ids(special) for special in specials}
    assert not ids & set(sentence.ids)


def test_half_a_surrogate_pair_is_no_crash(tokenizer):
    sentence = Encoding(tokenizer, SHORT)(["Rome", "a\ud83d", "\udc00", "fell"])
    assert [sentence.word[i] for i in sentence.first] == [0, 1, 2, 3]


def test_an_empty_sentence_has_no_windows_and_no_positions(tokenizer):
    empty, full = Encoding(tokenizer, SHORT)([]), Encoding(tokenizer, SHORT)(["Rome", "fell"])
    assert (empty.ids, empty.first, empty.windows) == ((), (), ())
    batch = collate([empty, full, empty], tokenizer)
    assert (batch.sentences, batch.sentence.tolist(), batch.word.tolist()) == (3, [1, 1], [0, 1])
    assert len(collate([empty], tokenizer).row) == 0


def test_a_sentence_of_one_token(tokenizer):
    sentence = Encoding(tokenizer, SHORT)([","])
    batch = collate([sentence], tokenizer)
    assert batch.ids.tolist() == [[tokenizer.cls_token_id, *sentence.ids, tokenizer.sep_token_id]]
    assert (batch.row.tolist(), batch.col.tolist()) == ([0], [1])


def test_a_sentence_of_a_thousand_words(tokenizer):
    words = [f"w{i}" if i % 3 else "the" for i in range(1100)]  # more than one call's worth for the tokenizer
    sentence = Encoding(tokenizer, Settings())(words)
    assert list(zip(sentence.ids, sentence.word, strict=True)) == subwords_one_word_at_a_time(tokenizer, words)
    assert_every_word_predicted_once([sentence], tokenizer)


def test_as_many_labels_as_words():
    with pytest.raises(ValueError, match=r"2 words but 1 labels: 'Rome fell'"):
        Encoding(bert_tokenizer(), SHORT)(["Rome", "fell"], ["B-LOC"])


def test_a_window_must_fit_into_the_encoder(xlm_roberta):
    for encoder, tokenizer in ((tiny_bert(), bert_tokenizer()), xlm_roberta):
        longest = longest_input(encoder)
        with pytest.raises(ValueError, match="window is 511 subwords, but the encoder takes at most 510"):
            Encoding(tokenizer, Settings(window=511), longest=longest)
        encode = Encoding(tokenizer, Settings(window=510), longest=longest)
        ids = collate([encode(["the"] * 600)], tokenizer).ids
        assert ids.shape[1] == 512
        assert encoder(input_ids=ids[:1]).last_hidden_state.isfinite().all()


def test_the_claimed_length_is_the_longest_that_runs(xlm_roberta):
    for encoder in (tiny_bert(positions=40), xlm_roberta[0]):
        longest = longest_input(encoder)
        encoder(input_ids=torch.full((1, longest), 5))
        with pytest.raises((IndexError, RuntimeError)):
            encoder(input_ids=torch.full((1, longest + 1), 5))


def test_a_batch_is_padded_behind_and_attends_to_no_padding(tokenizer):
    sentences = encoded(SHORT, tokenizer)
    batch = collate(sentences, tokenizer)
    rows = [s.ids[w.start : w.stop] for s in sentences for w in s.windows]
    assert len(rows) == len(batch.ids)
    for row, ids, attention in zip(rows, batch.ids.tolist(), batch.attention.tolist(), strict=True):
        full = [tokenizer.cls_token_id, *row, tokenizer.sep_token_id]
        padding = len(ids) - len(full)
        assert ids == full + [tokenizer.pad_token_id] * padding
        assert attention == [1] * len(full) + [0] * padding


def slow_labels(sentence, every):
    """(window, column, label) by walking over each window's subwords."""
    found = []
    for w, window in enumerate(sentence.windows):
        inner = []
        for i in range(window.start, window.stop):
            is_first = i == 0 or sentence.word[i] != sentence.word[i - 1]
            if is_first and (every or i >= window.fresh):
                inner.append((w, i - window.start + 1, sentence.labels[sentence.word[i]]))
            elif every:
                inner.append((w, i - window.start + 1, "X"))
        end = window.stop - window.start + 1
        found += [(w, 0, "[CLS]"), *inner, (w, end, "[SEP]")] if every else inner
    return found


@pytest.mark.parametrize("loss_tokens", ["first", "all"])
def test_labels_stand_on_first_subwords_or_on_every_unpadded_position(tokenizer, loss_tokens):
    label_set = LabelSet.of(Settings(loss_tokens=loss_tokens))
    for sentence in encoded(SHORT, tokenizer):
        batch = collate([sentence], tokenizer, label_set=label_set)
        labels = [label_set.names[i] for i in batch.labels.tolist()]
        found = list(zip(batch.row.tolist(), batch.col.tolist(), labels, strict=True))
        assert found == slow_labels(sentence, loss_tokens == "all")
        if loss_tokens == "all":
            assert len(found) == batch.attention.sum()


def test_label_ids_start_at_one_where_every_token_is_in_the_loss():
    assert LabelSet.of(preset("paper")).names[:3] == ("O", "B-PER", "I-PER")
    names = LabelSet.of(preset("official-code", types=("LOC",))).names
    assert names == ("[PAD]", "O", "B-LOC", "I-LOC", "X", "[CLS]", "[SEP]")
    assert [LabelSet.of(preset("official-code", types=("LOC",))).bio(i) for i in range(7)] == [
        *["O", "O", "B-LOC", "I-LOC"],
        *["O", "O", "O"],
    ]


def test_a_mask_changes_ids_and_nothing_else():
    tokenizer, sentences = bert_tokenizer(), encoded(SHORT)
    label_set = LabelSet.of(SHORT)
    plain = collate(sentences, tokenizer, label_set=label_set)
    ids = [[tokenizer.mask_token_id] * len(s.ids) for s in sentences]
    changed = collate(sentences, tokenizer, label_set=label_set, ids=ids)
    for name in ("attention", "row", "col", "sentence", "labels", "word"):
        assert torch.equal(getattr(plain, name), getattr(changed, name))
    special = {tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id}
    keeps = [i if i in special else tokenizer.mask_token_id for i in plain.ids.flatten().tolist()]
    assert changed.ids.flatten().tolist() == keeps


def test_overlaps_list_repeated_words_again():
    sentence = Encoding(bert_tokenizer(), SHORT)(SENTENCES[3][0])
    words = collate([sentence], bert_tokenizer(), overlaps=True).word.tolist()
    expected = [sentence.word[i] for w in sentence.windows for i in range(w.start, w.stop) if i in set(sentence.first)]
    assert words == expected
    assert len(words) > len(sentence.first)
