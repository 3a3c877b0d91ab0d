"""An experiment on Ray: trainings and evaluations, several at once, each cell committed when it is done.

What is done is what is written, so the same command goes on after any end: a bundle that is whole is not trained again,
a training goes on from its checkpoint, an evaluation from its parts, and a cell that is there stays.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

from jobs.experiments.cells import Cell, Training, Tuned, left, runs
from jobs.experiments.claim import claim
from jobs.experiments.data import Data, read
from jobs.experiments.job import Job, room
from jobs.experiments.making.bundles import require_own, trained, training_of, tuned_bundle, tuning_of
from jobs.experiments.making.tidy import forget, tidy
from jobs.experiments.story import Story
from jobs.scoring import parts
from jobs.scoring.result import Result
from jobs.scoring.run import ScoringFailed, evaluate
from metaner_core import storage
from metaner_core.command import say
from metaner_core.data import corpora


def experiment(job: Job, connect: Callable[[], object] = lambda: None) -> dict[str, str]:
    """Do what is left of the grid. Returns what failed, by cell: nothing when all of it is done.

    connect: joins or starts a Ray, when something is to be done.

    Raises ValueError or FileExistsError when the output is another grid's or anything else, a bundle there is another
    training's, or the cluster has no room; FileNotFoundError when a corpus is not there.
    """
    data = read(job)
    claim(job.output, data.facts(job), extend=job.extend)
    every, todo = left(job)
    there = tidy(job, every, todo)
    for training in todo:
        if training.name in there:  # of the others it would take time to ask
            require_own(training_of(job, data, training))
    waiting = sum(len(training.every) for training in todo)
    say(f"{len(every)} cells, {len(every) - waiting} are done; {waiting} to do with {len(todo)} bundle(s)")
    if not todo:
        return {}
    connect()
    at_once = min(room(job), len(todo))
    errors: dict[str, str] = {}
    story = Story(len(every), len(every) - waiting)
    pool = ThreadPoolExecutor(at_once)
    try:
        for found in as_completed([pool.submit(_do, job, data, training, story) for training in todo]):
            errors.update(found.result())
        story.end()
    finally:  # without waiting: when this ends early, threads wait for what may take hours
        pool.shutdown(wait=False, cancel_futures=True)
    if not errors:
        tidy(job, every, [])
    return errors


def _do(job: Job, data: Data, training: Training, story: Story) -> dict[str, str]:
    """One training and its cells, and then what is made of its bundle. Returns what failed, by cell."""
    with story.working():
        return _done(job, data, training, story)


def _done(job: Job, data: Data, training: Training, story: Story) -> dict[str, str]:
    try:
        manifest = trained(job, training_of(job, data, training), training, story)
    except Exception as error:
        story.tell(training.name, f"failed: {_short(error)}")
        return {cell.name: f"its training: {_short(error)}" for cell in training.every}
    errors = _all_scored(job, data, training.bundle(job.output), manifest, training.cells, story)
    for tuned in training.tuned:
        errors |= _tuned_and_scored(job, data, training, tuned, story)
    return errors


def _tuned_and_scored(job: Job, data: Data, training: Training, tuned: Tuned, story: Story) -> dict[str, str]:
    """One fine-tuning and its cells, after which its bundle goes: it is as large as the first, and made in minutes."""
    bundle = tuned.bundle(job.output)
    try:
        manifest = tuned_bundle(job, tuning_of(job, data, training, tuned), training, tuned, story)
    except Exception as error:
        story.tell(tuned.name, f"failed: {_short(error)}")
        return {cell.name: f"its fine-tuning: {_short(error)}" for cell in tuned.cells}
    errors = _all_scored(job, data, bundle, manifest, tuned.cells, story)
    if not errors:
        forget(bundle)
    return errors


def _all_scored(
    job: Job, data: Data, bundle: str, manifest: Mapping[str, Any], cells: Sequence[Cell], story: Story
) -> dict[str, str]:
    """Returns what failed, by cell."""
    errors: dict[str, str] = {}
    for run, todo in runs(cells).items():
        try:
            _scored(job, data, bundle, manifest, todo, story)
        except ScoringFailed as failed:
            errors |= {f"{run}/{test}": told for test, told in failed.errors.items()}
        except Exception as error:
            there = set(storage.list_files(storage.join(job.output, f"cells/{run}")))
            errors |= {cell.name: _short(error) for cell in todo if cell.uri(job.output) not in there}
    for name, told in errors.items():
        story.tell(name, f"failed: {told}")
    return errors


def _short(error: BaseException) -> str:
    """An error in a line: Ray's come with the whole of another process's traceback, whose last line says it."""
    cause = getattr(error, "cause", None) or error
    lines = [line for line in str(cause).strip().splitlines() if line.strip()]
    return f"{type(cause).__name__}: {lines[-1].strip() if lines else 'no more is known'}"


def _scored(job: Job, data: Data, bundle: str, manifest: Mapping[str, Any], todo: Sequence[Cell], story: Story) -> None:
    """Score the cells of one run, and commit each when it is done."""
    run = todo[0].run
    so_far = storage.join(job.output, f"parts/{run}")
    waiting = {cell.test: cell for cell in todo}
    names = _together(so_far, list(waiting))

    def commit(test: int, result: Result) -> None:
        if (cell := waiting.get(names[test])) is not None:
            storage.write_whole(cell.uri(job.output), _cell(cell, bundle, manifest, result))
            story.done(cell.name, result)

    evaluate(
        bundle,
        [data.tests[name] for name in names],
        actors=job.actors,
        gpu=job.gpu,
        threads=job.threads,
        config=job.config,
        changes=todo[0].variant.adapt,
        unadapted=todo[0].variant.unadapted,
        parts=so_far,
        every=job.every_seconds,
        tell=story.teller(run, job.every_seconds),
        found=commit,
    )
    parts.forget(so_far)


def _together(so_far: str, waiting: list[str]) -> list[str]:
    """Tests that are scored together: those that an earlier call began with, if these are among them, for its parts."""
    uri = storage.join(so_far, parts.PLAN)
    if storage.exists(uri):
        begun = [test["name"] for test in json.loads(storage.read_bytes(uri))["facts"]["tests"]]
        if set(waiting) <= set(begun):
            return begun
    parts.forget(so_far)
    return waiting


def _cell(cell: Cell, bundle: str, manifest: Mapping[str, Any], result: Result) -> bytes:
    facts = {
        "encoder": cell.encoder,
        "variant": cell.variant.name,
        "types": list(cell.types),
        "seed": cell.seed,
        "test": cell.test,
        "share": cell.share,
        "language": corpora.CORPORA[cell.test].language,
        "bundle": {"training": bundle.rsplit("/", 1)[-1], "fingerprint": manifest["fingerprint"]},
        "settings": {**manifest["settings"], **cell.variant.adapt},
        "dev_f1": manifest["best"]["dev_f1"],
        "result": result.to_dict(),
    }
    return json.dumps(facts, ensure_ascii=False).encode(errors="backslashreplace")
