"""A bundle on disk that finds names of all types everywhere: one after three meta-updates predicts O for every word."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from metaner_core.bundles.bundle import MANIFEST


def outspoken(uri: str, folder: Path) -> str:
    """A copy of a local bundle below the folder, its classifier drawn anew, and large."""
    copy = shutil.copytree(uri, folder / "outspoken")
    theta = load_file(copy / "tagger.safetensors")
    weight = np.random.default_rng(1).normal(size=theta["classifier.weight"].shape).astype(np.float32)
    weight[0] = 0  # O: hardly ever the largest
    save_file({**theta, "classifier.weight": weight}, copy / "tagger.safetensors")
    manifest = json.loads((copy / MANIFEST).read_text(encoding="utf-8"))
    content = (copy / "tagger.safetensors").read_bytes()
    manifest["files"]["tagger.safetensors"] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (copy / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    return str(copy)
