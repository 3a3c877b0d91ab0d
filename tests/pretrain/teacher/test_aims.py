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


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_the_loss_is_that_of_plain_loops(packed: Packed, teacher: Teacher, lesson: Lesson, pooling: str) -> None:
    torch.manual_seed(0)
    student = Student(packed, teacher)
    settings = small(teacher="tiny", teacher_pooling=pooling, word_weight=0.7, sentence_weight=0.4)
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
                        of_words.append(((own[token] - t) ** 2).sum() / (t**2).sum())
                mine, its = (x.mean(0) if pooling == "mean" else x[0] for x in (own, theirs))
                aim = its if aim is None else aim
                of_sentences.append(((mine - aim) ** 2).sum() / (aim**2).sum())
        expected = 0.7 * sum(of_words) / len(of_words) + 0.4 * sum(of_sentences) / len(of_sentences)
        assert lesson_loss(student, teacher, lesson, settings).item() == pytest.approx(expected.item(), rel=1e-4)


def test_shares_of_the_workers_add_up_to_the_whole_gradient(
    packed: Packed, teacher: Teacher, lesson: Lesson, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    student, settings = Student(packed, teacher), small(teacher="tiny")
    lesson_loss(student, teacher, lesson, settings).backward()
    expected = {name: p.grad.clone() for name, p in student.named_parameters() if p.grad is not None}
    student.zero_grad()
    monkeypatch.setattr("metaner_core.workers.count", lambda: 3)
    for rank in range(3):
        monkeypatch.setattr("metaner_core.workers.rank", lambda rank=rank: rank)
        lesson_loss(student, teacher, lesson, settings).backward()
    for name, p in student.named_parameters():
        if name in expected:
            assert torch.allclose(p.grad, expected[name], rtol=1e-3, atol=1e-4 * expected[name].abs().max() + 1e-8)
    assert "projection.weight" in expected
