"""What makes a bundle's inputs, without its models: tokenizers and settings are read, weights are not."""

import tempfile
from pathlib import Path

from metaner_core import storage
from metaner_core.bundles.bundle import ENCODER, RETRIEVAL
from metaner_core.bundles.manifest import read
from metaner_core.encoders.encoder import load_tokenizer
from metaner_core.model.inputs import Inputs
from metaner_core.settings import Settings

WEIGHTS = ".safetensors"


def load_inputs(uri: str) -> Inputs:
    """As `Bundle.inputs` of the bundle there. Whoever holds its models checks it; this only takes what it says."""
    manifest = read(uri)
    names = [name for name in manifest["files"] if "/" in name and not name.endswith(WEIGHTS)]
    with tempfile.TemporaryDirectory(prefix="metaner-inputs-") as folder:
        for name in names:
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(storage.read_bytes(storage.join(uri, name)))
        tagging = load_tokenizer(str(Path(folder, ENCODER)))
        own = Path(folder, RETRIEVAL)
        retrieval = load_tokenizer(str(own)) if own.is_dir() else None
    return Inputs(tagging, Settings.from_dict(manifest["settings"]), retrieval=retrieval)
