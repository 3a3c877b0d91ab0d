"""The actor of a tagging run: takes a shard, reads its documents, tags them, writes its files, then its record."""

import ctypes
import json
import os
import resource
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING

import pyarrow as pa
import ray
from ray.actor import ActorHandle

from jobs.common.imports import gc_paused
from jobs.common.session import refusing
from jobs.planning.shards import Shard, record_uri
from jobs.tagging.job import Job
from jobs.tagging.supervisor import DEATHS, FEW, Care, ask
from jobs.tagging.write import write_tables
from metaner_core import storage
from metaner_core.reading.files import read
from metaner_core.reading.source import Input
from metaner_core.report.summary import Summary
from metaner_core.tagging.batches import take
from metaner_core.text import schema
from metaner_core.text.document import Document, Row

if TYPE_CHECKING:
    from metaner_core.bundles.bundle import Bundle

Tagging = Callable[..., Iterable[Row]]  # as metaner_core.tagging.pipeline.iter_documents
ROWS = 64  # made at a time: a row takes a hundred times its text
TELL_SECONDS = 2.0


class TagActor:
    """Holds the bundle; Ray Data gives it shards, a row each.

    tag: turns documents into rows; None: `iter_documents`.
    """

    bundle: "Bundle"

    def __init__(self, job: Job, found: Input, supervisor: ActorHandle, tag: Tagging | None) -> None:
        with gc_paused():
            from jobs.tagging import model

        self.job, self.found, self.supervisor, self.tag = job, found, supervisor, tag or model.iter_documents
        self.worker, self.actor = here()
        self._ahead, self._told, self._shard = 0, 0.0, ""
        ask(supervisor.enter.remote(job.actors))
        with refusing(lambda why: ask(supervisor.refuse.remote(why))):
            self.bundle = model.load(job, self._tell)
            _ = self.bundle.engine  # made now: it may refuse the precision
        ask(supervisor.loaded.remote())

    def __call__(self, rows: pa.Table) -> pa.Table:
        for line in rows["shard"].to_pylist():
            self.do(Shard.from_json(line))
        return rows

    def do(self, shard: Shard) -> None:
        """Tag a shard and write all of it, its record last; nothing if the record is there."""
        started, cpu = time.time(), time.process_time()
        uri = record_uri(self.job.output, shard)
        care = ask(self.supervisor.start.remote(shard.name, self.worker, self.actor))
        if storage.exists(uri):  # the worker before ended just after it wrote this
            counts = progress(Summary.from_dict(json.loads(storage.read_bytes(uri))["summary"]))
            ask(self.supervisor.finish.remote(shard.name, counts))
            return
        before = Counter(self.bundle.engine.work())
        tables, summary = self._tag(shard, care)
        counts = progress(summary)
        ask(self.supervisor.write.remote(shard.name, counts))
        files = write_tables(self.job.output, shard, *tables, partition=self.job.partition_by_language)
        record = {
            "documents": summary.documents,
            "started": started,
            "finished": time.time(),
            "cpu_seconds": round(time.process_time() - cpu, 3),
            "peak_bytes": peak_bytes(),
            "worker": self.worker,
            "engine": {name: n - before[name] for name, n in self.bundle.engine.work().items()},
            "files": files,
            "summary": summary.to_dict(),
        }
        storage.write_whole(uri, json.dumps(record).encode())
        ask(self.supervisor.finish.remote(shard.name, counts))
        give_back_memory()

    def _tag(self, shard: Shard, care: Care) -> tuple[tuple[pa.Table, pa.Table], Summary]:
        """Tables of the shard's tagged and other documents."""
        tagged, other = [schema.TAGGED_SCHEMA.empty_table()], [schema.OTHER_SCHEMA.empty_table()]
        summary = Summary()
        documents = chain.from_iterable(read(self.found, stretch) for stretch in shard.stretches)
        at = 0
        while at < shard.documents:
            last = self._last(at, shard, care)
            ask(self.supervisor.begin.remote(shard.name, at, last, progress(summary)))
            self._ahead, self._shard = 0, shard.name
            batch = list(take(documents, last - at, characters))
            if not batch:
                planned = f"{shard.documents} were found when the job began"
                raise RuntimeError(f"shard {shard.name} has {at} documents, {planned}: the input changed meanwhile")
            rows = iter([self._rejected(batch[0])]) if at in care.rejected else self._rows(batch)
            while some := list(islice(rows, ROWS)):
                for tables, table in zip((tagged, other), schema.tables(some), strict=True):
                    tables.append(table)
                summary += Summary.of(some)
            at += len(batch)
        return (pa.concat_tables(tagged), pa.concat_tables(other)), summary

    def _last(self, at: int, shard: Shard, care: Care) -> int:
        """Where a batch that begins at `at` ends at most: a document that is to be alone is."""
        apart = care.alone | care.rejected
        if at in apart:
            return at + 1
        few = at in care.few
        others = apart if few else apart | care.few
        most = min(FEW, self.job.batch_size) if few else self.job.batch_size
        return min([shard.documents, at + most, *(n for n in others if n > at)])

    def _rows(self, batch: Sequence[Document]) -> Iterator[Row]:
        made = 0
        for row in self.tag(self.bundle, batch, rules=self.job.rules, adapted=self.job.adapted):
            made += 1
            yield row
        if made != len(batch):
            raise RuntimeError(f"{len(batch)} documents went in, {made} rows came out; the first is {batch[0].id}")

    def _tell(self, sentences: int) -> None:
        """Of the engine's progress within a batch, so that a large one is not taken for one that hangs."""
        self._ahead += sentences
        if time.monotonic() - self._told >= TELL_SECONDS:
            self._told = time.monotonic()
            self.supervisor.work.remote(self._shard, self._ahead)

    def _rejected(self, document: Document) -> Row:
        from metaner_core.text.screening import rejected  # late, as the model is

        return rejected(document, f"worker: {DEATHS} worker processes ended while they had this document alone")


def here() -> tuple[str, ActorHandle]:
    """This actor for people, and for Ray."""
    name = f"process {os.getpid()} of node {ray.util.get_node_ip_address()}"
    return name, ray.get_runtime_context().current_actor


def give_back_memory() -> None:
    """To the system what glibc keeps of it (jobs.common.session.MALLOC), or it gets more and more as sizes differ."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc only
    if trim is not None:
        trim(0)


def peak_bytes() -> int:
    """The most memory that this process has held."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # Linux counts in KiB


def characters(document: Document) -> int:
    """Of its text."""
    return len(document.text or "")


def progress(summary: Summary) -> dict[str, int]:
    """The counts that a run tells of while it goes on."""
    total = summary.total
    sharing = {"adapted": summary.adapted, "support_sets": summary.support.count()}
    return {**summary.outcomes, "sentences": total.sentences, **sharing}
