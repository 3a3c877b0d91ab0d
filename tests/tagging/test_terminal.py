"""What a person sees of tagged documents: names marked in place, neighbours below, and nothing a terminal obeys."""

import io
from typing import Any

import pytest
from rich.console import Console

from metaner_core.tagging.documents import Entity, Neighbour, TaggedDocument, TaggedSentence
from metaner_core.tagging.terminal import show

TEXT = "Rosa Vidal vio\nel [bold]Ebro[/bold].\x1b[31m Fin."
EBRO, END = TEXT.index("Ebro"), TEXT.index("\x1b")
NEIGHBOURS = (
    Neighbour(3, 0.875, ("Rosa", "Luxemburg", "of", "Berlin", "."), ("B-PER", "I-PER", "O", "B-LOC", "O")),
    Neighbour(4, 0.5, ("UN", "EU"), ("B-ORG", "B-X")),
)
DOCUMENT = TaggedDocument(
    TEXT,
    "es",
    0.98,
    (TaggedSentence(0, END, (), 1, NEIGHBOURS), TaggedSentence(END, len(TEXT), (), 1, ())),
    (Entity("PER", "Rosa Vidal", 0, 10, 0.9, 0), Entity("LOC", "Ebro", EBRO, EBRO + 4, 0.41, 0)),
)


def seen(document: TaggedDocument, **options: Any) -> str:
    console = Console(file=io.StringIO(), _environ={}, **options)
    show(console, document)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_without_a_terminal_names_are_in_brackets_and_every_sentence_on_one_line() -> None:
    assert seen(DOCUMENT, width=20).split("\n") == [
        "es (identified, 0.98)",
        "[PER Rosa Vidal] vio el [bold][LOC 0.41 Ebro][/bold].",
        "    0.88  [PER Rosa Luxemburg] of [LOC Berlin] .",
        "    0.50  [ORG UN] [X EU]",
        "�[31m Fin.",
        "",
    ]


def test_in_a_terminal_names_are_in_colour_before_their_types() -> None:
    found = seen(DOCUMENT, force_terminal=True, color_system="standard", width=80)
    assert found.split("\n")[0] == "\x1b[2mes (identified, 0.98)\x1b[0m"
    assert "\x1b[30;46mRosa Vidal\x1b[0m\x1b[36m PER\x1b[0m vio el [bold]" in found
    assert "\x1b[4;32mEbro\x1b[0m\x1b[32m LOC 0.41\x1b[0m[/bold]." in found  # unsure: no ground, its score
    assert "\x1b[30;43mUN\x1b[0m\x1b[33m ORG\x1b[0m \x1b[30;47mEU\x1b[0m\x1b[37m X\x1b[0m" in found
    assert "\x1b[31m" not in found  # the text's own


def test_a_terminal_that_has_no_colour_gets_brackets() -> None:
    assert "[PER Rosa Vidal] vio" in seen(DOCUMENT, force_terminal=True, no_color=True)


def test_a_terminal_s_lines_are_wrapped_below_their_beginning() -> None:
    found = [line.rstrip() for line in seen(DOCUMENT, force_terminal=True, color_system=None, width=32).split("\n")]
    at = next(n for n, line in enumerate(found) if line.startswith("    0.88"))
    assert found[at : at + 2] == ["    0.88  [PER Rosa Luxemburg]", "          of [LOC Berlin] ."]


@pytest.mark.parametrize(
    ("language", "score", "line"),
    [("de", None, "de (given)"), (None, None, "language unknown"), ("a\n", 1, "a  (ident")],
)
def test_it_says_how_the_language_is_known(language: str | None, score: float | None, line: str) -> None:
    assert seen(TaggedDocument("x", language, score)).startswith(line)


def test_a_document_that_was_not_tagged_says_why() -> None:
    rejected = TaggedDocument("a\ud800b" + "c" * 1_000, None, None, outcome="rejected", stage="text", reason="half")
    assert seen(rejected) == "a�b" + "c" * 197 + "\nrejected: text: half\n"
    assert seen(TaggedDocument(" \n", None, None, outcome="empty")) == "empty: it has no words\n"
    assert seen(TaggedDocument(None, None, None, outcome="rejected", stage="text")) == "rejected: text\n"
