"""One self-contained HTML page of a tagging run: scores, entities in their texts, and the sentences adapted on.

The page loads nothing and runs no script; what the documents hold is text to it, never markup.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from metaner_core.data.corpora import Sentence
from metaner_core.data.labels import TYPES, spans
from metaner_core.report.markup import Piece, language_name, named, pieces, template
from metaner_core.storage import exists, write_bytes
from metaner_core.text.languages import primary, standard
from metaner_core.text.schema import OUTCOMES, TAGGED


@dataclass(frozen=True)
class ScoreRow:
    """Phrase-level F1, in percent, of the unadapted and the adapted model on one test set."""

    corpus: str
    language: str
    sentences: int
    unadapted: float
    adapted: float


@dataclass(frozen=True)
class _Line:
    """A sentence, or what stands between two; `apart` when a line break parts it from the one before."""

    pieces: list[Piece]
    apart: bool
    windows: int = 1
    neighbours: Sequence[tuple[float, list[Piece]]] = ()  # similarity and words


@dataclass(frozen=True)
class _Document:
    """language: the BCP 47 tag that its text is marked with; None where what was given cannot be read as one."""

    id: str
    language: str | None
    outcome: str
    reason: str
    sentences: int
    entities: int
    lines: list[_Line]


@dataclass
class _Group:
    """The documents of one language: all are counted, `shown` holds those within the limit."""

    language: str | None
    outcomes: Counter[str] = field(default_factory=Counter)
    sentences: int = 0
    types: Counter[str] = field(default_factory=Counter)
    shown: list[_Document] = field(default_factory=list)

    def count(self, row: Mapping[str, Any]) -> None:
        outcome = _outcome(row)
        if outcome not in OUTCOMES:
            raise ValueError(f"document {row['id']}: outcome {outcome!r}, expected one of {', '.join(OUTCOMES)}")
        self.outcomes[outcome] += 1
        self.sentences += len(row.get("sentences") or ())
        self.types.update(entity["type"] for entity in row.get("entities") or ())


def render(
    *,
    title: str,
    summary: Sequence[tuple[str, str]],
    scores: Sequence[ScoreRow],
    documents: Iterable[Mapping[str, Any]],
    source: Sequence[Sentence],
    limit: int = 200,
) -> str:
    """The page as HTML.

    Args:
        title: the heading.
        summary: what to say of the run, as names and values.
        scores: one row a test set, or none.
        documents: rows of both tables of the tagging job's output, streamed. All are counted, the first `limit`
            are shown.
        source: the support sentences, which the neighbours' ids index.
        limit: how many documents to show.

    Raises:
        ValueError: `limit` is negative; or a document has an unknown outcome, offsets that do not fit its text, or a
            neighbour that is not in `source`.
    """
    if limit < 0:
        raise ValueError(f"limit is {limit}: give the number of documents to show, 0 or more")
    groups: dict[str, _Group] = {}
    total = _Group(None)
    for i, row in enumerate(documents):
        language = primary(row["language"])  # `deu` and `de` are one; what cannot be read stands for itself
        group = groups.setdefault(language or row["language"] or "", _Group(language or row["language"]))
        group.count(row)
        total.count(row)
        if i < limit:
            group.shown.append(_document(row, source))
    ordered = sorted(groups.values(), key=lambda group: (not group.language, language_name(group.language)))
    return template("page.html").render(
        difference=_difference,
        title=title,
        summary=summary,
        scores=scores,
        mean=(fmean(row.unadapted for row in scores), fmean(row.adapted for row in scores)) if scores else None,
        groups=ordered,
        total=total,
        types=[*TYPES, *sorted(total.types.keys() - {*TYPES})],
        hidden=max(0, total.outcomes.total() - limit),
    )


def write(uri: str, html: str) -> None:
    """Write a page to a local path or `s3://` key. Raises FileExistsError when something lies there."""
    if exists(uri):
        raise FileExistsError(f"{uri} is there already; a page is never overwritten: name another path or delete it")
    write_bytes(uri, html.encode())


def _document(row: Mapping[str, Any], source: Sequence[Sentence]) -> _Document:
    sentences, entities = row.get("sentences") or (), row.get("entities") or ()
    try:
        lines = list(_lines(row.get("text") or "", sentences, entities, source))
    except ValueError as error:
        raise ValueError(f"document {row['id']}: {error}") from None
    reason = ": ".join(row[name] for name in ("stage", "reason") if row.get(name))
    return _Document(row["id"], standard(row["language"]), _outcome(row), reason, len(sentences), len(entities), lines)


def _outcome(row: Mapping[str, Any]) -> str:
    """A row of the tagged documents' table does not say that it is one."""
    return row.get("outcome", TAGGED)


def _lines(
    text: str,
    sentences: Sequence[Mapping[str, Any]],
    entities: Sequence[Mapping[str, Any]],
    source: Sequence[Sentence],
) -> Iterator[_Line]:
    """The document from its first character to its last, but for white space between sentences."""
    within: list[list[Mapping[str, Any]]] = [[] for _ in sentences]
    for entity in entities:
        if not 0 <= entity["sentence"] < len(sentences):
            raise ValueError(f"{named(entity)} is in sentence {entity['sentence']}, but there are {len(sentences)}")
        within[entity["sentence"]].append(entity)
    before = 0
    for start, end, i in _stretches(text, sentences):
        apart = "\n" in text[len(text[before:start].rstrip()) + before : start]
        before = start
        if i is None:
            yield _Line([Piece(text[start:end])], apart)
        else:
            neighbours = [_neighbour(found, source) for found in sentences[i]["neighbours"] or ()]
            yield _Line(list(pieces(text, start, end, within[i])), apart, sentences[i]["windows"], neighbours)


def _stretches(text: str, sentences: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, int, int | None]]:
    """Start, end and number of each sentence and, numbered None, of what but white space lies outside of them."""
    position = 0
    for i, sentence in enumerate(sentences):
        start, end = sentence["start"], sentence["end"]
        if not position <= start <= end <= len(text):
            raise ValueError(
                f"sentence {i} is at {start} to {end}, the one before ends at {position}, the text at {len(text)}: "
                "sentences follow one another; tag the document again"
            )
        if text[position:start].strip():
            yield position, start, None
        yield start, end, i
        position = end
    if sentences and text[position:].strip():
        yield position, len(text), None


def _neighbour(found: Mapping[str, Any], source: Sequence[Sentence]) -> tuple[float, list[Piece]]:
    id_ = found["id"]
    if not 0 <= id_ < len(source):
        raise ValueError(
            f"neighbour {id_} is not among the {len(source):,} source sentences: give those of the bundle used"
        )
    words = source[id_].words
    shown: list[Piece] = []
    position = 0
    for span in spans(source[id_].labels):
        shown += [Piece(word) for word in words[position : span.start]]
        shown.append(Piece(" ".join(words[span.start : span.end]), span.type))
        position = span.end
    return found["similarity"], shown + [Piece(word) for word in words[position:]]


def _difference(scores: tuple[float, float]) -> str:
    """The second less the first as they are shown, so that a reader's own subtraction agrees."""
    difference = round(scores[1], 2) - round(scores[0], 2)
    return f"{difference:+.2f}".replace("-", "\N{MINUS SIGN}") if abs(difference) >= 0.005 else "0.00"
