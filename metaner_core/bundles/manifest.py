"""A bundle's manifest by itself. Imports no torch: a job's driver needs it too."""

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from metaner_core import __version__, storage
from metaner_core.settings import Settings

MANIFEST = storage.MANIFEST
FORMAT = 1
KEYS = ("fingerprint", "settings", "labels", "files")
FOLDER = "give the folder or s3:// prefix that metaner meta-train wrote"


NO_NEIGHBOURS = "has no source sentences, so there are no neighbours to adapt to: it tags as it is, unadapted"


def adapts(manifest: Mapping[str, Any]) -> bool:
    """Whether the bundle has sentences to adapt to: a distilled one has none."""
    return bool(manifest.get("source", {}).get("sentences", True))


def written_by(uri: str, run: str) -> dict[str, Any] | None:
    """The manifest of a whole bundle that this very run wrote, if that is what lies at uri."""
    where = storage.join(uri, MANIFEST)
    if storage.unfinished(uri) is not None or not storage.exists(where):
        return None
    manifest = json.loads(storage.read_bytes(where))
    return manifest if manifest.get("run") == run else None


def read(uri: str, *, told: str | None = None) -> dict[str, Any]:
    """The manifest of the bundle at uri, which errors call `told`.

    Raises FileNotFoundError when there is none, ValueError when it is no bundle's or this version cannot read it.
    """
    name = told or uri
    try:
        content = storage.read_bytes(storage.join(uri, MANIFEST))
    except (FileNotFoundError, NotADirectoryError):
        if not storage.is_remote(uri) and not Path(storage.absolute(uri)).exists():
            raise FileNotFoundError(f"{name}: there is no such folder; {FOLDER}") from None
        lack = f"it has no {MANIFEST}; {FOLDER}"
        if storage.is_remote(uri) and not storage.list_files(uri):
            raise FileNotFoundError(f"{name}: there is nothing there, or no such bucket; {FOLDER}") from None
        raise FileNotFoundError(f"{name} is no bundle, or was not written to its end: {lack}") from None
    try:
        manifest = json.loads(content)
    except ValueError as error:
        raise ValueError(f"bundle {name}: its {MANIFEST} is no JSON ({error}); copy the bundle again") from None
    if not isinstance(manifest, dict) or "format" not in manifest:
        raise ValueError(f"{name} is no bundle: its {MANIFEST} is of something else; {FOLDER}")
    if manifest["format"] != FORMAT:
        raise ValueError(
            f"{name}: bundle format {manifest['format']}, but metaner {__version__} reads {FORMAT}: "
            "it was made by a newer metaner, or is none of its bundles; upgrade, or make the bundle again"
        )
    if missing := [key for key in KEYS if key not in manifest]:
        raise ValueError(f"{name} is no bundle: its {MANIFEST} lacks {', '.join(missing)}; {FOLDER}")
    if outside := [file for file in manifest["files"] if not _inside(file)]:  # they are written below a folder of ours
        raise ValueError(
            f"{name}: its {MANIFEST} names {outside[0]!r}, which is no place in a bundle: metaner did not write it so; "
            "do not use this bundle, and see who can write there"
        )
    return manifest


def _inside(file: str) -> bool:
    path = PurePosixPath(file)
    return not path.is_absolute() and ".." not in path.parts


def require_usable(uri: str, manifest: dict[str, Any]) -> None:
    """Raises ValueError for all that can be known without the files' contents: their sizes, and settings that this
    version does not know. `bundle.load` compares checksums too."""
    Settings.from_dict(manifest["settings"])
    prefix = storage.join(storage.absolute(uri), "")
    sizes = {file.uri.removeprefix(prefix): file.size for file in storage.listed(uri)}
    if problems := size_problems(manifest, sizes):
        raise ValueError(not_whole(uri, problems))


def size_problems(manifest: dict[str, Any], sizes: dict[str, int]) -> list[str]:
    """What is missing or too short or long, by files' names in the bundle and their sizes."""
    files = manifest["files"]
    missing = [f"{name} is missing" for name in files if name not in sizes]
    sized = ((name, sizes[name], facts["bytes"]) for name, facts in files.items() if name in sizes)
    return missing + [f"{name} has {have} bytes instead of {want}" for name, have, want in sized if have != want]


def not_whole(uri: str, problems: list[str]) -> str:
    return f"bundle {uri} is not whole: {'; '.join(problems)}. Copy it again or make it again"
