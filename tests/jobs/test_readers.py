"""The bulk tagging job with readers: actors hold the model and do nothing else, and the rows are the same."""

import json
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from jobs.bulk_tag import bulk_tag, summary
from jobs.planning.shards import DONE, read_json
from jobs.tagging import supervisor
from jobs.tagging.job import Job
from jobs.tagging.stages.pipeline import Instead
from jobs.tagging.watch import Stalled
from metaner_core.bundles import bundle
from metaner_core.reading.source import Source
from metaner_core.tagging.pipeline import rejected, tag_documents
from metaner_core.text import schema
from metaner_core.text.document import Document
from metaner_core.text.rules import Rules
from tests.support.outspoken import outspoken
from tests.support.patient import Patient
from tests.support.rows import near, written

TEXTS = [
    "La alcaldesa Rosa Vidal habló en Zaragoza.\n\nEl Ebro crece. Rosa Vidal calló.",
    " \n",
    "王小明在北京工作。𝔘nd er ging nach 上海。",
    None,
    "Maria ging nach Bremen und " * 30,
    "half \ud800 of a pair",
    *(f"Jose\u0301 {n} vive en Kiel." for n in range(8)),
    "x" * 3_000,
]
DOCUMENTS = [Document(f"d{n}", text, None, '{"n": 1}') for n, text in enumerate(TEXTS)]
RULES = Rules(max_characters=2_000)
ENDED = "worker: 2 worker processes ended while they had this document alone"

pytestmark = pytest.mark.usefixtures("ray_local")


def given(folder: Path, documents: Sequence[Document] = DOCUMENTS) -> Source:
    rows = [json.dumps({"id": d.id, "text": d.text, "n": 1}) + "\n" for d in documents]
    (folder / "in.jsonl").write_text("".join(rows), encoding="utf-8")
    return Source(uri=str(folder / "in.jsonl"))


def same(output: str, rows: Sequence[dict[str, Any]]) -> None:
    """Fails unless these rows are the output's, all of them."""
    for name, table in zip(("tagged", "other"), schema.tables(rows), strict=True):
        found = written(output, name)
        assert len(found) == table.num_rows > 0
        for row in table.to_pylist():
            assert found[row["id"]] == near(row)


@pytest.mark.parametrize(("readers", "actors", "adapted", "shard_mb"), [(1, 2, True, 0.001), (2, 1, False, 8)])
def test_rows_are_those_of_one_process(
    tiny_bundle: str, tmp_path: Path, readers: int, actors: int, adapted: bool, shard_mb: float
) -> None:
    model = outspoken(tiny_bundle, tmp_path)
    options = {"readers": readers, "actors": actors, "adapted": adapted, "shard_mb": shard_mb}
    job = Job(source=given(tmp_path), bundle=model, output=str(tmp_path / "out"), rules=RULES, batch_size=4, **options)
    manifest = bulk_tag(job)
    same(job.output, tag_documents(bundle.load(model), DOCUMENTS, rules=RULES, adapted=adapted))
    assert manifest["counts"]["outcomes"] == {"tagged": 11, "empty": 1, "filtered": 1, "rejected": 2}
    assert manifest["settings"]["readers"] == readers
    (record, *_) = read_json(map(str, Path(job.output, DONE).iterdir()))
    assert record["engine"].keys() == manifest["engine"].keys()
    assert {"cpu_seconds", "peak_bytes"} <= record["reader"].keys() & record["writer"].keys()
    assert "documents  15: 11 tagged" in summary(manifest)


@pytest.mark.slow
def test_documents_that_end_a_reader_or_an_actor_are_rejected_and_no_other(tiny_bundle: str, tmp_path: Path) -> None:
    """One ends whoever cuts it into sentences, one whoever tags its seven sentences."""
    deadly = {5: "DEADLY to its reader.", 9: "Ana vive en Kiel.\n\n" * 7}
    documents = [Document(f"d{n}", deadly.get(n, f"Ana {n} vive en Kiel."), None, '{"n": 1}') for n in range(14)]

    def make(inputs: Any, batch: Sequence[Document], rules: Rules) -> Any:
        from metaner_core.tagging.stages.making import make

        if any("DEADLY" in (document.text or "") for document in batch):
            os.kill(os.getpid(), signal.SIGKILL)
        return make(inputs, batch, rules)

    def predict(model: Any, batch: Sequence[Sequence[Any]], **how: Any) -> Any:
        from metaner_core.tagging.stages.predicting import predict

        if any(len(sentences) == 7 for sentences in batch):
            os.kill(os.getpid(), signal.SIGKILL)
        return predict(model, batch, **how)

    options = {"readers": 1, "adapted": False, "batch_size": 4, "rules": RULES}
    job = Job(source=given(tmp_path, documents), bundle=tiny_bundle, output=str(tmp_path / "out"), **options)
    manifest = bulk_tag(job, instead=Instead(make=make, predict=predict))
    assert manifest["counts"]["outcomes"] == {"tagged": 12, "empty": 0, "filtered": 0, "rejected": 2}
    others = [document for n, document in enumerate(documents) if n not in deadly]
    rows = tag_documents(bundle.load(tiny_bundle), others, rules=job.rules, adapted=False)
    same(job.output, [*rows, *(rejected(documents[n], ENDED) for n in deadly)])


def test_a_reader_that_hangs_is_named_and_ended(
    tiny_bundle: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "Supervisor", Patient)
    where = tmp_path / "process"

    def asleep(*_: Any) -> None:
        where.write_text(str(os.getpid()))
        time.sleep(600)

    options = {"readers": 1, "stall_minutes": 0.05, "every_seconds": 1}
    job = Job(source=given(tmp_path), bundle=tiny_bundle, output=str(tmp_path / "out"), **options)
    in_flight = r"(?s)no progress for 0.05 minutes, 0 of 1 shards.*documents 0 to 14 of it, being read, on process"
    with pytest.raises(Stalled, match=in_flight):
        bulk_tag(job, instead=Instead(make=asleep))
    assert not Path("/proc", where.read_text()).exists()


@pytest.mark.parametrize("readers", [0, 1])
def test_what_is_kept_of_the_models_certainty_is_read_back_by_duckdb_and_polars(
    tiny_bundle: str, tmp_path: Path, readers: int
) -> None:
    model, kept = outspoken(tiny_bundle, tmp_path), {"keep_probabilities": True, "keep_unadapted": True}
    options = {"readers": readers, "rules": RULES, **kept}
    job = Job(source=given(tmp_path), bundle=model, output=str(tmp_path / "out"), **options)
    manifest = bulk_tag(job)
    expected = tag_documents(bundle.load(model), DOCUMENTS, rules=RULES, keep=job.keep)
    assert (manifest["schema"], manifest["kept"], len(manifest["labels"])) == (3, ["probabilities", "unadapted"], 9)
    assert "`sentences.unadapted`" in Path(job.output, "README.md").read_text(encoding="utf-8")
    sentences = {(row["id"], s["start"]): s for row in expected if "sentences" in row for s in row["sentences"]}
    files = f"{job.output}/tagged/*.parquet"
    with duckdb.connect() as db:
        columns = "s.start, s.probabilities, s.unadapted, len(s.tokens)"
        found = db.sql(f"SELECT id, {columns} FROM (SELECT id, unnest(sentences) s FROM '{files}')").fetchall()
    assert len(found) == len(sentences) > 10
    for id_, start, probabilities, unadapted, words in found:
        assert len(probabilities) == 9 * words
        assert probabilities == pytest.approx(sentences[id_, start]["probabilities"], abs=2e-3)
        assert unadapted == pytest.approx(sentences[id_, start]["unadapted"], abs=2e-3)
    frame = pl.read_parquet(files).explode("sentences")["sentences"].struct.unnest()
    assert frame["probabilities"].list.len().to_list() == (frame["tokens"].list.len() * 9).to_list()
