"""The whole road in a few minutes on what comes with the package: `make demo`, or `python -m jobs.demo`.

English labels -> meta-training -> bundle -> scores in five languages, unadapted and adapted -> a small crawl tagged
through Ray Data -> Parquet and a page to look at. Each run gets a folder of its own under out/.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.dataset as pads
from rich.console import Console

import metaner_core
from jobs import bulk_tag, evaluate, meta_train
from jobs.common.config import OptionsParser
from jobs.common.imports import gc_paused
from jobs.common.options import add_ray_options
from jobs.common.session import connect
from jobs.planning.shards import OTHER, TAGGED
from jobs.tagging.job import Job
from metaner_core import storage
from metaner_core.command import run, say
from metaner_core.data import corpora
from metaner_core.reading.source import Source
from metaner_core.report import page
from metaner_core.settings import Settings, parse_overrides, preset
from metaner_core.text.rules import BLOCK, Rules

CRAWL = Path(metaner_core.__file__).parent / "embedded" / "crawl.jsonl"
LANGUAGES = ("es", "nl", "de", "fr", "zh")


def demo(output: str, *, settings: Settings, actors: int = 2) -> dict[str, str]:
    """Run all steps on the connected Ray. Returns where the bundle, the Parquet and the page are."""
    found = {name: storage.join(output, name) for name in ("bundle", "crawl", "page.html")}
    sentences, dev = (corpora.load("embedded-en", split) for split in ("train", "dev"))
    say(f"1/4  meta-training on {len(sentences)} English sentences, no label in any other language")
    job = meta_train.Job(
        settings=settings,
        train=sentences,
        dev=dev,
        encoder="embedded",
        output=found["bundle"],
        storage=storage.join(output, "runs"),
        workers=actors,
        source_name="embedded-en",
    )
    best = meta_train.meta_train(job)["best"]
    say(f"     English dev F1 {best['dev_f1']:.1f} at meta-update {best['update']}")
    say("2/4  five languages it has seen no label of: F1 without and with one gradient step for each sentence")
    tests = evaluate.read_tests([f"embedded-{language}" for language in LANGUAGES], "test", None, None)
    results = evaluate.evaluate(found["bundle"], tests, actors=actors)
    say("3/4  tagging a small crawl, each sentence by a model adapted to it")
    manifest = bulk_tag.bulk_tag(
        Job(
            source=Source(uri=str(CRAWL)),
            bundle=found["bundle"],
            output=found["crawl"],
            rules=Rules(lines=BLOCK),  # pages, with menus and lists
            actors=actors,
            shard_mb=0.004,
        )
    )
    say("4/4  a page to look at")
    scores = [_score(result, language) for result, language in zip(results, LANGUAGES, strict=True)]
    write_page(found, scores, manifest)
    notes = evaluate.notes(tests, settings.types)
    Console(width=110).print(evaluate.table(results, by_type=False, notes=notes))
    say(bulk_tag.summary(manifest))
    say(f"report     {storage.join(found['crawl'], 'report.html')}")
    say(f"page       {found['page.html']}")
    return found


def _score(result: evaluate.Result, language: str) -> page.ScoreRow:
    before, after = (result.scores(engine).overall.f1 for engine in evaluate.ENGINES)
    return page.ScoreRow(result.name, language, result.sentences, before, after)


def write_page(found: Mapping[str, str], scores: Sequence[page.ScoreRow], manifest: Mapping[str, Any]) -> None:
    """One self-contained HTML page of the scores and the tagged crawl with each sentence's English neighbours."""
    with gc_paused():  # late: torch and transformers come along
        from metaner_core.bundles import bundle

    loaded = bundle.load(found["bundle"])
    best = loaded.manifest["best"]
    summary = [
        ("Learned from", f"{len(loaded.source)} English sentences with labels"),
        ("English dev F1", f"{best['dev_f1']:.1f} after {best['update']} meta-updates"),
        ("Adaptation", f"one step on the {loaded.settings.neighbours} nearest English sentences, for every sentence"),
        ("Documents", f"{manifest['counts']['documents']}"),
        ("Bundle", loaded.manifest["fingerprint"]),
    ]
    rows = read_rows(found["crawl"])
    html = page.render(
        title="metaner: names found in languages without labels",
        summary=summary,
        scores=scores,
        documents=sorted(rows, key=lambda row: row["id"]),
        source=loaded.source,
    )
    page.write(found["page.html"], html)


def read_rows(uri: str) -> Iterator[dict[str, Any]]:
    """Rows of both tables of a tagged output, batch by batch."""
    for table in (TAGGED, OTHER):
        fs, path = storage.filesystem(storage.join(uri, table))
        if storage.list_files(storage.join(uri, table)):
            for batch in pads.dataset(path, filesystem=fs, format="parquet").to_batches():
                yield from batch.to_pylist()


def main() -> None:
    parser = OptionsParser("jobs.demo", "The whole road on the embedded data.", ["", "--output out/demo"])
    parser.add_argument("--output", help="default: a new folder under out/")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="replace one hyper-parameter")
    parser.add_argument("--actors", type=int, default=2)
    add_ray_options(parser)
    options = parser.parse()
    output = options.output or f"out/demo-{time.strftime('%Y%m%d-%H%M%S')}"
    storage.require_unused(output, "demo")
    connect(options.address, cpus=options.actors + 2)
    started = time.monotonic()
    demo(storage.absolute(output), settings=preset("demo", **parse_overrides(options.set)), actors=options.actors)
    say(f"done in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    run(main)
