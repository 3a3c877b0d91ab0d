"""An E5 file as a transformers folder: the tokenizer against a plain Viterbi, the network against the weights."""

import random
import re
import unicodedata

import pytest
import torch
from transformers import BertConfig, BertModel

from metaner_core.encoders import e5_file, e5_folder
from metaner_core.encoders.encoder import load_encoder
from tests.support import tiny_e5

HF = {"q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value"}
HF |= {"ao": "attention.output.dense", "fi": "intermediate.dense", "fo": "output.dense"}
HF |= {"aln": "attention.output.LayerNorm", "oln": "output.LayerNorm"}
KINDS = {"w": "weight", "b": "bias"}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_e5.write(tmp_path_factory.mktemp("e5") / "tiny.bin")


@pytest.fixture(scope="module")
def folder(tiny, tmp_path_factory):
    made = tmp_path_factory.mktemp("folder")
    e5_folder.write_folder(e5_file.read(tiny.path), made, {"license": "MIT", "origin": "a test"})
    return str(made)


@pytest.fixture(scope="module")
def loaded(folder):
    return load_encoder(folder)


def viterbi(text, scores):
    """The most probable pieces of a text, `<unk>` for what is none; several unknown characters are one."""
    score = dict(zip(tiny_e5.PIECES, scores, strict=True))
    best = [(0.0, [])]
    for end in range(1, len(text) + 1):
        ways = [(best[end - 1][0] + min(scores) - 10, [*best[end - 1][1], "<unk>"])]
        for start in range(end):
            if text[start:end] in score:
                ways.append((best[start][0] + score[text[start:end]], [*best[start][1], text[start:end]]))
        best.append(max(ways, key=lambda way: way[0]))
    pieces = best[-1][1]
    return [piece for i, piece in enumerate(pieces) if piece != "<unk>" or i == 0 or pieces[i - 1] != "<unk>"]


def normalised(text):
    """Code point by code point, as far as the tiny file has it; NFKC for the rest, but for the tilde."""
    text = "".join(c if c == "～" else tiny_e5.REPLACED.get(ord(c), unicodedata.normalize("NFKC", c)) for c in text)
    text = re.sub(" +", " ", text).replace(" ", "▁")
    return text if text.startswith("▁") or not text else "▁" + text  # of nothing there are no pieces


def test_tokenizer_splits_as_a_plain_viterbi(tiny, loaded):
    rng = random.Random(0)
    for _ in range(500):
        text = "".join(rng.choice("aaabbbccc éA～zﬁＡ\x01\t\u200b▁２") for _ in range(rng.randrange(1, 25)))
        ids = loaded[1](text, add_special_tokens=False)["input_ids"]
        assert loaded[1].convert_ids_to_tokens(ids) == viterbi(normalised(text), tiny.scores), repr(text)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("a\x01b\x07c", "abc"),  # controls are dropped
        ("a\tb", "a b"),
        ("a\u200bb   c", "a b c"),
        ("ＡＢ", "AB"),  # by the file, and by NFKC
        ("ﬁ", "ab"),  # the file has the last word
        ("e\u0301", "é"),  # composed, which single code points would not be
    ],
)
def test_texts_that_are_the_same_to_the_encoder(loaded, text, same):
    assert loaded[1].tokenize(text) == loaded[1].tokenize(same)


def test_a_piece_that_nfkc_would_change_is_found(loaded):
    assert loaded[1].tokenize("a～") == ["▁a", "～"]


def test_special_tokens_are_xlm_robertas(loaded):
    tokenizer, last = loaded[1], len(tiny_e5.PIECES) - 1
    found = (tokenizer.cls_token_id, tokenizer.pad_token_id, tokenizer.sep_token_id, tokenizer.unk_token_id)
    assert found == (0, 1, 2, 3)
    assert (tokenizer.mask_token_id, len(tokenizer), tokenizer.model_max_length) == (last, last + 1, 40)
    ab, a = tokenizer.convert_tokens_to_ids(["▁ab", "▁a"])
    assert tokenizer("ab")["input_ids"] == [0, ab, 2]
    assert tokenizer("ab", "a")["input_ids"] == [0, ab, 2, 2, a, 2]
    assert tokenizer("ab <mask>", add_special_tokens=False)["input_ids"] == [ab, last]
    assert tokenizer(["ab", "a"], is_split_into_words=True).word_ids() == [None, 0, 1, None]


def test_last_piece_must_be_the_mask(tmp_path):
    tiny = tiny_e5.write(tmp_path / "other.bin", pieces=tiny_e5.PIECES[:-1])
    with pytest.raises(ValueError, match=r"other\.bin: the last piece should be <mask>, it is '▁ca'"):
        e5_folder.fast(e5_file.read(tiny.path))


@torch.no_grad()
def test_network_is_a_bert_of_these_weights(tiny, loaded):
    encoder, tokenizer = loaded
    config = BertConfig(
        vocab_size=tiny_e5.ROWS,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=96,
        max_position_embeddings=40,
        pad_token_id=1,
        layer_norm_eps=1e-12,
    )
    expected = BertModel(config, add_pooling_layer=False).eval()
    weights = {in_transformers(name): torch.from_numpy(weight) for name, weight in tiny.weights.items()}
    expected.load_state_dict(weights, strict=True)
    batch = tokenizer(["abc ab", "caé～a bc"], padding=True, return_tensors="pt")
    assert encoder.pooler is None
    assert encoder.dtype == torch.float32
    torch.testing.assert_close(encoder(**batch).last_hidden_state, expected(**batch).last_hidden_state)


def in_transformers(name):
    if name in ("emb.word", "emb.pos", "emb.type"):
        table = {"word": "word", "pos": "position", "type": "token_type"}[name[4:]]
        return f"embeddings.{table}_embeddings.weight"
    if name.startswith("emb.ln."):
        return f"embeddings.LayerNorm.{KINDS[name[-1]]}"
    layer, part, kind = name.split(".")
    return f"encoder.layer.{layer[1:]}.{HF[part]}.{KINDS[kind]}"


def test_licence_and_origin_go_wherever_the_encoder_is_saved(loaded, tmp_path):
    loaded[0].save_pretrained(tmp_path)
    saved = BertConfig.from_pretrained(tmp_path)
    assert (saved.license, saved.origin) == ("MIT", "a test")
