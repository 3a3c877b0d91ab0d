"""Distilling as a Ray Train job: tagging outputs and English labels in, a bundle out that tags without neighbours.

    laptop    python -m jobs.bulk_tag --bundle out/bundle --input crawl/ --output out/tagged \\
                  --keep-probabilities --keep-unadapted
              python -m jobs.distill --tagged out/tagged --corpus conll2003-en --data DATA --output out/student
    one GPU   python -m jobs.distill --gpu --tagged out/tagged --set least_certain=0.7 --set agree=true \\
                  --corpus conll2003-en --data DATA --output out/student
    cluster   ray job submit --working-dir . -- python -m jobs.distill --gpu --workers 8 --set batch=256 \\
                  --tagged s3://bucket/tagged-es s3://bucket/tagged-de --encoder s3://bucket/small \\
                  --corpus conll2003-en --data s3://bucket/data --storage s3://bucket/runs --output s3://bucket/student

The outputs are streamed, a few row groups at a time. Stopped at any moment and started again with the same options, it
goes on from its newest checkpoint. The best model on English dev is kept. `--preset control` learns for as many steps
from English labels alone: what a student is worth shows beside it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobs.common.config import OptionsParser
from jobs.common.options import greatest, in_words
from jobs.common.progress import Tell
from jobs.common.session import connect
from jobs.training.learning import Learning, learn
from jobs.training.options import add_training_options, training_run
from metaner_core.command import run, say
from metaner_core.distilling.run import Distilling, add_options, ending, from_options, interval_line

EXAMPLES = (
    "--tagged out/tagged --corpus conll2003-en --data DATA --output out/student",
    "--tagged out/es out/de --encoder e5-small --preset literature --set least_certain=0.7 --output out/student",
)


@dataclass(frozen=True, kw_only=True)
class Job(Distilling, Learning):
    """What one run learns from and where it puts things."""

    def line(self, metrics: Mapping[str, Any]) -> str:
        return interval_line(metrics)


def distill(job: Job, tell: Tell = say) -> dict[str, Any]:
    """Run the job on the connected Ray and write the bundle, unless it has written it. Returns the bundle's manifest.

    tell: takes lines of progress. Raises what `Distilling.written` does.
    """
    return learn(job, tell)


def parse(
    arguments: Sequence[str] | None = None, given: Mapping[str, Any] | None = None, where: str = ""
) -> tuple[Job, str | None]:
    """Command line to job, and the Ray that it names. given, where: as OptionsParser.parse takes them.

    Raises ValueError for options that cannot be or do not go together.
    """
    parser = OptionsParser("jobs.distill", "Teach a plain tagger what tagged documents say.", EXAMPLES)
    add_options(parser)
    add_training_options(parser, output="the bundle", storage="checkpoints")
    options = parser.parse(arguments, given, where)
    return Job(config=options.config, **from_options(options), **training_run(options)), options.address


def main() -> None:
    job, address = parse()
    manifest = job.written(job.output)  # what is wrong is told before a Ray is started
    if manifest is None:
        connect(address, cpus=greatest(job.workers) + 1, room=job.room)
        say(f"distilling {job.name()} from {', '.join(job.tagged)}, {in_words(job.workers)} worker(s)")
        manifest = distill(job)
    say(ending(manifest, job.output))


if __name__ == "__main__":
    run(main)
