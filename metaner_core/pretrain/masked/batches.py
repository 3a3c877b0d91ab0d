"""Batches of masked sequences. Batch and masks are a function of seed and step alone, whoever computes them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from metaner_core import workers
from metaner_core.pretrain.packed import Packed
from metaner_core.pretrain.settings import PretrainSettings
from metaner_core.pretrain.vocabulary import SPECIAL, continues, shares, special_ids

TRIES = 4  # further pairs that are tried for the room that is left in a row


@dataclass(frozen=True)
class Rows:
    """ids: [B, L], [PAD] where nothing is. types: 0 or 1, [B, L]. positions: [B, L]."""

    ids: np.ndarray
    types: np.ndarray
    positions: np.ndarray


@dataclass(frozen=True)
class Batch:
    """Rows with masks. inputs: [B, L] ids to read. targets: [B, L] bool, where a piece of `rows.ids` is to be told."""

    rows: Rows
    inputs: np.ndarray
    targets: np.ndarray

    @property
    def tokens(self) -> int:
        return int((self.rows.ids > 0).sum())

    def shared(self, device: torch.device | str) -> dict[str, torch.Tensor]:
        """This worker's rows as tensors, integers in 64 bits: inputs, ids, types, positions, targets, attended."""
        parts = {
            "inputs": self.inputs,
            "ids": self.rows.ids,
            "types": self.rows.types,
            "positions": self.rows.positions,
            "targets": self.targets,
            "attended": self.rows.ids > 0,
        }
        return {
            name: torch.from_numpy(part[workers.rank() :: workers.count()]).to(device) for name, part in parts.items()
        }


class Batches:
    """Draws the batch of each step from packed text.

    A row of text is [CLS], any stretch of a language's stream, [SEP]. A row of translations holds whole pairs: [CLS]
    one side [SEP] other side [SEP] one side ... Either side may come first; the first has token type 0, the second 1.
    Both sides of a pair count their positions from the same one, so that words that translate each other are near;
    the first pair's is 1, as of a sentence by itself. A pair too long for a row by itself loses the ends of its sides.
    """

    def __init__(self, packed: Packed, settings: PretrainSettings) -> None:
        self._packed, self._settings = packed, settings
        special = special_ids(packed.tokenizer)
        self._cls, self._sep, self._mask = (special[name] for name in ("cls", "sep", "mask"))
        assert special["pad"] == 0
        self._vocabulary = len(packed.tokenizer.get_vocab())
        self._special = np.isin(np.arange(self._vocabulary), list(special.values()))
        self._continues = np.zeros(self._vocabulary, dtype=bool)
        self._continues[continues(packed.tokenizer)] = True
        self._mono = self._chances({language: len(ids) for language, ids in packed.mono.items()})
        self._pairs = self._chances({language: len(p.ids) for language, p in packed.pairs.items()})

    def _chances(self, sizes: Mapping[str, int]) -> tuple[list[str], list[float]]:
        chances = shares(sizes, self._settings.language_exponent) if sizes else {}
        return list(chances), list(chances.values())

    def __call__(self, step: int) -> Batch:
        rng = np.random.default_rng([self._settings.seed, step])
        translated = rng.random() < self._settings.translation_share and bool(self._packed.pairs)
        rows = self._translations(rng) if translated else self._text(rng)
        return self.masked(rows, rng)

    def _text(self, rng: np.random.Generator) -> Rows:
        shape = (self._settings.batch, self._settings.length)
        ids, inside = np.zeros(shape, dtype=np.int64), self._settings.length - 2
        languages = rng.choice(len(self._mono[0]), size=shape[0], p=self._mono[1])
        for row, number in enumerate(languages):
            stream = self._packed.mono[self._mono[0][number]]
            start = rng.integers(max(len(stream) - inside, 0) + 1)
            piece = stream[start : start + inside]
            ids[row, 0], ids[row, 1 : len(piece) + 1], ids[row, len(piece) + 1] = self._cls, piece, self._sep
        return Rows(ids, np.zeros_like(ids), np.broadcast_to(np.arange(shape[1]), shape).copy())

    def _translations(self, rng: np.random.Generator) -> Rows:
        shape = (self._settings.batch, self._settings.length)
        rows = Rows(*(np.zeros(shape, dtype=np.int64) for _ in range(3)))
        languages = rng.choice(len(self._pairs[0]), size=shape[0], p=self._pairs[1])
        for row, number in enumerate(languages):
            self._fill(rows, row, self._pairs[0][number], rng)
        return rows

    def _fill(self, rows: Rows, row: int, language: str, rng: np.random.Generator) -> None:
        """Put pairs into one row, the first whatever its length, others as long as they fit."""
        pairs, longest = self._packed.pairs[language], self._settings.length
        end = position = 1
        rows.ids[row, 0] = self._cls
        for number in rng.integers(len(pairs), size=1 + TRIES):
            sides = pairs[number] if rng.random() < 0.5 else pairs[number][::-1]
            if end == 1:
                sides = _cut(sides, longest - 3)
            elif end + sum(map(len, sides)) + 2 > longest:
                continue
            for kind, side in enumerate(sides):
                here = slice(end, end + len(side) + 1)
                rows.ids[row, here] = [*side, self._sep]
                rows.types[row, here] = kind
                rows.positions[row, here] = np.arange(position, position + len(side) + 1)
                end = here.stop
            position += max(map(len, sides)) + 1

    def masked(self, rows: Rows, rng: np.random.Generator) -> Batch:
        """Choose words (or pieces) at the mask rate; most pieces chosen become [MASK], some random ones, some stay."""
        settings, ids = self._settings, rows.ids
        special = self._special[ids]
        starts = ~self._continues[ids] | ~np.full_like(special, settings.whole_words)
        starts[:, 1:] |= special[:, :-1]  # a stretch of text may begin inside a word
        words = np.cumsum(starts.ravel()).reshape(ids.shape)
        targets = (rng.random(words.max() + 1) < settings.mask_rate)[words] & ~special
        fate = rng.random(ids.shape)
        others = (1 + settings.mask_token_share) / 2
        inputs = np.where(targets & (fate < settings.mask_token_share), self._mask, ids)
        randoms = rng.integers(len(SPECIAL), self._vocabulary, size=ids.shape)
        inputs = np.where(targets & (fate >= settings.mask_token_share) & (fate < others), randoms, inputs)
        return Batch(rows, inputs, targets)


def _cut(sides: tuple[np.ndarray, np.ndarray], room: int) -> tuple[np.ndarray, np.ndarray]:
    """Both sides in `room` pieces: each gets what the other leaves, at least half."""
    first, second = sides
    half = room // 2
    keep = max(half, room - len(second))
    return first[:keep], second[: room - min(len(first), keep)]
