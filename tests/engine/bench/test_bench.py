"""What the benchmark says of memory and ratios. What else the process takes or frees meanwhile is within 1 MiB."""

import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from metaner_core.data import corpora
from metaner_core.engine.adapting import BatchedEngine
from metaner_core.engine.bench.__main__ import main
from metaner_core.engine.bench.measure import Row, most_memory, run
from metaner_core.engine.bench.rows import ALL, MAKING, REFERENCE, Size, measurements, sharing, whole
from metaner_core.engine.bench.show import draw, table
from metaner_core.engine.bench.workload import SHAPES, Workload
from metaner_core.model.bottoms import Bottoms
from metaner_core.model.encoding import Encoded
from metaner_core.model.sentence_vectors import SentenceVectors

malloc = pytest.mark.skipif(torch.cuda.is_available(), reason="looks at the GPU's memory where there is one")


def hold(megabytes: int) -> torch.Tensor:
    held = torch.ones(megabytes * 2**18)
    time.sleep(0.05)  # long enough to be seen
    return held


@malloc
def test_most_memory_is_what_was_held_at_once() -> None:
    assert most_memory(lambda: [hold(20) for _ in range(5)]) == pytest.approx(100, abs=1)
    assert most_memory(lambda: [hold(20).sum() for _ in range(5)]) == pytest.approx(20, abs=1)


@malloc
def test_memory_of_threads_counts() -> None:
    both = threading.Barrier(2)

    def call() -> None:
        held = hold(40)
        both.wait(20)
        held.sum()

    def together() -> None:
        threads = [threading.Thread(target=call) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert most_memory(together) == pytest.approx(80, abs=1)


@pytest.fixture(scope="module")
def work() -> Workload:
    return Workload("embedded", "cpu", "fp32")


def test_transformers_pipeline_is_of_the_same_weights(work: Workload) -> None:
    names = work.reference.label_set
    theirs = work.pipeline()(work.texts[:40], batch_size=8, ignore_labels=[])
    wanted = [[names.bio(int(token["entity"].removeprefix("LABEL_"))) for token in tokens] for tokens in theirs]
    queries = work.queries[:40]
    for query, prediction, labels in zip(queries, work.batched.plain(queries), wanted, strict=True):
        assert list(prediction.labels) == [labels[n] for n in query.first]
    assert len({label for labels in wanted for label in labels}) > 2


def test_a_ratio_is_taken_within_each_round() -> None:
    plain = Row("plain tagging", "sentence", (1, 2, 4), 0)  # the machine is half as fast each time
    loop = Row(REFERENCE, "sentence", (8, 16, 32), 0)
    batched = Row("batched", "sentence", (4, 4, 16), 0)  # and once it is not
    columns = [list(column.cells) for column in table("shape", [plain, loop, batched]).columns]
    assert columns[3] == ["8", "1", "2 (2-4)"]
    assert columns[4] == ["1", "8", "4 (2-4)"]


def test_sentences_as_they_come_are_the_texts_and_then_others(work: Workload) -> None:
    few = Workload("embedded", "cpu", "fp32", words=[("Anna", "came", "."), ("Rain", ".")], source=SOURCE)
    assert few.as_they_come(5) == [
        ("Anna", "came", "."),
        ("Rain", "."),
        ("Anna", "came", ".", "1"),
        ("Rain", ".", "1"),
        ("Anna", "came", ".", "2"),
    ]
    assert len(set(work.as_they_come(2 * len(work.words)))) >= 2 * len(set(work.words))


SOURCE = corpora.load("embedded-en", "train")[:20]


@pytest.mark.parametrize(("shape", "prefix"), [("embedded", ""), ("e5-small", ""), ("e5-small", "query: ")])
def test_all_of_it_retrieves_as_a_bundle_would_and_adapts_to_that(
    shape: str, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = Workload(shape, "cpu", "fp32", source=SOURCE, changes={"prefix": prefix})
    seen: list[tuple[str, list[list[int]]]] = []
    shared = []

    def adapted(
        engine: BatchedEngine, sentences: list[Encoded], support: np.ndarray, *, bottoms: Bottoms | None
    ) -> None:
        seen.append((engine.settings.adapts_with, support.tolist()))
        shared.append(bottoms is not None and all(bottoms.of(s.ids) is not None for s in sentences))

    monkeypatch.setattr(BatchedEngine, "adapted", adapted)
    rows = run(whole(work, 6), rounds=1, tell=lambda said: None)
    assert rows[0].name == MAKING
    assert sum(row.name.startswith(ALL) for row in rows) == 3
    vectors = work.retrieval.vectors([s.ids for s in [*work.source, *work.queries[:6]]])
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    expected = np.argsort(-(unit[20:] @ unit[:20].T), axis=1)[:, :2].tolist()
    assert seen == [(kind, expected) for _ in range(2) for kind in ("adam", "sgd", "scaled_sgd")]
    assert shared == [not prefix] * 6  # which the tagger has not
    sets = len({frozenset(row) for row in expected})
    sources = len({i for row in expected for i in row})
    assert sharing(work, 6) == f"6 sentences as they come: {sets} support sets of {sources} source sentences"


def test_settings_that_are_asked_for_replace_a_shapes_own() -> None:
    last, low = (
        Workload("embedded", "cpu", "fp32", source=SOURCE, changes=changes) for changes in (None, {"layer": 1})
    )
    vectors = SentenceVectors(low.retrieval.encoder, low.retrieval.tokenizer, layer=1)([s.ids for s in low.source])
    np.testing.assert_allclose(low.index.unit, vectors / np.linalg.norm(vectors, axis=1, keepdims=True), atol=1e-6)
    assert not np.allclose(low.index.unit, last.index.unit)
    assert low.adapting("adam").settings.adapts_with == "adam"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            ["--set", "adapt_optimizer=sgd"],
            "--set adapt_optimizer: each row has an optimiser of its own, so leave it out",
        ),
        (["--rounds", "0"], "--rounds 0: at least 1 must be measured"),
        (["--whole", "1000", "0"], "--whole 0: at least 1 sentence must be tagged"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    options: list[str], told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", *options])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


def test_a_shape_has_its_size() -> None:
    sizes = {shape: Workload(shape, "cpu", "fp32", source=SOURCE[:3]).retrieval.encoder.config for shape in SHAPES}
    found = {shape: (c.num_hidden_layers, c.hidden_size, c.num_attention_heads) for shape, c in sizes.items()}
    assert found == {shape: (size.layers, size.width, size.heads) for shape, size in SHAPES.items()}


def test_every_part_is_measured_and_drawn(tmp_path: Path) -> None:
    few = Workload("embedded", "cpu", "fp32", source=SOURCE)
    rows = run(measurements(few, Size(1, 2, 1, 2, ())), rounds=1, tell=lambda said: None)
    assert rows[0].name == "plain tagging"
    assert {row.unit for row in rows} == {"sentence", "meta-update"}
    assert all(row.seconds > 0 for row in rows)
    draw({"embedded": {"rows": rows, "waves": {"512": 3.0, "1024": 4.0}}}, tmp_path / "bench.svg")
    assert "embedded, adapted" in (tmp_path / "bench.svg").read_text()
