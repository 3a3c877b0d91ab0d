"""Agreement with the nearest labelled words, against vectors and votes of one word at a time."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from metaner_core.bundles import bundle
from metaner_core.data import corpora
from metaner_core.distilling.nearest import Nearest
from metaner_core.distilling.settings import Distillation
from metaner_core.method.checkpoint import NoCheckpoints
from metaner_core.model.encoding import collate
from tests.distilling.test_loop import distiller
from tests.distilling.test_run import distilling, refusal
from tests.support.stopped import Kept, Stop

SENTENCES = [s.words for s in corpora.load("embedded-de", "test")[:6]]
K = 5


def vectors(teacher: bundle.Bundle, words: tuple[str, ...]) -> list[torch.Tensor]:
    """Of each word the last layer's at its first subword, of length 1."""
    batch = collate([teacher.encode(words)], teacher.tokenizer)
    with torch.no_grad():
        hidden = teacher.tagger.encoder(input_ids=batch.ids, attention_mask=batch.attention).last_hidden_state
    return [h / h.norm() for h in hidden[batch.row, batch.col].double()]


def test_a_word_agrees_when_no_label_is_more_frequent_among_its_neighbours(tiny_bundle: str) -> None:
    teacher = bundle.load(tiny_bundle)
    known = [(v, label) for s in teacher.source for v, label in zip(vectors(teacher, s.words), s.labels, strict=True)]
    matrix, names = torch.stack([v for v, _ in known]), teacher.engine.label_set.words
    rng = np.random.default_rng(0)
    labels = [rng.choice(9, len(words), p=[0.6, *[0.05] * 8]) for words in SENTENCES]
    nearest = Nearest(teacher, K)
    found = nearest.agree(SENTENCES, labels)
    counts = np.zeros((9, 2), int)
    for words, own, agreed in zip(SENTENCES, labels, found, strict=True):
        for vector, label, says in zip(vectors(teacher, words), own, agreed, strict=True):
            votes = Counter(known[i][1] for i in (matrix @ vector).topk(K).indices.tolist())
            assert says == (votes[names[label]] == max(votes.values()))
            counts[label, 0 if says else 1] += 1
    assert counts[:, 0].sum() > 0 < counts[:, 1].sum()
    assert (nearest.counted() == counts).all()
    assert not nearest.counted().any()
    assert nearest.agree([], []) == []


def test_it_is_counted_across_an_interruption(tagged: str, tiny_bundle: str, tmp_path: Path) -> None:
    def asking(**changes: Any) -> Any:
        one = distiller(tagged, tiny_bundle, **changes)
        one.nearest = Nearest(bundle.load(tiny_bundle), K)
        return one

    whole = asking()
    unbroken = whole.run(NoCheckpoints())
    with pytest.raises(Stop):
        asking().run(Kept(tmp_path, stop_after=1))
    second = asking()
    resumed = second.run(Kept(tmp_path))
    assert resumed.place == unbroken.place
    counts = np.array(list(resumed.place["nearest"].values()))
    assert counts.sum(0).min() > 0
    stream = whole.stream(None)
    assert counts.sum() == sum(len(s.words) for _ in range(6) for s in stream.take(5))
    plain = distiller(tagged, tiny_bundle)
    plain.run(NoCheckpoints())
    pairs = zip(whole.engine.tagger.trained().values(), plain.engine.tagger.trained().values(), strict=True)
    assert any(not torch.equal(a, b) for a, b in pairs)


def test_a_run_asks_its_teacher_and_tells_of_it(tagged: str, tiny_bundle: str, tmp_path: Path) -> None:
    how = Distillation(steps=1, batch=4, gold=2, mixed=2, nearest=K, rate=1e-2)
    run = distilling(tagged, settings=how)
    assert run.written(str(tmp_path / "b")) is None
    run.run(str(tmp_path / "b"), NoCheckpoints(), tell=lambda line: None, facts={})
    told = bundle.load(str(tmp_path / "b")).manifest["distilled"]["nearest"]
    assert list(told) == list(bundle.load(tiny_bundle).engine.label_set.words)
    told = refusal(tmp_path, tagged, settings=how, bundle=str(tmp_path / "b"))
    assert "nearest asks source sentences, and" in told
