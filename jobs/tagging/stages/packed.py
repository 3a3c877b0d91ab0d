"""A shard on its way from one stage to the next: one row, so that Ray Data neither cuts it nor puts two together."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from jobs.planning.shards import Shard

COLUMNS = ("texts", "inputs", "found")  # tables as metaner_core.tagging.stages.passing has them, as Arrow's IPC stream
SCHEMA = pa.schema([("shard", pa.string()), ("facts", pa.string()), *((name, pa.large_binary()) for name in COLUMNS)])


class Packed:
    """Takes tables batch by batch, and holds them as compact as they will be sent."""

    def __init__(self, shard: Shard) -> None:
        self.shard = shard
        self._sinks: dict[str, pa.BufferOutputStream] = {}
        self._streams: dict[str, pa.RecordBatchStreamWriter] = {}

    def add(self, name: str, table: pa.Table) -> None:
        if name not in self._streams:
            self._sinks[name] = pa.BufferOutputStream()
            self._streams[name] = pa.ipc.new_stream(self._sinks[name], table.schema)
        self._streams[name].write_table(table)

    def row(self, facts: Mapping[str, Any], **more: pa.Buffer | None) -> pa.Table:
        """The shard with what was added, and more that goes along as it came. facts: plain values."""
        for stream in self._streams.values():
            stream.close()
        contents = {name: sink.getvalue() for name, sink in self._sinks.items()} | more
        binary = [_binary(contents.get(name)) for name in COLUMNS]
        plain = [pa.array([text], pa.string()) for text in (self.shard.to_json(), json.dumps(facts))]
        return pa.table([*plain, *binary], schema=SCHEMA)


def _binary(content: pa.Buffer | None) -> pa.Array:
    """An array of one, without a copy."""
    if content is None:
        return pa.nulls(1, pa.large_binary())
    ends = pa.py_buffer(pa.array([0, content.size], pa.int64()).buffers()[1])
    return pa.Array.from_buffers(pa.large_binary(), 1, [None, ends, content])


def unpacked(rows: pa.Table) -> Iterator[tuple[Shard, dict[str, Any], dict[str, pa.Buffer | None]]]:
    """Shards, facts, and each column's content, if there is one."""
    for n in range(rows.num_rows):
        contents = {name: rows[name][n].as_buffer() for name in COLUMNS}
        yield Shard.from_json(rows["shard"][n].as_py()), json.loads(rows["facts"][n].as_py()), contents


def table(content: pa.Buffer) -> pa.Table:
    """What `Packed.add` was given, in pieces, without a copy."""
    return pa.ipc.open_stream(content).read_all()
