"""What is tagged, and what comes out."""

from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]  # "outcome", and the columns of that outcome's table in schema.py


@dataclass(frozen=True)
class Document:
    """A document of the input, read as well as it could be.

    text: anything but a string makes the document a rejected one. language: a code such as `de`, or None. extra: the
    input's other columns, a JSON object. problem: "stage: what is wrong" when it could not be read.
    """

    id: str
    text: str | None
    language: str | None = None
    extra: str | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Word:
    """text is the original's slice start..end."""

    text: str
    start: int
    end: int
