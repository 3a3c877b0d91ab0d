"""A shard's tables as Parquet files, whose names depend on the shard alone."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jobs.planning.shards import OTHER, TAGGED, Shard
from metaner_core import storage

GROUP_BYTES = 64 * 2**20  # of a row group in memory: what a reader holds at once
NO_LANGUAGE = "und"  # ISO 639: undetermined. (pandas cannot read Hive's own name of null.)


def write_tables(
    output: str, shard: Shard, tagged: pa.Table, other: pa.Table, *, partition: bool
) -> list[dict[str, Any]]:
    """Write a shard's rows, no file for none. Returns the files: path below the output, rows and bytes.

    partition: the tagged documents by language, a file each.
    """
    parts = [*_by_language(tagged)] if partition else [("", tagged)]
    named = [(f"{TAGGED}/{folder}part-{shard.name}.parquet", table) for folder, table in parts]
    named.append((f"{OTHER}/part-{shard.name}.parquet", other))
    files = []
    for path, table in named:
        if table.num_rows:
            content = parquet_bytes(table)
            storage.write_whole(storage.join(output, path), content)
            files.append({"path": path, "rows": table.num_rows, "bytes": len(content)})
    return files


def parquet_bytes(table: pa.Table) -> bytes:
    """The table as one Parquet file."""
    sink = pa.BufferOutputStream()
    rows = max(1, table.num_rows * GROUP_BYTES // max(1, table.nbytes))
    pq.write_table(table, sink, compression="zstd", row_group_size=rows)
    return sink.getvalue().to_pybytes()


def _by_language(table: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """Folder and rows of each language. The folder's name holds the column, as Hive has it, so the file does not."""
    languages = pc.fill_null(table["language"], NO_LANGUAGE)
    for language in sorted(languages.unique().to_pylist()):
        rows = table.filter(pc.equal(languages, language)).drop_columns(["language"])
        yield f"language={quote(language, safe='')}/", rows
