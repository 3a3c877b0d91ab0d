"""What is left of an experiment, and how long it would take by what its cells have taken so far."""

import json
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from jobs.experiments.cells import Cell, Training
from jobs.experiments.job import Job
from metaner_core import storage
from metaner_core.report.units import duration


def told(
    job: Job, every: Sequence[Cell], todo: Sequence[Training], sizes: Mapping[str, int], targets: Mapping[str, int]
) -> list[str]:
    """Lines: what would run, and the hours that it would take. sizes: sentences of each test; targets: of the training
    sets of those of which a share is taken."""
    waiting = sum(len(training.every) for training in todo)
    there = [storage.exists(t.bundle(job.output) + f"/{storage.MANIFEST}") for t in todo]
    lines = [f"{len(every)} cells, {len(every) - waiting} are done; {waiting} to do with {len(todo)} bundle(s):"]
    for training, trained in zip(todo, there, strict=True):
        s = training.settings
        what = "is trained" if trained else f"to train: {s.meta_updates:,} updates of {s.tasks_per_update} tasks"
        tests = dict.fromkeys(cell.test for cell in training.every)
        more = f"; {len(training.tuned)} fine-tuning(s) of it" if training.tuned else ""
        lines.append(f"  {training.name}: {what}; tests {', '.join(tests)}{more}")
    untrained = [training for training, trained in zip(todo, there, strict=True) if not trained]
    return [*lines, _hours(job, untrained, todo, sizes, targets)]


def _hours(
    job: Job,
    untrained: Sequence[Training],
    todo: Sequence[Training],
    sizes: Mapping[str, int],
    targets: Mapping[str, int],
) -> str:
    if not todo:
        return "nothing is left to do"
    training, tuning, scoring = _training_seconds(job), _tuning_seconds(job), _scoring_seconds(job)
    needed = [training.get((t.encoder, t.every[0].variant.name)) for t in untrained]
    cells = [cell for t in todo for cell in t.every]
    tuned = [(t.cells[0], targets[t.test] * t.share / 100) for each in todo for t in each.tuned]
    work: list[tuple[float | None, float]]
    work = [(scoring.get((c.encoder, c.variant.name)), sizes[c.test]) for c in cells]
    work += [(tuning.get((c.encoder, c.variant.name)), n) for c, n in tuned]
    known = [seconds for seconds in needed if seconds is not None]
    seconds = sum(known) + sum(each * n for each, n in work if each is not None)
    unknown = sum(s is None for s in needed), sum(each is None for each, _ in work)
    said = f"{duration(seconds)} of one worker and one actor after another"
    if not any(unknown):
        return f"by what was measured here so far: {said}; divide by what goes on at once"
    least = f"what is known adds up to {said}; " if seconds else ""
    return (
        f"{least}how long {unknown[0]} training(s) and {unknown[1]} cell(s) or fine-tuning(s) take cannot be known "
        "before one of each encoder and variant is done here: run it for a while, then ask again"
    )


def _training_seconds(job: Job) -> dict[tuple[str, str], float]:
    """Of one training, by encoder and variant, from those that went on without a break."""
    records = [r for r in _read(job, "trainings") if r["seconds"] is not None]
    return _means(((r["encoder"], r["variant"]), r["seconds"]) for r in records)


def _tuning_seconds(job: Job) -> dict[tuple[str, str], float]:
    """Of one sentence, by encoder and variant."""
    records = [r for r in _read(job, "tuned") if r["seconds"] is not None]
    return _means(((r["encoder"], r["variant"]), r["seconds"] / r["sentences"]) for r in records)


def _scoring_seconds(job: Job) -> dict[tuple[str, str], float]:
    """Of one sentence, all engines that score it, by encoder and variant."""
    found = []
    for cell in _read(job, "cells"):
        result = cell["result"]
        if result["sentences"]:
            seconds = sum(result["seconds"].values())
            found.append(((cell["encoder"], cell["variant"]), seconds / result["sentences"]))
    return _means(found)


def _means(found: Iterable[tuple[tuple[str, str], float]]) -> dict[tuple[str, str], float]:
    groups: dict[tuple[str, str], list[float]] = {}
    for key, value in found:
        groups.setdefault(key, []).append(value)
    return {key: fmean(values) for key, values in groups.items()}


def _read(job: Job, part: str) -> list[dict[str, Any]]:
    uris = storage.list_files(storage.join(job.output, part))
    return [json.loads(storage.read_bytes(uri)) for uri in uris if uri.endswith(".json")]
