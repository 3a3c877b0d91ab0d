"""The bundles of an experiment, as the jobs that train and fine-tune make them, each once and with a record of it."""

import json
import time
from typing import Any

from jobs import fine_tune, meta_train
from jobs.experiments.cells import Training, Tuned
from jobs.experiments.data import Data
from jobs.experiments.job import Job
from jobs.experiments.making.tidy import forget
from jobs.experiments.story import Story
from metaner_core import storage
from metaner_core.bundles.manifest import written_by
from metaner_core.bundles.training import found_anywhere
from metaner_core.encoders.source import settled


def training_of(job: Job, data: Data, training: Training) -> meta_train.Job:
    """The job that makes a training's bundle."""
    train, name = data.train, job.grid.source
    if training.target is not None:
        test, share = training.target
        train = [*train, *data.share(test, share, training.settings.seed)]
        name = f"{name} and {share:g}% of {test}"
    return meta_train.Job(
        settings=found_anywhere(training.settings),
        train=train,
        dev=data.dev,
        encoder=settled(training.encoder),
        engine=job.config.engine,
        source_name=name,
        output=training.bundle(job.output),
        **_where(job),
    )


def _where(job: Job) -> dict[str, Any]:
    """What a training or a fine-tuning runs on."""
    same = {name: getattr(job, name) for name in ("workers", "gpu", "threads")}
    return {**same, "storage": storage.join(job.output, "runs"), "max_failures": job.failures}


def require_own(training: meta_train.Job) -> None:
    """Raises FileExistsError when a bundle's place is taken by another."""
    if written_by(training.output, training.name()) is None:
        storage.require_unused(training.output, "bundle", run=training.name())


def trained(job: Job, task: meta_train.Job, training: Training, story: Story) -> dict[str, Any]:
    """The manifest of the training's bundle, which is made if it is not there."""
    checkpoints = storage.join(task.storage, task.name())
    before = written_by(task.output, task.name())
    if before is None or not storage.exists(training.record(job.output)):
        resumed = bool(storage.list_files(checkpoints))
        started = time.time()
        story.tell(training.name, "training goes on" if resumed else "training")
        manifest = meta_train.meta_train(task, tell=story.teller(training.name, job.every_seconds))
        seconds = None if resumed or before is not None else round(time.time() - started, 1)
        facts = {"encoder": training.encoder, "variant": training.every[0].variant.name, "seconds": seconds}
        curve = {"best": manifest["best"], "history": manifest["history"]}
        own = {"seed": training.settings.seed, "types": list(training.settings.types), "target": training.target}
        storage.write_whole(training.record(job.output), json.dumps({**facts, **own, **curve}, indent=1).encode())
        story.tell(training.name, f"trained: English dev F1 {manifest['best']['dev_f1']:.2f}")
        before = manifest
    forget(checkpoints)  # as large as the bundle, and of no more use
    return before


def tuning_of(job: Job, data: Data, training: Training, tuned: Tuned) -> fine_tune.Job:
    """The job that makes a fine-tuned bundle of a training's."""
    return fine_tune.Job(
        start=training.bundle(job.output),
        train=data.share(tuned.test, tuned.share, training.settings.seed),
        tuning=tuned.tuning,
        corpus=tuned.test,
        share=tuned.share,
        engine=job.config.engine,
        output=tuned.bundle(job.output),
        **_where(job),
    )


def tuned_bundle(job: Job, task: fine_tune.Job, training: Training, tuned: Tuned, story: Story) -> dict[str, Any]:
    """The manifest of the fine-tuned bundle, which is made if it is not there."""
    checkpoints = storage.join(task.storage, task.name())
    manifest = written_by(task.output, task.name())
    if manifest is None or not storage.exists(tuned.record(job.output)):
        known = manifest is None and not storage.list_files(checkpoints)  # how long it takes
        started = time.time()
        if manifest is None:
            forget(task.output)  # what is left of one whose cells are done
            story.tell(tuned.name, f"fine-tuning on {len(task.train)} sentences")
            manifest = fine_tune.tune(task, tell=story.teller(tuned.name, job.every_seconds))
        facts = {"encoder": training.encoder, "variant": tuned.cells[0].variant.name, **manifest["tuned"]}
        seconds = round(time.time() - started, 1) if known else None
        record = {**facts, "seed": training.settings.seed, "seconds": seconds}
        storage.write_whole(tuned.record(job.output), json.dumps(record, indent=1).encode())
    forget(checkpoints)
    return manifest
