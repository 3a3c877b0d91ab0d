"""The first stage, which needs no model: documents to their sentences, and these to what the model reads."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from metaner_core.model.inputs import Input, Inputs
from metaner_core.text.document import Document, Row
from metaner_core.text.rules import Rules
from metaner_core.text.screening import Ready, screen

Problem = str  # "stage: what is wrong" with a document, which is rejected for it


@dataclass(frozen=True)
class Made:
    """documents: each ready to be tagged, or its row if it is not to be. inputs: of each its sentences' (none of a
    row), or why they cannot be had."""

    documents: list[Ready | Row] = field(default_factory=list)
    inputs: list[Sequence[Input] | Problem] = field(default_factory=list)


def make(inputs: Inputs, documents: Iterable[Document], rules: Rules) -> Made:
    """Screen documents and cut the sentences of those that are to be tagged into subwords. No text makes it raise."""
    screened = [screen(document, rules) for document in documents]
    return Made(screened, [inputs_of(inputs, d) if isinstance(d, Ready) else () for d in screened])


def inputs_of(inputs: Inputs, document: Ready) -> list[Input] | Problem:
    """What the model reads of each of the document's sentences, or why it cannot be told."""
    try:
        return [inputs([word.text for word in sentence]) for sentence in document.sentences]
    except Exception as error:
        return problem(error)


def problem(error: Exception) -> Problem:
    """Of a document that the model, or its tokenizer, fails on."""
    return f"model: {type(error).__name__}: {error}"
