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

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ray

from jobs.common.config import OptionsParser
from jobs.common.imports import gc_paused
from jobs.common.options import add_engine_option
from jobs.common.progress import told
from jobs.common.session import connect
from jobs.training.options import EVERY_SECONDS, TrainingRun, add_training_options, training_run
from jobs.training.trainer import trainer
from metaner_core import storage
from metaner_core.bundles.manifest import written_by
from metaner_core.command import USERS_ERRORS, run, say
from metaner_core.data import corpora
from metaner_core.data.corpora import Sentence
from metaner_core.data.sentences import fingerprint, usable
from metaner_core.encoders.source import require_source
from metaner_core.settings import PRESETS, SAME, Settings, parse_overrides, preset

if TYPE_CHECKING:
    from ray.train import WorkerGroupError

EXAMPLES = (
    "--preset demo --output out/bundle",
    "--preset embedded --corpus conll2003-en --data DATA --output out/bundle --workers 2",
)


@dataclass(frozen=True, kw_only=True)
class Job(TrainingRun):
    """What one run trains on and where it puts things."""

    settings: Settings
    train: Sequence[Sentence]
    dev: Sequence[Sentence]
    encoder: str
    engine: str = "batched"
    source_name: str = "files"

    def name(self) -> str:
        """Fingerprint of all that decides the result: a run may only ever go on from its own checkpoints."""
        data = [fingerprint(self.train), fingerprint(self.dev)]
        parts = json.dumps([self.settings.fingerprint(), *data, self.encoder])
        return f"{self.settings.preset}-{hashlib.sha256(parts.encode()).hexdigest()[:12]}"


def meta_train(job: Job) -> dict[str, Any]:
    """Run the job on the connected Ray and write the bundle, unless it has written it. Returns the bundle's manifest.

    Raises FileExistsError when the output is taken and ValueError when the data do not fit the settings.
    """
    if (manifest := written_by(job.output, job.name())) is not None:
        say(f"{job.output} is finished: nothing to do")
        return manifest
    storage.require_unused(job.output, "bundle", run=job.name())
    check_data(job)
    for encoder in {job.encoder, job.settings.retrieval_encoder} - {SAME}:
        require_source(encoder)
    from ray.train import WorkerGroupError  # late: seconds, and what is wrong so far is told at once

    with told() as board:
        try:
            trainer(job, job.name(), worker, {"job": ray.put(job), "board": board}).fit()
        except WorkerGroupError as error:
            raise _users_error(error) from error
    return json.loads(storage.read_bytes(storage.join(job.output, storage.MANIFEST)))


def _users_error(error: "WorkerGroupError") -> Exception:
    """What a worker found wrong with what the user gave, if that is why training failed; else the failure itself."""
    causes = (getattr(failure, "cause", failure) for failure in error.worker_failures.values())
    return next((cause for cause in causes if isinstance(cause, USERS_ERRORS)), error)


def check_data(job: Job) -> None:
    """Raises ValueError when there is nothing to learn from or to select on."""
    for part, sentences in (("train", job.train), ("dev", job.dev)):
        kept = usable(sentences, job.settings.types)
        if not any(label != "O" for s in kept for label in s.labels):
            raise ValueError(
                f"{part} has no entity of {', '.join(job.settings.types)} in {len(kept)} sentences: "
                "check the file and the setting `types`"
            )


def worker(config: Mapping[str, Any]) -> None:
    """What each Ray Train worker does: the whole of meta-training, in step with the others."""
    with gc_paused():  # late: the driver needs none of it
        import torch
        from ray.train.torch import get_device

        from jobs.training.checkpoints import RayCheckpoints
        from metaner_core import workers
        from metaner_core.bundles import bundle
        from metaner_core.bundles.prepare import prepare

    job: Job = ray.get(config["job"])
    if not job.gpu:
        torch.set_num_threads(job.threads)
    device = get_device() if job.gpu else torch.device("cpu")
    post = config["board"].post.remote if workers.rank() == 0 else lambda line: None
    prepared = prepare(
        job.settings,
        job.train,
        job.dev,
        encoder=job.encoder,
        device=device,
        engine=job.engine,
        on_update=progress(job.settings, post),
    )
    state = prepared.trainer.run(RayCheckpoints(lambda metrics: post(dev_line(metrics))))
    if workers.rank() == 0:
        facts = {
            "source_name": job.source_name,
            "encoder": job.encoder,
            "best": {"dev_f1": state.best_f1, "update": state.best_update, "selected_on": job.settings.select_on},
            "history": state.history,
            "workers": job.workers,
            "config": job.config,
        }
        bundle.write(job.output, prepared, facts=facts, run=job.name())
    workers.wait_for_all()


def dev_line(metrics: Mapping[str, Any]) -> str:
    """What is told of an interval of meta-updates."""
    return "meta-update {update}: loss {loss:.3f}, dev F1 {dev_f1:.2f} (best {best_f1:.2f})".format(**metrics)


def progress(settings: Settings, post: Callable[[str], Any]) -> Callable[[int, float], None]:
    """A function that posts every few seconds how far meta-training is; seconds count from the run's start."""
    before, told_at = -1, 0.0

    def tell(update: int, seconds: float) -> None:
        nonlocal before, told_at
        before = update - 1 if before < 0 else before
        if seconds - told_at >= EVERY_SECONDS:
            told_at = seconds
            each = seconds / (update - before)
            left = each * (settings.meta_updates - update) / 60
            post(f"meta-update {update}/{settings.meta_updates}, {each:.2f} s each, {left:.0f} min left")

    return tell


def parse(arguments: Sequence[str] | None = None) -> tuple[Job, str | None]:
    """Command line to job. Raises ValueError for options that do not go together."""
    parser = OptionsParser("jobs.meta_train", "Meta-train a tagger on English labels into a bundle.", EXAMPLES)
    parser.add_argument("--preset", default="paper", choices=PRESETS, help="named hyper-parameters (default: paper)")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="replace one hyper-parameter")
    parser.add_argument("--seed", type=int, help="the same as --set seed=N")
    parser.add_argument("--encoder", default="embedded", help="`embedded`, `e5-small`, a folder, s3:// or a hub name")
    parser.add_argument("--corpus", default="embedded-en", help=f"one of {', '.join(corpora.CORPORA)}")
    parser.add_argument("--data", help="folder or s3:// prefix that holds the corpora's folders")
    parser.add_argument("--train", help="your own column file in place of --corpus")
    parser.add_argument("--dev", help="goes with --train")
    add_engine_option(parser, precision=False)
    add_training_options(parser, output="the bundle", storage="checkpoints")
    options = parser.parse(arguments)
    if bool(options.train) != bool(options.dev):
        raise ValueError("--train and --dev go together: give both, or neither and a --corpus")
    overrides = parse_overrides(options.set) | ({} if options.seed is None else {"seed": options.seed})
    settings = preset(options.preset, **overrides)
    if options.train:
        parts = [corpora.read_sentences(options.train), corpora.read_sentences(options.dev)]
    else:
        parts = [corpora.load(options.corpus, split, data=options.data) for split in ("train", "dev")]
    job = Job(
        settings=settings,
        train=parts[0],
        dev=parts[1],
        source_name=options.train or options.corpus,
        encoder=options.encoder,
        engine=options.engine,
        config=options.config,
        **training_run(options),
    )
    return job, options.address


def main() -> None:
    job, address = parse()
    connect(address, cpus=job.workers + 1)
    say(f"meta-training {job.name()}: {len(job.train)} source sentences, {job.workers} worker(s)")
    manifest = meta_train(job)
    best = manifest["best"]
    say(f"best English dev F1 {best['dev_f1']:.2f} at meta-update {best['update']}; bundle at {job.output}")


if __name__ == "__main__":
    run(main)
