"""A shard's Parquet files."""

from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest

from jobs.planning.shards import Shard
from jobs.tagging import write
from jobs.tagging.write import write_tables
from metaner_core.text import schema
from tests.support.rows import crawl

SHARD = Shard(7, ())


@pytest.fixture
def tables() -> tuple[pa.Table, pa.Table]:
    return schema.tables(crawl(60))


def test_a_shard_has_a_file_of_each_table(tmp_path: Path, tables: tuple[pa.Table, pa.Table]) -> None:
    files = write_tables(str(tmp_path), SHARD, *tables, partition=False)
    assert [file["path"] for file in files] == ["tagged/part-0000007.parquet", "other/part-0000007.parquet"]
    for file, table in zip(files, tables, strict=True):
        found = pq.read_table(tmp_path / file["path"])
        assert found.equals(table)
        assert found.schema.metadata == {b"metaner_schema": str(schema.VERSION).encode()}
        assert (file["rows"], file["bytes"]) == (table.num_rows, (tmp_path / file["path"]).stat().st_size)
        assert pq.ParquetFile(tmp_path / file["path"]).metadata.row_group(0).column(0).compression == "ZSTD"


def test_a_table_without_rows_has_no_file(tmp_path: Path, tables: tuple[pa.Table, pa.Table]) -> None:
    (file,) = write_tables(str(tmp_path), SHARD, tables[0], tables[1].slice(0, 0), partition=False)
    assert [path.name for path in tmp_path.iterdir()] == ["tagged"]
    assert file["rows"] == tables[0].num_rows


def test_row_groups_are_no_larger_than_wanted(
    tmp_path: Path, tables: tuple[pa.Table, pa.Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "GROUP_BYTES", tables[0].nbytes // 4)
    write_tables(str(tmp_path), SHARD, *tables, partition=False)
    found = pq.ParquetFile(tmp_path / "tagged/part-0000007.parquet").metadata
    assert found.num_row_groups in (4, 5)
    assert sum(found.row_group(n).num_rows for n in range(found.num_row_groups)) == tables[0].num_rows


def test_partitions_by_language_read_back_in_three_readers(tmp_path: Path) -> None:
    languages = ["de", None, "und", "../../x", "deu", "pt_BR", "<b>" * 99, "German"]
    folders = ["de", "und", "und", "und", "de", "pt-BR", "und", "de"]
    rows = [row for row in crawl(200) if row["outcome"] == schema.TAGGED][: len(languages)]
    rows = [{**row, "language": language} for row, language in zip(rows, languages, strict=True)]
    write_tables(str(tmp_path), SHARD, *schema.tables(rows), partition=True)
    expected = {row["id"]: folder for row, folder in zip(rows, folders, strict=True)}
    files = f"{tmp_path}/tagged/*/*.parquet"
    assert (
        dict(duckdb.sql(f"select id, language from read_parquet('{files}', hive_partitioning = true)").fetchall())
        == expected
    )
    frame = pl.read_parquet(files, hive_partitioning=True)
    assert dict(zip(frame["id"], frame["language"], strict=True)) == expected
    table = pads.dataset(tmp_path / "tagged", partitioning="hive").to_table()
    assert dict(zip(table["id"].to_pylist(), table["language"].to_pylist(), strict=True)) == expected


def test_polars_reads_it_from_s3_by_the_environment_of_the_jobs(s3: str, tables: tuple[pa.Table, pa.Table]) -> None:
    """Whose endpoint is not Amazon's."""
    write_tables(f"{s3}/out", SHARD, *tables, partition=False)
    frame = pl.scan_parquet(f"{s3}/out/tagged/*.parquet").select("id", "text").collect()
    assert frame["id"].to_list() == tables[0]["id"].to_pylist()
