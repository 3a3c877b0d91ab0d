"""Meta-training as a Ray Train job: English labels in, a bundle out.

    laptop    python -m jobs.meta_train --preset demo --output out/bundle
    one GPU   python -m jobs.meta_train --gpu --encoder bert-base-multilingual-cased \\
                  --corpus conll2003-en --data DATA --output out/bundle
    cluster   ray job submit --working-dir . -- python -m jobs.meta_train --gpu --workers 8 \\
                  --encoder s3://bucket/mbert --corpus conll2003-en --data s3://bucket/data \\
                  --storage s3://bucket/runs --output s3://bucket/bundle

Stopped at any moment and started again with the same options, it goes on from its newest checkpoint. `--preset base`
trains the base model (plain fine-tuning) on the same budget.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray

from jobs.common.config import OptionsParser
from jobs.common.imports import gc_paused
from jobs.common.options import add_engine_option, greatest, in_words
from jobs.common.progress import Tell, told
from jobs.common.session import connect
from jobs.training.options import TrainingRun, add_training_options, training_run
from jobs.training.trainer import device_of_worker, fit
from metaner_core import storage
from metaner_core.bundles.training import MetaTraining, add_options, best_line, dev_line, from_options
from metaner_core.command import run, say

EXAMPLES = (
    "--preset demo --output out/bundle",
    "--preset e5 --encoder e5-small --corpus conll2003-en --data DATA --output out/bundle --workers 2",
)


@dataclass(frozen=True, kw_only=True)
class Job(TrainingRun, MetaTraining):
    """What one run trains on and where it puts things."""


def meta_train(job: Job, tell: Tell = say) -> dict[str, Any]:
    """Run the job on the connected Ray and write the bundle, unless it has written it. Returns the bundle's manifest.

    tell: takes lines of progress.

    Raises what `MetaTraining.written` does.
    """
    if (manifest := job.written(job.output)) is not None:
        return manifest
    with told(tell, machines=True) as board:
        fit(job, job.name(), worker, {"job": ray.put(job), "board": board})
    return json.loads(storage.read_bytes(storage.join(job.output, storage.MANIFEST)))


def worker(config: Mapping[str, Any]) -> None:
    """What each Ray Train worker does: the whole of meta-training, in step with the others."""
    with gc_paused():  # late: the driver needs none of it
        import metaner_core.bundles.prepare  # noqa: F401
        from jobs.training.checkpoints import RayCheckpoints

    job: Job = ray.get(config["job"])
    post = config["board"].post.remote
    device = device_of_worker(job, post)
    facts = {"workers": job.workers, "config": job.config}
    job.run(job.output, RayCheckpoints(lambda m: post(dev_line(m))), device=device, tell=post, facts=facts)


def parse(arguments: Sequence[str] | None = None) -> tuple[Job, str | None]:
    """Command line to job. Raises ValueError for options that do not go together."""
    parser = OptionsParser("jobs.meta_train", "Meta-train a tagger on English labels into a bundle.", EXAMPLES)
    add_options(parser)
    add_engine_option(parser, precision=False)
    add_training_options(parser, output="the bundle", storage="checkpoints")
    options = parser.parse(arguments)
    job = Job(engine=options.engine, config=options.config, **from_options(options), **training_run(options))
    return job, options.address


def main() -> None:
    job, address = parse()
    connect(address, cpus=greatest(job.workers) + 1, room=job.room)
    say(f"meta-training {job.name()}: {len(job.train)} source sentences, {in_words(job.workers)} worker(s)")
    say(best_line(meta_train(job), job.output))


if __name__ == "__main__":
    run(main)
