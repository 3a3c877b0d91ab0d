"""What differs between a run that is to go on and the one that began, for people."""

import json
from collections.abc import Iterator
from typing import Any

NAMED = 10  # differences; of more their number


def require_same(then: Any, now: Any, whose: str, remedy: str) -> None:
    """Raises ValueError naming what differs. whose: what was begun, as `out/x is of a run`."""
    found = list(differences(then, json.loads(json.dumps(now))))  # tuples as lists, as they are read again
    if found:
        more = f"\n  and {len(found) - NAMED:,} more" if len(found) > NAMED else ""
        raise ValueError(f"{whose} that differs in\n  " + "\n  ".join(found[:NAMED]) + more + f"\n{remedy}")


def differences(then: Any, now: Any, at: str = "") -> Iterator[str]:
    """A line for every value of nested mappings that is not the same."""
    if isinstance(then, dict) and isinstance(now, dict):
        for key in dict.fromkeys([*then, *now]):
            yield from differences(then.get(key), now.get(key), f"{at}.{key}".strip("."))
    elif then != now:
        yield f"{at}: {_told(then)} then, {_told(now)} now"


def _told(value: Any) -> str:
    return "absent" if value is None else json.dumps(value, ensure_ascii=False)
