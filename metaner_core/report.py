"""The report of a tagging run: one self-contained HTML page."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import escape

from metaner_core import storage
from metaner_core.summary import Summary


@dataclass(frozen=True)
class Shard:
    """When a shard was done and what it took. started, finished: Unix time in seconds."""

    name: str
    started: float
    finished: float
    documents: int
    sentences: int


def write_report(uri: str, manifest: Mapping[str, Any], summary: Summary, shards: Iterable[Shard]) -> None:
    """Write the report to a local path or s3:// key; an earlier one, made of the same records, is replaced."""
    storage.write_bytes(uri, render(manifest, summary, shards).encode())


def render(manifest: Mapping[str, Any], summary: Summary, shards: Iterable[Shard]) -> str:
    return f"<!DOCTYPE html><title>report</title><p>{escape(str(summary.to_dict()))}</p>"
