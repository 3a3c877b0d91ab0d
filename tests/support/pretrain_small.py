"""Small text for tests of pre-training: the package's own sentences, and English in a cipher as its translation."""

import dataclasses
import gzip
from pathlib import Path
from typing import Any

from metaner_core.data import corpora
from metaner_core.pretrain.pack import pack
from metaner_core.pretrain.packed import Packed, open_packed
from metaner_core.pretrain.settings import PackSettings, PretrainSettings, preset
from metaner_core.pretrain.state import State
from metaner_core.pretrain.text import Texts

PACK = PackSettings(vocabulary=2400, alphabet=2000, held_out=0.1)  # as many characters as there are
SHAPE = {"layers": 2, "width": 32, "heads": 2, "inner_width": 48, "positions": 130, "length": 32, "batch": 8}
FAST = {"steps": 8, "save_every": 4, "learning_rate": 1e-2, "bf16": False, "start_tokens": 2_000}


def small(**changes: object) -> PretrainSettings:
    return preset("smoke", **{**SHAPE, **FAST, **changes})


def sentences(language: str) -> list[str]:
    split, gap = ("train" if language == "en" else "test"), ("" if language == "zh" else " ")
    return [gap.join(s.words) for s in corpora.load(f"embedded-{language}", split)]


def ciphered(sentence: str) -> str:
    """A translation word for word into a language without a word of English: letters turned round and doubled."""
    return " ".join("".join(letter * 2 for letter in word[::-1].lower()) for word in sentence.split())


def write_texts(folder: Path, *, count: int = 300) -> Texts:
    """Files of English, German, Chinese and the cipher `xx`, and translations into it."""
    english = sentences("en")[:count]
    mono = {"en": english, "de": sentences("de"), "zh": sentences("zh"), "xx": [ciphered(s) for s in english]}
    files = {}
    for language, rows in mono.items():
        files[language] = (str(folder / f"{language}.txt.gz"),)
        Path(files[language][0]).write_bytes(gzip.compress("\n".join(rows).encode()))
    pairs = folder / "en-xx.tsv"
    pairs.write_text("".join(f"{s}\t{ciphered(s)}\n" for s in english), encoding="utf-8")
    return Texts(mono=files, translations={"xx": (str(pairs),)})


def packed_small(folder: Path, *, count: int = 300, **changes: Any) -> Packed:
    (folder / "text").mkdir(parents=True)
    pack(write_texts(folder / "text", count=count), str(folder / "packed"), dataclasses.replace(PACK, **changes))
    return open_packed(folder / "packed")


class Stopped(Exception):
    """By a test, after a step."""


def stop_at(step: int):
    def on_step(state: State) -> None:
        if state.step == step:
            raise Stopped

    return on_step
