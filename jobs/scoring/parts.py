"""Parts of an evaluation: which sentences an actor is given together, and the records of those that are scored.

<parts>/plan.json          what is scored by what, and how it is cut
<parts>/<test>-<first>.json  the result of one part
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobs.common.differences import require_same
from metaner_core import storage

TOGETHER, FEWEST = 2048, 128  # sentences that an actor is given at once: the more, the more they share
PLAN = "plan.json"


@dataclass(frozen=True)
class Part:
    """Sentences first to last (exclusive) of a test, which is known by its place among the tests."""

    test: int
    first: int
    last: int

    def to_dict(self) -> dict[str, int]:
        return dataclasses.asdict(self)


def cut(sizes: Sequence[int], actors: int) -> list[Part]:
    """Parts of tests with so many sentences, none larger than TOGETHER, and enough for every actor to have one."""
    size = min(TOGETHER, max(FEWEST, -(-sum(sizes) // actors)))
    return [part for test, n in enumerate(sizes) for part in _even(test, n, -(-n // size))]


def _even(test: int, sentences: int, parts: int) -> Iterator[Part]:
    for i in range(parts):
        yield Part(test, sentences * i // parts, sentences * (i + 1) // parts)


def planned(parts: str, facts: Mapping[str, Any], new: Sequence[Part]) -> list[Part]:
    """The parts as an earlier attempt cut them, or these. Raises ValueError when it scored something else."""
    uri = storage.join(parts, PLAN)
    if not storage.exists(uri):
        plan = {"facts": facts, "parts": [part.to_dict() for part in new]}
        storage.write_whole(uri, json.dumps(plan).encode())
    plan = json.loads(storage.read_bytes(uri))
    remedy = f"Take the options of that evaluation to go on with it; or delete {parts}, or give another output"
    require_same(plan["facts"], facts, f"{parts} is of an evaluation", remedy)
    return [Part(**part) for part in plan["parts"]]


def record_uri(parts: str, part: Part) -> str:
    return storage.join(parts, f"{part.test}-{part.first}.json")


def done(parts: str) -> dict[Part, dict[str, Any]]:
    """The records that are there, by part."""
    uris = (uri for uri in storage.list_files(parts) if uri.endswith(".json") and not uri.endswith(PLAN))
    found = (json.loads(storage.read_bytes(uri)) for uri in uris)
    return {Part(r["test"], r["first"], r["last"]): r for r in found}


def forget(parts: str) -> None:
    """Delete the records, the plan last: what is left of them when this is stopped is still of the plan."""
    for uri in sorted(storage.list_files(parts), key=lambda uri: uri.endswith(PLAN)):
        storage.delete(uri)
