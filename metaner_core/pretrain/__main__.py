"""Pre-train from a packed folder, without Ray.

    one device   python -m metaner_core.pretrain --packed PACKED --output out/encoder --preset gpu --device cuda
    several      torchrun --nproc-per-node 8 -m metaner_core.pretrain --packed PACKED --output out/encoder \\
                     --preset gpu --device cuda
    no GPU       python -m metaner_core.pretrain --packed PACKED --output out/encoder
    of a teacher python -m metaner_core.pretrain --packed PACKED --output out/encoder --preset student

Stopped at any moment and started again with the same options, it goes on from its newest checkpoint.
"""

import argparse
import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from metaner_core import storage, workers
from metaner_core.checked import overrides
from metaner_core.command import EVERY_SECONDS
from metaner_core.encoders.source import require_source
from metaner_core.method.checkpoint import FolderCheckpoints
from metaner_core.pretrain.loop import Pretrainer, checkpoint_line, speed_lines
from metaner_core.pretrain.model import write_encoder
from metaner_core.pretrain.packed import open_packed
from metaner_core.pretrain.settings import (
    PRESETS,
    PretrainSettings,
    from_options,
    require_other,
)
from metaner_core.pretrain.state import facts, run_name, written


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(prog="python -m metaner_core.pretrain", description="Pre-train a small encoder.")
    found.add_argument("--packed", required=True, help="folder or s3:// prefix that metaner_core.pretrain.pack made")
    found.add_argument("--output", required=True, help="the encoder: an unused folder or s3:// prefix")
    found.add_argument("--storage", default="out/runs", help="folder for checkpoints")
    found.add_argument("--teacher", help="an encoder whose vectors are learnt: e5-small, a folder, s3:// or hub name")
    found.add_argument("--preset", default="laptop", choices=PRESETS)
    found.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="replace one setting")
    found.add_argument("--device", default="cpu", help="cpu or cuda")
    found.add_argument("--threads", type=int, help="threads on the CPU (default: as torch chooses)")
    return found


def pretrain(options: argparse.Namespace) -> None:
    settings = from_options(options.preset, overrides(PretrainSettings, options.set), options.teacher)
    require_other(settings, options.output)
    for encoder in settings.sources:
        require_source(encoder)
    if options.threads:
        torch.set_num_threads(options.threads)
    device = _join(options.device)
    with storage.local_copy(options.packed) as folder:
        packed = open_packed(folder)
        if settings.batch < workers.count():
            raise ValueError(f"batch is {settings.batch} for {workers.count()} processes: each needs a sequence")
        name = run_name(settings, packed.fingerprint)
        storage.require_unused(options.output, "encoder", run=name)
        run = Path(options.storage) / name
        _say(f"pre-training in {run} on {workers.count()} x {device}")
        trainer = Pretrainer(packed, settings, device, speed_lines(settings, _say, every=EVERY_SECONDS))
        state = trainer.run(FolderCheckpoints(run, lambda metrics: _say(checkpoint_line(metrics)), counter="step"))
        if workers.rank() == 0:
            model = written(state, settings)
            write_encoder(model, packed, options.output, facts(state, packed, settings), run=name)
        workers.wait_for_all()
    _say(f"encoder at {options.output}")


def _join(device: str) -> torch.device:
    """This process's device, after joining the others if torchrun started several. Raises ValueError without a GPU."""
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError("--device cuda was asked for, but torch sees no CUDA device on this machine")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
        if device == "cuda":
            device = f"cuda:{os.environ['LOCAL_RANK']}"
            torch.cuda.set_device(device)
    return torch.device(device)


def _say(line: str) -> None:
    if workers.rank() == 0:
        print(line, flush=True)


def main() -> None:
    try:
        pretrain(parser().parse_args())
    except (ValueError, FileNotFoundError, FileExistsError) as error:
        sys.exit(f"error: {error}")
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


if __name__ == "__main__":
    main()
