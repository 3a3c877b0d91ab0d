"""The first stage, which needs no model: documents to their sentences, and these to what the model reads."""

from collections.abc import Iterable

from metaner_core.model.inputs import Input, Inputs
from metaner_core.tagging.stages.parts import Made, Problem, problem
from metaner_core.text.document import Document
from metaner_core.text.outcomes import Ready
from metaner_core.text.rules import Rules
from metaner_core.text.screening import screen


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
