"""Fine-tuning on a share of a target language's labels (Sec. 4.6) as a Ray Train job: a bundle in, a bundle out.

    laptop    python -m jobs.fine_tune --bundle out/bundle --corpus conll2002-es --share 2 --data DATA --output out/es-2
    cluster   ray job submit --working-dir . -- python -m jobs.fine_tune --gpu --bundle s3://bucket/bundle \\
                  --corpus conll2002-es --share 2 --data s3://bucket/data --output s3://bucket/es-2

Stopped at any moment and started again with the same options, it goes on from its newest checkpoint, or begins again:
what takes a minute has none. One model for English and a target's labels together is meta-training's `--target`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jobs.common.config import OptionsParser
from jobs.common.options import add_engine_option, greatest, in_words
from jobs.common.progress import Tell
from jobs.common.session import connect
from jobs.training.learning import Learning, learn
from jobs.training.options import add_training_options, training_run
from metaner_core import storage
from metaner_core.bundles import manifest as manifests
from metaner_core.bundles.fine_tuning import FineTuning, shared
from metaner_core.command import run, say
from metaner_core.data import corpora
from metaner_core.data.sentences import drawn
from metaner_core.tuning import Tuning, share_problem

EXAMPLES = (
    "--bundle out/bundle --corpus conll2002-es --share 2 --data DATA --output out/es-2",
    "--bundle out/bundle --train my.conll --output out/mine",
)


@dataclass(frozen=True, kw_only=True)
class Job(FineTuning, Learning):
    """What one run fine-tunes on and where it puts things."""


def tune(job: Job, tell: Tell = say) -> dict[str, Any]:
    """Run the job on the connected Ray and write the bundle, unless it has written it. Returns the bundle's manifest.

    tell: takes lines of progress. Raises what `FineTuning.written` does.
    """
    return learn(job, tell)


def parse(arguments: Sequence[str] | None = None) -> tuple[Job, str | None]:
    """Command line to job. Raises ValueError for options that cannot be or do not go together."""
    parser = OptionsParser("jobs.fine_tune", "Fine-tune a bundle on labels of a target language.", EXAMPLES)
    parser.add_argument("--bundle", required=True, help="to start from: folder or s3:// prefix")
    parser.add_argument("--corpus", help=f"of {', '.join(corpora.CORPORA)}")
    parser.add_argument("--data", help="folder or s3:// prefix that holds the corpora's folders")
    parser.add_argument("--train", help="your own column file in place of --corpus")
    drawn_by = "drawn with the bundle's own seed"
    parser.add_argument("--share", type=float, default=100.0, help=f"percent of it, {drawn_by} (default: 100)")
    parser.add_argument("--epochs", type=int, default=Tuning.epochs, help="(default: %(default)s)")
    parser.add_argument("--batch", type=int, default=Tuning.batch, help="sentences (default: %(default)s)")
    parser.add_argument("--rate", type=float, help="learning rate (default: a third of β, the paper's 1e-5)")
    parser.add_argument("--optimizer", default=Tuning.optimizer, help="(default: that of training)")
    fresh = "fresh: forget the optimiser's history with every batch, as the authors' code (default: kept)"
    parser.add_argument("--state", default=Tuning.state, help=fresh)
    add_engine_option(parser, precision=False)
    add_training_options(parser, output="the new bundle", storage="checkpoints")
    options = parser.parse(arguments)
    if bool(options.corpus) == bool(options.train):
        raise ValueError("give a --corpus, or your own file as --train: one of the two")
    if (problem := share_problem(options.share)) is not None:
        raise ValueError(f"--share: {problem}")
    start = storage.absolute(options.bundle)
    manifest = manifests.read(start)
    manifests.require_usable(start, manifest)
    job = Job(
        start=start,
        train=_sentences(options, manifest["settings"]["seed"]),
        corpus=options.train or options.corpus,
        share=options.share,
        tuning=Tuning(**{name: getattr(options, name) for name in ("epochs", "batch", "rate", "optimizer", "state")}),
        engine=options.engine,
        config=options.config,
        **training_run(options),
    )
    return job, options.address


def _sentences(options: Any, seed: int) -> list[corpora.Sentence]:
    if options.train:
        return drawn(corpora.read_sentences(options.train), options.share, seed)
    return shared(options.corpus, options.share, seed, data=options.data)


def main() -> None:
    job, address = parse()
    connect(address, cpus=greatest(job.workers) + 1, room=job.room)
    say(f"fine-tuning {job.start} on {len(job.train)} sentences of {job.corpus}, {in_words(job.workers)} worker(s)")
    tune(job)
    say(f"bundle at {job.output}")


if __name__ == "__main__":
    run(main)
