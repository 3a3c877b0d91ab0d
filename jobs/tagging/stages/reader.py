"""The first stage of a shard, a task on a CPU: its documents read, screened, and cut into sentences and subwords."""

from collections.abc import Callable
from itertools import chain
from typing import Any

import pyarrow as pa
from ray.actor import ActorHandle

from jobs.common.imports import gc_paused
from jobs.planning.shards import Shard, record_uri
from jobs.tagging.deaths import Care
from jobs.tagging.job import Job
from jobs.tagging.process import Clock, give_back_memory, here_in_task
from jobs.tagging.stages.packed import Packed
from jobs.tagging.supervisor import READ, ask
from jobs.tagging.taking import ENDED_WORKERS, characters, taken
from metaner_core import storage
from metaner_core.reading.files import read
from metaner_core.reading.source import Input
from metaner_core.tagging.stages import passing
from metaner_core.tagging.stages.parts import Made
from metaner_core.text.outcomes import rejected

Making = Callable[..., Any]  # as metaner_core.tagging.stages.making.make


def read_shards(rows: pa.Table, job: Job, found: Input, supervisor: ActorHandle, make: Making | None) -> pa.Table:
    """Shards made ready for actors. make: what documents are made ready by; None: `make`."""
    return pa.concat_tables(
        _read(Shard.from_json(line), job, found, supervisor, make) for line in rows["shard"].to_pylist()
    )


def _read(shard: Shard, job: Job, found: Input, supervisor: ActorHandle, make: Making | None) -> pa.Table:
    ask(supervisor.room.remote(shard.name, job.ahead))
    clock = Clock()
    care = ask(supervisor.start.remote(shard.name, *here_in_task(), READ))
    packed = Packed(shard)
    if not storage.exists(record_uri(job.output, shard)):  # it is there if only what was passed on got lost
        _make(packed, care, job, found, supervisor, make)
    row = packed.row({"reader": clock.facts()})
    ask(supervisor.pass_on.remote(shard.name, {}))
    give_back_memory()
    return row


def _make(packed: Packed, care: Care, job: Job, found: Input, supervisor: ActorHandle, make: Making | None) -> None:
    with gc_paused():
        from jobs.tagging.stages import late

    inputs, make, shard = late.inputs(job), make or late.make, packed.shard

    def begin(first: int, last: int) -> None:
        ask(supervisor.begin.remote(shard.name, first, last, {}))

    documents = chain.from_iterable(read(found, stretch) for stretch in shard.stretches)
    for at, batch in taken(documents, shard, care, job.batch_size, characters, begin):
        if at in care.rejected:
            made = Made([rejected(batch[0], ENDED_WORKERS)], [()])
        else:
            made = make(inputs, batch, job.rules)
        packed.add("texts", passing.texts(made))
        packed.add("inputs", passing.inputs(made))
