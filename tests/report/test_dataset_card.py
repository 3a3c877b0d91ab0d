"""The dataset card: what it says is the run's, and what it tells readers to do works."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest
import yaml

from metaner_core.report.dataset_card import card
from metaner_core.report.summary import Summary
from metaner_core.text import schema
from tests.support import rows

ROWS = rows.crawl(60)
SUMMARY = Summary.of(ROWS)
MANIFEST = {
    "output": "s3://bucket/a crawl",
    "input": {"uri": "in|put\n# x", "format": "wet"},
    "bundle": {"fingerprint": "0123456789ab"},
    "rules": {"languages": ["es", "no"], "language": None},
    "versions": {"metaner": "0.1.0", "ray": "2.60.0"},
    "finished": 1_795_375_000,
}
ENTITIES = [
    (row["id"], row["language"], entity["type"], entity["text"], entity["start"], entity["end"])
    for row in ROWS
    if row["outcome"] == "tagged"
    for entity in row["entities"]
]


@pytest.fixture(scope="module", params=["plain", "by language"])
def output(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run's two tables, in several files, with and without folders for the languages."""
    folder = tmp_path_factory.mktemp("run's output")
    tagged, other = schema.tables(ROWS)
    parts = pads.partitioning(pa.schema([("language", pa.string())]), flavor="hive")
    by_language = parts if request.param == "by language" else None
    if by_language:  # null has no folder that every reader knows
        tagged = tagged.set_column(2, "language", pc.fill_null(tagged["language"], "und"))
    pads.write_dataset(tagged, folder / "tagged", format="parquet", partitioning=by_language, max_rows_per_file=9,
                       max_rows_per_group=9)  # fmt: skip
    (folder / "other").mkdir()
    pq.write_table(other, folder / "other" / "part-0.parquet", compression="zstd")
    return str(folder)


def known(entities: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """In order, with one name for the unknown language, which pandas has as NaN."""
    return sorted((id_, code if isinstance(code, str) else "und", *rest) for id_, code, *rest in entities)


def front_matter(text: str) -> Any:
    return yaml.safe_load(text.split("---\n")[1])


def table(text: str, head: str) -> list[list[str]]:
    """Cells of the rows of the table whose head begins so."""
    found = text[text.index(f"| {head} |") :].split("\n\n")[0]
    lines = [re.split(r"(?<!\\)\|", line)[1:-1] for line in found.splitlines()]
    return [[cell.strip() for cell in line] for line in lines[2:]]


def code(text: str, kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL)


def test_front_matter_tells_hubs_what_it_is() -> None:
    found = front_matter(card(MANIFEST, SUMMARY))
    assert sorted(found["language"]) == ["de", "es", "he", "zh"]
    assert found["pretty_name"] == "Named entities in a crawl"
    assert found["task_categories"] == ["token-classification"]
    assert found["size_categories"] == ["n<1K"]
    assert [config["config_name"] for config in found["configs"]] == ["tagged", "other"]


def test_norwegian_is_not_a_boolean() -> None:
    summary = Summary.of([rows.tagged("x", ["Ana."], language="no")])
    assert front_matter(card({}, summary))["language"] == ["no"]


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (0, "n<1K"),
        (999, "n<1K"),
        (1_000, "1K<n<10K"),
        (123_456, "100K<n<1M"),
        (10**12 - 1, "100B<n<1T"),
        (10**12, "n>1T"),
    ],
)
def test_size_categories_are_those_of_the_hub(n: int, expected: str) -> None:
    from metaner_core.report.dataset_card import _size

    assert _size(n) == expected


def test_counts_are_the_summary_s() -> None:
    text = card(MANIFEST, SUMMARY)
    assert {name: int(n) for name, n in table(text, "Outcome")} == {**SUMMARY.outcomes, "all": len(ROWS)}
    german = next(row for row in table(text, "Language") if row[0] == "German (`de`)")
    counts = SUMMARY.languages["de"]
    types = [counts.entities[type_] for type_ in ("PER", "LOC", "ORG", "MISC")]
    assert [int(n) for n in german[1:]] == [counts.outcomes["tagged"], counts.sentences, counts.words, *types]


def test_facts_are_on_one_line_each_whatever_they_hold() -> None:
    facts = dict(table(card(MANIFEST, SUMMARY), "What"))
    assert facts["Input"] == "in\\|put # x"
    assert facts["Bundle"] == "0123456789ab"
    assert facts["Rules"] == "languages es, no"


def test_every_column_is_explained_and_no_other() -> None:
    text = card({**MANIFEST, "kept": ["probabilities", "unadapted"]}, SUMMARY)
    columns = [
        row for part in text.split("`other/`\n\n") for row in (table(part, "Column") if "| Column" in part else [])
    ]
    assert {name.strip("`") for name, *_ in columns} == set(schema.MEANINGS)
    tagged = [name.strip("`") for name, *_ in table(text, "Column")]
    assert [name for name in tagged if "." not in name] == schema.TAGGED_SCHEMA.names
    assert "sentences.tokens.label" in tagged
    assert "sentences.probabilities" not in card(MANIFEST, SUMMARY)


def test_a_bare_manifest_and_no_rows_have_a_card() -> None:
    assert front_matter(card({}, Summary()))["language"] == []


def test_what_it_tells_duckdb_users_works(output: str) -> None:
    found = duckdb.sql(code(card({"output": output}, SUMMARY), "sql")[0].removeprefix("-- DuckDB\n")).fetchall()
    assert known(row[:6] for row in found) == known(ENTITIES)


@pytest.mark.parametrize("reader", ["pandas", "polars"])
def test_what_it_tells_python_users_works(output: str, reader: str) -> None:
    snippet = next(part for part in code(card({"output": output}, SUMMARY), "python") if reader in part)
    names: dict[str, Any] = {}
    exec(snippet, names)
    found = names["entities"].to_dict("records") if reader == "pandas" else names["entities"].to_dicts()
    keys = ("id", "language", "type", "text", "start", "end")
    assert known(tuple(row[key] for key in keys) for row in found) == known(ENTITIES)


def test_the_other_table_reads_back(output: str) -> None:
    expected = [row for row in ROWS if row["outcome"] != "tagged"]
    files = str(Path(output) / "other" / "*.parquet").replace("'", "''")
    found = duckdb.sql(f"SELECT * FROM '{files}'").to_arrow_table().to_pylist()
    assert sorted(found, key=lambda row: row["id"]) == sorted(expected, key=lambda row: row["id"])
