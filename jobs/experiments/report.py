"""From an experiment's cells to its tables and its page."""

import json
from typing import Any

from jobs.experiments.cells import cells
from jobs.experiments.checks import label
from jobs.experiments.job import Job
from metaner_core import storage
from metaner_core.experiments import page, tables, tensorboard
from metaner_core.experiments.scored import Scored
from metaner_core.experiments.study import Row, Study

PAGE = "report.html"


def report(job: Job) -> str:
    """Write the tables (Parquet) and the page of the cells that are done, in place of earlier ones.

    Returns where the page is, in a line.
    """
    every = cells(job.grid)
    there = set(storage.list_files(storage.join(job.output, "cells")))
    done = [Scored.of(_read(cell.uri(job.output))) for cell in every if cell.uri(job.output) in there]
    names = [cell.name for cell in every if cell.uri(job.output) not in there]
    curves = [_read(uri) for uri in storage.list_files(storage.join(job.output, "trainings")) if uri.endswith(".json")]
    study = Study(
        title=job.grid.title or f"Experiment {job.grid.name}",
        rows=[Row(v.name, v.label or v.name, v.reads, v.published) for v in job.grid.variants],
        baseline=job.grid.baseline,
        cells=done,
        missing=names,
        curves=curves,
        encoders={encoder: label(encoder) for encoder in job.grid.encoders},
    )
    for name, table in tables.tables(study).items():
        storage.write_whole(storage.join(job.output, f"{name}.parquet"), tables.parquet(table))
    if job.tensorboard is not None:
        tensorboard.write(study, job.tensorboard)
    facts = [("Output", job.output), ("Source", job.grid.source), ("Seeds", ", ".join(map(str, job.grid.seeds)))]
    html = page.render(study, facts)
    storage.write_whole(storage.join(job.output, PAGE), html.encode(errors="backslashreplace"))
    return f"{len(done)} of {len(every)} cells; report at {storage.join(job.output, PAGE)}"


def _read(uri: str) -> dict[str, Any]:
    return json.loads(storage.read_bytes(uri))  # type: ignore[no-any-return]
