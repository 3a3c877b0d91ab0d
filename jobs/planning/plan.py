"""Before any tagging: look through the input once, cut it into shards, and find ids that are given twice.

Small Ray tasks read the files, some at a time; the driver sees descriptions of shards only. What a task found out is
written at once, so that a plan that is stopped goes on. Nothing here may import torch: each process would wait for it.
"""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import ray

from jobs.common.session import got
from jobs.planning import ids
from jobs.planning.shards import PLAN, SHARDS, Shard, pack, read_json
from metaner_core import storage
from metaner_core.reading.files import Cutter, Stretch, documents
from metaner_core.reading.source import Input

PART_BYTES, PART_FILES = 256 * 2**20, 1_000  # of input that one task looks through, at most one of both if not one file
SAID_SECONDS = 10
LOOKING = "look through the input"  # what its tasks are called in Ray's dashboard


@dataclass(frozen=True)
class Part:
    """Files first to last (exclusive) of the input, which one task looks through."""

    number: int
    first: int
    last: int

    def uri(self, output: str, ending: str) -> str:
        return storage.join(output, PLAN, f"part-{self.number:06d}.{ending}")


def plan(found: Input, output: str, *, shard_bytes: int, limit: int | None = None) -> list[Shard]:
    """The shards of an input, in its order; those of an earlier call if that came to its end.

    limit: only the first so many documents. Raises ValueError when there is none, or ids are given twice.
    """
    uri = storage.join(output, SHARDS)
    if not storage.exists(uri):
        parts = _look(found, output, shard_bytes, limit)
        stretches = (s for part in read_json(p.uri(output, "json") for p in parts) for s in map(Stretch.from_row, part))
        shards = list(pack(stretches, shard_bytes))
        if not shards:
            raise ValueError(f"{found.root}: the input's {len(found.files)} files hold no document: give one that does")
        if found.gives_ids:
            ids.check(found, [(p.uri(output, "ids"), p.uri(output, "json")) for p in parts])
        storage.write_whole(uri, "".join(shard.to_json() + "\n" for shard in shards).encode())
    return [Shard.from_json(line) for line in storage.read_bytes(uri).decode().splitlines()]


def split(sizes: Sequence[int]) -> Iterator[Part]:
    """Files that follow one another, some at a time."""
    first, total = 0, 0
    number = 0
    for at, size in enumerate(sizes):
        if at > first and (total + size > PART_BYTES or at - first == PART_FILES):
            yield Part(number, first, at)
            number, first, total = number + 1, at, 0
        total += size
    yield Part(number, first, len(sizes))


def _look(found: Input, output: str, shard_bytes: int, limit: int | None) -> list[Part]:
    """Have every part of the input looked through. Returns those that hold the documents wanted."""
    if limit is None:
        wanted = list(split(found.sizes))
        _all([_look_through.options(name=LOOKING).remote(found, output, part, shard_bytes, None) for part in wanted])
        return wanted
    wanted = []
    for at in range(len(found.files)):
        wanted.append(Part(at, at, at + 1))
        limit -= _all([_look_through.options(name=LOOKING).remote(found, output, wanted[-1], shard_bytes, limit)])
        if not limit:
            break
    return wanted


def _all(tasks: list[ray.ObjectRef]) -> int:
    """Wait for the tasks and say how far they are. The sum of what they return; the error of the first that fails.

    Then none of them goes on: it would write to an output that is given up.
    """
    left, total, said = tasks, 0, time.monotonic()
    while left:
        ready, left = ray.wait(left, num_returns=len(left), timeout=1)
        try:
            total += sum(got(ready))
        except Exception:
            for task in left:
                ray.cancel(task, force=True)
            ray.wait(left, num_returns=len(left)) if left else None
            raise
        if left and time.monotonic() - said > SAID_SECONDS:
            said = time.monotonic()
            print(f"looked through {len(tasks) - len(left):,}/{len(tasks):,} parts of the input", flush=True)
    return total


@ray.remote(num_cpus=1, max_retries=3)
def _look_through(found: Input, output: str, part: Part, shard_bytes: int, limit: int | None) -> int:
    return look_through(found, output, part, shard_bytes, limit)


def look_through(found: Input, output: str, part: Part, shard_bytes: int, limit: int | None = None) -> int:
    """Cut a part's files into stretches and write them down, with the digests of ids. The number of documents."""
    if storage.exists(part.uri(output, "json")):
        rows = json.loads(storage.read_bytes(part.uri(output, "json")))
        return sum(Stretch.from_row(row).documents for row in rows)
    stretches: list[Stretch] = []
    digests = ids.Digests()
    total = 0
    for file in range(part.first, part.last):
        cutter = Cutter(file, shard_bytes)
        try:
            for place, document in islice(documents(found, file), None if limit is None else limit - total):
                cutter.add(place, document)
                digests.add(document.id)
                total += 1
        except (PermissionError, FileNotFoundError) as error:
            raise ValueError(f"{found.files[file]} cannot be read: {error}; make it readable or leave it out") from None
        stretches += cutter.close()
    if found.gives_ids:
        storage.write_whole(part.uri(output, "ids"), digests.to_bytes())
    rows = [stretch.to_row() for stretch in stretches]
    storage.write_whole(part.uri(output, "json"), json.dumps(rows).encode())
    return total
