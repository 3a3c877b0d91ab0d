"""What a tagging run leaves at its output, and what each shard of it is.

    run.json            all that decides the rows; written first
    plan/               shards.jsonl, one a line, once the input has been looked through
    tagged/, other/     [language=de/]part-<shard>.parquet
    done/<shard>.json   after the shard's Parquet files: the shard is done, and what it did
    report.html, README.md
    manifest.json       last: the run is whole

A shard's files have its number for a name: done over, they replace what a stopped attempt left, and never add to it.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metaner_core import storage
from metaner_core.reading.files import Stretch

RUN, PLAN, TAGGED, OTHER, DONE, MANIFEST = "run.json", "plan", "tagged", "other", "done", storage.MANIFEST
SHARDS = f"{PLAN}/shards.jsonl"
READERS = 16  # small files read at once: object storage takes tens of milliseconds for each


@dataclass(frozen=True)
class Shard:
    """A stretch of documents, of one file or of several small ones: what an actor does in one go."""

    number: int
    stretches: tuple[Stretch, ...]

    @property
    def documents(self) -> int:
        return sum(stretch.documents for stretch in self.stretches)

    @property
    def size(self) -> int:
        """Bytes of text, as `Cutter` counts them."""
        return sum(stretch.size for stretch in self.stretches)

    @property
    def name(self) -> str:
        return f"{self.number:07d}"

    def to_json(self) -> str:
        return json.dumps([self.number, [stretch.to_row() for stretch in self.stretches]])

    @staticmethod
    def from_json(line: str) -> "Shard":
        number, stretches = json.loads(line)
        return Shard(number, tuple(map(Stretch.from_row, stretches)))


def pack(stretches: Iterable[Stretch], size: int) -> Iterator[Shard]:
    """Shards of about `size` bytes of text: small stretches that follow one another share one."""
    held: list[Stretch] = []
    number = total = 0
    for stretch in stretches:
        if held and total + stretch.size > size:
            yield Shard(number, tuple(held))
            number, held, total = number + 1, [], 0
        held.append(stretch)
        total += stretch.size
    if held:
        yield Shard(number, tuple(held))


def record_uri(output: str, shard: Shard) -> str:
    return storage.join(output, DONE, f"{shard.name}.json")


def done(output: str) -> set[str]:
    """Names of the shards that are done."""
    files = storage.list_files(storage.join(output, DONE))
    return {file.rpartition("/")[2].removesuffix(".json") for file in files if file.endswith(".json")}


def records(output: str, shards: Sequence[Shard]) -> Iterator[dict[str, Any]]:
    """The record of each shard, in order, read some at a time. Raises FileNotFoundError for one that is not done."""
    yield from read_json(record_uri(output, shard) for shard in shards)


def read_json(uris: Iterable[str]) -> Iterator[Any]:
    """The contents of small JSON files, in order."""
    with ThreadPoolExecutor(READERS) as pool:
        waiting = []
        for uri in uris:
            waiting.append(pool.submit(storage.read_bytes, uri))
            if len(waiting) == 2 * READERS:
                yield json.loads(waiting.pop(0).result())
        for future in waiting:
            yield json.loads(future.result())


def release(output: str) -> None:
    """Leave an output as unused as it was, without run.json and plan/, if nothing but these was written there."""
    plan = storage.join(output, PLAN, "")
    files = storage.list_files(output)
    if any(file != storage.join(output, RUN) and not file.startswith(plan) for file in files):
        return
    for file in sorted(files, reverse=True):  # run.json last: stopped on the way, the run still has its output
        storage.delete(file)
    if not storage.is_remote(output):
        for folder in (Path(storage.absolute(output), PLAN), Path(storage.absolute(output))):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
