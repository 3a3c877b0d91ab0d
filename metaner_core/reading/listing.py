"""The files that a name stands for: a file, all files below a folder, or those that a pattern matches."""

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass

from metaner_core import storage

MARKS = "*?["


@dataclass(frozen=True)
class Wanted:
    """What files of a folder are meant. pattern: parts of a path below it; None for all."""

    folder: str
    pattern: tuple[str, ...] | None = None

    def takes(self, uri: str) -> bool:
        """Whether a file of this name is, or would be, one of them.

        As Spark and Arrow have it, names that begin with _ or . are left out at every level; a pattern that begins so
        asks for them.
        """
        if not uri.startswith(self.folder + "/"):
            return False
        parts = uri.removeprefix(self.folder + "/").split("/")
        if self.pattern is None:
            return not any(map(_is_hidden, parts))
        return _matches(parts, self.pattern)


def wanted(uri: str) -> Wanted:
    """What a name asks for. What is there by that very name, marks and all, is no pattern."""
    parts = storage.absolute(uri).rstrip("/").split("/")
    for at, part in enumerate(parts):
        if any(mark in part for mark in MARKS) and not storage.exists("/".join(parts[: at + 1])):
            return Wanted("/".join(parts[:at]), tuple(parts[at:]))
    return Wanted("/".join(parts))


def files(uri: str) -> tuple[str, list[storage.Listed]]:
    """The folder that holds them all, and the files. Raises FileNotFoundError when there is none."""
    meant = wanted(uri)
    found = storage.listed(meant.folder)
    if [file.uri for file in found] == [meant.folder]:
        return meant.folder.rpartition("/")[0], found
    found = [file for file in found if meant.takes(file.uri)]
    if not found:
        raise FileNotFoundError(f"{uri}: {_why_none(meant)}; name a file, a folder with files in it, or a pattern")
    return meant.folder, found


def _why_none(meant: Wanted) -> str:
    if meant.pattern is not None:
        return "no file matches this pattern"
    if not storage.exists(meant.folder):
        return "there is no such input"
    return "no file is in this folder but such as begin with _ or ., which are left out"


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or (name.startswith("_") and "=" not in name)  # _column=value is a partition


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """As a shell does it: * stays within a folder, ** is any number of them."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        deeper = bool(parts) and not _is_hidden(parts[0]) and _matches(parts[1:], pattern)
        return deeper or _matches(parts, pattern[1:])
    return bool(parts) and _matches_one(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])


def _matches_one(name: str, pattern: str) -> bool:
    if name == pattern:
        return True
    return fnmatch.fnmatchcase(name, pattern) and (not _is_hidden(name) or pattern[0] == name[0])
