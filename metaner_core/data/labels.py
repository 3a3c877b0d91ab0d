"""Labels of one sentence: every tagging scheme in, BIO (IOB2) out, and the phrases they mark."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

TYPES = ("PER", "LOC", "ORG", "MISC")

_PREFIXES = "BIMES"  # begin, inside, inside (BMES), end, single
_CLOSING = "ES"  # an entity never continues after these


@dataclass(frozen=True)
class Span:
    """An entity: words `start` to `end`, end exclusive."""

    type: str
    start: int
    end: int


def split_tag(tag: str) -> tuple[str, str]:
    """`"B-PER"` -> `("B", "PER")`; `"O"` -> `("O", "")`.

    Raises:
        ValueError: the tag is neither O nor PREFIX-TYPE with a known prefix.
    """
    if tag == "O":
        return "O", ""
    prefix, _, type_ = tag.partition("-")
    if len(prefix) == 1 and prefix in _PREFIXES and type_:
        return prefix, type_
    raise ValueError(
        f"tag {tag!r}: expected O or PREFIX-TYPE with a prefix of {', '.join(_PREFIXES)}, such as B-PER; "
        "rewrite it in one of IOB1, BIO, BIOES or BMES"
    )


def to_bio(tags: Sequence[str]) -> list[str]:
    """The tags of one sentence in BIO, whichever of IOB1, BIO, BIOES, BMES or I-only they are in.

    No scheme has to be named, since one rule reads them all: B- and S- begin an entity, and so does I-, M- or E- where
    there is nothing of its type to continue.

    Raises:
        ValueError: a tag is neither O nor PREFIX-TYPE with a known prefix.
    """
    bio = []
    open_type = ""  # type of the entity that the next tag may continue
    for tag in tags:
        prefix, type_ = split_tag(tag)
        if prefix == "O":
            bio.append("O")
        else:
            begins = prefix in "BS" or type_ != open_type
            bio.append(f"{'B' if begins else 'I'}-{type_}")
        open_type = "" if prefix in _CLOSING else type_
    return bio


def spans(labels: Sequence[str]) -> list[Span]:
    """The phrases of one sentence's BIO labels, in order, as conlleval counts them.

    A model may predict an I- that continues nothing (after O, or after another type): conlleval begins a phrase there.

    Raises:
        ValueError: a label is not O, B-TYPE or I-TYPE.
    """
    found: list[Span] = []
    open_type = ""  # type of the phrase that the next label may continue
    for at, label in enumerate(labels):
        prefix, type_ = split_tag(label)
        if prefix not in "BIO":
            raise ValueError(f"label {label!r}: expected O, B-TYPE or I-TYPE; convert the sentence with to_bio first")
        if prefix == "I" and type_ == open_type:
            found[-1] = Span(type_, found[-1].start, at + 1)
        elif prefix != "O":
            found.append(Span(type_, at, at + 1))
        open_type = type_
    return found


def bio_labels(types: Iterable[str]) -> tuple[str, ...]:
    """The label set of these entity types: `("O", "B-PER", "I-PER", ...)`, 1 + 2 per type."""
    return ("O", *(f"{prefix}-{type_}" for type_ in types for prefix in "BI"))


def continued(label: str) -> str:
    """The BIO label of a word that goes on with what the word before it is: I-PER after B-PER and I-PER, O after O."""
    return label if label == "O" else f"I-{split_tag(label)[1]}"


def relabel(labels: Sequence[str], types: Collection[str]) -> list[str]:
    """The labels with O in place of every entity whose type is not among `types`.

    The method does this to MISC when the target is French or Chinese, whose corpora have none.
    """
    return [label if split_tag(label)[1] in types else "O" for label in labels]
