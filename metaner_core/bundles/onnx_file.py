"""A transformers model as one ONNX file, checked with onnxruntime."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedModel

from metaner_core.bundles.token_classifier import require_near, run
from metaner_core.command import require_extra
from metaner_core.model.encoding import Batch

PACKAGES = ("onnxscript", "onnxruntime")
FILE = "model.onnx"


def require_packages() -> None:
    """Raises ValueError, with the command that installs them, when a package is missing."""
    require_extra("--to onnx", "onnx", *PACKAGES)


def write(model: PreTrainedModel, inputs: Sequence[str], samples: Sequence[Batch], folder: Path) -> float:
    """Write model.onnx, of any number of windows of any length. Returns how far its logits are from the model's.

    inputs: what it takes, as the tokenizer gives it. More than 2 GB of weights lie beside it, in model.onnx.data.
    Raises ValueError when the logits differ by more than rounding explains.
    """
    import onnx_ir.passes.common as passes  # comes with onnxscript

    given = _inputs(samples[-1], inputs)
    with _quiet():
        program = torch.onnx.export(
            model,
            kwargs=given,
            input_names=list(given),
            output_names=["logits"],
            dynamic_shapes={name: {0: "batch", 1: "length"} for name in given},
            dynamo=True,  # the other exporter, which traces, is deprecated
            verbose=False,
        )
    assert program is not None
    passes.ClearMetadataAndDocStringPass()(program.model)  # stack traces, with the paths of files on this machine
    program.save(folder / FILE)
    return _distance(model, inputs, samples, folder / FILE)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch says of packages that this model does not need, and of dimensions that share a name."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)


def _inputs(batch: Batch, names: Sequence[str]) -> dict[str, torch.Tensor]:
    known = {
        "input_ids": batch.ids,
        "attention_mask": batch.attention,
        "token_type_ids": torch.zeros_like(batch.ids),
    }
    return {name: known[name] for name in known if name in names}


def _distance(model: PreTrainedModel, inputs: Sequence[str], samples: Sequence[Batch], file: Path) -> float:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    pairs = []
    for batch in samples:
        feed = {name: np.asarray(value) for name, value in _inputs(batch, inputs).items()}
        (logits,) = session.run(["logits"], feed)
        attended = batch.attention.bool()
        pairs.append((torch.from_numpy(logits)[attended], run(model, batch)[attended]))
    return require_near(pairs, "onnxruntime computes something else than transformers")
