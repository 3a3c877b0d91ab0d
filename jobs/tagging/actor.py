"""The actor of a tagging run without readers: takes a shard, reads it, tags it, writes its files, then its record."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain

import pyarrow as pa
from ray.actor import ActorHandle

from jobs.common.imports import gc_paused
from jobs.planning.shards import Shard, record_uri
from jobs.tagging.deaths import Care
from jobs.tagging.job import Job
from jobs.tagging.process import Clock, Teller, give_back_memory, here
from jobs.tagging.supervisor import ask
from jobs.tagging.taking import ENDED_WORKERS, characters, taken
from jobs.tagging.write import Gathered, done_before, progress, write_record, write_tables
from metaner_core import storage
from metaner_core.reading.files import read
from metaner_core.reading.source import Input
from metaner_core.text.document import Document, Row
from metaner_core.text.outcomes import rejected

Tagging = Callable[..., Iterable[Row]]  # as metaner_core.tagging.pipeline.iter_documents


class TagActor:
    """Holds the bundle; Ray Data gives it shards, a row each.

    tag: turns documents into rows; None: `iter_documents`.
    """

    def __init__(self, job: Job, found: Input, supervisor: ActorHandle, tag: Tagging | None) -> None:
        with gc_paused():
            from jobs.tagging import model

        self.tell = Teller(supervisor)
        self.job, self.found, self.supervisor, self.tag = job, found, supervisor, tag or model.iter_documents
        self.worker, self.actor = here()
        self.bundle = model.load_watched(job, supervisor, self.tell)

    def __call__(self, rows: pa.Table) -> pa.Table:
        for line in rows["shard"].to_pylist():
            self.do(Shard.from_json(line))
        return rows

    def do(self, shard: Shard) -> None:
        """Tag a shard and write all of it, its record last; nothing if the record is there."""
        clock = Clock()
        care = ask(self.supervisor.start.remote(shard.name, self.worker, self.actor))
        if storage.exists(record_uri(self.job.output, shard)):  # the worker before ended just after it wrote this
            ask(self.supervisor.finish.remote(shard.name, done_before(self.job.output, shard)))
            return
        before = Counter(self.bundle.engine.work())
        gathered = self._tag(shard, care)
        counts = progress(gathered.summary)
        ask(self.supervisor.write.remote(shard.name, counts))
        files = write_tables(self.job.output, shard, *gathered.tables(), partition=self.job.partition_by_language)
        engine = {name: n - before[name] for name, n in self.bundle.engine.work().items()}
        facts = {**clock.facts(), "worker": self.worker, "engine": engine}
        write_record(self.job.output, shard, gathered.summary, files, facts)
        ask(self.supervisor.finish.remote(shard.name, counts))
        give_back_memory()

    def _tag(self, shard: Shard, care: Care) -> Gathered:
        """Rows of the shard's documents."""
        gathered = Gathered(self.job.keep)

        def begin(first: int, last: int) -> None:
            ask(self.supervisor.begin.remote(shard.name, first, last, progress(gathered.summary)))
            self.tell.begin(shard.name)

        documents = chain.from_iterable(read(self.found, stretch) for stretch in shard.stretches)
        for at, batch in taken(documents, shard, care, self.job.batch_size, characters, begin):
            gathered.add([self._rejected(batch[0])] if at in care.rejected else self._rows(batch))
        return gathered

    def _rows(self, batch: Sequence[Document]) -> Iterator[Row]:
        made = 0
        for row in self.tag(self.bundle, batch, rules=self.job.rules, adapted=self.job.adapted, keep=self.job.keep):
            made += 1
            yield row
        if made != len(batch):
            raise RuntimeError(f"{len(batch)} documents went in, {made} rows came out; the first is {batch[0].id}")

    def _rejected(self, document: Document) -> Row:
        return rejected(document, ENDED_WORKERS)
