"""What becomes of a document before the model sees it: its sentences, or the row that says why it has none.

Checks go from cheap to dear: what a rule turns away is neither identified nor segmented in vain.
"""

import unicodedata
from dataclasses import dataclass

from metaner_core.text import schema
from metaner_core.text.document import Document, Row
from metaner_core.text.languages import among, identify, primary
from metaner_core.text.rules import FLOW, Rules
from metaner_core.text.segmentation import INVISIBLE, Word, segment

MAX_REASON = 500  # characters of an error message that a row keeps


@dataclass(frozen=True)
class Ready:
    """A document that is to be tagged. score: probability of an identified language, None of a given one."""

    document: Document
    sentences: list[list[Word]]
    language: str | None
    score: float | None


def screen(document: Document, rules: Rules) -> Ready | Row:
    """The document's sentences, or its row if it is not to be tagged. No text makes it raise."""
    turned_away = _text_problem(document, rules)
    if turned_away:
        return turned_away
    assert document.text is not None
    language, score = _language(document, rules)
    if rules.languages is not None and not among(language, rules.languages):
        reason = f"{language or 'an unknown language'} is not among {', '.join(rules.languages)}"
        return _row(document, schema.FILTERED, "language", reason, language, score)
    try:
        sentences = segment(document.text, language, lines=rules.lines or FLOW, most=rules.max_sentences)
    except Exception as error:  # whatever the text does to the tokenizer, the batch goes on
        return _row(document, schema.REJECTED, "segmentation", str(error), language, score)
    if len(sentences) > rules.max_sentences:
        reason = f"more than {rules.max_sentences} sentences"
        return _row(document, schema.FILTERED, "length", reason, language, score)
    if not sentences:
        return _row(document, schema.EMPTY)
    return Ready(document, sentences, language, score)


def rejected(document: Document, problem: str, ready: Ready | None = None) -> Row:
    """The row of a document that cannot be tagged. problem: "stage: what is wrong"."""
    stage, colon, reason = problem.partition(": ")
    if not colon:
        stage, reason = "reading", problem
    language, score = (ready.language, ready.score) if ready else (_given(document.language), None)
    return _row(document, schema.REJECTED, stage, reason, language, score)


def _text_problem(document: Document, rules: Rules) -> Row | None:
    """The row of a document whose text itself settles what becomes of it."""
    text = document.text
    if document.problem is not None:
        return rejected(document, document.problem)
    if not isinstance(text, str):
        return rejected(document, f"text: expected a string, found {_kind(text)}")
    if len(text) > rules.max_characters:
        return _row(document, schema.FILTERED, "length", f"{len(text)} characters, most is {rules.max_characters}")
    if all(unicodedata.category(character) in INVISIBLE for character in text):
        return _row(document, schema.EMPTY)
    if len(text) < rules.min_characters:
        return _row(document, schema.FILTERED, "length", f"{len(text)} characters, least is {rules.min_characters}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return rejected(document, f"text: half of a surrogate pair at character {error.start}, which is no text")
    return None


def _language(document: Document, rules: Rules) -> tuple[str | None, float | None]:
    """The document's language, and its probability if it had to be identified."""
    given = _given(rules.language) or _given(document.language)
    if given or not rules.identify:
        return given, None
    assert document.text is not None
    return identify(document.text)


def _given(language: object) -> str | None:
    """A language as it was given, if it can be read."""
    return writable(language.strip()) if isinstance(language, str) and primary(language) else None


def _row(
    document: Document,
    outcome: str,
    stage: str | None = None,
    reason: str | None = None,
    language: str | None = None,
    score: float | None = None,
) -> Row:
    text = document.text if isinstance(document.text, str) else None
    return {
        "id": writable(document.id),
        "outcome": outcome,
        "stage": None if stage is None else writable(stage),
        "reason": None if reason is None else writable(" ".join(reason.split())[:MAX_REASON]),
        "language": language or _given(document.language),
        "language_score": score,
        "characters": None if text is None else len(text),
        "excerpt": None if text is None else writable(text[: schema.EXCERPT]),
        "extra": None if document.extra is None else writable(document.extra),
    }


def _kind(value: object) -> str:
    return "null" if value is None else type(value).__name__


def writable(text: str) -> str:
    r"""The text with \udXXX written out for every half of a surrogate pair, which no file can hold."""
    return text.encode(errors="backslashreplace").decode()
