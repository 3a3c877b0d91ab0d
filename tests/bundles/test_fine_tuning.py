"""A bundle fine-tuned on target labels is another one that adapts as the first did; how its sentences are drawn."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from metaner_core import storage
from metaner_core.bundles import bundle
from metaner_core.bundles.fine_tuning import FineTuning, shared
from metaner_core.data import corpora
from metaner_core.data.columns import Sentence
from metaner_core.data.sentences import drawn
from metaner_core.method.fine_tune import fine_tune
from metaner_core.method.meta_train import MetaTrainer
from metaner_core.model.encoding import LabelSet
from metaner_core.tuning import Tuning, plain

# Gradient descent: Adam would blow up gradients that are nothing but rounding.
TUNING = Tuning(epochs=2, batch=8, rate=1e-2, optimizer="sgd")


@pytest.fixture(scope="module")
def dutch() -> list[Sentence]:
    return corpora.load("embedded-nl", "test")[:20]


def tuned(start: str, train: list[Sentence], **changes: Any) -> FineTuning:
    return FineTuning(start=start, train=train, tuning=TUNING, corpus="nl", share=10.0, **changes)


def test_it_is_the_first_bundle_with_other_parameters(tiny_bundle: str, dutch: list[Sentence], tmp_path: Path) -> None:
    lines: list[str] = []
    tuned(tiny_bundle, dutch).run(str(tmp_path / "out"), tell=lines.append, facts={"workers": 1})
    first, made = bundle.load(tiny_bundle), bundle.load(str(tmp_path / "out"))
    assert (made.settings, made.source) == (first.settings, first.source)
    np.testing.assert_array_equal(made.vectors, first.vectors)
    for key in ("best", "labels"):
        assert made.manifest[key] == first.manifest[key]
    assert made.manifest["tuned"]["start"] == first.manifest["fingerprint"] != made.manifest["fingerprint"]
    assert (made.manifest["tuned"]["sentences"], len(made.manifest["tuned"]["losses"])) == (20, 2)
    assert [line.split(":")[0] for line in lines] == ["epoch 1/2", "epoch 2/2"]
    settings = plain(first.settings)
    source = [first.encode(s.words, s.labels) for s in dutch]
    engine = type(first.engine)(first.tagger, first.tokenizer, LabelSet.of(settings), settings, source)
    fine_tune(MetaTrainer(engine, np.zeros((20, 0), int), []), TUNING.of(settings), lambda epoch, loss: None)
    for name, p in first.tagger.trained().items():
        torch.testing.assert_close(made.tagger.trained()[name], p, rtol=0, atol=1e-5, msg=name)
    before = bundle.load(tiny_bundle).tagger.trained()
    assert max((p - before[name]).abs().max().item() for name, p in made.tagger.trained().items()) > 1e-3


def test_it_tags_and_adapts_on_the_english_sentences(tiny_bundle: str, dutch: list[Sentence], tmp_path: Path) -> None:
    tuned(tiny_bundle, dutch).run(str(tmp_path / "out"), tell=lambda line: None, facts={})
    made = bundle.load(str(tmp_path / "out"))
    inputs = [made.inputs(s.words) for s in dutch]
    before = made.engine.plain([i.tagging for i in inputs])
    after = made.engine.adapted([i.tagging for i in inputs], made.nearest(inputs)[0])
    assert [len(p.labels) for p in after] == [len(s.words) for s in dutch]
    assert before != after


def test_the_same_again_is_not_done_again_and_another_is_refused(
    tiny_bundle: str, dutch: list[Sentence], tmp_path: Path
) -> None:
    task, output = tuned(tiny_bundle, dutch), str(tmp_path / "out")
    assert task.written(output) is None
    task.run(output, tell=lambda line: None, facts={})
    assert task.written(output) == bundle.load(output).manifest
    with pytest.raises(FileExistsError, match="never overwritten"):
        tuned(tiny_bundle, dutch[:10]).written(output)
    with pytest.raises(ValueError, match=r"nl has no entity of PER, .* in the 1 sentence\(s\) .*: take a larger share"):
        tuned(tiny_bundle, [Sentence(("nothing",), ("O",))]).written(str(tmp_path / "other"))


def test_ended_at_any_moment_while_it_writes_it_is_whole_the_next_time(
    tiny_bundle: str, dutch: list[Sentence], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One output: at its first file, when it starts again at its second, and so on."""
    task, output, copy = tuned(tiny_bundle, dutch), tmp_path / "out", shutil.copyfile
    task.run(str(tmp_path / "unbroken"), tell=lambda line: None, facts={})
    expected = contents(tmp_path / "unbroken")
    for nth in range(len(expected)):
        left = [nth]

        def ends(source: Path, target: Path, left: list[int] = left) -> None:
            if not left[0]:
                target.write_bytes(source.read_bytes()[:10])
                raise KeyboardInterrupt
            left[0] -= 1
            copy(source, target)

        with monkeypatch.context() as patch:
            patch.setattr(storage, "shutil", SimpleNamespace(copyfile=ends))
            with pytest.raises(KeyboardInterrupt):
                task.run(str(output), tell=lambda line: None, facts={})
        assert task.written(str(output)) is None, "it may start again, and has to"
    task.run(str(output), tell=lambda line: None, facts={})
    assert contents(output) == expected
    assert task.written(str(output)) is not None


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_share_is_drawn_by_its_seed_and_smaller_ones_are_in_larger_ones() -> None:
    sentences = [Sentence((str(i),), ("O",), docstart=i % 10 == 0) for i in range(300)]
    one, two, other = drawn(sentences, 10, 0), drawn(sentences, 20, 0), drawn(sentences, 10, 1)
    assert (len(one), len(two)) == (27, 54), "of those that are no marks of documents"
    assert set(one) < set(two)
    assert one != other
    assert not any(s.docstart for s in two)
    assert [int(s.words[0]) for s in two] == sorted(int(s.words[0]) for s in two)
    assert len(drawn(sentences, 0.001, 0)) == 1
    assert len(drawn(sentences, 100, 0)) == 270


@pytest.mark.parametrize("share", [0, -1, 100.5, float("nan"), True])
def test_what_is_no_share_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="it must be above 0 and at most 100 percent"):
        shared("conll2002-es", share, 0)


def test_a_corpus_without_a_training_set_is_refused() -> None:
    with pytest.raises(ValueError, match=r"msra-zh has no training set to take a share of, only test; name a corpus"):
        shared("msra-zh", 2, 0)
    with pytest.raises(ValueError, match="no corpus is named"):
        shared("klingon", 2, 0)
