"""Meta-training from labels to a bundle: what a run consists of, on Ray (jobs.meta_train) and, here, without it.

    python -m metaner_core.bundles.training --encoder e5-small --corpus conll2003-en --data DATA --output out/bundle

is one process on one GPU, where there is one, or on the CPU. Stopped at any moment and started again with the same
options, it goes on from its newest checkpoint. The bundle is that of the Ray job, to rounding.
"""

import argparse
import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metaner_core import storage
from metaner_core.bundles.fine_tuning import shared
from metaner_core.bundles.manifest import written_by
from metaner_core.command import EVERY_SECONDS, CommandParser, run, say
from metaner_core.data import corpora
from metaner_core.data.corpora import Sentence
from metaner_core.data.sentences import fingerprint, usable
from metaner_core.encoders.source import require_source, settled
from metaner_core.settings import PRESETS, SAME, Settings, parse_overrides, preset

if TYPE_CHECKING:
    import torch

    from metaner_core.method.checkpoint import Checkpoints

CORPUS = "embedded-en"
EXAMPLES = ("--encoder e5-small --corpus conll2003-en --data DATA --output out/bundle",)


@dataclass(frozen=True, kw_only=True)
class MetaTraining:
    """All that decides what a run of meta-training computes, and what its labels are called."""

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

    def written(self, output: str) -> dict[str, Any] | None:
        """The manifest of the bundle that this very run has written there; None: it is to be made.

        Raises FileExistsError when the output is taken, ValueError when there is nothing to learn from or to select on,
        FileNotFoundError when there is no such encoder.
        """
        if (manifest := written_by(output, self.name())) is not None:
            say(f"{output} is finished: nothing to do")
            return manifest
        storage.require_unused(output, "bundle", run=self.name())
        require_names(self.train, self.dev, self.settings.types)
        for encoder in {self.encoder, self.settings.retrieval_encoder} - {SAME}:
            require_source(encoder)
        return None

    def run(
        self,
        output: str,
        checkpoints: "Checkpoints",
        *,
        device: "torch.device | str" = "cpu",
        tell: Callable[[str], Any] = say,
        facts: Mapping[str, Any],
    ) -> None:
        """Train, going on from the newest checkpoint, and write the bundle. Every worker calls it, in step.

        facts: what else the bundle's manifest should say. tell: called on rank 0 with lines of progress.
        """
        from metaner_core import workers  # late: a job's driver needs no torch
        from metaner_core.bundles import bundle
        from metaner_core.bundles.prepare import prepare

        first = workers.rank() == 0
        told = progress("meta-update", self.settings.meta_updates, tell)
        prepared = prepare(
            self.settings,
            self.train,
            self.dev,
            encoder=self.encoder,
            device=device,
            engine=self.engine,
            on_update=told if first else lambda update, seconds: None,
        )
        state = prepared.trainer.run(checkpoints)
        if first:
            best = {"dev_f1": state.best_f1, "update": state.best_update, "selected_on": self.settings.select_on}
            own = {"source_name": self.source_name, "encoder": self.encoder, "best": best, "history": state.history}
            bundle.write(output, prepared, facts={**own, **facts}, run=self.name())
        workers.wait_for_all()


def require_names(train: Sequence[Sentence], dev: Sequence[Sentence], types: Sequence[str]) -> None:
    """Raises ValueError when there is nothing to learn from or to select on."""
    for part, sentences in (("train", train), ("dev", dev)):
        kept = usable(sentences, types)
        if not any(label != "O" for s in kept for label in s.labels):
            raise ValueError(
                f"{part} has no entity of {', '.join(types)} in {len(kept)} sentences: "
                "check the file and the setting `types`"
            )


def dev_line(metrics: Mapping[str, Any]) -> str:
    """What is told of an interval of meta-updates."""
    return "meta-update {update}: loss {loss:.3f}, dev F1 {dev_f1:.2f} (best {best_f1:.2f})".format(**metrics)


def best_line(manifest: Mapping[str, Any], output: str) -> str:
    """What is told at the end."""
    best = manifest["best"]
    return f"best English dev F1 {best['dev_f1']:.2f} at meta-update {best['update']}; bundle at {output}"


def progress(step: str, many: int, post: Callable[[str], Any]) -> Callable[[int, float], None]:
    """A function that posts every few seconds how far training is; seconds count from the run's start.

    step: what one of so many is called.
    """
    before, told_at = -1, 0.0

    def tell(number: int, seconds: float) -> None:
        nonlocal before, told_at
        before = number - 1 if before < 0 else before
        if seconds - told_at >= EVERY_SECONDS:
            told_at = seconds
            each = seconds / (number - before)
            post(f"{step} {number}/{many}, {each:.2f} s each, {each * (many - number) / 60:.0f} min left")

    return tell


def add_options(parser: argparse.ArgumentParser) -> None:
    """What to train, on what."""
    parser.add_argument("--preset", default="paper", choices=PRESETS, help="named hyper-parameters (default: paper)")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="replace one hyper-parameter")
    parser.add_argument("--seed", type=int, help="the same as --set seed=N")
    parser.add_argument("--encoder", default="embedded", help="`embedded`, `e5-small`, a folder, s3:// or a hub name")
    add_labels(parser)
    together = "a corpus of another language, to learn from together with English: one model for both"
    parser.add_argument("--target", metavar="CORPUS", help=together)
    parser.add_argument("--share", type=float, help="percent of the target's training set, drawn with the run's seed")


def add_labels(parser: argparse.ArgumentParser) -> None:
    """Options for whose labels are learnt from: see `labelled`."""
    parser.add_argument("--corpus", default=CORPUS, help=f"one of {', '.join(corpora.CORPORA)}")
    parser.add_argument("--data", help="folder or s3:// prefix that holds the corpora's folders")
    parser.add_argument("--train", help="your own column file in place of --corpus")
    parser.add_argument("--dev", help="goes with --train")


def labelled(options: argparse.Namespace) -> tuple[list[Sentence], list[Sentence], str]:
    """Train and dev of `add_labels`, and what they are called. Raises ValueError for what does not go together."""
    if bool(options.train) != bool(options.dev):
        raise ValueError("--train and --dev go together: give both, or neither and a --corpus")
    if options.train and options.corpus != CORPUS:
        raise ValueError("--train and --dev stand in place of a --corpus: give one or the other")
    if options.train:
        return corpora.read_sentences(options.train), corpora.read_sentences(options.dev), options.train
    train, dev = (corpora.load(options.corpus, split, data=options.data) for split in ("train", "dev"))
    return train, dev, options.corpus


def found_anywhere(settings: Settings) -> Settings:
    """With the retrieval encoder, if it is a folder, by its absolute path (`encoders.source.settled`)."""
    if settings.retrieval_encoder == SAME:  # a folder may be called so
        return settings
    return dataclasses.replace(settings, retrieval_encoder=settled(settings.retrieval_encoder))


def from_options(options: argparse.Namespace) -> dict[str, Any]:
    """The fields of a MetaTraining but the engine. Raises ValueError for options that do not go together."""
    overrides = parse_overrides(options.set) | ({} if options.seed is None else {"seed": options.seed})
    settings = found_anywhere(preset(options.preset, **overrides))
    train, dev, name = labelled(options)
    if options.target:
        share = 100.0 if options.share is None else options.share
        train = [*train, *shared(options.target, share, settings.seed, data=options.data)]
        name = f"{name} and {share:g}% of {options.target}"
    elif options.share is not None:
        raise ValueError("--share is of a --target's training set: name a corpus as --target, or leave it out")
    return {"settings": settings, "train": train, "dev": dev, "encoder": settled(options.encoder), "source_name": name}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = CommandParser("metaner_core.bundles.training", "Meta-train in this process, without Ray.", EXAMPLES)
    add_options(parser)
    parser.add_argument("--output", required=True, help="the bundle: an unused folder or s3:// prefix")
    parser.add_argument("--storage", default="out/runs", help="checkpoints: a folder (default: out/runs)")
    parser.add_argument("--threads", type=int, default=1, help="threads without a GPU (default: 1)")
    parser.add_argument(
        "--tf32", action="store_true", help="on a GPU: matrix products of numbers with 10 bits, for speed"
    )
    options = parser.parse_args(arguments)
    if storage.is_remote(options.storage):
        raise ValueError(
            f"--storage {options.storage}: checkpoints go to a folder here; jobs.meta_train keeps them on S3"
        )
    training = MetaTraining(**from_options(options))
    output = storage.absolute(options.output)
    say(best_line(training.written(output) or _train(training, output, options), output))


def _train(training: MetaTraining, output: str, options: argparse.Namespace) -> dict[str, Any]:
    import torch

    from metaner_core.method.checkpoint import FolderCheckpoints

    torch.set_num_threads(options.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if options.tf32:
        if device == "cpu":
            raise ValueError("--tf32 is of NVIDIA's GPUs, and there is none here: leave it out")
        torch.set_float32_matmul_precision("high")
    say(f"meta-training {training.name()} on {device}: {len(training.train)} source sentences")
    folder = Path(storage.absolute(options.storage)) / training.name()
    training.run(
        output,
        FolderCheckpoints(folder, lambda metrics: say(dev_line(metrics))),
        device=device,
        facts={"workers": 1, "tf32": options.tf32},
    )
    return json.loads(storage.read_bytes(storage.join(output, storage.MANIFEST)))


if __name__ == "__main__":
    run(main)
