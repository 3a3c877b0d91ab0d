"""Documents to rows of the output schema: segment, encode, retrieve, adapt, predict, and deal the results back.

A document that cannot be tagged becomes a row that says why; it never takes others with it.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from metaner_core import schema
from metaner_core.bundle import Bundle
from metaner_core.documents import Word, segment
from metaner_core.encoding import Encoded
from metaner_core.labels import spans, to_bio
from metaner_core.tagger import Prediction

log = logging.getLogger(__name__)
MAX_REASON = 500  # characters of an error message that a row keeps


@dataclass(frozen=True)
class Document:
    """language: a code such as `de`, or None. text: anything but a string makes the document a rejected one."""

    id: str
    text: str | None
    language: str | None = None


@dataclass(frozen=True)
class _Segmented:
    document: Document
    sentences: list[list[Word]]


@dataclass(frozen=True)
class _Tagged:
    """What the model found in one sentence. neighbours: (id, similarity), best first."""

    encoded: Encoded
    prediction: Prediction
    neighbours: list[tuple[int, float]]


def tag_documents(bundle: Bundle, documents: Sequence[Document], *, adapted: bool = True) -> list[dict[str, Any]]:
    """One row of `schema.SCHEMA` for each document, in order. adapted=False: predictions of θ* itself, no neighbours.

    All sentences of the documents go through the model together. If that fails, each document goes alone and those
    that fail again are rejected. Raises the model's error when it cannot tag a source sentence either: then it is the
    machine that fails, and no document is to blame.
    """
    prepared = [_prepare(document) for document in documents]
    ready = [p for p in prepared if isinstance(p, _Segmented)]
    found = iter(_tag_all(bundle, ready, adapted))
    return [next(found) if isinstance(p, _Segmented) else p for p in prepared]


def rejected(document: Document, reason: str) -> dict[str, Any]:
    """The row of a document that cannot be tagged. reason: "stage: what is wrong"."""
    reason = " ".join(reason.split())[:MAX_REASON]
    return _row(document, schema.REJECTED, reason=_unicode(reason))


def _prepare(document: Document) -> _Segmented | dict[str, Any]:
    """The document's sentences, or its row if there is nothing to tag."""
    if not isinstance(document.text, str):
        return rejected(document, f"text: expected a string, found {_kind(document.text)}")
    try:
        sentences = segment(document.text, document.language)
    except Exception as error:  # whatever the text does to the tokenizer, the batch goes on
        return rejected(document, f"segmentation: {error}")
    return _Segmented(document, sentences) if sentences else _row(document, schema.EMPTY)


def _tag_all(bundle: Bundle, documents: Sequence[_Segmented], adapted: bool) -> list[dict[str, Any]]:
    try:
        return _tag(bundle, documents, adapted)
    except Exception as error:
        log.warning("the model failed on %d documents together, trying each alone: %r", len(documents), error)
        bundle.engine.plain(bundle.engine.source[:1])
    return [_tag_alone(bundle, document, adapted) for document in documents]


def _tag_alone(bundle: Bundle, document: _Segmented, adapted: bool) -> dict[str, Any]:
    try:
        return _tag(bundle, [document], adapted)[0]
    except Exception as error:
        bundle.engine.plain(bundle.engine.source[:1])
        return rejected(document.document, f"model: {type(error).__name__}: {error}")


def _tag(bundle: Bundle, documents: Sequence[_Segmented], adapted: bool) -> list[dict[str, Any]]:
    """Rows of documents that have sentences; the sentences of all of them in one list through the model."""
    sentences = [sentence for document in documents for sentence in document.sentences]
    if not sentences:
        return []
    encoded = [bundle.encode([word.text for word in sentence]) for sentence in sentences]
    neighbours: list[list[tuple[int, float]]] = [[] for _ in sentences]
    if adapted:
        ids, similarities = bundle.support(encoded)
        neighbours = [list(zip(*pair, strict=True)) for pair in zip(ids.tolist(), similarities.tolist(), strict=True)]
        predictions = bundle.engine.adapted(encoded, ids)
    else:
        predictions = bundle.engine.plain(encoded)
    tagged = iter([_Tagged(*parts) for parts in zip(encoded, predictions, neighbours, strict=True)])
    return [_tagged_row(d, [next(tagged) for _ in d.sentences]) for d in documents]


def _tagged_row(segmented: _Segmented, tagged: Sequence[_Tagged]) -> dict[str, Any]:
    document = segmented.document
    assert document.text is not None
    row = _row(document, schema.TAGGED)
    for at, (words, found) in enumerate(zip(segmented.sentences, tagged, strict=True)):
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


def _row(document: Document, outcome: str, *, reason: str | None = None) -> dict[str, Any]:
    text = document.text if isinstance(document.text, str) and _unicode(document.text) == document.text else None
    language = document.language if isinstance(document.language, str) else None
    row = {"id": document.id, "text": text, "language": language, "outcome": outcome, "reason": reason}
    return {**row, "sentences": [], "entities": []}


def _kind(value: object) -> str:
    return "null" if value is None else type(value).__name__


def _unicode(text: str) -> str:
    """The text with a question mark for every half of a surrogate pair, which no file can hold."""
    return text.encode(errors="replace").decode()
