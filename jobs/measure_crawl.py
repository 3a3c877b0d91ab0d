"""Does memory stay flat, does work per document, and do two actors do twice as much? Bulk tagging of made crawls.

    python -m jobs.measure_crawl --bundle out/bundle --output out/measured                    # 10,000 and 100,000
    python -m jobs.measure_crawl --bundle out/bundle --output out/measured --documents 1000 10000 --unadapted
    python -m jobs.measure_crawl --bundle out/mbert --output out/measured --documents 120 --shard-mb 0.003
    python -m jobs.measure_crawl --bundle out/bundle --output out/measured --documents 100000 1000000 --unadapted \
        --text es=es.txt de=de.txt --sentences 1 --shard-mb 1

Each run is a process of its own. Processor time, unlike the clock's, hardly minds what else the machine does.
"""

import argparse
import json
import random
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from jobs.planning.shards import DONE, MANIFEST, PLAN, read_json
from metaner_core import storage
from metaner_core.command import run
from metaner_core.data import corpora
from metaner_core.report.summary import Summary

LANGUAGES = ("es", "nl", "de", "fr", "zh")


def embedded() -> dict[str, list[str]]:
    """The embedded test sentences, by language."""
    return {
        language: [
            ("" if language == "zh" else " ").join(s.words) for s in corpora.load(f"embedded-{language}", "test")
        ]
        for language in LANGUAGES
    }


def lines(files: Sequence[str]) -> dict[str, list[str]]:
    """The lines of text files, each given as `es=FILE`. Raises ValueError for one that is given otherwise or empty."""
    found = {}
    for file in files:
        language, equals, path = file.partition("=")
        if not equals:
            raise ValueError(f"--text {file}: give the language too, as in es={file}")
        found[language] = [line for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]
        if not found[language]:
            raise ValueError(f"--text {file}: it has no line with text: give a file of sentences, one a line")
    return found


def make(path: Path, documents: int, sentences: int, texts: Mapping[str, Sequence[str]] | None = None) -> None:
    """A JSONL crawl of sentences drawn with a fixed seed: any two crawls are alike but for their length.

    texts: sentences by language; None: the embedded ones. The languages take turns.
    """
    chance = random.Random(0)
    texts = texts or embedded()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        for n in range(documents):
            language = [*texts][n % len(texts)]
            text = "\n\n".join(chance.choices(texts[language], k=sentences))
            file.write(json.dumps({"id": f"{n}", "text": text, "language": language}, ensure_ascii=False) + "\n")


def tag(bundle: str, crawl: Path, output: Path, more: Sequence[str]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Tag a crawl in a process of its own. Returns the manifest and the records of its shards."""
    command = [sys.executable, "-m", "jobs.bulk_tag", "--bundle", bundle, "--input", str(crawl)]
    command += ["--output", str(output), *more]
    subprocess.run(command, check=True)
    (manifest,) = read_json([str(output / MANIFEST)])
    return manifest, list(read_json(map(str, (output / DONE).glob("*.json"))))


def measured(manifest: dict[str, Any], records: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Memory in MiB, processor time a document in ms, sentences a second by the actors' clocks, seconds of each part.

    records: of the run's shards. Both paces leave out each actor's first shard: in it an actor loads what it needs
    when it first needs it (a language's rules, compiled code), seconds that a long run does not feel. planning: until
    the first shard is begun, Ray's start and the model's loading among it; finishing: from the last shard's end on,
    report and manifest.
    """
    begun, ended = min(record["started"] for record in records), max(record["finished"] for record in records)
    actors, settled = manifest["settings"]["actors"], after_first(records)
    documents = sum(record["documents"] for record in settled)
    sentences = sum(Summary.from_dict(record["summary"]).total.sentences for record in settled)
    return {
        "documents": manifest["counts"]["documents"],
        "actors": actors,
        "driver_mib": manifest["peak_bytes"]["driver"] / 2**20,
        "actor_mib": manifest["peak_bytes"]["actor"] / 2**20,
        "cpu_ms_a_document": 1000 * sum(record["cpu_seconds"] for record in settled) / documents,
        "sentences_a_second": sentences * actors / sum(record["finished"] - record["started"] for record in settled),
        "planning_s": begun - manifest["started"],
        "tagging_s": ended - begun,
        "finishing_s": manifest["finished"] - ended,
    }


def written(tagged: Path) -> dict[str, float]:
    """MiB of a run's plan, and of its report."""
    plan = sum(path.stat().st_size for path in (tagged / PLAN).rglob("*"))
    return {"plan_mib": plan / 2**20, "report_mib": (tagged / "report.html").stat().st_size / 2**20}


def after_first(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The records without each actor's first. Raises ValueError when none is left."""
    seen: set[str] = set()
    found = []
    for record in sorted(records, key=lambda record: record["started"]):
        if record["worker"] in seen:
            found.append(record)
        seen.add(record["worker"])
    if not found:
        raise ValueError(f"{len(records)} shards for {len(seen)} actors: give more --documents or a smaller --shard-mb")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m jobs.measure_crawl", description="Memory and pace of bulk tagging."
    )
    parser.add_argument("--bundle", required=True)
    parser.add_argument("--output", required=True, help="an unused local folder")
    sizes = "of the crawls, the first of which two actors tag too (default: 10000 100000)"
    parser.add_argument("--documents", type=int, nargs="+", default=(10_000, 100_000), help=sizes)
    parser.add_argument("--sentences", type=int, default=2, help="of a document (default: 2)")
    size = "text in a shard; each actor should get a dozen of them (default: 0.25)"
    parser.add_argument("--shard-mb", type=float, default=0.25, help=size)
    parser.add_argument("--unadapted", action="store_true")
    parser.add_argument("--actors", type=int, default=1, help="of all runs but the last, which has twice as many")
    what = "files of sentences, one a line, to make the crawls of, as es=es.txt (default: the embedded tests)"
    parser.add_argument("--text", nargs="+", metavar="LANGUAGE=FILE", help=what)
    parser.add_argument("--no-second", action="store_true", help="leave out the last run, with twice as many actors")
    options = parser.parse_args()
    storage.require_unused(options.output, "measurement")
    output = Path(options.output)
    found = []
    texts = lines(options.text) if options.text else None
    runs = [(n, options.actors) for n in options.documents]
    for documents, actors in runs if options.no_second else [*runs, (options.documents[0], 2 * options.actors)]:
        crawl = output / f"crawl-{documents}.jsonl"
        make(crawl, documents, options.sentences, texts)
        more = [f"--actors={actors}", f"--shard-mb={options.shard_mb}"]
        more += ["--unadapted"] if options.unadapted else []
        tagged = output / f"tagged-{documents}-{actors}"
        found.append(measured(*tag(options.bundle, crawl, tagged, more)) | written(tagged))
    (output / "measured.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    Console(width=140).print(table(found))


def table(found: Sequence[dict[str, float]]) -> Table:
    """The runs, and all after the first as parts of it."""
    shown = Table(title="Bulk tagging")
    for name in found[0]:
        shown.add_column(name.replace("_", " "), justify="right")
    for one in found:
        shown.add_row(*(f"{value:,.1f}" if isinstance(value, float) else f"{value:,}" for value in one.values()))
    for one in found[1:]:
        shown.add_row(*(f"x{value / found[0][name]:.2f}" for name, value in one.items()))
    return shown


if __name__ == "__main__":
    run(main)
