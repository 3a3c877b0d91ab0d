"""Reader, predictor and writer as plain functions and objects: what each does with a shard, without Ray."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from jobs.planning.shards import Shard
from jobs.tagging import model
from jobs.tagging.job import Job
from jobs.tagging.stages import packed, predictor, reader, writer
from jobs.tagging.stages.predictor import Predictor
from jobs.tagging.stages.reader import read_shards
from jobs.tagging.stages.writer import write_shards
from jobs.tagging.supervisor import READ, TAG, WRITE
from metaner_core.bundles import bundle
from metaner_core.bundles.bundle import Bundle
from metaner_core.bundles.inputs import load_inputs
from metaner_core.reading.files import Cutter, documents
from metaner_core.reading.source import Source, find
from metaner_core.tagging.pipeline import tag_documents
from metaner_core.tagging.stages.predicting import predict
from metaner_core.text.document import Document
from metaner_core.text.rules import Rules
from tests.support.direct import Direct, ask
from tests.support.rows import near, written

DOCUMENTS = [Document(f"d{n}", f"Ana {n} vive en Kiel.\n\nElla canta." if n % 5 else " ", "es") for n in range(20)]


class Stages:
    """A run of one shard whose stages are called one after another. batches: documents that the model was given."""

    def __init__(self, folder: Path, tiny: Bundle, uri: str) -> None:
        self.path = folder / "in.jsonl"
        rows = [{"id": d.id, "text": d.text, "language": d.language} for d in DOCUMENTS]
        self.path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        source, rules = Source(uri=str(self.path)), Rules(lines="flow")
        options: dict[str, Any] = {"readers": 1, "batch_size": 6, "adapted": False, "rules": rules}
        self.job = Job(source=source, bundle=uri, output=str(folder / "out"), **options)
        self.found, self.supervisor, self.tiny = find(source), Direct(), tiny
        self.batches: list[int] = []
        cutter = Cutter(0, 2**30)
        for place, document in documents(self.found, 0):
            cutter.add(place, document)
        self.shard = Shard(3, tuple(cutter.close()))
        self.predictor = Predictor(self.job, self.supervisor, self._predict)  # type: ignore[arg-type]

    def _predict(self, model: Bundle, batch: Sequence[Any], **how: Any) -> Any:
        self.batches.append(len(batch))
        return predict(model, batch, **how)

    def read(self) -> pa.Table:
        rows = pa.table({"shard": [self.shard.to_json()]})
        return read_shards(rows, self.job, self.found, self.supervisor, None)  # type: ignore[arg-type]

    def write(self, rows: pa.Table) -> pa.Table:
        return write_shards(rows, self.job, self.supervisor)  # type: ignore[arg-type]

    def rows(self) -> dict[str, Any]:
        return written(self.job.output, "tagged") | written(self.job.output, "other")

    def record(self) -> dict[str, Any]:
        return json.loads(Path(self.job.output, "done", "0000003.json").read_text())  # type: ignore[no-any-return]

    def died(self, stage: str, *batches: tuple[int, int]) -> None:
        for worker, batch in enumerate(batches):
            self.supervisor.it.start(self.shard.name, f"{stage}{worker}", None, stage)
            self.supervisor.it.begin(self.shard.name, *batch, {})


@pytest.fixture(scope="module")
def tiny(tiny_bundle: str) -> Bundle:
    return bundle.load(tiny_bundle)


@pytest.fixture
def stages(tmp_path: Path, tiny: Bundle, tiny_bundle: str, monkeypatch: pytest.MonkeyPatch) -> Stages:
    for module in (reader, predictor, writer, model):
        monkeypatch.setattr(module, "ask", ask)
    for module in (reader, writer):
        monkeypatch.setattr(module, "here_in_task", lambda: ("a task", ("node", 1)))
    monkeypatch.setattr(predictor, "here", lambda: ("an actor", None))
    monkeypatch.setattr(model, "load", lambda job, tell: tiny)
    return Stages(tmp_path, tiny, tiny_bundle)


def test_the_three_of_them_leave_what_one_process_makes(stages: Stages) -> None:
    names = stages.write(stages.predictor(stages.read()))
    assert names.to_pydict() == {"shard": [stages.shard.to_json()]}
    expected = tag_documents(stages.tiny, DOCUMENTS, rules=stages.job.rules, adapted=False)
    assert stages.rows().keys() == {row["id"] for row in expected}
    for row in expected:
        written_ = stages.rows()[row["id"]]
        assert written_ == near({name: row[name] for name in written_})
    assert stages.batches == [6, 6, 6, 2]
    state = stages.supervisor.it.state()
    assert {name: state["counts"][name] for name in ("tagged", "empty", "rejected")} == {
        "tagged": 16,
        "empty": 4,
        "rejected": 0,
    }
    assert (state["in_flight"], state["shards"], state["deaths"]) == ({}, 1, 0)
    assert stages.record()["documents"] == 20
    assert stages.record()["worker"] == "an actor"


def test_what_is_passed_on_counts_as_done_so_far_and_nobody_has_it_in_flight(stages: Stages) -> None:
    ready = stages.read()
    supervisor = stages.supervisor.it
    assert (supervisor.in_flight(), supervisor.state()["in_flight"]) == ([], {})
    stages.predictor(ready)
    counts = supervisor.state()["in_flight"]
    assert (counts["tagged"], counts["empty"], counts["sentences"]) == (16, 4, 32)
    assert supervisor.in_flight() == []


def test_a_shard_is_one_small_row_whatever_it_holds(stages: Stages) -> None:
    ready = stages.read()
    assert ready.num_rows == 1
    ((shard, facts, contents),) = packed.unpacked(ready)
    assert (shard, list(facts), contents["found"]) == (stages.shard, ["reader"], None)
    assert packed.table(contents["texts"]).num_rows == packed.table(contents["inputs"]).num_rows == 20
    assert ready.nbytes < 40_000


@pytest.mark.parametrize("stage", [READ, TAG, WRITE])
def test_a_document_that_ends_its_workers_is_rejected_whatever_stage_that_is(stages: Stages, stage: str) -> None:
    killed = [(6, 12), (7, 8), (7, 8)]
    rows = pa.table({"shard": [stages.shard.to_json()]})
    for own, do in ((READ, lambda _: stages.read()), (TAG, stages.predictor), (WRITE, stages.write)):
        if own == stage:
            stages.died(own, *killed)
        rows = do(rows)
    row = stages.rows()["d7"]
    assert (row["outcome"], row["stage"], row["language"]) == ("rejected", "worker", "es")
    assert row["reason"].startswith("2 worker processes ended")
    assert stages.record()["documents"] == len(stages.rows()) == 20
    assert stages.supervisor.it.state()["deaths"] == 3


def test_an_input_that_became_shorter_is_an_error(stages: Stages) -> None:
    stages.path.write_text("\n".join(stages.path.read_text().split("\n")[:9]))
    with pytest.raises(RuntimeError, match="has 9 documents, 20 were found when the job began"):
        stages.read()


def test_a_shard_whose_record_is_there_is_not_done_again(stages: Stages) -> None:
    stages.write(stages.predictor(stages.read()))
    before = stages.record()
    stages.batches.clear()
    again = stages.read()
    assert again.nbytes < 1_000
    stages.write(stages.predictor(again))
    assert (stages.batches, stages.record()) == ([], before)


def test_an_actor_s_waiting_is_told_from_its_second_shard_on(stages: Stages) -> None:
    facts = []
    for number in (3, 4):
        stages.shard = Shard(number, stages.shard.stretches)
        ((_, told, _),) = packed.unpacked(stages.predictor(stages.read()))
        facts.append(told["actor"]["waited"])
    assert facts[0] == 0
    assert facts[1] > 0


def test_inputs_without_the_models_are_those_with_them(tiny: Bundle, tiny_bundle: str) -> None:
    sentences = [["Ana", "vive", "☃"], ["王", "小"], ["x" * 300] * 40]
    alone = load_inputs(tiny_bundle)
    assert [alone(words) for words in sentences] == [tiny.inputs(words) for words in sentences]
