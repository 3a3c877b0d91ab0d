"""Settings that check themselves: of pre-training, of distilling."""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, kw_only=True)
class Checked:
    """Fields of one type each, within limits. Raises ValueError listing every bad field at once.

    EARLIER: what runs did before there was such a field, by field. A new field comes with an entry, which then never
    changes: with that value it leaves the fingerprint alone, so that runs begun before it go on.
    """

    LIMITS: ClassVar[Mapping[str, tuple[float, float]]] = {}
    EARLIER: ClassVar[Mapping[str, Any]] = {}

    def __post_init__(self) -> None:
        if problems := [*self._wrong(), *self._contradictions()]:
            raise ValueError(f"{type(self).__name__}:\n  " + "\n  ".join(problems))

    def _wrong(self) -> Iterator[str]:
        for field in dataclasses.fields(self):
            value: Any = getattr(self, field.name)
            kind: Any = type(field.default)
            if type(value) is not kind and not (kind is float and type(value) is int):
                yield f"{field.name} is {value!r}; it must be of type {kind.__name__}"
            elif field.name in self.LIMITS:
                low, high = self.LIMITS[field.name]
                if not low <= value <= high:
                    yield f"{field.name} is {value}; it must be a number from {low} to {high}"

    def _contradictions(self) -> Iterator[str]:
        yield from ()

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def fingerprint(self) -> str:
        """Twelve hex digits that change when any field does."""
        told = {name: value for name, value in self.to_dict().items() if (name, value) not in self.EARLIER.items()}
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]


def overrides(kind: type[Checked], pairs: Sequence[str]) -> dict[str, Any]:
    """`["steps=100", "bf16=false"]` to typed values of a settings class. Raises ValueError for a malformed pair."""
    kinds: dict[str, Any] = {field.name: type(field.default) for field in dataclasses.fields(kind)}
    found = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or name not in kinds:
            raise ValueError(f"{pair!r}: expected FIELD=VALUE with one of the fields {', '.join(sorted(kinds))}")
        try:
            found[name] = {"true": True, "false": False}[text.lower()] if kinds[name] is bool else kinds[name](text)
        except (KeyError, ValueError):
            raise ValueError(f"{pair!r}: {text!r} is no {kinds[name].__name__}") from None
    return found
