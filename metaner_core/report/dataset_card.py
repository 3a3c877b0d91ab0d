"""The dataset card of a run's output: Markdown with the YAML front matter that dataset hubs read."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from metaner_core.data.labels import TYPES
from metaner_core.report.markup import language_name
from metaner_core.report.summary import Summary
from metaner_core.storage import join
from metaner_core.text import schema

SIZES = ("1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T")  # rows, as dataset hubs class them

TEXT = """
# {title}

Documents in {languages}, each cut to sentences and words, with named entities ({types}) marked by a model that learned
from English labels alone.{adapted} Made by metaner {version}{when}.

## Counts

{outcomes}

{documents} documents went in; each has one of these outcomes. The tagged ones are in `tagged/`, all others, with the
reason, in `other/`. {sentences} sentences, {words} words, {entities} entities.{cut}

{by_language}

## How it was made

{facts}

Sentences and words come from rules, without a model (in Chinese, Japanese and the like every character is a word).
Where the input did not give a document's language, or nothing that can be read as one, it was identified from at most
2,400 characters of the text; what was given then is in `extra`. Words
are labelled one by one; what stands in the text was not altered. `manifest.json` has every setting, `report.html` the
whole story.

## Columns

Schema version {schema}. Offsets count Unicode code points, as Python does, not bytes or UTF-16 units.

`tagged/`

{tagged_columns}

Where `tagged/` has a folder for each language, readers take `language` from its name: the standard tag of what was
given (`de` for `deu` and `German`, `pt-BR` for `pt_br`); `und` is an unknown one.

`other/`

{other_columns}

## How to read it

```python
import pandas as pd

tagged = pd.read_parquet({folder})
found = tagged[["id", "language", "entities"]].explode("entities").dropna(subset="entities").reset_index(drop=True)
entities = found[["id", "language"]].join(pd.json_normalize(found["entities"]))
```

```python
import polars as pl

tagged = pl.read_parquet({folder})
entities = tagged.select("id", "language", "entities").explode("entities").drop_nulls("entities").unnest("entities")
```

```sql
-- DuckDB
{query};
```

## Known limits

- Labels are predictions, made without a single labelled sentence in most of these languages. Nobody has checked them.
- A score is the model's own probability; it has not been calibrated. Take a threshold from a sample of your own.
- Identification of the language is unreliable below some 40 characters, and says nothing of a text in several.
- Sentences end by rules and at blank lines (at every line where lines is block): abbreviations mislead them, and in
  Thai and Lao, which have no sign for it, only a line ends one. A sentence of more than 256 words or 4,096 letters is
  cut, and a word of more than 256.
- A sentence that is too long for the encoder is read in windows that overlap; `sentences.windows` says in how many.
- Documents are as the input had them: not deduplicated, not cleaned, personal data not removed. The rights to the
  texts are those of their authors.
"""


def card(manifest: Mapping[str, Any], summary: Summary) -> str:
    """The card, for `README.md` beside the manifest."""
    total = summary.total
    types = [*TYPES, *sorted(total.entities.keys() - {*TYPES})]
    spoken = [code for code in _tagged_languages(summary) if code]
    output = str(manifest.get("output") or "output")
    keep = schema.Keep(**dict.fromkeys(manifest.get("kept", []), True))
    finished = manifest.get("finished")
    text = TEXT.format(
        title=_title(output),
        languages=", ".join(map(language_name, spoken)) or "no known language",
        types=", ".join(types),
        adapted=" Before each sentence it was adapted to the English sentences most like it."
        if summary.adapted
        else "",
        version=manifest.get("versions", {}).get("metaner", ""),
        when="" if finished is None else datetime.fromtimestamp(finished, UTC).strftime(" on %-d %B %Y"),
        outcomes=_table(["Outcome", "Documents"], [*summary.outcomes.items(), ("all", total.documents)]),
        documents=f"{total.documents:,}",
        sentences=f"{total.sentences:,}",
        words=f"{total.words:,}",
        entities=f"{total.entities.total():,}",
        cut=f" {total.cut:,} sentences were too long for the encoder and cut to windows." if total.cut else "",
        by_language=_by_language(summary, types),
        facts=_table(["What", "Value"], _facts(manifest)),
        schema=keep.version,
        tagged_columns=_table(["Column", "Type", "Meaning"], _columns(schema.tagged_schema(keep))),
        other_columns=_table(["Column", "Type", "Meaning"], _columns(schema.OTHER_SCHEMA)),
        folder=json.dumps(join(output, "tagged/"), ensure_ascii=False),
        query=entities_query(output),
    )
    return _front_matter(output, spoken, summary.outcomes[schema.TAGGED]) + text


def entities_query(output: str) -> str:
    """A DuckDB query for the entities of a run, a row each."""
    files = join(output, "tagged", "**", "*.parquet").replace("'", "''")
    return (
        'SELECT id, language, e.type, e.text, e.start, e."end", e.score\n'
        "FROM (\n"
        "  SELECT id, language, unnest(entities) AS e\n"
        f"  FROM '{files}'\n"
        ")"
    )


def _front_matter(output: str, languages: Sequence[str], rows: int) -> str:
    lines = [
        f"pretty_name: {json.dumps(_title(output), ensure_ascii=False)}",
        "language:" if languages else "language: []",
        *(f"- {json.dumps(code)}" for code in languages),  # quoted: `no` is a boolean
        "task_categories:",
        "- token-classification",
        "task_ids:",
        "- named-entity-recognition",
        "size_categories:",
        f"- {_size(rows)}",
        "configs:",
        "- config_name: tagged",
        "  default: true",
        "  data_files: tagged/**/*.parquet",
        "- config_name: other",
        "  data_files: other/*.parquet",
    ]
    return "\n".join(["---", *lines, "---", ""])


def _size(rows: int) -> str:
    at = max(0, len(str(rows)) - 3)
    if at >= len(SIZES):
        return f"n>{SIZES[-1]}"
    return f"{SIZES[at - 1]}<n<{SIZES[at]}" if at else f"n<{SIZES[0]}"


def _title(output: str) -> str:
    return " ".join(f"Named entities in {output.rstrip('/').rpartition('/')[2]}".split())


def _tagged_languages(summary: Summary) -> list[str]:
    """Codes of the languages that tagged documents are in, most documents first."""
    tagged = {code: counts.outcomes[schema.TAGGED] for code, counts in summary.languages.items()}
    return sorted((code for code, n in tagged.items() if n), key=lambda code: (-tagged[code], code))


def _by_language(summary: Summary, types: Sequence[str]) -> str:
    rows: list[Sequence[Any]] = []
    for code in _tagged_languages(summary):
        counts = summary.languages[code]
        name = f"{language_name(code)} (`{code}`)" if code else "not known"
        found = [counts.entities[type_] for type_ in types]
        rows.append([name, counts.outcomes[schema.TAGGED], counts.sentences, counts.words, *found])
    return _table(["Language", "Tagged documents", "Sentences", "Words", *types], rows)


def _facts(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    source, bundle = manifest.get("input", {}), manifest.get("bundle", {})
    rules = {name: value for name, value in manifest.get("rules", {}).items() if value is not None}
    facts = {
        "Input": source.get("uri"),
        "Format": source.get("format"),
        "Bundle": bundle.get("fingerprint"),
        "Run": manifest.get("run"),
        "Rules": "; ".join(f"{name} {_plain(value)}" for name, value in rules.items()),
        "Versions": ", ".join(f"{name} {value}" for name, value in manifest.get("versions", {}).items()),
    }
    return ((name, str(value)) for name, value in facts.items() if value)


def _plain(value: Any) -> str:
    if isinstance(value, str) or not isinstance(value, Sequence):
        return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    return ", ".join(map(str, value))


def _columns(fields: pa.Schema) -> Iterator[tuple[str, str, str]]:
    for field in fields:
        yield from _column(field, "")


def _column(field: pa.Field, within: str) -> Iterator[tuple[str, str, str]]:
    """A row for the column and for each that is nested in it."""
    name, kind = within + field.name, field.type
    lists = pa.types.is_list(kind)
    inner = kind.value_type if lists else kind
    nested = pa.types.is_struct(inner)
    shown = "struct" if nested else str(inner)
    yield f"`{name}`", f"list of {shown}" if lists else shown, schema.MEANINGS[name]
    for child in inner if nested else ():
        yield from _column(child, f"{name}.")


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(value: Any) -> str:
    """On one line, with nothing in it that ends the cell or becomes markup."""
    text = f"{value:,}" if isinstance(value, int) else " ".join(str(value).split())
    return text.replace("|", "\\|").replace("<", "&lt;")
