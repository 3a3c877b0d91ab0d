"""Bulk tagging as a Ray Data job: documents and a bundle in, Parquet out.

    laptop    python -m jobs.bulk_tag --bundle out/bundle --input documents.jsonl --output out/tagged
    one GPU   python -m jobs.bulk_tag --gpu --bundle out/bundle --input 'crawl/*.parquet' --output out/tagged
    cluster   ray job submit --working-dir . -- python -m jobs.bulk_tag --gpu --actors 8 \\
                  --bundle s3://bucket/bundle --input s3://bucket/crawl/ --output s3://bucket/tagged

Every document becomes one row of <output>/tagged/*.parquet (columns: metaner_core/schema.py), tagged or with the reason
why not. <output>/manifest.json is written last: an output without it is not whole. Try `--limit 100` first.
"""

import argparse
import dataclasses
import json
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import ray
import torch
from ray.actor import ActorHandle

from jobs.common import add_ray_options, connect, device, run, say
from jobs.inputs import FORMATS, Input, Source, find
from jobs.outcomes import counts as written
from jobs.progress import told
from jobs.read_documents import check_ids, dataset
from metaner_core import __version__, bundle, schema, storage
from metaner_core.tagging import Document, rejected, tag_documents

MANIFEST = "manifest.json"
EVERY_SECONDS = 10  # between two lines of progress
SPARE_CPUS = 2  # logical, besides the actors': for reading and writing
ROWS_PER_FILE, ROWS_PER_GROUP = 5_000, 1_000  # documents; some tens of MB a file, compressed


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is tagged, with what, and where it goes. Raises ValueError listing every bad field at once.

    batch_size: documents whose sentences go through the model together. limit: only the first so many documents.
    adapted: adapt the model to every sentence; else tag with the meta-trained model as it is.
    """

    source: Source
    bundle: str
    output: str
    actors: int = 1
    gpu: bool = False
    threads: int = 1
    batch_size: int = 16
    limit: int | None = None
    adapted: bool = True

    def __post_init__(self) -> None:
        numbers = {name: getattr(self, name) for name in ("actors", "threads", "batch_size", "limit")}
        bad = [f"{name} is {n}; least is 1" for name, n in numbers.items() if n is not None and n < 1]
        if bad:
            raise ValueError("bulk tagging:\n  " + "\n  ".join(bad))


def bulk_tag(job: Job) -> dict[str, Any]:
    """Run the job on the connected Ray. Returns the manifest.

    Raises FileExistsError when the output is taken, FileNotFoundError or ValueError when the input, its columns or its
    ids are not as they must be or there is no bundle, RuntimeError when documents were lost or doubled on the way.
    """
    started = time.time()
    storage.require_unused(job.output, "tagged output")
    _check_cluster(job)
    model = json.loads(storage.read_bytes(storage.join(job.bundle, bundle.MANIFEST)))
    found = find(job.source)
    documents = dataset(found)
    if job.limit:
        documents.context.execution_options.preserve_order = True  # or each pass may see others as the first
        documents = documents.limit(job.limit)
    total = check_ids(documents, found)
    say(f"{total:,} documents in {len(found.files):,} files, {job.actors} actor(s), bundle {model['fingerprint']}")
    checked = time.time()
    _tag(job, documents, total)
    tagged = time.time()
    counts = written(job.output)
    if counts["documents"] != total:
        raise RuntimeError(f"{total} documents went in, {counts['documents']} came out at {job.output}: tag them again")
    seconds = {"check": checked - started, "tag": tagged - checked, "count": time.time() - tagged}
    manifest = _manifest(job, found, model, counts, seconds)
    content = json.dumps(manifest, indent=1, ensure_ascii=False).encode()
    storage.write_bytes(storage.join(job.output, MANIFEST), content)
    return manifest


def _check_cluster(job: Job) -> None:
    """Raises ValueError when actors would hold what reading and writing need: the job would wait for ever."""
    have, need = ray.cluster_resources(), {"CPU": job.actors + SPARE_CPUS, "GPU": job.actors if job.gpu else 0}
    for kind, n in need.items():
        if have.get(kind, 0) < n:
            raise ValueError(
                f"{job.actors} actor(s) need {n} logical {kind}s, this Ray has {have.get(kind, 0):g}: "
                "set --actors lower, or use a larger cluster"
            )


def _tag(job: Job, documents: ray.data.Dataset, total: int) -> None:
    fs, path = storage.filesystem(storage.join(job.output, "tagged"))
    with told() as board:
        # An actor takes whole blocks: without smaller ones, one file would keep one actor busy and the others idle.
        documents.repartition(target_num_rows_per_block=job.batch_size).map_batches(
            TagActor,
            fn_constructor_args=(job, board, total),
            batch_size=job.batch_size,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(size=job.actors),
            num_cpus=1,
            num_gpus=1 if job.gpu else 0,
        ).write_parquet(
            path,
            filesystem=fs,
            schema=schema.SCHEMA,
            compression="zstd",
            min_rows_per_file=ROWS_PER_FILE,
            row_group_size=ROWS_PER_GROUP,
        )


class TagActor:
    """An actor that holds the bundle and turns rows of documents into rows of the output schema."""

    def __init__(self, job: Job, board: ActorHandle, total: int) -> None:
        if not job.gpu:
            torch.set_num_threads(job.threads)
        self.bundle = bundle.load(job.bundle, device=device(job.gpu))
        self.job, self.board, self.total = job, board, total
        self.started = self.told = time.monotonic()

    def __call__(self, batch: pa.Table) -> pa.Table:
        rows = batch.to_pylist()
        documents = [Document(row["id"], row["text"], row["language"]) for row in rows]
        whole = [d for d, row in zip(documents, rows, strict=True) if row["problem"] is None]
        tagged = iter(tag_documents(self.bundle, whole, adapted=self.job.adapted))
        found = [
            next(tagged) if row["problem"] is None else rejected(document, row["problem"])
            for document, row in zip(documents, rows, strict=True)
        ]
        self._tell(len(found), sum(len(row["sentences"]) for row in found))
        return pa.Table.from_pylist(found, schema=schema.SCHEMA)

    def _tell(self, documents: int, sentences: int) -> None:
        self.board.add.remote({"documents": documents, "sentences": sentences})
        now = time.monotonic()
        if now - self.told > EVERY_SECONDS * self.job.actors:  # all actors together: a line every so often
            self.told = now
            sums = ray.get(self.board.sums.remote())
            pace = sums["sentences"] / (now - self.started)
            self.board.post.remote(f"tagged {sums['documents']:,}/{self.total:,} documents, {pace:.1f} sentences/s")


def _manifest(
    job: Job, found: Input, model: Mapping[str, Any], counts: Mapping[str, Any], seconds: Mapping[str, float]
) -> dict[str, Any]:
    options = {f.name: getattr(job, f.name) for f in dataclasses.fields(job) if f.name not in ("source", "bundle")}
    versions = {"metaner": __version__, "ray": ray.__version__, "torch": torch.__version__, "pyarrow": pa.__version__}
    return {
        "schema": schema.VERSION,
        "input": {**dataclasses.asdict(job.source), "format": found.format, "files": len(found.files)},
        "bundle": {"uri": job.bundle, "fingerprint": model["fingerprint"], "settings": model["settings"]},
        "adapted": job.adapted,
        "settings": options,
        "versions": {**versions, "python": platform.python_version()},
        "counts": counts,
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
    }


def parse(arguments: Sequence[str] | None = None) -> tuple[Job, str | None]:
    """Command line to job and Ray address. Raises ValueError for a value that cannot be."""
    parser = argparse.ArgumentParser(prog="python -m jobs.bulk_tag", description="Tag documents with a bundle.")
    parser.add_argument("--input", required=True, help="file, folder or glob, local or s3://")
    parser.add_argument("--format", choices=FORMATS, help="default: by the files' endings")
    parser.add_argument("--text-column", default="text", help="(default: text)")
    parser.add_argument("--id-column", default="id", help="unique for every document (default: id)")
    parser.add_argument("--language-column", help="codes such as de (default: language, if there is one)")
    parser.add_argument("--language", help="one for all documents, whatever the column says")
    parser.add_argument("--bundle", required=True, help="folder or s3:// prefix")
    parser.add_argument("--output", required=True, help="an unused folder or s3:// prefix")
    parser.add_argument("--actors", type=int, default=1, help="copies of the model (default: 1)")
    parser.add_argument("--threads", type=int, default=1, help="threads of an actor without GPU (default: 1)")
    parser.add_argument("--batch-size", type=int, default=16, help="documents tagged together (default: 16)")
    parser.add_argument("--limit", type=int, help="only the first N documents")
    parser.add_argument("--unadapted", action="store_true", help="do not adapt the model to each sentence: fast")
    add_ray_options(parser)
    options = parser.parse_args(arguments)
    columns = {name: getattr(options, name) for name in ("text_column", "id_column", "language_column", "language")}
    job = Job(
        source=Source(uri=storage.absolute(options.input), format=options.format, **columns),
        bundle=storage.absolute(options.bundle),
        output=storage.absolute(options.output),
        adapted=not options.unadapted,
        **{name: getattr(options, name) for name in ("actors", "gpu", "threads", "batch_size", "limit")},
    )
    return job, options.address


def summary(manifest: Mapping[str, Any]) -> str:
    """A manifest in a few lines: documents by outcome, sentences and their pace, entities by type."""
    counts, seconds = manifest["counts"], manifest["seconds"]["tag"]
    outcomes, entities = (", ".join(f"{n:,} {k}" for k, n in counts[part].items()) for part in ("outcomes", "entities"))
    return (
        f"documents  {counts['documents']:,}: {outcomes}\n"
        f"sentences  {counts['sentences']:,}, {counts['sentences'] / max(seconds, 1e-9):.1f}/s in {seconds:.0f} s\n"
        f"entities   {sum(counts['entities'].values()):,}: {entities or 'none'}\n"
        f"output     {storage.join(manifest['settings']['output'], 'tagged')}"
    )


def main() -> None:
    job, address = parse()
    connect(address, cpus=max(job.actors, torch.get_num_threads()) + 2)
    say(summary(bulk_tag(job)))


if __name__ == "__main__":
    run(main)
