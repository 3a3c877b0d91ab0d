"""A document's other columns as JSON that every reader takes (RFC 8259), whatever they hold.

What JSON has no form for is written as a string: NaN and Infinity by these names (as protobuf does), integers beyond 64
bits, dates, decimals and bytes, half of a surrogate pair as \\udXXX, what is nested deeper than readers go as how deep.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

DEEPEST = 64  # levels of objects and lists; readers begin to refuse at 128
INTEGERS = range(-(2**63), 2**64)  # what readers hold without rounding


def encoded(values: Mapping[Any, Any]) -> str:
    """An object of these values. Never raises."""
    return json.dumps(_plain(values, 0), ensure_ascii=False, allow_nan=False)


def kept(name: str, value: object, extra: Mapping[str, Any] | None) -> dict[str, Any]:
    """The columns and one more, under its name or, if that is taken, under `given_` and its name."""
    extra = extra or {}
    while name in extra:
        name = f"given_{name}"
    return {name: value, **extra}


def _plain(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        return int(value) if value in INTEGERS else _integer(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else "NaN" if value != value else f"{'-' * (value < 0)}Infinity"
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        if depth == DEEPEST:
            return f"nested more than {DEEPEST} deep"
        if isinstance(value, Mapping):
            return {_text(key): _plain(item, depth + 1) for key, item in value.items()}
        return [_plain(item, depth + 1) for item in value]
    return _text(value)


def _integer(value: int) -> str:
    """In decimal; in hexadecimal where Python refuses that, beyond thousands of digits."""
    try:
        return str(value)
    except ValueError:
        return hex(value)


def _text(value: object) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode(errors="replace")
    try:
        text = str(value)
    except Exception as error:  # a time zone that this machine lacks, a date out of range
        text = f"{type(value).__name__}: {error}"
    return text.encode(errors="backslashreplace").decode()
