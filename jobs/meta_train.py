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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobs.common.config import OptionsParser
from jobs.common.options import add_engine_option, greatest, in_words
from jobs.common.progress import Tell
from jobs.common.session import connect
from jobs.training.learning import Learning, learn
from jobs.training.options import add_training_options, training_run
from metaner_core.bundles.training import MetaTraining, add_options, best_line, dev_line, from_options
from metaner_core.command import run, say

EXAMPLES = (
    "--preset demo --output out/bundle",
    "--preset e5 --encoder e5-small --corpus conll2003-en --data DATA --output out/bundle --workers 2",
)


@dataclass(frozen=True, kw_only=True)
class Job(MetaTraining, Learning):
    """What one run trains on and where it puts things."""

    def line(self, metrics: Mapping[str, Any]) -> str:
        return dev_line(metrics)


def meta_train(job: Job, tell: Tell = say) -> dict[str, Any]:
    """Run the job on the connected Ray and write the bundle, unless it has written it. Returns the bundle's manifest.

    tell: takes lines of progress. Raises what `MetaTraining.written` does.
    """
    return learn(job, tell)


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
