"""What the benchmark says of memory and ratios. What else the process takes or frees meanwhile is within 1 MiB."""

import threading
import time

import pytest
import torch

from metaner_core.engine.bench import REFERENCE, Row, Workload, most_memory, table

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


def test_transformers_pipeline_is_of_the_same_weights() -> None:
    work = Workload("embedded", "cpu", "fp32")
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
