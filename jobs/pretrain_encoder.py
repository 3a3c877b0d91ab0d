"""Pre-training of a small encoder as a Ray Train job: raw text in, a folder that every job takes as --encoder out.

    laptop    python -m jobs.pretrain_encoder --text en en.txt.xz --text de de.txt.gz news.de.txt \\
                  --translations de en-de.tsv.xz --output out/encoder
    one GPU   python -m jobs.pretrain_encoder --gpu --preset gpu --packed out/packed --output out/encoder
    student   python -m jobs.pretrain_encoder --teacher e5-small --preset student --text en en.txt.xz \\
                  --text de de.txt.gz --translations de en-de.tsv.xz --output out/student
    cluster   ray job submit --working-dir . -- python -m jobs.pretrain_encoder --gpu --workers 8 --preset gpu \\
                  --text en s3://bucket/text/en --text de s3://bucket/text/de \\
                  --translations de s3://bucket/text/en-de.tsv.zst \\
                  --storage s3://bucket/runs --output s3://bucket/encoder

Text is packed once, by the driver, into a folder under --storage; `python -m metaner_core.pretrain.pack` does that by
itself, and `python -m metaner_core.pretrain` trains without Ray. Stopped at any moment and started again with the same
options, the job goes on from its newest checkpoint.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jobs.common.config import OptionsParser
from jobs.common.imports import gc_paused
from jobs.common.options import greatest
from jobs.common.progress import told
from jobs.common.session import connect
from jobs.training.options import TrainingRun, add_training_options, training_run
from jobs.training.trainer import device_of_worker, fit
from metaner_core import storage
from metaner_core.checked import overrides
from metaner_core.command import EVERY_SECONDS, run, say
from metaner_core.encoders.source import require_source
from metaner_core.pretrain.pack import add_text_options, pack, texts_of
from metaner_core.pretrain.packed import MANIFEST, open_packed
from metaner_core.pretrain.settings import (
    PRESETS,
    PackSettings,
    PretrainSettings,
    from_options,
    require_other,
)
from metaner_core.pretrain.text import Texts

EXAMPLE = "--text en en.txt.xz --text de de.txt.gz --translations de en-de.tsv.xz --output out/encoder"


@dataclass(frozen=True, kw_only=True)
class Job(TrainingRun):
    """What one run reads and where it puts things. Either texts or packed (the uri of a packed folder) is given."""

    texts: Texts | None = None
    packed: str | None = None
    pack_settings: PackSettings = field(default_factory=PackSettings)
    settings: PretrainSettings = field(default_factory=PretrainSettings)

    def __post_init__(self) -> None:
        if (self.texts is None) == (self.packed is None):
            raise ValueError("give either text (--text, --translations) or --packed")
        if self.settings.batch < (most := greatest(self.workers)):
            raise ValueError(f"batch is {self.settings.batch} for {most} workers: each needs a sequence")
        require_other(self.settings, self.output)


def pretrain(job: Job) -> dict[str, Any]:
    """Run the job on the connected Ray and write the encoder. Returns what training.json says beside it.

    Raises FileExistsError when the output is taken, FileNotFoundError and ValueError for text that cannot be read and
    for a teacher that is not there or does not fit.
    """
    for encoder in job.settings.sources:
        require_source(encoder)
    if not storage.unfinished(job.output):  # whose leavings those are is known when the text is packed
        storage.require_unused(job.output, "encoder")
    packed = job.packed or pack_text(job)
    if not storage.exists(storage.join(packed, MANIFEST)):
        raise FileNotFoundError(f"{packed}: no packed text is there; give the folder that was packed, or --text")
    manifest = json.loads(storage.read_bytes(storage.join(packed, MANIFEST)))
    with gc_paused():  # late: torch and transformers come along
        from metaner_core.pretrain.model import FACTS
        from metaner_core.pretrain.state import run_name

    name = run_name(job.settings, manifest["fingerprint"])
    storage.require_unused(job.output, "encoder", run=name)
    with told(machines=True) as board:
        fit(job, name, worker, {"job": job, "packed": packed, "board": board})
    return json.loads(storage.read_bytes(storage.join(job.output, FACTS)))


def pack_text(job: Job) -> str:
    """Uri of the job's text, packed: of an earlier run with the same text and settings, or packed now."""
    assert job.texts is not None
    texts = job.texts.resolved()
    parts = json.dumps([texts.described(), job.pack_settings.fingerprint()])
    uri = storage.join(job.storage, f"packed-{hashlib.sha256(parts.encode()).hexdigest()[:12]}")
    if not storage.exists(storage.join(uri, MANIFEST)):
        say(f"packing text into {uri}")
        pack(texts, uri, job.pack_settings, over_unfinished=True, tell=say)
    return uri


def worker(config: Mapping[str, Any]) -> None:
    """What each Ray Train worker does: the whole of pre-training, in step with the others."""
    with gc_paused():  # late: options and text need none of it
        from jobs.training.checkpoints import RayCheckpoints
        from metaner_core import workers
        from metaner_core.pretrain.loop import Pretrainer, checkpoint_line, speed_lines
        from metaner_core.pretrain.model import write_encoder
        from metaner_core.pretrain.state import facts, run_name, written

    job: Job = config["job"]
    post = config["board"].post.remote if workers.rank() == 0 else lambda line: None
    device = device_of_worker(job, post)
    with storage.local_copy(config["packed"]) as local:
        packed = open_packed(local)
        trainer = Pretrainer(packed, job.settings, device, speed_lines(job.settings, post, every=EVERY_SECONDS))
        state = trainer.run(RayCheckpoints(lambda metrics: post(checkpoint_line(metrics))))
        if workers.rank() == 0:
            made = {**facts(state, packed, job.settings), "workers": job.workers, "config": dict(job.config)}
            run = run_name(job.settings, packed.fingerprint)
            write_encoder(written(state, job.settings), packed, job.output, made, run=run)
        workers.wait_for_all()


def parse(arguments: Sequence[str] | None = None) -> tuple[Job, str | None]:
    """Command line to job. Raises ValueError for options that do not go together."""
    parser = OptionsParser("jobs.pretrain_encoder", "Pre-train a small encoder on raw text.", [EXAMPLE])
    add_text_options(parser)
    parser.add_argument("--packed", help="a folder or s3:// prefix of packed text, in place of --text")
    parser.add_argument("--teacher", help="an encoder whose vectors are learnt: e5-small, a folder, s3:// or hub name")
    parser.add_argument("--preset", default="laptop", choices=PRESETS, help="named settings (default: laptop)")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="replace one setting")
    parser.add_argument("--pack-set", action="append", default=[], metavar="FIELD=VALUE", help="likewise, of packing")
    add_training_options(parser, output="the encoder", storage="checkpoints and packed text")
    options = parser.parse(arguments)
    changes = overrides(PretrainSettings, options.set)
    settings = from_options(options.preset, changes, options.teacher).settled()
    packing = overrides(PackSettings, options.pack_set)
    job = Job(
        texts=texts_of(options) if options.text or options.translations else None,
        packed=storage.absolute(options.packed) if options.packed else None,
        pack_settings=PackSettings(**{"keep_text": bool(settings.teacher), **packing}),
        settings=settings,
        config=options.config,
        **training_run(options),
    )
    return job, options.address


def main() -> None:
    job, address = parse()
    connect(address, cpus=greatest(job.workers) + 1, room=job.room)
    made = pretrain(job)
    from metaner_core.pretrain.loop import checkpoint_line

    last = made["history"][-1]
    say(f"encoder of {made['parameters']:,} parameters at {job.output}: {checkpoint_line(last)}")


if __name__ == "__main__":
    run(main)
