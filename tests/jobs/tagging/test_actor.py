"""The actor of a tagging run as a plain object: what it does with a shard, without Ray and without a model."""

import json
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest

from jobs.planning.shards import Shard
from jobs.tagging import actor as actor_module
from jobs.tagging import deaths, model, process, taking
from jobs.tagging.actor import TagActor
from jobs.tagging.job import Job
from metaner_core.reading.files import Cutter, documents
from metaner_core.reading.source import Source, find
from metaner_core.tagging import batches
from metaner_core.tagging.pipeline import Row, rejected
from metaner_core.text.document import Document
from tests.support.direct import Direct, ask


class Recorded:
    """A tagging that tags nothing, and keeps the ids of every batch."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []

    def __call__(self, bundle: None, documents: Sequence[Document], **_: Any) -> list[Row]:
        self.batches.append([document.id for document in documents])
        return [rejected(document, "test: nothing is tagged here") for document in documents]


@pytest.fixture
def actor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TagActor:
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"id": f"d{n}", "text": "x" * n}) + "\n" for n in range(20)))
    source = Source(uri=str(tmp_path / "in.jsonl"))
    for module in (actor_module, model):
        monkeypatch.setattr(module, "ask", ask)
    sets = count(100, 7)
    engine = SimpleNamespace(work=lambda: {"sets": next(sets)})  # seven more whenever it is asked
    monkeypatch.setattr(model, "load", lambda job, tell: SimpleNamespace(engine=engine))
    monkeypatch.setattr(actor_module, "here", lambda: ("test", None))
    job = Job(source=source, bundle="b", output=str(tmp_path / "out"), batch_size=6)
    return TagActor(job, find(source), Direct(), Recorded())  # type: ignore[arg-type]


@pytest.fixture
def shard(actor: TagActor) -> Shard:
    cutter = Cutter(0, 2**30)
    for place, document in documents(actor.found, 0):
        cutter.add(place, document)
    return Shard(3, tuple(cutter.close()))


def record(actor: TagActor) -> dict[str, Any]:
    return json.loads(Path(actor.job.output, "done", "0000003.json").read_text())  # type: ignore[no-any-return]


def test_batches_hold_all_documents_in_order(actor: TagActor, shard: Shard) -> None:
    actor.do(shard)
    assert actor.tag.batches == [[f"d{n}" for n in range(at, min(at + 6, 20))] for at in (0, 6, 12, 18)]
    assert pq.read_table(Path(actor.job.output, "other"))["id"].to_pylist() == [f"d{n}" for n in range(20)]
    assert (record(actor)["documents"], record(actor)["summary"]["outcomes"]["rejected"]) == (20, 20)
    assert record(actor)["engine"] == {"sets": 7}  # what the shard took, not what was done before
    assert actor.supervisor.it.state()["counts"]["rejected"] == 20


def test_long_texts_make_small_batches(actor: TagActor, shard: Shard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "BATCH_CHARACTERS", 30)
    actor.do(shard)
    sizes = [sum(int(id_[1:]) for id_ in batch) for batch in actor.tag.batches]
    assert sum(sizes) == sum(range(20))
    assert all(size - int(batch[-1][1:]) < 30 for size, batch in zip(sizes, actor.tag.batches, strict=True))
    assert len(actor.tag.batches) > 20 // 6 + 1


def test_a_document_that_is_suspected_goes_alone_and_one_that_is_found_out_not_at_all(
    actor: TagActor, shard: Shard
) -> None:
    supervisor = actor.supervisor.it
    for worker, batch in (("a", (6, 9)), ("b", (7, 8)), ("c", (7, 8))):
        supervisor.start(shard.name, worker)
        supervisor.begin(shard.name, *batch, {})
    actor.do(shard)
    assert ["d6"] in actor.tag.batches
    assert ["d8"] in actor.tag.batches
    assert not any("d7" in batch for batch in actor.tag.batches)
    (row,) = pq.read_table(Path(actor.job.output, "other"), filters=[("id", "=", "d7")]).to_pylist()
    assert (row["outcome"], row["stage"]) == ("rejected", "worker")
    assert record(actor)["documents"] == 20


def test_after_a_death_in_a_large_batch_its_documents_go_few_at_a_time(
    actor: TagActor, shard: Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (taking, deaths):
        monkeypatch.setattr(module, "FEW", 2)
    supervisor = actor.supervisor.it
    supervisor.start(shard.name, "a")
    supervisor.begin(shard.name, 6, 12, {})
    actor.do(shard)
    assert [len(batch) for batch in actor.tag.batches] == [6, 2, 2, 2, 6, 2]


def test_a_batch_that_takes_long_is_heard_of(actor: TagActor, shard: Shard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "TELL_SECONDS", 0.0)
    heard = []
    supervisor = actor.supervisor.it
    monkeypatch.setattr(supervisor, "work", lambda name, sentences: heard.append((name, sentences)))
    tagged = actor.tag

    def slow(bundle: None, documents: Sequence[Document], **_: Any) -> list[Row]:
        for _ in range(3):
            actor.tell(2)
        return tagged(bundle, documents)

    actor.tag = slow
    actor.do(shard)
    assert heard == [(shard.name, n) for n in (2, 4, 6)] * 4


def test_a_shard_whose_record_is_there_is_not_done_again(actor: TagActor, shard: Shard) -> None:
    actor.do(shard)
    before = record(actor)
    actor.tag.batches.clear()
    actor.do(shard)
    assert actor.tag.batches == []
    assert record(actor) == before


def test_an_input_that_became_shorter_is_an_error(actor: TagActor, shard: Shard) -> None:
    path = Path(actor.found.files[0])
    path.write_text("\n".join(path.read_text().split("\n")[:9]))
    with pytest.raises(RuntimeError, match="has 9 documents, 20 were found when the job began"):
        actor.do(shard)
    assert not Path(actor.job.output, "done").exists()


def test_a_tagging_that_loses_rows_is_an_error(actor: TagActor, shard: Shard) -> None:
    actor.tag = lambda *_, **__: []
    with pytest.raises(RuntimeError, match="6 documents went in, 0 rows came out; the first is d0"):
        actor.do(shard)
