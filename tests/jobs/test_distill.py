"""The job that distils, on what the tagging job really wrote: workers, interruptions, and what takes its bundle."""

import io
import json
import time
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from transformers import pipeline

from jobs import evaluate as evaluation
from jobs.bulk_tag import bulk_tag
from jobs.distill import Job, distill, parse
from jobs.tagging.job import Job as TaggingJob
from metaner_core.bundles import bundle
from metaner_core.bundles.export import export
from metaner_core.bundles.model_card import card
from metaner_core.bundles.neighbours import main as neighbours
from metaner_core.data import corpora
from metaner_core.distilling.run import Distilling
from metaner_core.method.checkpoint import NoCheckpoints
from metaner_core.reading.source import Source
from metaner_core.tagging.pipeline import tag_documents
from metaner_core.text import schema
from tests.support.rows import near, written
from tests.support.started import started
from tests.support.tagged import documents

HOW = ["steps=4", "dev_every=2", "batch=6", "gold=4", "rate=1e-2", "optimizer=sgd", "mixed=2", "nameless=0.5"]

pytestmark = pytest.mark.usefixtures("ray_local")


@pytest.fixture(scope="module")
def crawl(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Documents in four languages."""
    path = tmp_path_factory.mktemp("crawl") / "crawl.jsonl"
    rows = (json.dumps({"id": d.id, "text": d.text, "language": d.language}) + "\n" for d in documents())
    path.write_text("".join(rows), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def tagged(tiny_bundle: str, crawl: str, module_s3: str) -> str:
    """These, tagged by the job, on S3."""
    kept = {"keep_probabilities": True, "keep_unadapted": True, "shard_mb": 0.001}
    source = Source(uri=crawl)
    bulk_tag(TaggingJob(source=source, bundle=tiny_bundle, output=f"{module_s3}/tagged", **kept))  # type: ignore[arg-type]
    return f"{module_s3}/tagged"


@pytest.fixture(scope="module")
def options(tagged: str, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command line of a job, but for its output and storage."""
    folder = tmp_path_factory.mktemp("labels")
    for name, many in (("train", 30), ("dev", 10)):
        sentences = corpora.load("embedded-en", name)[:many]
        rows = ("".join(f"{w}\t{t}\n" for w, t in zip(s.words, s.labels, strict=True)) for s in sentences)
        (folder / name).write_text("\n".join(rows), encoding="utf-8")
    return ["--tagged", tagged, f"--train={folder / 'train'}", f"--dev={folder / 'dev'}"]


def job(options: list[str], output: str, *more: str) -> Job:
    places = [f"--output={output}/bundle", f"--storage={output}/runs"]
    return parse([*options, *places, *more])[0]


@pytest.fixture(scope="module")
def two_workers(options: list[str], module_s3: str) -> str:
    """The bundle of a run of two workers, on S3."""
    sets = [f"--set={s}" for s in HOW]
    distill(job(options, module_s3, "--workers=2", *sets))
    return f"{module_s3}/bundle"


@pytest.fixture(scope="module")
def alone(options: list[str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """That of one process."""
    place = str(tmp_path_factory.mktemp("alone"))
    sets = [f"--set={s}" for s in HOW]
    same = job(options, place, *sets)
    fields = {name: getattr(same, name) for name in Distilling.__dataclass_fields__}
    Distilling(**fields).run(same.output, NoCheckpoints(), tell=lambda line: None, facts={})
    return same.output


def test_two_workers_give_the_bundle_of_one_process(two_workers: str, alone: str, tiny_bundle: str) -> None:
    found, one, start = (bundle.load(uri) for uri in (two_workers, alone, tiny_bundle))
    moved = max((p - start.tagger.trained()[n]).abs().max().item() for n, p in one.tagger.trained().items())
    assert moved > 1e-3
    for name, p in one.tagger.trained().items():
        torch.testing.assert_close(found.tagger.trained()[name], p, rtol=0, atol=1e-3 * moved, msg=name)
    assert found.manifest["distilled"] == one.manifest["distilled"]
    assert found.manifest["workers"] == 2
    kept = found.manifest["distilled"]["selection"]["kept"]
    assert kept["sentences"] > 0


def test_what_is_finished_is_not_done_again(
    two_workers: str, options: list[str], module_s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.training.learning.fit", None)
    sets = [f"--set={s}" for s in HOW]
    again = distill(job(options, module_s3, *sets))
    assert again == bundle.load(two_workers).manifest


def test_a_student_tags_documents_as_it_is(alone: str, crawl: str, tmp_path: Path) -> None:
    """Asked to adapt, as is the default: the manifest says what became of that."""
    manifest = bulk_tag(TaggingJob(source=Source(uri=crawl), bundle=alone, output=str(tmp_path / "out")))
    assert manifest["adapted"] is False
    rows = written(tmp_path / "out", "tagged")
    table, _ = schema.tables(tag_documents(bundle.load(alone), documents(), adapted=False))
    assert [rows[row["id"]] for row in table.to_pylist()] == near(table.to_pylist())
    assert len(rows) == 16
    keep = {"keep_probabilities": True, "keep_unadapted": True}
    with pytest.raises(ValueError, match=r"no neighbours to adapt to: .*; leave out --keep-unadapted"):
        bulk_tag(TaggingJob(source=Source(uri=crawl), bundle=alone, output=str(tmp_path / "no"), **keep))  # type: ignore[arg-type]


def test_a_student_is_scored_as_it_is(alone: str) -> None:
    tests = [evaluation.Test(name="de", sentences=corpora.load("embedded-de", "test")[:20], types=("PER", "LOC"))]
    (result,) = evaluation.evaluate(alone, tests)
    assert result.counts["adapted"] == result.counts["unadapted"]
    assert "similarity" not in result.tally
    console = Console(file=io.StringIO(), width=120)
    console.print(evaluation.table([result]))


def test_a_student_exported_tags_with_transformers_alone(alone: str, tmp_path: Path) -> None:
    told = export(alone, str(tmp_path / "export"), to="transformers")
    assert not any("unadapted" in line for line in told)
    found = pipeline("token-classification", model=str(tmp_path / "export"), aggregation_strategy="first")
    text = "Angela Merkel besuchte Paris ."
    loaded = bundle.load(alone)
    (prediction,) = loaded.engine.plain([loaded.encode(text.split())])
    names = {label[2:] for label in prediction.labels if label != "O"}
    assert {entity["entity_group"] for entity in found(text)} == names
    readme = (tmp_path / "export" / "README.md").read_text(encoding="utf-8")
    assert "neither takes a step on neighbours" in readme
    assert "No adaptation" not in readme


def test_its_card_says_who_taught_it(alone: str, tiny_bundle: str) -> None:
    manifest = bundle.load(alone).manifest
    told = card(manifest, alone)
    assert f"- Taught by: `{tiny_bundle}`" in told
    assert "- A student: it learnt from the probabilities" in told
    kept = manifest["distilled"]["selection"]["kept"]
    assert f"`{kept['sentences']} ({', '.join(sorted(kept['languages']))})`" in told


def test_retrieval_of_a_student_is_refused_by_name(alone: str) -> None:
    with pytest.raises(ValueError, match="has no source sentences, so there are no neighbours to adapt to"):
        neighbours(["--bundle", alone, "--corpus", "embedded-en", "--limit", "3"])


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_and_started_again_ends_like_an_unbroken_run(options: list[str], tmp_path: Path) -> None:
    """Driver, workers and their Ray die by SIGKILL after the first checkpoint; the same job ends on another Ray."""
    sets = [f"--set={s}" for s in ("steps=90", "dev_every=30", "batch=6", "gold=4", "rate=1e-3", "mixed=2")]
    same = [*options, f"--output={tmp_path / 'bundle'}", f"--storage={tmp_path / 'runs'}", *sets]
    with started("jobs.distill", same) as first:
        while not list(tmp_path.glob("runs/*/checkpoint_*/state.json")):
            assert first.poll() is None, "the job ended before it kept a checkpoint"
            time.sleep(0.05)
    assert not (tmp_path / "bundle" / "manifest.json").exists(), "the kill came too late to test anything"
    again = parse(same)[0]
    distill(again)
    fields = {name: getattr(again, name) for name in Distilling.__dataclass_fields__}
    Distilling(**fields).run(str(tmp_path / "alone"), NoCheckpoints(), tell=lambda line: None, facts={})
    found, unbroken = (load_file(tmp_path / name / "tagger.safetensors") for name in ("bundle", "alone"))
    for name, p in unbroken.items():
        torch.testing.assert_close(found[name], p, rtol=0, atol=1e-6, msg=name)
