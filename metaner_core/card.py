"""The dataset card of a run's output, Markdown with YAML front matter."""

from collections.abc import Mapping
from typing import Any

from metaner_core.summary import Summary


def card(manifest: Mapping[str, Any], summary: Summary) -> str:
    """The card, for `README.md` beside the manifest."""
    return (
        f"---\ntask_categories:\n- token-classification\n---\n\n# Tagged documents\n\n{summary.documents} documents.\n"
    )
