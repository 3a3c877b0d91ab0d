"""Bundles that tag without neighbours: without source sentences, and so without anything to adapt to."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file

from metaner_core.bundles import bundle
from metaner_core.encoders.encoder import load_encoder, longest_input
from metaner_core.engine.adapting import new_engine
from metaner_core.engine.config import BATCHED
from metaner_core.method.adapt import Engine
from metaner_core.model.encoding import Encoding, LabelSet
from metaner_core.model.tagger import Tagger
from metaner_core.settings import Settings


@dataclass(frozen=True)
class Student:
    """A tagger that is to learn. name: of its encoder, if it is known. engine: without source sentences."""

    engine: Engine
    encode: Encoding
    name: str | None


def new_student(
    settings: Settings, *, start: str | None, encoder: str | None, device: torch.device | str = "cpu"
) -> Student:
    """One that begins as the bundle `start`, or else with this encoder and a new classifier.

    Raises what `bundle.load` and `load_encoder` do, and ValueError for an encoder that does not fit the settings.
    """
    labels = LabelSet.of(settings)
    if start is not None:
        loaded = bundle.load(start, device=device)
        tagger, tokenizer, name = loaded.tagger, loaded.tokenizer, loaded.manifest.get("encoder")
    else:
        assert encoder is not None
        model, tokenizer = load_encoder(encoder)
        tagger, name = Tagger(model, len(labels.names), settings).to(device), encoder
    encode = Encoding(tokenizer, settings, longest=longest_input(tagger.encoder))
    return Student(new_engine(BATCHED, tagger, tokenizer, labels, settings, [], device), encode, name)


def write(uri: str, student: Student, *, facts: Mapping[str, Any], run: str | None = None) -> dict[str, Any]:
    """Write its bundle, whose encoder/ is the taught one. The rest is as `bundle.write` has it."""
    engine = student.engine

    def fill(folder: Path) -> None:
        engine.tagger.encoder.save_pretrained(folder / bundle.ENCODER)
        engine.tokenizer.save_pretrained(folder / bundle.ENCODER)
        (folder / "support.jsonl").touch()
        width = engine.tagger.encoder.config.hidden_size
        save_file({"vectors": np.zeros((0, width), np.float32)}, folder / "index.safetensors")

    return bundle.write_filled(uri, fill, engine.tagger, engine.settings, [], facts, run)
