"""Tokenised text in a folder that the training loop reads by memory map: 16-bit ids, a manifest, the tokenizer.

    manifest.json       counts for each language, settings, fingerprint; written last
    tokenizer/          fast tokenizer
    mono.<lang>.npy     uint16 [tokens]: the pieces of every line and a [SEP] after each
    pairs.<lang>.npy    uint16 [tokens]: pieces of English, pieces of its translation, English, ...
    pairs.<lang>.ends.npy   int64 [pairs, 2]: where in it the English side and its translation end
    held.<lang>.npy, held.<lang>.ends.npy   likewise; kept from training, for the retrieval score
    text.<lang>.npy     uint8 [bytes]: with keep_text every line in UTF-8, one after another
    text.<lang>.ends.npy    int64 [lines]: where in it each ends
    text-pairs.<lang>.npy, text-pairs.<lang>.ends.npy   likewise, a line of English, its translation, English, ...

Sequences are cut from this when training draws them, so that one folder serves every sequence length.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

MANIFEST, FORMAT = "manifest.json", 1
TOKENIZER = "tokenizer"
NPY_HEADER = 128  # bytes


@dataclass(frozen=True)
class Pairs:
    """Translation pairs. ids: uint16 [tokens]. ends: int64 [pairs, 2]."""

    ids: np.ndarray
    ends: np.ndarray

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        """Pieces of the English side and of the other one, without special tokens."""
        start = self.ends[i - 1, 1] if i else 0
        middle, end = self.ends[i]
        return self.ids[start:middle], self.ids[middle:end]


@dataclass(frozen=True)
class Lines:
    """Text line by line. utf8: uint8 [bytes]. ends: int64 [lines]."""

    utf8: np.ndarray
    ends: np.ndarray

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, i: int) -> str:
        return self.utf8[self.ends[i - 1] if i else 0 : self.ends[i]].tobytes().decode()


@dataclass(frozen=True)
class Packed:
    """A packed folder, opened. mono: uint16 [tokens] of each language. text, text_pairs: empty unless it was kept."""

    manifest: Mapping[str, Any]
    tokenizer: Tokenizer
    mono: Mapping[str, np.ndarray]
    pairs: Mapping[str, Pairs]
    held: Mapping[str, Pairs]
    text: Mapping[str, Lines] = field(default_factory=dict)
    text_pairs: Mapping[str, Lines] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        return self.manifest["fingerprint"]


def open_packed(folder: Path) -> Packed:
    """Raises FileNotFoundError when it is no packed folder, ValueError when it is incomplete or of another version."""
    if not (folder / MANIFEST).is_file():
        how = "pack the text first with python -m metaner_core.pretrain.pack"
        raise FileNotFoundError(f"{folder} holds no {MANIFEST}: {how}")
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    if manifest["format"] != FORMAT:
        raise ValueError(f"{folder} was packed in format {manifest['format']}, not {FORMAT}: pack the text again")
    mono = {language: _mapped(folder / f"mono.{language}.npy") for language in manifest["mono"]}
    train, held = (
        {language: _open_pairs(folder, f"{part}.{language}") for language in manifest["pairs"]}
        for part in ("pairs", "held")
    )
    for language, counts in manifest["mono"].items():
        if len(mono[language]) != counts["tokens"]:
            raise ValueError(f"{folder}/mono.{language}.npy does not hold the manifest's tokens: copy the folder again")
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER / "tokenizer.json"))
    kept = manifest["settings"].get("keep_text", False)  # earlier folders do not say
    text, text_pairs = (
        {language: _open_lines(folder, f"{name}.{language}") for language in manifest[part] if kept}
        for name, part in (("text", "mono"), ("text-pairs", "pairs"))
    )
    return Packed(manifest, tokenizer, mono, train, held, text, text_pairs)


def _open_lines(folder: Path, name: str) -> Lines:
    return Lines(_mapped(folder / f"{name}.npy"), np.load(folder / f"{name}.ends.npy"))


def _open_pairs(folder: Path, name: str) -> Pairs:
    return Pairs(_mapped(folder / f"{name}.npy"), np.load(folder / f"{name}.ends.npy"))


def _mapped(file: Path) -> np.ndarray:
    """As a plain array: slices of np.memmap are slow. (Nothing at all cannot be mapped.)"""
    empty = file.stat().st_size <= NPY_HEADER
    return np.load(file, mmap_mode=None if empty else "r").view(np.ndarray)
