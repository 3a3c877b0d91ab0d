"""A line of JSON, whatever it holds: a value, or the error that it is none."""

import codecs
import json
import re
from typing import Any

MAX_DEPTH = 200  # of values in values: far below the depth at which Python gives up, which varies with who calls
_MARKS = re.compile(rb'"(?:[^"\\]|\\.)*"|[][{}]', re.DOTALL)


def json_value(line: bytes) -> Any:
    """The line's value, or the error that it is none. A whole number of more digits than Python reads is text."""
    line = line.removeprefix(codecs.BOM_UTF8)
    try:
        if depth(line) > MAX_DEPTH:
            return ValueError(f"values are nested more than {MAX_DEPTH} deep")
        return _JSON.decode(line.decode(errors="surrogatepass"))
    except (ValueError, RecursionError) as error:
        return error


def depth(line: bytes) -> int:
    """How deep values are nested, where that may be more than MAX_DEPTH; else 0."""
    if line.count(b"[") + line.count(b"{") <= MAX_DEPTH:
        return 0
    deepest = now = 0
    for match in _MARKS.finditer(line):
        now += (match[0] in (b"[", b"{")) - (match[0] in (b"]", b"}"))
        deepest = max(deepest, now)
    return deepest


def _number(digits: str) -> int | str:
    try:
        return int(digits)
    except ValueError:  # more digits than sys.get_int_max_str_digits()
        return digits


_JSON = json.JSONDecoder(parse_int=_number)
