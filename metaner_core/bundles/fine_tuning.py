"""Fine-tuning a bundle on a share of a target corpus (Sec. 4.6), from labels to another bundle; on Ray: jobs.fine_tune.

The new bundle is the old one with other trained parameters: it adapts as that did, on the same English sentences, and
its manifest says on what it was fine-tuned.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from metaner_core import storage
from metaner_core.bundles import manifest as manifests
from metaner_core.command import say
from metaner_core.data import corpora
from metaner_core.data.columns import Sentence
from metaner_core.data.sentences import drawn, fingerprint, usable
from metaner_core.settings import Settings
from metaner_core.tuning import Tuning, plain, share_problem

if TYPE_CHECKING:
    import torch

    from metaner_core.method.checkpoint import Checkpoints


@dataclass(frozen=True, kw_only=True)
class FineTuning:
    """All that decides what a fine-tuning computes, and what its labels are called.

    start: the bundle, a folder or s3:// prefix. train: the sentences, which `shared` draws.
    """

    start: str
    train: Sequence[Sentence]
    tuning: Tuning = field(default_factory=Tuning)
    corpus: str = "files"
    share: float = 100.0
    engine: str = "batched"

    def name(self) -> str:
        """Fingerprint of all that decides the result. Raises what `manifest.read` does."""
        manifest = manifests.read(self.start)
        parts = [manifest["fingerprint"], fingerprint(self.train), self._tuning(manifest).to_dict()]
        return f"tuned-{hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]}"

    def written(self, output: str) -> dict[str, Any] | None:
        """The manifest of the bundle that this very run has written there; None: it is to be made.

        Raises FileNotFoundError when there is no bundle to start from, FileExistsError when the output is taken,
        ValueError when there is nothing to learn from.
        """
        name = self.name()
        if (manifest := manifests.written_by(output, name)) is not None:
            say(f"{output} is finished: nothing to do")
            return manifest
        storage.require_unused(output, "bundle", run=name)
        types = manifests.read(self.start)["settings"]["types"]
        if all(label == "O" for s in usable(self.train, types) for label in s.labels):
            raise ValueError(
                f"{self.corpus} has no entity of {', '.join(types)} in the {len(self.train)} sentence(s) that were "
                "drawn: take a larger share, or check the file"
            )
        return None

    def run(
        self,
        output: str,
        checkpoints: "Checkpoints | None" = None,
        *,
        device: "torch.device | str" = "cpu",
        tell: Callable[[str], Any],
        facts: Mapping[str, Any],
    ) -> None:
        """Fine-tune, going on from the newest checkpoint, and write the bundle. Every worker calls it, in step.

        facts: what else the bundle's manifest should say. tell: called on rank 0 with lines of progress.
        """
        import numpy as np

        from metaner_core import workers  # late: a job's driver needs no torch
        from metaner_core.bundles import bundle
        from metaner_core.engine.adapting import new_engine
        from metaner_core.engine.config import EngineConfig
        from metaner_core.engine.meta_training import in_chunks
        from metaner_core.method.fine_tune import fine_tune
        from metaner_core.method.meta_train import MetaTrainer
        from metaner_core.model.encoding import LabelSet

        first = workers.rank() == 0
        start = bundle.load(self.start, device=device)
        tuning, settings = self._tuning(start.manifest), plain(start.settings)
        sentences = [start.inputs(s.words, s.labels) for s in usable(self.train, settings.types)]
        encoded = start.examples(sentences).encoded
        labels, config = LabelSet.of(settings), EngineConfig(self.engine)
        engine = new_engine(config, start.tagger, start.tokenizer, labels, settings, encoded, device)
        together = None if self.engine == "reference" else in_chunks
        trainer = MetaTrainer(engine, np.zeros((len(encoded), 0), int), [], together=together)

        def told(epoch: int, loss: float) -> None:
            if first:
                tell(f"epoch {epoch}/{tuning.epochs}: loss {loss:.3f}")

        losses = fine_tune(trainer, tuning, told, checkpoints)
        if first:
            own = {"corpus": self.corpus, "share": self.share, "sentences": len(sentences), "losses": losses}
            tuned = {"start": start.manifest["fingerprint"], **own, **tuning.to_dict()}
            run = self.name()
            bundle.write_with_other_weights(output, start, self.start, facts={"tuned": tuned, **facts}, run=run)
        workers.wait_for_all()

    def _tuning(self, manifest: Mapping[str, Any]) -> Tuning:
        return self.tuning.of(Settings.from_dict(manifest["settings"]))


def require_train(name: str) -> None:
    """Raises ValueError for a corpus that has no training set to take a share of."""
    if (spec := corpora.CORPORA.get(name)) is not None and "train" not in spec.files:
        raise ValueError(
            f"{name} has no training set to take a share of, only {', '.join(spec.files)}; name a corpus that has one, "
            "or give your own column file as --train"
        )


def shared(name: str, share: float, seed: int, *, data: str | None = None) -> list[Sentence]:
    """So many percent of a corpus' training set, drawn with this seed.

    Raises ValueError when it has none, or for a share that cannot be; else what `corpora.load` does.
    """
    if (problem := share_problem(share)) is not None:
        raise ValueError(problem)
    require_train(name)
    return drawn(corpora.load(name, "train", data=data), share, seed)
