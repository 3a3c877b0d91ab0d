"""The tables: every row whole in readers that know nothing of the schema."""

from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from metaner_core.text import schema
from tests.support import rows

ROWS = rows.crawl(40)
TEXT = "\x00 \u202e\u200f 𝔘 \ufeff\r\n\t\u2028"
ODD = rows.tagged("odd", [TEXT, (TEXT, "PER", 0.5)], language=None, language_score=None, extra='{"a": "\\u0000"}')


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    tagged, other = schema.tables([*ROWS, ODD])
    for name, table in (("tagged", tagged), ("other", other)):
        pq.write_table(table, tmp_path / f"{name}.parquet", compression="zstd")
    return {name: str(tmp_path / f"{name}.parquet") for name in ("tagged", "other")}


def rounded(value: Any) -> Any:
    """Floats as the single precision that files hold."""
    if isinstance(value, dict):
        return {key: rounded(part) for key, part in value.items()}
    if isinstance(value, list):
        return [rounded(part) for part in value]
    return round(value, 5) if isinstance(value, float) else value


def expected(outcome: str) -> list[dict[str, Any]]:
    names = (schema.TAGGED_SCHEMA if outcome == "tagged" else schema.OTHER_SCHEMA).names
    chosen = [row for row in [*ROWS, ODD] if (row["outcome"] == "tagged") == (outcome == "tagged")]
    return rounded([{name: row[name] for name in names} for row in chosen])


@pytest.mark.parametrize("table", ["tagged", "other"])
def test_polars_reads_every_value(files: dict[str, str], table: str) -> None:
    assert rounded(pl.read_parquet(files[table]).to_dicts()) == expected(table)


@pytest.mark.parametrize("table", ["tagged", "other"])
def test_duckdb_reads_every_value(files: dict[str, str], table: str) -> None:
    found = duckdb.sql(f"SELECT * FROM '{files[table]}'")
    assert rounded([dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]) == expected(table)


@pytest.mark.parametrize("table", ["tagged", "other"])
def test_pandas_reads_every_value(files: dict[str, str], table: str) -> None:
    found = pd.read_parquet(files[table])
    assert rounded(pa.Table.from_pandas(found, preserve_index=False).to_pylist()) == expected(table)


def test_the_version_is_in_the_file(files: dict[str, str]) -> None:
    for path in files.values():
        assert pq.read_schema(path).metadata[b"metaner_schema"] == str(schema.VERSION).encode()


def test_rows_keep_their_order_and_go_to_their_table() -> None:
    tagged, other = schema.tables(ROWS)
    assert tagged["id"].to_pylist() == [row["id"] for row in ROWS if row["outcome"] == "tagged"]
    assert other["id"].to_pylist() == [row["id"] for row in ROWS if row["outcome"] != "tagged"]
    assert set(other["outcome"].to_pylist()) == set(schema.OUTCOMES[1:])


def test_no_rows_give_empty_tables() -> None:
    tagged, other = schema.tables([])
    assert (tagged.schema, other.schema) == (schema.TAGGED_SCHEMA, schema.OTHER_SCHEMA)
    assert len(tagged) == len(other) == 0
