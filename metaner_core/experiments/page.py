"""The report of an experiment: one self-contained page, tables laid out as the paper's, pictures, examples.

Pictures are shapes without letters, stretched to any width; their labels and numbers stand beside them as text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from metaner_core.data.labels import Span
from metaner_core.experiments.gains import Gain, by_recall, by_similarity, by_type
from metaner_core.experiments.layout import table
from metaner_core.experiments.scored import Column, Scored, System
from metaner_core.experiments.significance import LEVEL, Spread
from metaner_core.experiments.study import Compared, Row, Study
from metaner_core.report.markup import Piece, language_name, template

EXAMPLES = 4  # of each kind, of a variant and test
COLORS = 6


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
class Gained:
    """F1 against the share of labels, for one test: lines of points, x and y in 0 to 100. low, high: of the scale."""

    column: Column
    low: float
    high: float
    most: float
    lines: list[tuple[str, int, list[tuple[float, float]]]]


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
        signed=signed,
        p=p,
        colors=COLORS,
        baseline=next(row.label for row in study.rows if row.variant == study.baseline),
        kinds=("gained", "lost", "wrong, new", "wrong, gone"),
    )


def heading(column: Column, study: Study) -> tuple[str, str]:
    """A column's language and test, with its types where the test is there by taggers of others too."""
    language = next(cell.language for cell in study.of(column))
    twice = sum(other.test == column.test for other in study.at(column.share)) > 1
    types, share = ", ".join(column.types) * twice, f", {column.share:g}% of its labels" * bool(column.share)
    name = language_name({"esp": "es", "ned": "nl"}.get(language, language))
    return name, f"{column.test} {types}".strip() + share


def signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "\N{MINUS SIGN}")


def p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def _part(study: Study, encoder: str) -> dict[str, Any]:
    """All that the page shows of one encoder."""
    return {
        "name": study.encoders[encoder],
        "tables": [table(study, encoder, share) for share in study.shares],
        "whiskers": [w for s in study.shares for c in study.at(s) if (w := _whiskers(study, encoder, c)).lines],
        "gained": [_gained(study, encoder, columns) for columns in _by_share(study)],
        "curves": _curves(study, encoder),
        "updates": _updates(study, encoder),
        "adapted": [
            (row, [a for column in study.columns if (a := _adapted(study, encoder, row, column))])
            for row in study.rows
            if row.engine == "adapted"
        ],
    }


def _by_share(study: Study) -> list[list[Column]]:
    """Columns that differ in nothing else, where there are two or more."""
    found: dict[tuple[str, tuple[str, ...]], list[Column]] = {}
    for column in sorted(study.columns, key=lambda column: column.share):
        found.setdefault((column.test, column.types), []).append(column)
    return [columns for columns in found.values() if len(columns) > 1]


def _gained(study: Study, encoder: str, columns: Sequence[Column]) -> Gained:
    found: list[tuple[str, int, list[tuple[float, float]]]] = []
    for place, row in enumerate(study.rows):
        systems = [System(encoder, row.variant, "unadapted" if column.share else row.engine) for column in columns]
        spreads = [(c.share, study.spread(c, system)) for c, system in zip(columns, systems, strict=True)]
        found.append((row.label, place, [(share, s.mean) for share, s in spreads if s is not None]))
    scores = [score for _, _, points in found for _, score in points]
    low, high = min(scores, default=0) // 5 * 5, -(max(scores, default=5) // -5) * 5
    most, size = columns[-1].share, max(high - low, 5)
    lines = [(n, place, [(100 * x / most, 100 - 100 * (y - low) / size) for x, y in p]) for n, place, p in found if p]
    return Gained(columns[-1], low, low + size, most, lines)


def _whiskers(study: Study, encoder: str, column: Column) -> Whiskers:
    found = [(row.label, study.spread(column, study.system(encoder, row))) for row in study.rows_at(column.share)]
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
