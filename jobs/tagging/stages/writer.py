"""The last stage of a shard, a task: rows made of what was found, files written, and then the shard's record.

Ray ends a process that has waited for a second, and begins another for the next shard: so nothing here may load torch,
which takes many times as long as all the rest.
"""

from typing import Any

import pyarrow as pa
from ray.actor import ActorHandle

from jobs.planning.shards import Shard, record_uri
from jobs.tagging.deaths import Care
from jobs.tagging.job import Job
from jobs.tagging.process import Clock, give_back_memory, here_in_task
from jobs.tagging.stages import packed
from jobs.tagging.supervisor import WRITE, ask
from jobs.tagging.taking import ENDED_WORKERS, taken
from jobs.tagging.write import Gathered, done_before, progress, write_record, write_tables
from metaner_core import storage
from metaner_core.tagging.stages import passing
from metaner_core.tagging.stages.rows import row
from metaner_core.text.outcomes import Ready


def write_shards(rows: pa.Table, job: Job, supervisor: ActorHandle) -> pa.Table:
    """Write shards that an actor has tagged; returns their names alone."""
    for shard, facts, contents in packed.unpacked(rows):
        _write(shard, facts, contents, job, supervisor)
    return rows.select(["shard"])


def _write(
    shard: Shard, facts: dict[str, Any], contents: dict[str, pa.Buffer | None], job: Job, supervisor: ActorHandle
) -> None:
    clock = Clock()
    care = ask(supervisor.start.remote(shard.name, *here_in_task(), WRITE))
    if storage.exists(record_uri(job.output, shard)):  # the worker before ended just after it wrote this
        ask(supervisor.finish.remote(shard.name, done_before(job.output, shard)))
        return
    gathered = _rows(shard, care, facts["counts"], contents, job, supervisor)
    counts = progress(gathered.summary)
    ask(supervisor.write.remote(shard.name, counts))
    files = write_tables(job.output, shard, *gathered.tables(), partition=job.partition_by_language)
    stages = {"reader": facts["reader"], "writer": clock.facts()}
    write_record(job.output, shard, gathered.summary, files, {**facts["actor"], **stages})
    ask(supervisor.finish.remote(shard.name, counts))
    give_back_memory()


def _rows(
    shard: Shard,
    care: Care,
    counts: dict[str, int],
    contents: dict[str, pa.Buffer | None],
    job: Job,
    supervisor: ActorHandle,
) -> Gathered:
    texts, found = packed.table(contents["texts"]), packed.table(contents["found"])
    gathered = Gathered(job.keep)

    def begin(first: int, last: int) -> None:
        ask(supervisor.begin.remote(shard.name, first, last, counts))

    sizes = [len(text or "") for text in texts["text"].to_pylist()]
    for at, batch in taken(iter(range(texts.num_rows)), shard, care, job.batch_size, sizes.__getitem__, begin):
        documents = passing.documents(texts.slice(at, len(batch)))
        words = [[len(s) for s in d.sentences] if isinstance(d, Ready) else [] for d in documents]
        its = [ENDED_WORKERS] if at in care.rejected else passing.found(found.slice(at, len(batch)), words)
        gathered.add(map(row, documents, its))
    return gathered
