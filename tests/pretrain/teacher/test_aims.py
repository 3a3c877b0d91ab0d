"""The lesson's loss is what plain loops over transformers' own passes find, and workers' parts add up to it."""

from collections.abc import Sequence

import pytest
import torch
from torch import nn

from metaner_core.pretrain.model import new_model
from metaner_core.pretrain.packed import Packed
from metaner_core.pretrain.teacher.aims import lesson_loss
from metaner_core.pretrain.teacher.lessons import Lesson, Lessons
from metaner_core.pretrain.teacher.teacher import Ids, Teacher, load_teacher, token_vectors
from metaner_core.pretrain.vocabulary import fast
from tests.support.pretrain_small import packed_small, small
from tests.support.teachers import save_tiny_teacher


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Packed:
    return packed_small(tmp_path_factory.mktemp("packed"), keep_text=True)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Teacher:
    return load_teacher(save_tiny_teacher(tmp_path_factory.mktemp("teacher") / "of"), "query: ", "cpu")


@pytest.fixture(params=[0.0, 1.0], ids=["text", "translations"])
def lesson(request: pytest.FixtureRequest, packed: Packed, teacher: Teacher) -> Lesson:
    return Lessons(packed, small(teacher="tiny", translation_share=request.param), teacher)(0)


class Student(nn.Module):
    """With a projection: its width is not the teacher's."""

    def __init__(self, packed: Packed, teacher: Teacher) -> None:
        super().__init__()
        self.bert = new_model(small(width=24), packed.tokenizer.get_vocab_size()).bert
        self.bert.embeddings.word_embeddings.weight.data *= 20
        self.projection = nn.Linear(24, teacher.width)
        self._tokenizer = fast(packed.tokenizer)

    def forward(self, sentences: Sequence[Ids]) -> torch.Tensor:
        return self.projection(token_vectors(self.bert, self._tokenizer, sentences))


@pytest.mark.parametrize("error", ["relative", "squared"])
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_the_loss_is_that_of_plain_loops(
    packed: Packed, teacher: Teacher, lesson: Lesson, pooling: str, error: str
) -> None:
    torch.manual_seed(0)
    student = Student(packed, teacher)
    weights = {"word_weight": 0.7, "sentence_weight": 0.4}
    settings = small(teacher="tiny", teacher_pooling=pooling, teacher_error=error, **weights)
    size = (lambda aim: (aim**2).sum()) if error == "relative" else len
    of_words, of_sentences = [], []
    with torch.no_grad():
        for row in lesson.rows:
            aim = None
            for sentence in row:
                own = student.bert(torch.tensor([[2, *sentence.own, 3]])).last_hidden_state[0]
                own = student.projection(own)
                theirs = teacher.encoder(torch.tensor([[0, *sentence.teachers, 2]])).last_hidden_state[0]
                for token in range(len(own)):
                    by = [b for a, b in zip(sentence.met, sentence.by, strict=True) if a == token]
                    if by:
                        t = sum(theirs[b] for b in by) / len(by)
                        of_words.append(((own[token] - t) ** 2).sum() / size(t))
                mine, its = (x.mean(0) if pooling == "mean" else x[0] for x in (own, theirs))
                aim = its if aim is None else aim
                of_sentences.append(((mine - aim) ** 2).sum() / size(aim))
        expected = 0.7 * sum(of_words) / len(of_words) + 0.4 * sum(of_sentences) / len(of_sentences)
        assert lesson_loss(student, teacher, lesson, settings).item() == pytest.approx(expected.item(), rel=1e-4)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Teacher:
    """A teacher of sentences."""
    return load_teacher(save_tiny_teacher(tmp_path_factory.mktemp("other") / "of", seed=7), "passage: ", "cpu")


SHARE = {"sentence_teacher": "other", "sentence_share": 0.4, "word_weight": 0.7, "sentence_weight": 0.4}


@pytest.mark.parametrize("translated", [0.0, 1.0], ids=["text", "translations"])
def test_cls_learns_what_the_teacher_of_sentences_says_of_the_english_one_in_the_first_rows(
    packed: Packed, teacher: Teacher, other: Teacher, translated: float
) -> None:
    torch.manual_seed(0)
    student, settings = Student(packed, teacher), small(teacher="tiny", translation_share=translated, **SHARE)
    lesson = Lessons(packed, settings, teacher, other)(0)
    plain = Lessons(packed, settings, teacher)(0)
    assert len(lesson.rows) == settings.batch == 8
    assert lesson.whole == 4  # 0.4 of 8, rounded up
    errors = []
    with torch.no_grad():
        for row, its in zip(lesson.rows, plain.rows, strict=True):
            assert [(s.own, s.teachers) for s in row] == [(s.own, s.teachers) for s in its]
            assert all(0 not in s.met for s in row)  # [CLS] is no word's
            assert [bool(s.aim) for s in row] == [len(errors) < lesson.sentences, *(False for _ in row[1:])]
            if row[0].aim:
                aim = other.encoder(torch.tensor([[0, *row[0].aim, 2]])).last_hidden_state[0].mean(0)
                for sentence in row:
                    own = student.bert(torch.tensor([[2, *sentence.own, 3]])).last_hidden_state[0, 0]
                    errors.append(((student.projection(own) - aim) ** 2).sum() / (aim**2).sum())
        assert len(errors) == lesson.sentences == (8 if translated else 4)
        words = lesson_loss(student, teacher, lesson, small(teacher="tiny", **{**SHARE, "sentence_weight": 0.0}), other)
        found = lesson_loss(student, teacher, lesson, settings, other)
    assert found.item() == pytest.approx((words + 0.4 * sum(errors) / len(errors)).item(), rel=1e-4)


@pytest.mark.parametrize("two", [False, True], ids=["one teacher", "two"])
def test_shares_of_the_workers_add_up_to_the_whole_gradient(
    packed: Packed, teacher: Teacher, other: Teacher, two: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    student, settings = Student(packed, teacher), small(teacher="tiny", **(SHARE if two else {"sentence_share": 0.3}))
    of_sentences = other if two else None
    lesson = Lessons(packed, settings, teacher, of_sentences)(0)
    lesson_loss(student, teacher, lesson, settings, of_sentences).backward()
    expected = {name: p.grad.clone() for name, p in student.named_parameters() if p.grad is not None}
    student.zero_grad()
    monkeypatch.setattr("metaner_core.workers.count", lambda: 3)
    for rank in range(3):
        monkeypatch.setattr("metaner_core.workers.rank", lambda rank=rank: rank)
        lesson_loss(student, teacher, lesson, settings, of_sentences).backward()
    for name, p in student.named_parameters():
        if name in expected:
            assert torch.allclose(p.grad, expected[name], rtol=1e-3, atol=1e-4 * expected[name].abs().max() + 1e-8)
    assert "projection.weight" in expected
