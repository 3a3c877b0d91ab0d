"""A shard's tables as Parquet files whose names depend on the shard alone."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jobs.shards import OTHER, TAGGED, Shard
from metaner_core import storage

GROUP_BYTES = 64 * 2**20  # of a row group in memory: what a reader holds at once
NO_LANGUAGE = "__HIVE_DEFAULT_PARTITION__"  # how Hive, Spark, DuckDB and Arrow write null


def write_tables(
    output: str, shard: Shard, tagged: pa.Table, other: pa.Table, *, partition: bool
) -> list[dict[str, Any]]:
    """Write a shard's rows; no file for a table without rows. Returns path (below the output), rows, bytes of each."""
    parts = [*_by_language(tagged)] if partition else [("", tagged)]
    named = [(f"{TAGGED}/{folder}part-{shard.name}.parquet", table) for folder, table in parts]
    named.append((f"{OTHER}/part-{shard.name}.parquet", other))
    files = []
    for path, table in named:
        if table.num_rows:
            content = parquet(table)
            storage.write_whole(storage.join(output, path), content)
            files.append({"path": path, "rows": table.num_rows, "bytes": len(content)})
    return files


def parquet(table: pa.Table) -> bytes:
    """The table as one Parquet file."""
    sink = pa.BufferOutputStream()
    rows = max(1, table.num_rows * GROUP_BYTES // max(1, table.nbytes))
    pq.write_table(table, sink, compression="zstd", row_group_size=rows)
    return sink.getvalue().to_pybytes()


def _by_language(table: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """Folder and rows of each language. The folder's name holds the column, as Hive has it, so the file does not."""
    for language in sorted(table["language"].unique().to_pylist(), key=str):
        chosen = pc.is_null(table["language"]) if language is None else pc.equal(table["language"], language)
        name = NO_LANGUAGE if language is None else quote(language, safe="")
        yield f"language={name}/", table.filter(chosen).drop_columns(["language"])
