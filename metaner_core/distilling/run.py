"""Distilling from tagging outputs and English labels to a bundle: what a run consists of, on Ray (jobs.distill) and,
by `python -m metaner_core.distilling`, without it.

The new bundle tags without neighbours: it has no source sentences, and is as quick as plain tagging.
"""

import argparse
import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from metaner_core import storage
from metaner_core.bundles import manifest as manifests
from metaner_core.bundles.training import add_labels, labelled, progress, require_names
from metaner_core.checked import overrides
from metaner_core.command import say
from metaner_core.data.corpora import Sentence
from metaner_core.data.labels import bio_labels
from metaner_core.data.sentences import fingerprint, usable
from metaner_core.distilling.outputs import Tagged, read_all
from metaner_core.distilling.selection import told
from metaner_core.distilling.settings import PRESETS, Distillation, preset
from metaner_core.distilling.stream import Stream, require_some
from metaner_core.encoders.source import require_source, settled
from metaner_core.settings import SAME, Settings

if TYPE_CHECKING:
    import torch

    from metaner_core.method.checkpoint import Checkpoints


@dataclass(frozen=True, kw_only=True)
class Distilling:
    """All that decides what a student learns, and what its labels are called.

    tagged: the outputs, folders or s3:// prefixes. train, dev: English labels. bundle: where the student starts;
    encoder: it starts from this one instead, untaught. None of both: the bundle that tagged.
    """

    tagged: Sequence[str]
    train: Sequence[Sentence]
    dev: Sequence[Sentence]
    settings: Distillation = field(default_factory=Distillation)
    bundle: str | None = None
    encoder: str | None = None
    source_name: str = "files"

    def name(self) -> str:
        """Fingerprint of all that decides the result: a run may only ever go on from its own checkpoints."""
        start = self.encoder or manifests.read(self._start)["fingerprint"]
        rows = [[output.run, output.labels, output.settings] for output in self.outputs]
        parts = [self.settings.fingerprint(), rows, fingerprint(self.train), fingerprint(self.dev), start]
        return f"student-{hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]}"

    def written(self, output: str) -> dict[str, Any] | None:
        """The manifest of the bundle that this very run has written there; None: it is to be made.

        Raises FileNotFoundError and ValueError for outputs, a bundle or an encoder that are none or do not go together,
        for labels without a name and when no tagged sentence is taken (to know that, all are read); FileExistsError
        when the output is taken.
        """
        if self.bundle and self.encoder:
            raise ValueError("--bundle and --encoder are two places to start from: give one, or none for the teacher")
        if self.encoder is None or self.settings.nearest:
            self._require_fit()
        if self.encoder is not None:
            require_source(self.encoder)
        name = self.name()
        if (manifest := manifests.written_by(output, name)) is not None:
            say(f"{output} is finished: nothing to do")
            return manifest
        storage.require_unused(output, "bundle", run=name)
        require_names(self.train, self.dev, self._settings.types)
        require_some(self.outputs, self.settings)
        return None

    @functools.cached_property
    def outputs(self) -> list[Tagged]:
        return read_all(self.tagged, self.settings)

    @property
    def _start(self) -> str:
        """The bundle that the student starts as. Raises ValueError when that is not said, and nothing else says it."""
        places = list(dict.fromkeys(output.bundle for output in self.outputs))
        if self.bundle is None and len(places) > 1:
            raise ValueError(
                f"the outputs were tagged by {' and '.join(places)}: say by --bundle or --encoder where to start"
            )
        return self.bundle or places[0]

    def _require_fit(self) -> None:
        """Raises as `written` does for a bundle that cannot be started from, or has no words to ask."""
        place, output = self._start, self.outputs[0]
        manifest = manifests.read(place)
        manifests.require_usable(place, manifest)
        labels = bio_labels(manifest["settings"]["types"])
        if labels != output.labels:
            raise ValueError(
                f"{output.uri} was tagged with {', '.join(output.labels)}, but {place} has {', '.join(labels)}: "
                "start from a bundle of the same types, or from an --encoder"
            )
        if self.settings.nearest and not manifests.adapts(manifest):
            raise ValueError(f"nearest asks source sentences, and {place} has none; leave it out")
        many, wanted = manifest["settings"]["frozen_layers"], self.settings.frozen_layers
        if self.encoder is None and wanted not in (-1, many):
            raise ValueError(
                f"frozen_layers is {wanted}, but {place} was trained with {many}, which decides what of it is trained; "
                "leave it out (-1), or start from an --encoder"
            )

    @property
    def _settings(self) -> Settings:
        """The student's: those of what it starts from, or of its teacher, without what is about neighbours."""
        own = self.outputs[0].settings if self.encoder else manifests.read(self._start)["settings"]
        changes: dict[str, Any] = {"retrieval_encoder": SAME, "select_on": "unadapted", "seed": self.settings.seed}
        if self.encoder is not None:
            changes["loss_tokens"] = "first"
            if self.settings.frozen_layers >= 0:
                changes["frozen_layers"] = self.settings.frozen_layers
        return dataclasses.replace(Settings.from_dict(own), **changes)

    def run(
        self,
        output: str,
        checkpoints: "Checkpoints",
        *,
        device: "torch.device | str" = "cpu",
        tell: Callable[[str], Any] = say,
        facts: Mapping[str, Any],
    ) -> None:
        """Distil, going on from the newest checkpoint, and write the bundle. Every worker calls it, in step.

        facts: what else the bundle's manifest should say. tell: called on rank 0 with lines of progress.
        """
        from metaner_core import workers  # late: a job's driver needs no torch
        from metaner_core.bundles import bundle, student
        from metaner_core.distilling.loop import Distiller
        from metaner_core.distilling.nearest import Nearest

        first = workers.rank() == 0
        settings, place = self._settings, None if self.encoder else self._start
        learner = student.new_student(settings, start=place, encoder=self.encoder, device=device)
        labelled = (usable(part, settings.types) for part in (self.train, self.dev))
        gold, dev = ([learner.encode(s.words, s.labels) for s in part] for part in labelled)
        many = self.settings.nearest
        distiller = Distiller(
            learner.engine,
            learner.encode,
            self.settings,
            functools.partial(Stream, self.outputs, self.settings),
            gold,
            dev,
            self.settings.rate or settings.beta,
            progress("step", self.settings.steps, tell) if first else lambda step, seconds: None,
            Nearest(bundle.load(self._start, device=device), many) if many else None,
        )
        state = distiller.run(checkpoints)
        if first:
            best = {"dev_f1": state.best_f1, "update": state.best_update, "selected_on": "unadapted"}
            own = {"source_name": self.source_name, "encoder": learner.name, "best": best, "history": state.history}
            taught = {
                "outputs": [output.uri for output in self.outputs],
                "teachers": sorted({output.bundle for output in self.outputs}),
                "start": place,
                "labelled": len(gold),
                "settings": self.settings.to_dict(),
                "selection": state.place.get("counts", {}),
                "whole": state.place.get("whole", False),
                "nearest": state.place.get("nearest", {}),
            }
            student.write(output, learner, facts={**own, "distilled": taught, **facts}, run=self.name())
        workers.wait_for_all()


def interval_line(metrics: Mapping[str, Any]) -> str:
    """What is told of an interval of steps."""
    return "step {update}: loss {loss:.4f}, dev F1 {dev_f1:.2f} (best {best_f1:.2f})".format(**metrics)


def ending(manifest: Mapping[str, Any], output: str) -> str:
    """What is told at the end: what was learnt from, and how good it is."""
    best, distilled = manifest["best"], manifest["distilled"]
    part = "" if distilled["whole"] else ", of the part that was read"
    lines = [f"tagged sentences{part}:", *(f"  {line}" for line in told(distilled["selection"]))]
    found = lines if distilled["selection"] else []
    if distilled["nearest"]:
        shares = (f"{label} {a:,} of {a + b:,}" for label, (a, b) in distilled["nearest"].items())
        found.append(f"words that the nearest labelled ones agree with: {', '.join(shares)}")
    return "\n".join([*found, f"best English dev F1 {best['dev_f1']:.2f} at step {best['update']}; bundle at {output}"])


def add_options(parser: argparse.ArgumentParser) -> None:
    """What to learn from, and how."""
    outputs = "outputs of metaner tag --keep-probabilities, folders or s3:// prefixes"
    parser.add_argument("--tagged", nargs="+", required=True, metavar="OUTPUT", help=outputs)
    add_labels(parser)
    parser.add_argument("--bundle", help="where the student starts (default: the bundle that tagged)")
    start = "start from it instead, untaught: `embedded`, `e5-small`, a folder, s3:// or a hub name; may be smaller"
    parser.add_argument("--encoder", help=start)
    parser.add_argument("--preset", default="mixed", choices=PRESETS, help="named settings (default: mixed)")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="replace one setting")
    parser.add_argument("--seed", type=int, help="the same as --set seed=N")


def from_options(options: argparse.Namespace) -> dict[str, Any]:
    """The fields of a Distilling. Raises ValueError for options that cannot be or do not go together."""
    changes = overrides(Distillation, options.set) | ({} if options.seed is None else {"seed": options.seed})
    settings = preset(options.preset, **changes)
    train, dev, name = labelled(options)
    return {
        "tagged": [storage.absolute(uri) for uri in options.tagged],
        "train": train,
        "dev": dev,
        "settings": settings,
        "bundle": storage.absolute(options.bundle) if options.bundle else None,
        "encoder": settled(options.encoder) if options.encoder else None,
        "source_name": name,
    }
