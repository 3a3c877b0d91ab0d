"""An experiment's figures as Arrow tables, for Parquet: scores by cell, comparisons, learning curves."""

import io
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from metaner_core.data.scoring import Score, scores
from metaner_core.experiments.published import figure
from metaner_core.experiments.scored import Scored
from metaner_core.experiments.study import Study

ALL = "all"  # the type of a row that is of all types
_SHARE = ("share", pa.float64())  # percent of the target's labelled training sentences that were seen
_CELL = [("encoder", pa.string()), ("variant", pa.string()), ("types", pa.list_(pa.string())), ("seed", pa.int64())]
SCHEMAS = {
    "results": pa.schema(
        [
            *_CELL,
            ("test", pa.string()),
            _SHARE,
            ("language", pa.string()),
            ("engine", pa.string()),
            ("type", pa.string()),  # ALL: the micro average
            ("correct", pa.int64()),
            ("predicted", pa.int64()),
            ("gold", pa.int64()),
            ("precision", pa.float64()),  # these three in percent
            ("recall", pa.float64()),
            ("f1", pa.float64()),
            ("published", pa.float64()),  # the paper's F1 of the row that the grid names
            ("dev_f1", pa.float64()),
            ("sentences", pa.int64()),
            ("seconds", pa.float64()),
        ]
    ),
    "comparisons": pa.schema(
        [
            ("test", pa.string()),
            _SHARE,
            ("types", pa.list_(pa.string())),
            ("encoder", pa.string()),
            ("variant", pa.string()),
            ("engine", pa.string()),
            ("other_variant", pa.string()),
            ("other_engine", pa.string()),
            ("seeds", pa.int64()),
            ("difference", pa.float64()),  # of mean F1, in points
            ("low", pa.float64()),
            ("high", pa.float64()),
            ("p", pa.float64()),  # sentences and seeds resampled
            ("p_holm", pa.float64()),  # corrected for all rows of this table
            ("p_within", pa.map_(pa.int64(), pa.float64())),  # by seed, sentences resampled
            ("t_low", pa.float64()),
            ("t_high", pa.float64()),
            ("t_p", pa.float64()),  # Student's t over seeds
        ]
    ),
    "curves": pa.schema(
        [
            *_CELL,
            ("test", pa.string()),
            _SHARE,
            ("update", pa.int64()),
            ("loss", pa.float64()),
            ("dev_f1", pa.float64()),
        ]
    ),
}


def tables(study: Study) -> dict[str, pa.Table]:
    """By name: results, comparisons, curves."""
    rows = {"results": _results(study), "comparisons": _comparisons(study), "curves": _curves(study)}
    return {name: pa.Table.from_pylist(list(found), SCHEMAS[name]) for name, found in rows.items()}


def parquet(table: pa.Table) -> bytes:
    """The table as a Parquet file."""
    file = io.BytesIO()
    pq.write_table(table, file, compression="zstd")
    return file.getvalue()


def _results(study: Study) -> Iterator[dict[str, Any]]:
    published = {row.variant: row.published or "" for row in study.rows}
    for cell in study.cells:
        same = {
            name: getattr(cell, name) for name in ("encoder", "variant", "seed", "test", "share", "language", "dev_f1")
        }
        same |= {"types": list(cell.types), "sentences": cell.sentences}
        for engine in cell.counts:
            own = {"engine": engine, "seconds": cell.seconds[engine]}
            for type_, counts, score in _by_type(cell, engine):
                figures = {"precision": score.precision, "recall": score.recall, "f1": score.f1}
                paper = figure(published[cell.variant], cell.test, cell.share) if type_ == ALL else None
                yield {**same, **own, "type": type_, **counts, **figures, "published": paper}


def _by_type(cell: Scored, engine: str) -> Iterator[tuple[str, dict[str, int], Score]]:
    counts = cell.counts[engine]
    found = scores(counts)
    yield ALL, {k: sum(v.values()) for k, v in counts.to_dict().items()}, found.overall
    for type_, score in found.by_type.items():
        yield type_, {k: v.get(type_, 0) for k, v in counts.to_dict().items()}, score


def _comparisons(study: Study) -> Iterator[dict[str, Any]]:
    for c in study.comparisons:
        figures = ("difference", "low", "high", "p", "t_low", "t_high", "t_p")
        yield {
            "test": c.column.test,
            "share": c.column.share,
            "types": list(c.column.types),
            "encoder": c.system.encoder,
            "variant": c.system.variant,
            "engine": c.system.engine,
            "other_variant": c.other.variant,
            "other_engine": c.other.engine,
            "seeds": len(c.found.within),
            "p_holm": c.corrected,
            "p_within": sorted(c.found.within.items()),
            **{name: getattr(c.found, name) for name in figures},
        }


def _curves(study: Study) -> Iterator[dict[str, Any]]:
    for curve in study.curves:
        test, share = curve.get("target") or (None, 0)  # that English was put together with
        same = {name: curve[name] for name in ("encoder", "variant", "types", "seed")} | {"test": test, "share": share}
        for point in curve["history"]:
            yield {**same, **{name: point[name] for name in ("update", "loss", "dev_f1")}}
