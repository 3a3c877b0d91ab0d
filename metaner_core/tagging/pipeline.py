"""Documents to rows of the output schema: segment, encode, retrieve, adapt, predict, and deal the results back.

A document that cannot be tagged becomes a row that says why; it never takes others with it.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from metaner_core.bundles.bundle import Bundle
from metaner_core.data.labels import spans, to_bio
from metaner_core.model.encoding import Encoded
from metaner_core.model.tagger import Prediction
from metaner_core.text import schema
from metaner_core.text.document import Document, Row
from metaner_core.text.rules import DEFAULT, Rules
from metaner_core.text.screening import Ready, rejected, screen, writable
from metaner_core.text.segmentation import Word

__all__ = ["Document", "Row", "Rules", "iter_documents", "rejected", "tag_documents", "tag_ready"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Tagged:
    """What the model found in one sentence. neighbours: (id, similarity), best first."""

    encoded: Encoded
    prediction: Prediction
    neighbours: list[tuple[int, float]]


def tag_documents(
    bundle: Bundle, documents: Sequence[Document], *, rules: Rules = DEFAULT, adapted: bool = True
) -> list[Row]:
    """One row for each document, in order; `schema.tables` makes tables of them. As `iter_documents`, all at once."""
    return list(iter_documents(bundle, documents, rules=rules, adapted=adapted))


def iter_documents(
    bundle: Bundle, documents: Sequence[Document], *, rules: Rules = DEFAULT, adapted: bool = True
) -> Iterator[Row]:
    """One row for each document, in order, made when asked for.

    Those that are to be tagged are, as `tag_ready` does it; it says what it raises.
    """
    prepared = [screen(document, rules) for document in documents]
    found = tag_ready(bundle, [p for p in prepared if isinstance(p, Ready)], adapted=adapted)
    return (next(found) if isinstance(p, Ready) else p for p in prepared)


def tag_ready(bundle: Bundle, documents: Sequence[Ready], *, adapted: bool = True) -> Iterator[Row]:
    """One row for each document, in order: tagged by the time it returns, made when asked for (it takes much memory).

    adapted=False: predictions of θ* itself, no neighbours. All sentences of the documents go through the model
    together. If that fails, each document goes alone and those that fail again are rejected. Raises the model's error
    when it cannot tag a source sentence either: then it is the machine that fails, and no document is to blame.
    """
    try:
        return _rows(documents, _tag(bundle, documents, adapted))
    except Exception as error:
        log.warning("the model failed on %d documents together, trying each alone: %r", len(documents), error)
        bundle.engine.plain(bundle.engine.source[:1])
    return iter([_tag_alone(bundle, document, adapted) for document in documents])


def _rows(documents: Sequence[Ready], tagged: Sequence[_Tagged]) -> Iterator[Row]:
    rest = iter(tagged)
    return (_tagged_row(document, [next(rest) for _ in document.sentences]) for document in documents)


def _tag_alone(bundle: Bundle, document: Ready, adapted: bool) -> Row:
    try:
        return _tagged_row(document, _tag(bundle, [document], adapted))
    except Exception as error:
        bundle.engine.plain(bundle.engine.source[:1])
        return rejected(document.document, f"model: {type(error).__name__}: {error}", document)


def _tag(bundle: Bundle, documents: Sequence[Ready], adapted: bool) -> list[_Tagged]:
    """What is found in the documents' sentences, all of which go through the model in one list."""
    sentences = [sentence for document in documents for sentence in document.sentences]
    if not sentences:
        return []
    inputs = [bundle.inputs([word.text for word in sentence]) for sentence in sentences]
    encoded = [sentence.tagging for sentence in inputs]
    neighbours: list[list[tuple[int, float]]] = [[] for _ in sentences]
    if adapted:
        ids, similarities = bundle.nearest(inputs)
        neighbours = [list(zip(*pair, strict=True)) for pair in zip(ids.tolist(), similarities.tolist(), strict=True)]
        predictions = bundle.engine.adapted(encoded, ids)
    else:
        predictions = bundle.engine.plain(encoded)
    return [_Tagged(*parts) for parts in zip(encoded, predictions, neighbours, strict=True)]


def _tagged_row(ready: Ready, tagged: Sequence[_Tagged]) -> Row:
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
    for at, (words, found) in enumerate(zip(ready.sentences, tagged, strict=True)):
        labels = to_bio(found.prediction.labels)
        row["sentences"].append(_sentence(words, labels, found))
        row["entities"].extend(_entities(document.text, words, labels, found.prediction.probabilities, at))
    return row


def _sentence(words: Sequence[Word], labels: Sequence[str], found: _Tagged) -> dict[str, Any]:
    return {
        "start": words[0].start,
        "end": words[-1].end,
        "tokens": [
            {"text": w.text, "start": w.start, "end": w.end, "label": label}
            for w, label in zip(words, labels, strict=True)
        ],
        "windows": len(found.encoded.windows),
        "neighbours": [{"id": i, "similarity": similarity} for i, similarity in found.neighbours],
    }


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
