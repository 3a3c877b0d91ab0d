"""An experiment's curves and scores for TensorBoard, in a folder that the user names; an optional library writes them.

One run for every training, with its curve on English dev, and one for every encoder, variant, seed and share of labels,
with the F1 of its tests as hyper-parameters' metrics.
"""

from pathlib import Path

from metaner_core import storage
from metaner_core.command import require_extra
from metaner_core.data.scoring import scores
from metaner_core.experiments.study import Study

LIBRARY, SUFFIX = "tensorboardX", ".metaner"  # of its files' names, by which the next report finds and replaces them


def require(folder: str) -> None:
    """Raises ValueError when nothing can be written there: no library, or no folder of this machine."""
    require_extra("--tensorboard", "tensorboard", LIBRARY)
    if storage.is_remote(folder):
        raise ValueError(f"--tensorboard {folder}: TensorBoard's files go to a folder of this machine; name one")


def write(study: Study, folder: str) -> None:
    """Write all runs, in place of those of an earlier report."""
    from tensorboardX import SummaryWriter  # late: optional
    from tensorboardX.summary import hparams

    root = Path(storage.absolute(folder))
    for earlier in root.rglob(f"events.out.tfevents.*{SUFFIX}"):
        earlier.unlink()
    for curve in study.curves:
        names = [study.encoders[curve["encoder"]], curve["variant"], "-".join(curve["types"]), str(curve["seed"])]
        target = curve.get("target")  # that English was put together with
        names += [f"{target[0]}-{target[1]:g}"] if target else []
        with SummaryWriter(str(root / "trainings" / ".".join(names)), filename_suffix=SUFFIX) as run:
            for point in curve["history"]:
                run.add_scalar("english-dev/F1", point["dev_f1"], point["update"])
                run.add_scalar("loss", point["loss"], point["update"])
    for (encoder, variant, types, seed, share), metrics in _metrics(study).items():
        run_name = f"{study.encoders[encoder]}.{variant}.{types}.{seed}.{share:g}"
        facts = {"encoder": encoder, "variant": variant, "types": types, "seed": seed, "share": share}
        with SummaryWriter(str(root / "scores" / run_name), filename_suffix=SUFFIX) as run:
            for summary in hparams(facts, metrics):
                run.file_writer.add_summary(summary)
            for name, value in metrics.items():
                run.add_scalar(name, value, 0)


def _metrics(study: Study) -> dict[tuple[str, str, str, int, float], dict[str, float]]:
    """F1 by test and engine, of what was trained and labelled alike."""
    found: dict[tuple[str, str, str, int, float], dict[str, float]] = {}
    for cell in study.cells:
        of = found.setdefault((cell.encoder, cell.variant, "-".join(cell.types), cell.seed, cell.share), {})
        of |= {f"F1-{engine}/{cell.test}": scores(counts).overall.f1 for engine, counts in cell.counts.items()}
    return found
