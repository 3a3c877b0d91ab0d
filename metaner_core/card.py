"""The dataset card of a run's output, Markdown with YAML front matter."""

from collections.abc import Mapping
from typing import Any

from metaner_core.storage import join
from metaner_core.summary import Summary


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


def card(manifest: Mapping[str, Any], summary: Summary) -> str:
    """The card, for `README.md` beside the manifest."""
    return (
        f"---\ntask_categories:\n- token-classification\n---\n\n# Tagged documents\n\n{summary.documents} documents.\n"
    )
