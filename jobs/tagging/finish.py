"""The end of a tagging run: everything is counted, files are compared with records, then report, card and manifest."""

import dataclasses
import importlib.metadata
import json
import platform
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import ray

from jobs.planning.shards import MANIFEST, OTHER, TAGGED, Shard, records
from jobs.tagging.job import Job
from jobs.tagging.process import peak_bytes
from metaner_core import __version__, storage
from metaner_core.data.labels import bio_labels
from metaner_core.reading.source import Input
from metaner_core.report.dataset_card import card
from metaner_core.report.report import Shard as Done
from metaner_core.report.report import write_report
from metaner_core.report.summary import Summary

NAMED = 3  # files that an error names


def finish(
    job: Job, found: Input, model: Mapping[str, Any], shards: Sequence[Shard], *, run: str, started: float
) -> dict[str, Any]:
    """Write what is written last. Returns the manifest.

    Raises RuntimeError when documents or files are missing or too many.
    """
    totals = _Totals()
    for shard, record in zip(shards, records(job.output, shards), strict=True):
        totals.add(shard, record)
    totals.check(job.output)
    manifest = _manifest(job, found, model, totals, run=run, started=started, shards=len(shards))
    write_report(storage.join(job.output, "report.html"), manifest, totals.summary, _done(job.output, shards))
    storage.write_whole(storage.join(job.output, "README.md"), card(manifest, totals.summary).encode())
    content = json.dumps(manifest, indent=1, ensure_ascii=False).encode()
    storage.write_whole(storage.join(job.output, MANIFEST), content)
    return manifest


class _Totals:
    """Sums over the records of all shards; of files only what it takes to find one that is missing."""

    def __init__(self) -> None:
        self.summary = Summary()
        self.seconds: dict[str, float] = defaultdict(float)  # of all actors, readers and writers
        self.peak_bytes: dict[str, int] = {}  # of any one of each
        self.engine: Counter[str] = Counter()
        self.tables = {name: {"files": 0, "rows": 0, "bytes": 0} for name in (TAGGED, OTHER)}
        self._files: dict[str, int] = {}
        self._wrong: list[str] = []

    def add(self, shard: Shard, record: Mapping[str, Any]) -> None:
        self.summary += Summary.from_dict(record["summary"])
        for worker, part in (("actor", record), ("reader", record.get("reader")), ("writer", record.get("writer"))):
            if part is not None:  # without readers the actor is all there is
                self._took(worker, part)
        if "waited" in record:
            self.seconds["waited"] += record["waited"]
        self.engine.update(record["engine"])
        rows = sum(file["rows"] for file in record["files"])
        if not shard.documents == record["documents"] == rows:
            counts = f"{shard.documents} documents went in, {record['documents']} came out, {rows} rows were written"
            self._wrong.append(f"shard {shard.name}: {counts}")
        for file in record["files"]:
            table = self.tables[file["path"].partition("/")[0]]
            for name, n in (("files", 1), ("rows", file["rows"]), ("bytes", file["bytes"])):
                table[name] += n
            self._files[file["path"]] = file["bytes"]

    def _took(self, worker: str, part: Mapping[str, Any]) -> None:
        self.seconds[f"{worker}s"] += part["finished"] - part["started"]
        self.seconds[f"{worker}s_cpu"] += part["cpu_seconds"]
        self.peak_bytes[worker] = max(self.peak_bytes.get(worker, 0), part["peak_bytes"])

    def check(self, output: str) -> None:
        """Raises RuntimeError unless every document is one row and the files are those of the records."""
        there: dict[str, int] = {}
        for name in (TAGGED, OTHER):
            for file in storage.listed(storage.join(output, name)):
                if file.uri.endswith(
                    storage.HALF
                ):  # left by a writer that was killed; what it wrote, another has written
                    storage.delete(file.uri)
                else:
                    there[file.uri.removeprefix(output + "/")] = file.size
        differing = sorted(path for path in {**there, **self._files} if there.get(path) != self._files.get(path))
        self._wrong += [
            f"{path}: {there.get(path)} bytes, its record says {self._files.get(path)}" for path in differing
        ]
        if self._wrong:
            more = f"\n  and {len(self._wrong) - NAMED} more" if len(self._wrong) > NAMED else ""
            raise RuntimeError(
                f"{output} is not what its records say:\n  " + "\n  ".join(self._wrong[:NAMED]) + more + "\n"
                "Delete the records (done/) of these shards and start the same command again to do them over"
            )


def _done(output: str, shards: Sequence[Shard]) -> Iterator[Done]:
    for shard, record in zip(shards, records(output, shards), strict=True):
        sentences = record["summary"]["sentences"]
        yield Done(shard.name, record["started"], record["finished"], shard.documents, sentences)


def _manifest(
    job: Job,
    found: Input,
    model: Mapping[str, Any],
    totals: _Totals,
    *,
    run: str,
    started: float,
    shards: int,
) -> dict[str, Any]:
    torch = importlib.metadata.version("torch")  # the driver does not import it
    versions = {"metaner": __version__, "ray": ray.__version__, "torch": torch, "pyarrow": pa.__version__}
    now = time.time()
    source = dataclasses.asdict(job.source)
    return {
        "schema": job.keep.version,
        "run": run,
        "output": job.output,
        "input": {**source, "format": found.format, "files": len(found.files), "bytes": sum(found.sizes)},
        "bundle": {
            "uri": job.bundle,
            "fingerprint": model["fingerprint"],
            "encoder": model.get("encoder"),
            "settings": {**model["settings"], **job.adapting},
        },
        "adapted": job.adapted,
        "kept": job.keep.names,
        "labels": list(bio_labels(model["settings"]["types"])),
        "rules": dataclasses.asdict(job.rules),
        "settings": job.settings(),
        "config": dict(job.config),
        "versions": {**versions, "python": platform.python_version()},
        "started": started,
        "finished": now,
        "seconds": {"wall": round(now - started, 3), **{name: round(n, 3) for name, n in totals.seconds.items()}},
        "peak_bytes": {**totals.peak_bytes, "driver": peak_bytes()},
        "engine": dict(totals.engine),
        "shards": shards,
        "tables": totals.tables,
        "counts": totals.summary.to_dict(),
    }
