"""Tagging outputs that a student can learn from: what their manifests say of them. Imports no torch."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from metaner_core import storage
from metaner_core.distilling.settings import UNADAPTED, Distillation
from metaner_core.storage import MANIFEST
from metaner_core.text.schema import TAGGED

KEEP = "tag it again, into another --output, with"


@dataclass(frozen=True)
class Tagged:
    """A finished output. labels: of the distributions, in order. kept: their columns. files: uris of its Parquet, in
    the same order wherever it lies. run: changes with anything that decides its rows."""

    uri: str
    run: str
    bundle: str
    settings: dict[str, Any]
    labels: tuple[str, ...]
    adapted: bool
    kept: tuple[str, ...]
    files: tuple[str, ...]

    def column(self, settings: Distillation) -> str:
        """Where the teacher's distributions are."""
        return "unadapted" if settings.teacher == UNADAPTED and self.adapted else "probabilities"


def read(uri: str, settings: Distillation) -> Tagged:
    """The output at uri. Raises FileNotFoundError or ValueError when it is none, not whole, or lacks what is needed."""
    manifest = _manifest(uri)
    files = storage.listed(storage.join(uri, TAGGED))
    wanted = manifest["tables"][TAGGED]
    there = {"files": len(files), "bytes": sum(file.size for file in files)}
    if any(there[name] != wanted[name] for name in there):
        what = " and ".join(f"{there[name]:,} {name}, not {wanted[name]:,}" for name in there)
        raise ValueError(f"{uri} is not whole: below {TAGGED}/ there are {what}; copy it again, or tag again")
    if not files:
        raise ValueError(f"{uri} has no tagged documents to learn from; other/ there says why")
    found = Tagged(
        uri=uri,
        run=manifest["run"],
        bundle=manifest["bundle"]["uri"],
        settings=manifest["bundle"]["settings"],
        labels=tuple(manifest["labels"]),
        adapted=manifest["adapted"],
        kept=tuple(manifest["kept"]),
        files=tuple(file.uri for file in files),
    )
    _require_both(found, settings)
    return found


def _require_both(found: Tagged, settings: Distillation) -> None:
    """The distributions before adapting, where the settings ask for them."""
    if settings.agree and not found.adapted:
        raise ValueError(f"{found.uri} was tagged unadapted, so there is nothing to agree with; leave agree out")
    if settings.wants_unadapted and found.adapted and "unadapted" not in found.kept:
        why = "agree" if settings.agree else "teacher=unadapted"
        raise ValueError(
            f"{found.uri}: {why} needs what the unadapted model said, which its rows have not; {KEEP} --keep-unadapted"
        )


def _manifest(uri: str) -> dict[str, Any]:
    where = storage.join(uri, MANIFEST)
    if not storage.exists(where):
        raise FileNotFoundError(
            f"{uri} is no output of metaner tag, or was not tagged to its end: it has no {MANIFEST}; give another "
            "folder or s3:// prefix, or the same command again to go on with it"
        )
    try:
        manifest = json.loads(storage.read_bytes(where))
        own = isinstance(manifest, dict) and TAGGED in manifest.get("tables", {})
    except (ValueError, TypeError):
        own = False
    if not own:
        raise ValueError(f"{uri} is no output of metaner tag: its {MANIFEST} is of something else; give an output")
    if "probabilities" not in manifest.get("kept", []):
        raise ValueError(f"{uri}: its rows have no probabilities to learn from; {KEEP} --keep-probabilities")
    return manifest  # type: ignore[no-any-return]


def read_all(uris: Sequence[str], settings: Distillation) -> list[Tagged]:
    """The outputs, of one set of labels. Raises what `read` does, and ValueError when they differ."""
    found = [read(uri, settings) for uri in uris]
    for other in found[1:]:
        if other.labels != found[0].labels:
            told = " and ".join(f"{output.uri} ({', '.join(output.labels)})" for output in (found[0], other))
            raise ValueError(
                f"outputs of different labels: {told}; tag with bundles of the same types, or distil from one of them"
            )
    return found
