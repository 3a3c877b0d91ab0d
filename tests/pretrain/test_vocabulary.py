"""Part of a SentencePiece vocabulary as a student's own."""

from pathlib import Path

import pytest
from tokenizers import Tokenizer

from metaner_core.encoders.encoder import load_encoder
from metaner_core.pretrain.model import new_model, write_encoder
from metaner_core.pretrain.packed import Packed
from metaner_core.pretrain.settings import PackSettings
from metaner_core.pretrain.teacher.lessons import Lessons
from metaner_core.pretrain.teacher.start import teacher_pieces
from metaner_core.pretrain.teacher.teacher import load_teacher
from metaner_core.pretrain.vocabulary import SPECIAL, continues, tokenizer_of
from tests.support.pretrain_small import packed_small, sentences, small
from tests.support.teachers import VOCABULARY, save_tiny_teacher

KEPT = 1_200
SETTINGS = PackSettings(vocabulary=KEPT, alphabet=600)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_tiny_teacher(tmp_path_factory.mktemp("teacher") / "of")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str]]:
    """Half of the English sentences, so that some pieces of the teacher are not used, and the Chinese."""
    folder = tmp_path_factory.mktemp("text")
    rows = {"en": sentences("en")[::2], "zh": sentences("zh")}
    for language, lines in rows.items():
        (folder / f"{language}.txt").write_text("\n".join(lines), encoding="utf-8")
    return {language: (str(folder / f"{language}.txt"),) for language in rows}


@pytest.fixture(scope="module")
def whole(source: str) -> Tokenizer:
    found: Tokenizer = load_encoder(source)[1].backend_tokenizer
    return found


@pytest.fixture(scope="module")
def part(source: str, files: dict[str, tuple[str]]) -> Tokenizer:
    return tokenizer_of(source, files, SETTINGS)


def test_special_tokens_come_first_and_then_pieces_of_the_encoder(whole: Tokenizer, part: Tokenizer) -> None:
    assert whole.get_vocab_size() == VOCABULARY
    assert part.get_vocab_size() == KEPT
    assert [part.id_to_token(number) for number in range(5)] == list(SPECIAL.values())
    pieces = set(part.get_vocab()) - set(SPECIAL.values())
    assert pieces < set(whole.get_vocab())
    assert not pieces & {"<s>", "<pad>", "</s>", "<unk>", "<mask>"}


def test_a_text_of_kept_pieces_is_cut_as_before_and_of_others_into_shorter_ones(
    whole: Tokenizer, part: Tokenizer
) -> None:
    pieces, same, shorter = part.get_vocab(), 0, 0
    for text in (*sentences("en"), *sentences("zh")):
        before, after = (cut.encode(text, add_special_tokens=False) for cut in (whole, part))
        if pieces.keys() >= set(before.tokens):
            same += 1
            assert (after.tokens, after.offsets) == (before.tokens, before.offsets)
        else:
            shorter += len(after.tokens) > len(before.tokens)
            assert "[UNK]" in after.tokens or "".join(after.tokens) == "".join(before.tokens)
    assert same > 50
    assert shorter > 50


def test_what_the_text_uses_most_is_kept(part: Tokenizer, whole: Tokenizer, files: dict[str, tuple[str]]) -> None:
    text = "".join(Path(file).read_text(encoding="utf-8") for (file,) in files.values())
    many = {c: text.count(c) for c in whole.get_vocab() if len(c) == 1 and c in text}
    frequent = sorted(many, key=lambda c: -many[c])[:300]
    assert set(frequent) <= set(part.get_vocab())
    assert "▁" in part.get_vocab()


def test_a_text_stands_between_cls_and_sep(part: Tokenizer) -> None:
    assert part.encode("北京 rain").ids[0] == 2
    assert part.encode("北京 rain").ids[-1] == 3
    assert part.encode("", add_special_tokens=False).ids == []


def test_pieces_that_go_on_with_a_word(part: Tokenizer) -> None:
    going_on = {part.id_to_token(number) for number in continues(part)}
    assert going_on
    assert not [piece for piece in going_on if piece.startswith("▁")]
    assert not going_on & {"京", "大", *SPECIAL.values()}


def test_an_encoder_with_such_pieces_is_loaded_and_its_pieces_are_used_whole(
    source: str, files: dict[str, tuple[str]], tmp_path: Path
) -> None:
    packed = packed_small(tmp_path, keep_text=True, tokenizer_of=source, vocabulary=KEPT, alphabet=600)
    settings = small(teacher=source)
    model = new_model(settings, KEPT)
    write_encoder(model.bert, packed, str(tmp_path / "encoder"), {}, run="test")
    again = tokenizer_of(str(tmp_path / "encoder"), files, PackSettings(vocabulary=500, alphabet=100))
    assert again.get_vocab() == packed.tokenizer.get_vocab()
    text = "Angela Merkel visited 北京."
    assert again.encode(text).tokens == packed.tokenizer.encode(text).tokens
    assert load_encoder(str(tmp_path / "encoder"))[1].pad_token_id == 0


@pytest.fixture(scope="module")
def packed(source: str, tmp_path_factory: pytest.TempPathFactory) -> Packed:
    folder = tmp_path_factory.mktemp("packed")
    return packed_small(folder, keep_text=True, tokenizer_of=source, vocabulary=KEPT, alphabet=600)


def test_the_student_begins_with_the_teachers_very_pieces(source: str, packed: Packed) -> None:
    teacher = load_teacher(source, "", "cpu")
    theirs = teacher.tokenizer.get_vocab()
    found = teacher_pieces(packed.tokenizer, teacher)
    names = {number: piece for piece, number in packed.tokenizer.get_vocab().items()}
    assert all(found[number] == [theirs[names[number]]] for number in range(len(SPECIAL), KEPT))


def test_each_piece_learns_from_the_same_piece_of_a_teacher_who_cuts_alike(source: str, packed: Packed) -> None:
    teacher = load_teacher(source, "query: ", "cpu")
    named = teacher.tokenizer.convert_ids_to_tokens
    alike = 0
    for row in Lessons(packed, small(teacher=source, translation_share=0.0), teacher)(0).rows:
        for sentence in row:
            own = [packed.tokenizer.id_to_token(number) for number in sentence.own]
            theirs = named(list(sentence.teachers))
            if own == theirs[-len(own) :]:
                alike += 1
                pairs = set(zip(sentence.met.tolist(), sentence.by.tolist(), strict=True))
                shift = len(theirs) - len(own)
                real = [i for i, piece in enumerate(own, 1) if piece != "▁"]  # which stands for no text
                assert pairs >= {(i, i + shift) for i in real}
    assert alike
