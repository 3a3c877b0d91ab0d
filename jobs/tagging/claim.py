"""What decides the rows of a tagging run, and whose an output is: a run goes on only where the same was begun."""

import dataclasses
import hashlib
import json
import time
from collections.abc import Mapping
from typing import Any

from jobs.common.differences import differences
from jobs.planning.shards import MANIFEST, RUN
from jobs.tagging.job import Job, with_lines
from metaner_core import storage
from metaner_core.reading.source import Input
from metaner_core.text import schema
from metaner_core.text.rules import FLOW

ROWS_OF = {"0.1.0": 1}  # schema.ROWS of the version that wrote its own name instead
# What runs did that were begun before there was such a fact. A new fact comes with an entry, which then never changes.
EARLIER: dict[str, Any] = {"lines": FLOW, "kept": []}
NAMED = 5  # differences that an error names


def decisive(job: Job, found: Input, model: Mapping[str, Any]) -> dict[str, Any]:
    """All that decides a run's rows and files. model: the bundle's manifest."""
    rules = dataclasses.asdict(with_lines(job, found).rules)
    files = zip(map(found.name, found.files), zip(found.sizes, found.modified, strict=True), strict=True)
    ids = {"ids": "by place"} if found.ids_by_place else {}  # absent, as it was before there was a choice
    adapting = {"adapting": dict(job.adapting)} if job.adapting else {}  # likewise
    facts = {
        "versions": {"rows": schema.ROWS, "schema": job.keep.version},
        "bundle": model["fingerprint"],
        "adapted": job.adapted,
        **adapting,
        "precision": job.precision,
        "kept": job.keep.names,
        "lines": rules.pop("lines"),
        "rules": rules,
        "limit": job.limit,
        "shard_mb": job.shard_mb,
        "partition_by_language": job.partition_by_language,
        "input": {"format": found.format, "columns": found.columns, **ids},
        "files": dict(files),  # bytes and time of change of each
    }
    return json.loads(json.dumps(facts))  # type: ignore[no-any-return]  # tuples as lists, as they are read again


def name(facts: Mapping[str, Any]) -> str:
    """Twelve hex digits that change when one of the facts does."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]


def claim(output: str, facts: Mapping[str, Any]) -> float:
    """Take an unused output for a run, or find that it is this run's. Returns when the run began, as Unix time.

    Raises ValueError naming what differs if the output is another run's, FileExistsError if it holds anything else.
    """
    uri = storage.join(output, RUN)
    if not storage.exists(uri):
        storage.require_unused(output, "tagged output")
        storage.write_whole(uri, json.dumps({"facts": facts, "started": time.time()}, indent=1).encode())
    run = json.loads(storage.read_bytes(uri))
    different = list(differences(as_now(run["facts"]), facts))
    if different:
        more = f"\n  and {len(different) - NAMED:,} more" if len(different) > NAMED else ""
        older = any(line.startswith("versions") for line in different)
        began = run["facts"]["versions"].get("metaner")
        version = f"metaner {began}, which began it" if began else "the metaner that began it"
        remedy = f"{version} (rows of two do not mix)," if older else "the input, bundle and options of that run"
        raise ValueError(
            f"{output} was begun by a run that differs in\n  " + "\n  ".join(different[:NAMED]) + more + "\n"
            f"Take {remedy} to go on with it, or give another --output"
        )
    return float(run["started"])


def as_now(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of a run that an earlier version began, as this one would have written them."""
    versions = dict(facts["versions"])
    if (version := versions.pop("metaner", None)) is not None:
        versions["rows"] = ROWS_OF.get(version, f"those of metaner {version}")
    return {**EARLIER, **facts, "versions": versions}


def finished(output: str) -> dict[str, Any] | None:
    """The manifest, if the run at this output came to its end."""
    uri = storage.join(output, MANIFEST)
    return json.loads(storage.read_bytes(uri)) if storage.exists(uri) else None
