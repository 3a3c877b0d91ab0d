"""Scores laid out as the paper's tables: a row for each variant, ours and the published figures one below the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from metaner_core.experiments.published import OTHERS, TESTS, average, figure
from metaner_core.experiments.scored import Column
from metaner_core.experiments.significance import Spread
from metaner_core.experiments.study import Compared, Row, Study


@dataclass(frozen=True)
class Figure:
    """One of a table's figures. compared: with the baseline, of all variants but itself."""

    spread: Spread | None
    published: float | None
    compared: Compared | None


@dataclass(frozen=True)
class Line:
    """One row of a table. average: over all columns, where every one has a figure; published: likewise, and of Table 5
    over the paper's five languages."""

    row: Row
    figures: list[Figure]
    average: float | None
    published: float | None

    @property
    def papers(self) -> bool:
        """Whether the paper has a figure for it."""
        return self.published is not None or any(f.published is not None for f in self.figures)

    @property
    def done(self) -> bool:
        return any(f.spread is not None for f in self.figures)


@dataclass(frozen=True)
class Table:
    """The scores of one encoder with one share of labels, and those of earlier systems as published."""

    share: float
    columns: list[Column]
    lines: list[Line]
    others: list[tuple[str, list[float | None]]]


def table(study: Study, encoder: str, share: float) -> Table:
    columns, rows = study.at(share), study.rows_at(share)
    there = {cell.variant for cell in study.cells}
    lines = [_line(study, encoder, row, columns, share) for row in rows]
    kept = [line for line in lines if line.done or line.row.variant not in there]  # of another share only
    papers = not share and any(column.test in TESTS for column in columns)
    others = [(name, [figure(name, column.test) for column in columns]) for name in OTHERS if papers]
    return Table(share, columns, kept, others)


def _line(study: Study, encoder: str, row: Row, columns: Sequence[Column], share: float) -> Line:
    system, base, name = study.system(encoder, row), study.base(encoder, share), row.published or ""
    figures = [
        Figure(
            study.spread(column, system),
            figure(name, column.test, share),
            study.comparison(column, system, base),
        )
        for column in columns
    ]
    means = _mean([f.spread.mean if f.spread is not None else None for f in figures])
    if share:
        return Line(row, figures, means, average(name, share) if any(c.test in TESTS for c in columns) else None)
    return Line(row, figures, means, _mean([f.published for f in figures]))


def _mean(figures: Sequence[float | None]) -> float | None:
    """None, unless every one is there."""
    there = [f for f in figures if f is not None]
    return fmean(there) if len(there) == len(figures) else None
