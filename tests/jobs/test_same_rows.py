"""The Python API and the bulk tagging job say the same of the same texts, to the last column of the Parquet."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from jobs.bulk_tag import bulk_tag
from jobs.tagging.job import Job
from metaner_core import load
from metaner_core.reading.source import Source
from tests.support.outspoken import outspoken
from tests.support.rows import near, written

TEXTS = [
    "La alcaldesa Rosa Vidal habló en Zaragoza.\n\nEl Ebro crece. Rosa Vidal calló.",
    "Der Verein FC Lindau gewann in Bremen gegen Kiel mit 2:1.",
    " \n",
    "王小明在北京工作。𝔘nd er ging nach 上海。",
    None,
    "Maria ging nach Bremen und " * 30,
    "x" * 1_000_001,
]


@pytest.mark.usefixtures("ray_local")
def test_the_api_s_documents_are_the_job_s_rows(tiny_bundle: str, tmp_path: Path) -> None:
    uri = outspoken(tiny_bundle, tmp_path)
    rows = [json.dumps({"id": str(n), "text": text}) + "\n" for n, text in enumerate(TEXTS)]
    (tmp_path / "in.jsonl").write_text("".join(rows), encoding="utf-8")
    bulk_tag(Job(source=Source(uri=str(tmp_path / "in.jsonl")), bundle=uri, output=str(tmp_path / "out")))
    tagged, other = (written(tmp_path / "out", table) for table in ("tagged", "other"))
    found = load(uri).tag(TEXTS)
    assert sum(len(document.entities) for document in found) > 20
    for n, document in enumerate(found):
        if document.outcome == "tagged":
            assert as_row(document) == near({k: v for k, v in tagged.pop(str(n)).items() if k not in ("id", "extra")})
        else:
            row = other.pop(str(n))
            told = (document.outcome, document.stage, document.reason, document.language)
            assert told == (row["outcome"], row["stage"], row["reason"], row["language"])
    assert not tagged
    assert not other


def as_row(document: Any) -> dict[str, Any]:
    """The columns of schema.TAGGED_SCHEMA."""
    row = dataclasses.asdict(document)
    for name in ("outcome", "stage", "reason"):
        del row[name]
    for neighbour in (n for sentence in row["sentences"] for n in sentence["neighbours"]):
        del neighbour["words"], neighbour["labels"]
    return json.loads(json.dumps(row))  # type: ignore[no-any-return]  # tuples as lists, as Parquet has them
