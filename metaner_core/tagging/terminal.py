"""Tagged documents in a terminal: names in colour, or in brackets where there is none, and what was adapted on.

What the documents hold is text, never markup and never orders to the terminal.
"""

import unicodedata
from collections.abc import Iterator
from itertools import groupby

from rich.console import Console
from rich.table import Table
from rich.text import Text

from metaner_core.data.labels import spans
from metaner_core.tagging.documents import Neighbour, TaggedDocument
from metaner_core.text.schema import EXCERPT, UNSURE

COLOURS = {"PER": "cyan", "LOC": "green", "ORG": "yellow", "MISC": "magenta"}  # black on these is read in every theme
OTHER = "white"


def show(console: Console, document: TaggedDocument) -> None:
    """Print a document: wrapped in a terminal; else each sentence is one line, for the next program to read."""
    coloured = console.color_system is not None and not console.no_color
    for before, line in lines(document, coloured=coloured):
        if before and console.is_terminal:
            beside = Table.grid()
            beside.add_column(no_wrap=True)
            beside.add_row(Text(before, style="dim"), line)
            console.print(beside)
        else:
            console.print(Text(before).append_text(line), soft_wrap=not console.is_terminal)


def lines(document: TaggedDocument, *, coloured: bool) -> Iterator[tuple[str, Text]]:
    """What there is to see of a document, each line after what stands before it, also where it is wrapped.

    Its language, each sentence and below it the source sentences that it was adapted on, after their similarity; of a
    document that was not tagged its beginning, and why. coloured=False: names are in brackets.
    """
    text = document.text or ""
    if document.outcome != "tagged":
        if text.strip():
            yield "", Text(_visible(text[:EXCERPT]))
        why = ": ".join(part for part in (document.stage, document.reason) if part) or "it has no words"
        yield "", Text(_visible(f"{document.outcome}: {why}"), style="red")
        return
    yield "", Text(_language(document), style="dim")
    entities = {number: [*found] for number, found in groupby(document.entities, key=lambda entity: entity.sentence)}
    for number, sentence in enumerate(document.sentences):
        shown, at = Text(), sentence.start
        for entity in entities.get(number, ()):
            shown.append(_visible(text[at : entity.start]))
            shown.append_text(_name(entity.text, entity.type, entity.score, coloured))
            at = entity.end
        yield "", shown.append(_visible(text[at : sentence.end]))
        for neighbour in sentence.neighbours:
            yield f"    {neighbour.similarity:.2f}  ", _neighbour(neighbour, coloured)


def _neighbour(neighbour: Neighbour, coloured: bool) -> Text:
    parts, at = [], 0
    for span in spans(neighbour.labels):
        parts += [Text(_visible(word)) for word in neighbour.words[at : span.start]]
        parts.append(_name(" ".join(neighbour.words[span.start : span.end]), span.type, None, coloured))
        at = span.end
    return Text(" ").join([*parts, *(Text(_visible(word)) for word in neighbour.words[at:])])


def _name(name: str, type_: str, score: float | None, coloured: bool) -> Text:
    """A name with its type. score: None for what people have marked."""
    unsure = score is not None and score < UNSURE
    label = f"{type_} {score:.2f}" if unsure else type_
    if not coloured:
        return Text(f"[{label} {_visible(name)}]")
    colour = COLOURS.get(type_, OTHER)
    return Text.assemble(
        (_visible(name), f"underline {colour}" if unsure else f"black on {colour}"), (f" {label}", colour)
    )


def _language(document: TaggedDocument) -> str:
    if document.language is None:
        return "language unknown"
    how = "given" if document.language_score is None else f"identified, {document.language_score:.2f}"
    return _visible(f"{document.language} ({how})")


def _visible(text: str) -> str:
    """The text on one line, with a sign of its own for every character that a terminal would obey or cannot show."""
    return "".join(
        " " if c.isspace() else "\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in ("Cc", "Cs") else c
        for c in text
    )
