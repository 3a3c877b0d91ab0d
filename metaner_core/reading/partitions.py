"""Columns that stand in the names of folders, as Hive and Spark write them: `language=de/part-0.parquet`."""

import re
from collections.abc import Mapping
from itertools import takewhile
from typing import Any
from urllib.parse import unquote

NULLS = ("__HIVE_DEFAULT_PARTITION__", "")
_COLUMN = re.compile(r"([^=]+)=(.*)", re.DOTALL)


def partition(uri: str) -> dict[str, str | None]:
    """A file's columns by the folders right above it whose names are `column=value`; those of the outermost first."""
    folders = uri.split("/")[-2::-1]
    found = takewhile(bool, map(_COLUMN.fullmatch, folders))
    pairs = [(unquote(match[1]), unquote(match[2])) for match in found if match]
    return {name: None if value in NULLS else value for name, value in reversed(pairs)}


def joined(values: Mapping[str, Any], given: Mapping[str, str | None]) -> dict[str, Any]:
    """A row's own values, and those of its folders for columns that it does not have."""
    return {**values, **{name: value for name, value in given.items() if values.get(name) is None}}
