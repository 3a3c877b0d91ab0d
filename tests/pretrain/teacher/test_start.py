"""A student begins as what its teacher is, as far as its own pieces and shape go."""

from pathlib import Path

import pytest
import torch

from metaner_core.pretrain.model import new_model
from metaner_core.pretrain.packed import Packed
from metaner_core.pretrain.settings import PackSettings, PretrainSettings
from metaner_core.pretrain.teacher.start import chosen, main_axes, require_fit, start, teacher_pieces
from metaner_core.pretrain.teacher.teacher import Teacher, load_teacher, token_vectors
from metaner_core.pretrain.vocabulary import fast, tokenizer_of
from tests.support.pretrain_small import packed_small, small
from tests.support.small import save_tiny_bert, tiny_bert
from tests.support.teachers import save_tiny_teacher


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Packed:
    return packed_small(tmp_path_factory.mktemp("packed"))


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Teacher:
    return load_teacher(save_tiny_teacher(tmp_path_factory.mktemp("teacher") / "of"), "", "cpu")


def test_with_the_teachers_own_pieces_and_all_layers_the_student_is_the_teacher(tmp_path: Path) -> None:
    source = save_tiny_bert(tmp_path)
    teacher, tokenizer = load_teacher(source, "", "cpu"), tokenizer_of(source, {}, PackSettings())
    settings = small(teacher=source, layers=3)
    student = new_model(settings, tokenizer.get_vocab_size()).bert
    start(student, tokenizer, teacher, settings)
    ids = [tuple(tokenizer.encode("Angela Merkel in 北京.", add_special_tokens=False).ids)]
    assert torch.equal(token_vectors(student, fast(tokenizer), ids), teacher(ids))


def test_the_student_of_a_standard_teacher_begins_with_its_vectors_made_so(tmp_path: Path) -> None:
    source = save_tiny_bert(tmp_path)
    plain, tokenizer = load_teacher(source, "", "cpu"), tokenizer_of(source, {}, PackSettings())
    ids = [
        tuple(tokenizer.encode(text, add_special_tokens=False).ids) for text in ("Angela Merkel in 北京.", "Rain fell.")
    ]
    teacher = plain.standard(ids)
    found, before = teacher(ids), plain(ids)
    assert torch.allclose(found.mean(0), torch.zeros(32), atol=1e-5)
    assert torch.allclose(found.std(0), torch.ones(32), atol=1e-5)
    assert torch.allclose(found * before.std(0) + before.mean(0), before, atol=1e-5)
    settings = small(teacher=source, layers=3)
    student = new_model(settings, tokenizer.get_vocab_size()).bert
    start(student, tokenizer, teacher, settings)
    assert torch.allclose(token_vectors(student, fast(tokenizer), ids), found, atol=1e-4)


def test_pieces_are_looked_for_as_they_stand_in_text(packed: Packed, teacher: Teacher) -> None:
    own, theirs = packed.tokenizer, teacher.tokenizer
    found = teacher_pieces(own, teacher)
    assert [theirs.convert_ids_to_tokens(found[number]) for number in range(5)] == [
        ["<pad>"], ["<unk>"], ["<s>"], ["</s>"], ["<mask>"],
    ]  # fmt: skip
    named = {own.id_to_token(number): theirs.convert_ids_to_tokens(pieces) for number, pieces in enumerate(found)}
    vocabulary = set(theirs.get_vocab())
    alone = [name for name in named if name.isascii() and name.isalpha() and f"▁{name}" in vocabulary]
    inside = [name for name in named if name.startswith("##") and name[2:] in vocabulary]
    chinese = [name for name in named if "\u4e00" <= name <= "\u9fff" and name in vocabulary]
    assert min(map(len, (alone, inside, chinese))) > 10
    assert all(named[name] == [f"▁{name}"] for name in alone)
    assert all(named[name] == [name[2:]] for name in inside)
    assert all(named[name] == [name] for name in chinese)
    assert named["."] == ["."]
    others = [name for name in named if name.isascii() and name.isalpha() and name not in alone]
    assert all("".join(named[name]).strip("▁") == name for name in others if not {"<unk>"} & {*named[name]})


def test_an_embedding_is_the_mean_of_the_teachers(packed: Packed, teacher: Teacher) -> None:
    student = new_model(small(layers=2), packed.tokenizer.get_vocab_size()).bert
    start(student, packed.tokenizer, teacher, small(teacher="tiny", layers=2))
    table = teacher.encoder.embeddings.word_embeddings.weight
    words = student.embeddings.word_embeddings.weight
    for number, pieces in enumerate(teacher_pieces(packed.tokenizer, teacher)):
        assert torch.allclose(words[number], table[list(pieces)].mean(0), atol=1e-6)
    positions = student.embeddings.position_embeddings.weight  # RoBERTa's first is its third
    assert torch.equal(positions, teacher.encoder.embeddings.position_embeddings.weight[2 : 2 + len(positions)])
    for own, number in zip(student.encoder.layer, (0, 2), strict=True):
        theirs = teacher.encoder.encoder.layer[number].state_dict()
        assert all(torch.equal(p, theirs[name]) for name, p in own.state_dict().items())


def test_a_narrower_student_keeps_the_products_of_the_embeddings_as_well_as_its_width_can() -> None:
    torch.manual_seed(0)
    vectors = torch.randn(200, 4) @ torch.randn(4, 16) + 0.01 * torch.randn(200, 16)
    short = vectors @ main_axes(vectors, 4)
    assert torch.allclose(short @ short.T, vectors @ vectors.T, atol=0.1)
    assert torch.equal(main_axes(vectors, 16), torch.eye(16))


def test_layers_are_taken_evenly_apart_or_as_named() -> None:
    assert chosen(small(layers=4), 12) == [0, 4, 7, 11]
    assert chosen(small(layers=2), 3) == [0, 2]
    assert chosen(small(layers=3, teacher_layers="1, 2,12"), 12) == [0, 1, 11]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"width": 64}, r"(?s)width is 64, more than its 32: set teacher_start=nothing.*its layers have 32"),
        ({"width": 64, "teacher_start": "embeddings"}, "width is 64, more than its 32"),
        ({"width": 16, "heads": 1}, r"(?s)width is 16, its layers have 32.*heads is 1, its layers have 2"),
        ({"layers": 5}, "layers is 5, it has 3"),
        ({"teacher_layers": "1,4"}, "teacher_layers is '1,4', it has 3"),
    ],
)
def test_what_cannot_be_taken_is_told(teacher: Teacher, changes: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        require_fit(teacher, small(teacher="tiny", **changes))


def test_what_can_be_is_not(teacher: Teacher) -> None:
    require_fit(teacher, small(teacher="tiny"))
    require_fit(teacher, small(teacher="tiny", width=16, teacher_start="embeddings"))
    require_fit(teacher, small(teacher="tiny", width=64, teacher_start="nothing"))


def test_settings_of_a_teacher_are_checked() -> None:
    with pytest.raises(ValueError, match=r"(?s)teacher_pooling is 'max'.*dropout is 0\.1; with a teacher"):
        PretrainSettings(teacher="x", teacher_pooling="max", dropout=0.1)
    with pytest.raises(ValueError, match=r"(?s)sentence_weight and word_weight are 0.*teacher_share is 0"):
        PretrainSettings(teacher="x", sentence_weight=0.0, word_weight=0.0, teacher_share=0.0)
    with pytest.raises(ValueError, match="names 2; it must name as many as there are layers"):
        PretrainSettings(teacher="x", teacher_layers="1,2")
    with pytest.raises(ValueError, match="'1,x,0,2'; it must be numbers from 1"):
        PretrainSettings(teacher="x", teacher_layers="1,x,0,2")
    with pytest.raises(ValueError, match=r"(?s)teacher_error is 'cubed'.*sentence_share is 0; it must be above"):
        PretrainSettings(teacher="x", teacher_error="cubed", sentence_share=0.0)
    with pytest.raises(ValueError, match=r"teacher_error is 'squared'; it wants .* teacher_standard=true"):
        PretrainSettings(teacher="x", teacher_error="squared", teacher_standard=False)
    with pytest.raises(ValueError, match="sentence_teacher is 'y' and there is no teacher"):
        PretrainSettings(sentence_teacher="y")


def test_bert_has_continuing_pieces_of_its_own(tmp_path: Path, packed: Packed) -> None:
    teacher = load_teacher(save_tiny_bert(tmp_path), "", "cpu")
    assert tiny_bert().config.vocab_size == len(teacher.tokenizer)
    named = dict(enumerate(teacher_pieces(packed.tokenizer, teacher)))
    same = [n for n in named if packed.tokenizer.id_to_token(n) in teacher.tokenizer.get_vocab()]
    assert len(same) > 100
    names = {n: teacher.tokenizer.convert_ids_to_tokens(list(named[n])) for n in same}
    assert all(names[n] == [packed.tokenizer.id_to_token(n)] for n in same)
