"""What retrieval reads is what its tokenizer makes of the words, whether made again or taken from tagging."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from metaner_core.encoders.encoder import load_encoder
from metaner_core.model.encoding import Encoding
from metaner_core.model.inputs import Inputs
from metaner_core.model.sentence_vectors import SentenceVectors
from metaner_core.settings import Settings
from tests.support.small import (
    CHINESE,
    CHINESE_TEXTS,
    SENTENCES,
    bert_tokenizer,
    save_tiny_xlm_roberta,
    tiny_bert,
)

Encoder = tuple[PreTrainedModel, PreTrainedTokenizerBase]
SMALL = Settings(window=9, window_context=4)  # many a sentence has several windows
ODD = [
    (),
    ("",),
    ("▁", "▁a"),
    ("[SEP]", "</s>", "<s>", "[CLS]"),
    ("query:", "query:", "a"),
    ("\ud800", "e\u0301", "ﬁ", "\u200b", "\x01"),
    ("ภาษา", "ไทย", "ກັບ", "មាន", "မြန်"),
    ("東", "京", "へ", "行", "く", "。"),
    ("Ελλάδα", "Россия", "مصر", "ישראל", "भारत", "한국", "🇪🇸", "👩‍👩‍👧"),
    ("x" * 700,),
    tuple(f"w{n}" for n in range(1_200)),
]
WORDS = [*(words for words, _ in (*SENTENCES, *CHINESE)), *ODD]


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Encoder]:
    folder = save_tiny_xlm_roberta(tmp_path_factory.mktemp("xlm"), texts=CHINESE_TEXTS)
    return {"bert": (tiny_bert(), bert_tokenizer()), "xlm-roberta": load_encoder(folder)}


def alone(encoder: Encoder, words: Sequence[str], settings: Settings) -> tuple[int, ...]:
    """What a retrieval that knows of no tagger would read."""
    return Encoding(encoder[1], dataclasses.replace(settings, window=10_000))(words).ids


@pytest.mark.parametrize("touching", ["together", "apart"])
@pytest.mark.parametrize("kind", ["bert", "xlm-roberta"])
@pytest.mark.parametrize("prefix", ["", "query: "])
def test_vectors_are_bit_equal_to_those_of_words_read_again(
    encoders: dict[str, Encoder], kind: str, touching: str, prefix: str
) -> None:
    encoder, chosen = encoders[kind], dataclasses.replace(SMALL, touching_words=touching)
    read = [Inputs(encoder[1], chosen, retrieval=encoder[1])(words) for words in WORDS]
    again = [alone(encoder, words, chosen) for words in WORDS]
    assert max(len(sentence.tagging.windows) for sentence in read) > 100
    vectors = SentenceVectors(*encoder, prefix=prefix, window=chosen.window)
    np.testing.assert_array_equal(vectors([sentence.retrieval for sentence in read]), vectors(again))


@settings(max_examples=200, deadline=None)
@given(words=st.lists(st.text(min_size=1, max_size=12), max_size=30))
@example(words=["▁", " a", "[UNK]"])
def test_any_words_read_once_are_the_words_read_again(encoders: dict[str, Encoder], words: list[str]) -> None:
    for encoder in encoders.values():
        assert Inputs(encoder[1], SMALL)(words).retrieval == alone(encoder, words, SMALL)


@pytest.mark.parametrize(("tagger", "other"), [("bert", "xlm-roberta"), ("xlm-roberta", "bert")])
def test_another_tokenizer_reads_for_itself(encoders: dict[str, Encoder], tagger: str, other: str) -> None:
    read = Inputs(encoders[tagger][1], SMALL, retrieval=encoders[other][1])
    for words in WORDS:
        found = read(words)
        assert found.tagging == Encoding(encoders[tagger][1], SMALL)(words)
        assert found.retrieval == alone(encoders[other], words, SMALL)


def test_labels_go_to_the_tagger() -> None:
    words, labels = SENTENCES[0]
    assert Inputs(bert_tokenizer(), SMALL)(words, labels).tagging.labels == labels
