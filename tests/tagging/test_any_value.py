"""Whatever stands in a document, it ends in one outcome that can be written and shown."""

import datetime
import json
import math
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs.planning.shards import Shard
from jobs.tagging.write import parquet_bytes, write_tables
from metaner_core.reading.extra import DEEPEST, encoded, kept
from metaner_core.reading.record import document
from metaner_core.report import dataset_card, report
from metaner_core.report.summary import Summary
from metaner_core.tagging.api import BundleTagger
from metaner_core.tagging.pipeline import tag_documents
from metaner_core.text import schema
from metaner_core.text.rules import Rules

SHARD = Shard(7, ())
ODD = [
    *[
        "../../x",
        "a/b",
        "%2e%2e",
        "<script>x</script>",
        "\x1b[31mred",
        "\x00",
        "x" * 70_000,
        "\ud83d",
        "",
        " ",
        "[b]",
        "|",
    ],
    *["de", "deu", "German", "und", "jpn_Jpan", "zh\n- x", "The page is mostly in German; " * 10, "{{ 7 }}", "\u202e"],
]
STRINGS = st.one_of(st.sampled_from(ODD), st.text(st.characters(), max_size=20))
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), STRINGS, st.binary(max_size=9), st.dates(), st.decimals()
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(STRINGS, inner, max_size=3), max_leaves=8
)


def strict(text: str) -> Any:
    """As a reader reads that takes nothing but JSON."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    text.encode()
    return json.loads(text, parse_constant=refuse)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    values=st.lists(st.tuples(VALUES, VALUES, VALUES, VALUES), min_size=1, max_size=4),
    lines=st.sampled_from([None, "block"]),
)
def test_every_document_ends_in_one_row_that_is_written_and_told_of(
    tagger: BundleTagger, tmp_path: Path, values: list[Any], lines: str | None
) -> None:
    parts = [(id_, text, language, {"extra": more}) for id_, text, language, more in values]
    documents = [document(*part, otherwise=f"file:{n}") for n, part in enumerate(parts)]
    rows = tag_documents(tagger.bundle, documents, rules=Rules(lines=lines, languages=None), adapted=False)
    assert len(rows) == len(documents)
    assert {row["outcome"] for row in rows} <= set(schema.OUTCOMES)
    tables = schema.tables(rows)
    assert sum(pq.read_table(BytesIO(parquet_bytes(table))).num_rows for table in tables) == len(rows)
    for row in rows:
        assert row["extra"] is None or "extra" in strict(row["extra"])
    output = tmp_path / "out"
    files = write_tables(str(output), SHARD, *tables, partition=True)
    assert all(output in (output / file["path"]).resolve().parents for file in files)
    assert all(len(part.encode()) < 100 for file in files for part in file["path"].split("/"))
    summary = Summary.from_dict(json.loads(json.dumps(Summary.of(rows).to_dict())))
    assert summary.documents == len(rows)
    html = report.render({"output": "out"}, summary, [])
    assert "<script>x" not in html
    assert len(html) < 300_000
    assert dataset_card.card({"output": "out"}, summary).encode()


@settings(max_examples=300, deadline=None)
@given(values=st.dictionaries(STRINGS, VALUES, max_size=4))
def test_extra_is_json_that_strict_readers_take(values: dict[str, Any]) -> None:
    assert isinstance(strict(encoded(values)), dict)


def test_extra_keeps_what_json_has_and_says_what_it_has_not() -> None:
    values = {"a": [1, -2.5, "é", None, True], "b": {"c": 2**64 - 1}}
    assert strict(encoded(values)) == values
    odd = {"n": math.nan, "i": -math.inf, "big": 10**30, "bytes": b"caf\xc3\xa9", "half": "x\ud83d"}
    odd |= {"date": datetime.date(2026, 11, 27), "decimal": Decimal("1.50"), "huge": 10**5_000, 7: ("t",)}
    found = strict(encoded(odd))
    assert found.pop("huge").startswith("0x")
    assert found == {
        **{"n": "NaN", "i": "-Infinity", "big": "1" + "0" * 30, "bytes": "café", "half": "x\\ud83d"},
        **{"date": "2026-11-27", "decimal": "1.50", "7": ["t"]},
    }


def test_extra_is_no_deeper_than_readers_go() -> None:
    value: list[Any] = []
    for _ in range(900):
        value = [value]
    assert encoded({"deep": value}).count("[") == DEEPEST - 1


def test_what_is_no_language_is_kept_among_the_extras_whatever_their_names() -> None:
    read = document("a", "Angela kam.", "und", {"language": "x"}, otherwise="f:1")
    assert read.language is None
    assert strict(read.extra or "") == {"given_language": "und", "language": "x"}
    assert kept("id", 1, {"id": 2, "given_id": 3}) == {"given_given_id": 1, "id": 2, "given_id": 3}
    assert document("a", "Angela kam.", "deu", {}, otherwise="f:1").language == "deu"


@pytest.mark.parametrize("language", ["und", "", None, "The page is in German"])
def test_a_language_that_cannot_be_read_is_identified(tagger: BundleTagger, language: str | None) -> None:
    text = "Der Ausschuss tritt am Donnerstag erneut zusammen, um über die Zukunft der alten Brücke zu entscheiden."
    read = document("a", text, language, {}, otherwise="f:1")
    (row,) = tag_documents(tagger.bundle, [read], rules=Rules(languages=("German",)), adapted=False)
    assert (row["outcome"], row["language"]) == ("tagged", "de")
    assert row["language_score"] > 0.8
