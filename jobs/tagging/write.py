"""A shard's rows as Parquet files, whose names depend on the shard alone, and then its record."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jobs.planning.shards import OTHER, TAGGED, Shard, record_uri
from metaner_core import storage
from metaner_core.report.summary import Summary
from metaner_core.text import schema
from metaner_core.text.document import Row
from metaner_core.text.languages import standard

ROWS = 64  # made at a time: a row takes a hundred times its text
GROUP_BYTES = 64 * 2**20  # of a row group in memory: what a reader holds at once
NO_LANGUAGE = "und"  # ISO 639: undetermined. (pandas cannot read Hive's own name of null.)


class Gathered:
    """Rows that come one after another, as tables and as their summary. keep: what is in them of the model's."""

    def __init__(self, keep: schema.Keep) -> None:
        self.summary, self._keep = Summary(), keep
        self._tagged, self._other = ([table] for table in schema.tables([], keep))

    def add(self, rows: Iterable[Row]) -> None:
        rest = iter(rows)
        while some := list(islice(rest, ROWS)):
            tagged, other = schema.tables(some, self._keep)
            self._tagged.append(tagged)
            self._other.append(other)
            self.summary += Summary.of(some)

    def tables(self) -> tuple[pa.Table, pa.Table]:
        """Of the tagged and of the other documents."""
        return pa.concat_tables(self._tagged), pa.concat_tables(self._other)


def progress(summary: Summary) -> dict[str, int]:
    """The counts that a run tells of while it goes on."""
    total = summary.total
    sharing = {"adapted": summary.adapted, "support_sets": summary.support.count()}
    return {**summary.outcomes, "sentences": total.sentences, **sharing}


def write_record(
    output: str, shard: Shard, summary: Summary, files: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]
) -> None:
    """What is written last of a shard: then it is done. facts: what else it should say."""
    record = {"documents": summary.documents, **facts, "files": files, "summary": summary.to_dict()}
    storage.write_whole(record_uri(output, shard), json.dumps(record).encode())


def done_before(output: str, shard: Shard) -> dict[str, int]:
    """`progress` of a shard whose record is there."""
    record = json.loads(storage.read_bytes(record_uri(output, shard)))
    return progress(Summary.from_dict(record["summary"]))


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
    """Folder and rows of each language. The folder's name holds the column, as Hive has it, so the file does not.

    It is the language's standard tag, whatever a document wrote for it: `deu` and `German` are in `language=de`.
    """
    languages = pa.array([_folder(language) for language in table["language"].to_pylist()], pa.string())
    for language in sorted(languages.unique().to_pylist()):
        yield f"language={language}/", table.filter(pc.equal(languages, language)).drop_columns(["language"])


def _folder(language: str | None) -> str:
    """A standard tag has letters, digits and hyphens only, so that it is safe in any path."""
    return standard(language) or NO_LANGUAGE
