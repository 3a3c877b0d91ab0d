"""The report of an experiment: one self-contained page, tables laid out as the paper's, pictures, examples.

Pictures are shapes without letters, stretched to any width; their labels and numbers stand beside them as text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from metaner_core.data.labels import Span
from metaner_core.experiments.gains import Gain, by_recall, by_similarity, by_type
from metaner_core.experiments.published import OTHERS, TESTS, figure
from metaner_core.experiments.scored import Scored, System
from metaner_core.experiments.significance import LEVEL, Spread
from metaner_core.experiments.study import Column, Compared, Row, Study
from metaner_core.report.markup import Piece, language_name, template

EXAMPLES = 4  # of each kind, of a variant and test
COLORS = 6


@dataclass(frozen=True)
class Figure:
    """One of a table's figures. compared: with the baseline, of all variants but itself."""

    spread: Spread | None
    published: float | None
    compared: Compared | None


@dataclass(frozen=True)
class Line:
    """One row of a table. average, published: over all columns, where every one has a figure."""

    row: Row
    figures: list[Figure]
    average: float | None
    published: float | None


@dataclass(frozen=True)
class Whiskers:
    """Scores of one column as a picture. low, high: of its scale, in percent."""

    column: Column
    low: float
    high: float
    lines: list[tuple[str, Spread]]


@dataclass(frozen=True)
class Curve:
    """One training's English dev F1: the points of a line, x and y in 0 to 100."""

    variant: str
    seed: int
    place: int  # of the variant, for its colour
    points: list[tuple[float, float]]


@dataclass(frozen=True)
class Adapted:
    """What adapting changed in one variant on one test."""

    column: Column
    label: str
    compared: Compared | None
    groups: list[tuple[str, list[Gain]]]
    changed: Mapping[str, Mapping[str, float]]  # a seed's mean
    examples: list[tuple[str, list[Piece]]]


def render(study: Study, facts: Sequence[tuple[str, str]]) -> str:
    """The page as HTML. facts: what else to say of the experiment, as names and values."""
    return template("experiment.html").render(
        study=study,
        facts=facts,
        level=round(100 * LEVEL),
        comparisons=len(study.comparisons),
        heading=heading,
        parts=[_part(study, encoder) for encoder in study.encoders if any(c.encoder == encoder for c in study.cells)],
        others=_others(study),
        signed=signed,
        p=p,
        colors=COLORS,
        baseline=next(row.label for row in study.rows if row.variant == study.baseline),
        kinds=("gained", "lost", "wrong, new", "wrong, gone"),
    )


def heading(column: Column, study: Study) -> tuple[str, str]:
    """A column's language and test, with its types where the test is there by taggers of others too."""
    test, types = column
    language = next(cell.language for cell in study.of(column))
    twice = sum(name == test for name, _ in study.columns) > 1
    return language_name({"esp": "es", "ned": "nl"}.get(language, language)), f"{test} {', '.join(types) * twice}"


def signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "\N{MINUS SIGN}")


def p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def _part(study: Study, encoder: str) -> dict[str, Any]:
    """All that the page shows of one encoder."""
    return {
        "name": study.encoders[encoder],
        "lines": [_line(study, encoder, row) for row in study.rows],
        "whiskers": [_whiskers(study, encoder, column) for column in study.columns],
        "curves": _curves(study, encoder),
        "updates": _updates(study, encoder),
        "adapted": [
            (row, [a for column in study.columns if (a := _adapted(study, encoder, row, column))])
            for row in study.rows
            if row.engine == "adapted"
        ],
    }


def _line(study: Study, encoder: str, row: Row) -> Line:
    system, base = study.system(encoder, row), study.base(encoder)
    figures = [
        Figure(
            study.spread(column, system),
            figure(row.published or "", column[0]),
            study.comparison(column, system, base),
        )
        for column in study.columns
    ]
    means = [f.spread.mean for f in figures if f.spread is not None]
    published = [f.published for f in figures if f.published is not None]
    return Line(row, figures, *(fmean(x) if len(x) == len(figures) else None for x in (means, published)))


def _others(study: Study) -> list[tuple[str, list[float | None]]]:
    """Earlier systems as published, where a column is of the paper's."""
    if not any(test in TESTS for test, _ in study.columns):
        return []
    return [(name, [figure(name, test) for test, _ in study.columns]) for name in OTHERS]


def _whiskers(study: Study, encoder: str, column: Column) -> Whiskers:
    found = [(row.label, study.spread(column, study.system(encoder, row))) for row in study.rows]
    lines = [(label, spread) for label, spread in found if spread is not None]
    low = min((spread.low for _, spread in lines), default=0.0) // 5 * 5
    high = -(max((spread.high for _, spread in lines), default=100.0) // -5) * 5
    return Whiskers(column, low, max(high, low + 5), lines)


def _curves(study: Study, encoder: str) -> list[Curve]:
    places = {row.variant: place for place, row in enumerate(study.rows)}
    own = [c for c in study.curves if c["encoder"] == encoder and c["variant"] in places and c["history"]]
    last = _updates(study, encoder)
    return [
        Curve(
            c["variant"],
            c["seed"],
            places[c["variant"]],
            [(100 * point["update"] / last, 100 - point["dev_f1"]) for point in c["history"]],
        )
        for c in sorted(own, key=lambda c: (places[c["variant"]], c["seed"]))
    ]


def _updates(study: Study, encoder: str) -> int:
    """Meta-updates of the longest training."""
    return max(
        (c["history"][-1]["update"] for c in study.curves if c["encoder"] == encoder and c["history"]), default=1
    )


def _adapted(study: Study, encoder: str, row: Row, column: Column) -> Adapted | None:
    cells = [c for c in study.of(column) if (c.encoder, c.variant) == (encoder, row.variant)]
    if not cells:
        return None
    both = (System(encoder, row.variant, engine) for engine in ("adapted", "unadapted"))
    groups = [
        ("Type", by_type(cells)),
        ("Similarity of the neighbours", by_similarity(cells)),
        ("Of its entity types its neighbours have", by_recall(cells)),
    ]
    kinds = dict.fromkeys(kind for cell in cells for kind in cell.changed)
    types = dict.fromkeys(t for cell in cells for by in cell.changed.values() for t in by)
    changed = {kind: {t: fmean(c.changed.get(kind, {}).get(t, 0) for c in cells) for t in types} for kind in kinds}
    return Adapted(column, row.label, study.comparison(column, *both), groups, changed, _examples(cells[0]))


def _examples(cell: Scored) -> list[tuple[str, list[Piece]]]:
    """Names gained and lost, each marked in its sentence."""
    found: list[tuple[str, list[Piece]]] = []
    for kind in ("gained", "lost"):
        some = [example for example in cell.examples if example["kind"] == kind][:EXAMPLES]
        found += [(kind, _pieces(e["words"], Span(e["type"], e["start"], e["end"]))) for e in some]
    return found


def _pieces(words: Sequence[str], span: Span) -> list[Piece]:
    before, name, after = words[: span.start], words[span.start : span.end], words[span.end :]
    return [*map(Piece, before), Piece(" ".join(name), span.type), *map(Piece, after)]
