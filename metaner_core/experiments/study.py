"""What a report is made of: cells, what stands in which row, what is compared with what, and how sure it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from metaner_core.experiments.scored import ENGINES, Column, Scored, System, systems
from metaner_core.experiments.significance import Comparison, Resampled, Spread, holm


@dataclass(frozen=True)
class Row:
    """A variant as it stands in a table. engine: whose score is its own. published: its row in the paper."""

    variant: str
    label: str
    engine: str = "adapted"
    published: str | None = None


@dataclass(frozen=True)
class Compared:
    """A comparison on one column, with its p corrected for all comparisons of the study."""

    column: Column
    system: System
    other: System
    found: Comparison
    corrected: float

    @property
    def sure(self) -> bool:
        return self.corrected < 0.05


@dataclass(frozen=True, kw_only=True)
class Study:
    """An experiment as far as it is done. missing: names of cells that are not. curves: records of trainings. encoders:
    how each is called."""

    title: str
    rows: Sequence[Row]
    baseline: str
    cells: Sequence[Scored]
    missing: Sequence[str] = ()
    curves: Sequence[Mapping[str, Any]] = ()
    encoders: Mapping[str, str]

    @cached_property
    def columns(self) -> list[Column]:
        return list(dict.fromkeys(cell.column for cell in self.cells))

    @cached_property
    def shares(self) -> list[float]:
        """Of labels of the target, in percent."""
        return sorted({column.share for column in self.columns})

    def at(self, share: float) -> list[Column]:
        return [column for column in self.columns if column.share == share]

    def rows_at(self, share: float) -> list[Row]:
        """Rows of a table. With labels of the target all are read unadapted, as the paper tests there (Sec. 4.6), and
        what would be read adapted stands below itself."""
        found = []
        for row in self.rows:
            if share and row.engine != "unadapted":
                found.append(replace(row, engine="unadapted"))
                found.append(replace(row, label=f"{row.label}, adapted", published=None))
            else:
                found.append(row)
        return found

    def of(self, column: Column) -> list[Scored]:
        return [cell for cell in self.cells if cell.column == column]

    @cached_property
    def resampled(self) -> dict[Column, Resampled]:
        named = {column: systems(self.of(column)) for column in self.columns}
        return {column: Resampled({_name(s): c for s, c in found.items()}) for column, found in named.items()}

    def spread(self, column: Column, system: System) -> Spread | None:
        """A system's score; None: it has none yet."""
        found = self.resampled[column]
        return found.spread(_name(system)) if _name(system) in found.systems else None

    @cached_property
    def comparisons(self) -> list[Compared]:
        """Every variant with the baseline, each as it is read, and every variant adapted with itself unadapted."""
        pairs = [(column, *pair) for column in self.columns for pair in self._pairs(column.share)]
        found = [(column, a, b, self._compared(column, a, b)) for column, a, b in pairs]
        kept = [(column, a, b, comparison) for column, a, b, comparison in found if comparison is not None]
        corrected = holm([comparison.p for *_, comparison in kept])
        return [Compared(*parts, p) for parts, p in zip(kept, corrected, strict=True)]

    def comparison(self, column: Column, system: System, other: System) -> Compared | None:
        """One of `comparisons`, if it is there."""
        wanted = (column, system, other)
        return next((c for c in self.comparisons if (c.column, c.system, c.other) == wanted), None)

    def system(self, encoder: str, row: Row) -> System:
        return System(encoder, row.variant, row.engine)

    def base(self, encoder: str, share: float = 0) -> System:
        return self.system(encoder, next(row for row in self.rows_at(share) if row.variant == self.baseline))

    def _pairs(self, share: float) -> list[tuple[System, System]]:
        found: dict[tuple[System, System], None] = {}
        for encoder in self.encoders:
            for row in self.rows_at(share):
                if row.variant != self.baseline:
                    found[self.system(encoder, row), self.base(encoder, share)] = None
                both = [System(encoder, row.variant, engine) for engine in ENGINES]
                found[both[1], both[0]] = None
        return list(found)

    def _compared(self, column: Column, system: System, other: System) -> Comparison | None:
        found = self.resampled[column]
        there = {_name(system), _name(other)} <= found.systems.keys()
        return found.comparison(_name(system), _name(other)) if there else None


def _name(system: System) -> str:
    return f"{system.encoder} {system.variant} {system.engine}"
