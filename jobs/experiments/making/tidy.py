"""What an experiment deletes when it is of no more use: fine-tuned bundles, checkpoints and parts of evaluations."""

from collections.abc import Sequence

from jobs.experiments.cells import Cell, Training, trainings
from jobs.experiments.job import Job
from metaner_core import storage


def tidy(job: Job, every: Sequence[Cell], todo: Sequence[Training]) -> set[str]:
    """Delete what earlier calls would have deleted, had they not been stopped. Returns names of bundles that are there.

    every: all cells. todo: what is left to do.
    """
    bundles = storage.join(job.output, "bundles")
    there = {uri.removeprefix(f"{bundles}/").partition("/")[0] for uri in storage.list_files(bundles)}
    needed = {tuned.name for training in todo for tuned in training.tuned}
    done = {tuned.name for training in trainings(every) for tuned in training.tuned} - needed
    for name in sorted(there & done):
        forget(storage.join(bundles, name))
    for part in () if todo else ("runs", "parts"):
        forget(storage.join(job.output, part))
    return there - done


def forget(uri: str) -> None:
    """Delete all files there, a manifest first: what is left without one is nothing."""
    for file in sorted(storage.list_files(uri), key=lambda file: not file.endswith(f"/{storage.MANIFEST}")):
        storage.delete(file)
