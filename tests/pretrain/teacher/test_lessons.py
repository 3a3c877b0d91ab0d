"""Lessons hold the same text in both's pieces, and say which of the teacher's tokens a student's token learns from."""

from pathlib import Path

import pytest

from metaner_core.pretrain.packed import Packed
from metaner_core.pretrain.teacher.lessons import Lessons, Sentence
from metaner_core.pretrain.teacher.teacher import Teacher, load_teacher
from tests.support.pretrain_small import ciphered, packed_small, sentences, small
from tests.support.teachers import save_tiny_teacher

PREFIX = "query: "
LINES = {*sentences("en"), *sentences("de"), *sentences("zh"), *map(ciphered, sentences("en"))}


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Packed:
    return packed_small(tmp_path_factory.mktemp("packed"), keep_text=True)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Teacher:
    return load_teacher(save_tiny_teacher(tmp_path_factory.mktemp("teacher") / "of"), PREFIX, "cpu")


def lessons(packed: Packed, teacher: Teacher, **changes: object) -> Lessons:
    return Lessons(packed, small(teacher="tiny", length=130, **changes), teacher)


def own_text(packed: Packed, sentence: Sentence) -> str:
    return "".join(packed.tokenizer.decode(list(sentence.own)).split())


def test_a_row_of_text_is_a_line_in_both_readings(packed: Packed, teacher: Teacher) -> None:
    draw = lessons(packed, teacher, translation_share=0.0)
    whole = {"".join(line.split()): line for line in LINES}
    for step in range(5):
        for (sentence,) in draw(step).rows:
            line = whole[own_text(packed, sentence)]
            again = teacher.tokenizer(PREFIX + line, add_special_tokens=False)["input_ids"]
            assert list(sentence.teachers) == again


def test_a_row_of_translations_is_an_english_sentence_and_its_own(packed: Packed, teacher: Teacher) -> None:
    draw = lessons(packed, teacher, translation_share=1.0)
    english = {"".join(line.split()): "".join(ciphered(line).split()) for line in sentences("en")}
    for first, second in draw(0).rows:
        assert english[own_text(packed, first)] == own_text(packed, second)


def test_tokens_meet_where_their_words_share_characters(packed: Packed, teacher: Teacher) -> None:
    """Tokens that meet have a character in common, every token meets one, and the prefix is met by none."""
    draw = lessons(packed, teacher, translation_share=0.0)
    for (sentence,) in draw(1).rows:
        mine = packed.tokenizer.decode(list(sentence.own)).split()
        assert mine
        last = len(sentence.own) + 1, len(sentence.teachers) + 1
        pairs = list(zip(sentence.met.tolist(), sentence.by.tolist(), strict=True))
        assert pairs[0] == (0, 0)
        assert pairs[-1] == last
        prefix = len(teacher.tokenizer(PREFIX, add_special_tokens=False)["input_ids"]) - 1
        names = teacher.tokenizer.convert_ids_to_tokens([0, *sentence.teachers, 2])
        own = [packed.tokenizer.id_to_token(number) for number in (2, *sentence.own, 3)]
        for met, by in pairs[1:-1]:
            assert by >= prefix
            a, b = own[met].removeprefix("##"), names[by].removeprefix("▁")
            assert a == "[UNK]" or b == "<unk>" or set(a) & set(b), (a, b)
        assert {met for met, _ in pairs} == set(range(len(own)))


def test_a_long_line_is_cut_for_both_at_the_same_character(packed: Packed, teacher: Teacher) -> None:
    draw = Lessons(packed, small(teacher="tiny", length=8, translation_share=0.0), teacher)
    for (sentence,) in draw(0).rows:
        assert len(sentence.own) <= 6
        names = [packed.tokenizer.id_to_token(number).removeprefix("##") for number in sentence.own]
        theirs = teacher.tokenizer.convert_ids_to_tokens([*sentence.teachers])
        seen = "".join(theirs).replace("▁", "").removeprefix("query:")
        assert "[UNK]" in names or "<unk>" in theirs or seen == "".join(names)


def test_a_lesson_is_the_same_whoever_draws_it_and_differs_by_step(packed: Packed, teacher: Teacher) -> None:
    one, two = lessons(packed, teacher), lessons(packed, teacher)
    as_ids = lambda lesson: [[sentence.own for sentence in row] for row in lesson.rows]  # noqa: E731
    assert as_ids(one(3)) == as_ids(two(3)) != as_ids(one(4))


def test_text_that_was_not_kept_is_told(teacher: Teacher, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="pack it again with keep_text=true"):
        lessons(packed_small(tmp_path), teacher)
