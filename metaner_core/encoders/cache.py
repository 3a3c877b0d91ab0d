"""Folders that are made once on a machine and then found, by however many processes, below one cache folder.

A made folder has a manifest: what it was made from, and size and SHA-256 of every file. What differs from it is made
again: a folder of which only half was written, one with an altered file, one that another version made.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

VARIABLE = "METANER_CACHE"
MANIFEST = "made.json"


def place() -> Path:
    """$METANER_CACHE, else `metaner` in the user's cache folder. Raises ValueError for a user who has no home."""
    if named := os.environ.get(VARIABLE):
        return Path(named).expanduser().absolute()
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "metaner"
    except RuntimeError as error:
        raise ValueError(f"this user has no home folder to cache in: set {VARIABLE} to a folder") from error


def find(name: str, made_from: Mapping[str, Any], *, hashes: bool = True) -> Path | None:
    """The cached folder of that name, if it is whole and made from just this. hashes: read every file, else its size.

    All of half a gigabyte costs some 0.3 s of one core, so every load can afford it.
    """
    folder = place() / name
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        files = _files(folder, hashes=hashes)
        expected = {file: facts if hashes else facts[:1] for file, facts in manifest["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # whatever else lies there, it is not what `make` wrote
    return folder if manifest.get("made_from") == made_from and files == expected else None


def make(name: str, made_from: Mapping[str, Any], build: Callable[[Path], None]) -> Path:
    """The cached folder of that name, built unless it is there: by one process, while others wait for it.

    build: writes its files into the empty folder that it is given. A folder gets its name when it is whole.
    Raises ValueError when the cache cannot be written.
    """
    folder = place() / name
    unfinished = folder.with_name(f".{name}.unfinished")
    with _writing(folder), _alone(folder):
        if find(name, made_from) is None:
            _remove(unfinished)  # of a process that was ended: nobody else is at work here
            unfinished.mkdir()
            try:
                build(unfinished)
                _finish(unfinished, made_from)
                _remove(folder)
                unfinished.rename(folder)
            finally:
                _remove(unfinished)
    return folder


def _finish(folder: Path, made_from: Mapping[str, Any]) -> None:
    manifest = {"made_from": made_from, "files": _files(folder, hashes=True)}
    path = folder / MANIFEST
    path.write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    for file in folder.iterdir():
        file.chmod(path.stat().st_mode)  # safetensors writes for its owner's eyes only; a cache may be shared


def _files(folder: Path, *, hashes: bool) -> dict[str, list[Any]]:
    """Size, and SHA-256 if wanted, of every file but the manifest."""
    found: dict[str, list[Any]] = {}
    for path in sorted(folder.iterdir()):
        if path.name != MANIFEST:
            found[path.name] = [path.stat().st_size, *([sha256(path)] if hashes else [])]
    return found


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ValueError(
            f"{folder} cannot be written ({error}): an encoder is converted there once; "
            f"set {VARIABLE} to a folder that can, on a disk with a gigabyte to spare"
        ) from error


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, which ends with the process whatever ends it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f".{folder.name}.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
