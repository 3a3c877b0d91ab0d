"""Distil in this process, without Ray.

    python -m metaner_core.distilling --tagged out/tagged --corpus conll2003-en --data DATA --output out/student

runs on a GPU, where there is one, or on the CPU. Stopped at any moment and started again with the same options, it goes
on from its newest checkpoint. The bundle is that of the Ray job, to rounding.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import torch

from metaner_core import storage
from metaner_core.command import CommandParser, run, say
from metaner_core.distilling.run import Distilling, add_options, ending, from_options, interval_line
from metaner_core.method.checkpoint import FolderCheckpoints

EXAMPLES = ("--tagged out/tagged --corpus conll2003-en --data DATA --output out/student",)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = CommandParser("metaner_core.distilling", "Distil in this process, without Ray.", EXAMPLES)
    add_options(parser)
    parser.add_argument("--output", required=True, help="the bundle: an unused folder or s3:// prefix")
    parser.add_argument("--storage", default="out/runs", help="checkpoints: a folder (default: out/runs)")
    parser.add_argument("--threads", type=int, default=1, help="threads without a GPU (default: 1)")
    options = parser.parse_args(arguments)
    if storage.is_remote(options.storage):
        raise ValueError(f"--storage {options.storage}: checkpoints go to a folder here; jobs.distill keeps them on S3")
    torch.set_num_threads(options.threads)
    distilling, output = Distilling(**from_options(options)), storage.absolute(options.output)
    if (manifest := distilling.written(output)) is None:
        folder = Path(storage.absolute(options.storage)) / distilling.name()
        checkpoints = FolderCheckpoints(folder, lambda metrics: say(interval_line(metrics)))
        device = "cuda" if torch.cuda.is_available() else "cpu"
        distilling.run(output, checkpoints, device=device, facts={"workers": 1})
        manifest = json.loads(storage.read_bytes(storage.join(output, storage.MANIFEST)))
    say(ending(manifest, output))


if __name__ == "__main__":
    run(main)
