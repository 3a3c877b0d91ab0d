"""A line of JSON, whatever it holds: a value, or the error that it is none."""

import codecs
import json
import re
from decimal import Decimal
from typing import Any

MAX_DEPTH = 200  # of values in values: far below the depth at which Python gives up, which varies with who calls
_MARKS = re.compile(rb'"(?:[^"\\]|\\.)*"|[][{}]', re.DOTALL)


def json_value(line: bytes) -> Any:
    """The line's value, or the error that it is none. A whole number of more digits than Python reads is a Decimal."""
    line = line.removeprefix(codecs.BOM_UTF8)
    try:
        if depth(line) > MAX_DEPTH:
            return ValueError(f"values are nested more than {MAX_DEPTH} deep")
        text = line.decode(errors="surrogatepass")
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            return error
        except ValueError:  # of a number's digits
            return _LONG_NUMBERS.decode(text)
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


def _number(digits: str) -> int | Decimal:
    try:
        return int(digits)
    except ValueError:  # more digits than sys.get_int_max_str_digits()
        return Decimal(digits)


_LONG_NUMBERS = json.JSONDecoder(parse_int=_number)
