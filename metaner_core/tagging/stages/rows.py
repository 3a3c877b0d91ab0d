"""The third stage, which needs no model either: what was found to rows of the output schema."""

from collections.abc import Iterator, Sequence
from typing import Any

from metaner_core.data.labels import spans, to_bio
from metaner_core.tagging.stages.parts import Found, Problem
from metaner_core.text import schema
from metaner_core.text.document import Row, Word
from metaner_core.text.outcomes import Ready, rejected, writable


def row(document: Ready | Row, found: Sequence[Found] | Problem) -> Row:
    """The document's row; one that is a row already stays it. found: in its sentences, or why it is rejected."""
    if not isinstance(document, Ready):
        return document
    if isinstance(found, Problem):
        looked_at = document if found.startswith("model:") else None  # what ended its workers may never have been
        return rejected(document.document, found, looked_at)
    return _tagged(document, found)


def _tagged(ready: Ready, found: Sequence[Found]) -> Row:
    document = ready.document
    assert document.text is not None
    row: Row = {
        "id": writable(document.id),
        "outcome": schema.TAGGED,
        "text": document.text,
        "language": ready.language,
        "language_score": ready.score,
        "sentences": [],
        "entities": [],
        "extra": None if document.extra is None else writable(document.extra),
    }
    for at, (words, its) in enumerate(zip(ready.sentences, found, strict=True)):
        labels = to_bio(its.labels)
        row["sentences"].append(_sentence(words, labels, its))
        row["entities"].extend(_entities(document.text, words, labels, its.probabilities, at))
    return row


def _sentence(words: Sequence[Word], labels: Sequence[str], found: Found) -> dict[str, Any]:
    return {
        "start": words[0].start,
        "end": words[-1].end,
        "tokens": [
            {"text": w.text, "start": w.start, "end": w.end, "label": label}
            for w, label in zip(words, labels, strict=True)
        ],
        "windows": found.windows,
        "neighbours": [{"id": i, "similarity": similarity} for i, similarity in found.neighbours],
        **_kept(found),
    }


def _kept(found: Found) -> dict[str, list[float]]:
    both = {"probabilities": found.distributions, "unadapted": found.unadapted}
    return {name: kept.reshape(-1).tolist() for name, kept in both.items() if kept is not None}


def _entities(
    text: str, words: Sequence[Word], labels: Sequence[str], probabilities: Sequence[float], sentence: int
) -> Iterator[dict[str, Any]]:
    for span in spans(labels):
        start, end = words[span.start].start, words[span.end - 1].end
        score = min(probabilities[span.start : span.end])
        yield {
            "type": span.type,
            "text": text[start:end],
            "start": start,
            "end": end,
            "score": score,
            "sentence": sentence,
        }
