"""What becomes of a document, as a row of the output: none yet, for it is ready to be tagged, or that of one that is
not to be. Nothing here needs a model or cuts a text, so that whoever only writes rows begins at once."""

from dataclasses import dataclass

from metaner_core.text import schema
from metaner_core.text.document import Document, Row, Word
from metaner_core.text.languages import primary

MAX_REASON = 500  # characters of an error message that a row keeps


@dataclass(frozen=True)
class Ready:
    """A document that is to be tagged. score: probability of an identified language, None of a given one."""

    document: Document
    sentences: list[list[Word]]
    language: str | None
    score: float | None


def rejected(document: Document, problem: str, ready: Ready | None = None) -> Row:
    """The row of a document that cannot be tagged. problem: "stage: what is wrong"."""
    stage, colon, reason = problem.partition(": ")
    if not colon:
        stage, reason = "reading", problem
    language, score = (ready.language, ready.score) if ready else (as_given(document.language), None)
    return untagged(document, schema.REJECTED, stage, reason, language, score)


def untagged(
    document: Document,
    outcome: str,
    stage: str | None = None,
    reason: str | None = None,
    language: str | None = None,
    score: float | None = None,
) -> Row:
    """The row of a document that is not tagged. stage, reason: of a rejected or filtered one."""
    text = document.text if isinstance(document.text, str) else None
    return {
        "id": writable(document.id),
        "outcome": outcome,
        "stage": None if stage is None else writable(stage),
        "reason": None if reason is None else writable(" ".join(reason.split())[:MAX_REASON]),
        "language": language or as_given(document.language),
        "language_score": score,
        "characters": None if text is None else len(text),
        "excerpt": None if text is None else writable(text[: schema.EXCERPT]),
        "extra": None if document.extra is None else writable(document.extra),
    }


def as_given(language: object) -> str | None:
    """A language as it was given, if it can be read."""
    return writable(language.strip()) if isinstance(language, str) and primary(language) else None


def writable(text: str) -> str:
    r"""The text with \udXXX written out for every half of a surrogate pair, which no file can hold."""
    return text.encode(errors="backslashreplace").decode()
