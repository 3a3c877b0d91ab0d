"""A bundle's manifest by itself. Imports no torch: a job's driver needs it too."""

import json
from typing import Any

from metaner_core import storage

MANIFEST = storage.MANIFEST


def written_by(uri: str, run: str) -> dict[str, Any] | None:
    """The manifest of a whole bundle that this very run wrote, if that is what lies at uri."""
    where = storage.join(uri, MANIFEST)
    if storage.unfinished(uri) is not None or not storage.exists(where):
        return None
    manifest = json.loads(storage.read_bytes(where))
    return manifest if manifest.get("run") == run else None
