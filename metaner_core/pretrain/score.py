"""How often a held-out sentence finds its translation: to follow pre-training by, and to compare encoders.

python -m metaner_core.pretrain.score --packed PACKED --encoder out/encoder embedded
python -m metaner_core.pretrain.score --packed PACKED --encoder e5-small --prefix 'query: '
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from rich.console import Console
from rich.table import Table
from transformers import PreTrainedTokenizerBase

from metaner_core import storage
from metaner_core.encoders.encoder import load_encoder
from metaner_core.model.sentence_vectors import POOLINGS, SentenceVectors
from metaner_core.pretrain.packed import Packed, open_packed

PAIRS = 500  # of each language
LONGEST = 128  # pieces of a side
Side = Sequence[Sequence[int]]  # pieces of each sentence, without special tokens


def held_out(packed: Packed) -> dict[str, tuple[Side, Side]]:
    """For each language with held-out pairs the English sides and the others, LONGEST pieces of them."""
    found: dict[str, tuple[Side, Side]] = {}
    for language, held in packed.held.items():
        if len(held) > 1:
            pairs = [held[i] for i in range(min(len(held), PAIRS))]
            english, other = ([pair[side][:LONGEST].tolist() for pair in pairs] for side in (0, 1))
            found[language] = (english, other)
    return found


def in_pieces_of(tokenizer: PreTrainedTokenizerBase, packed: Packed) -> dict[str, tuple[Side, Side]]:
    """The held-out pairs in another encoder's pieces, by way of their text (without what `packed` has no piece for)."""

    def convert(side: Side) -> Side:
        texts = packed.tokenizer.decode_batch([list(ids) for ids in side])
        return [ids[:LONGEST] for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]]

    return {language: (convert(a), convert(b)) for language, (a, b) in held_out(packed).items()}


def retrieval(vectors: Callable[[Side], np.ndarray], pairs: Mapping[str, tuple[Side, Side]]) -> dict[str, float]:
    """For each language, how often (percent) a sentence's nearest among all translations is its own.

    Mean of both directions; sentences are compared by cosine. vectors: such as `SentenceVectors`, which shares its work
    out over the workers.
    """
    return {language: _accuracy(*(_unit(vectors(side)) for side in sides)) for language, sides in pairs.items()}


def _accuracy(english: np.ndarray, other: np.ndarray) -> float:
    similarity, own = english @ other.T, np.arange(len(english))
    both = [(similarity.argmax(axis) == own).mean() for axis in (0, 1)]
    return 50 * float(sum(both))


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def table(scores: Mapping[str, Mapping[str, float]]) -> Table:
    """scores: of each encoder, by language."""
    languages = [*next(iter(scores.values()))]
    made = Table(title="Held-out translations found, percent", title_justify="left")
    for column in ("encoder", *languages, "mean"):
        made.add_column(column, justify="left" if column == "encoder" else "right")
    for name, found in scores.items():
        mean = sum(found.values()) / len(found)
        made.add_row(name, *(f"{found[language]:.1f}" for language in languages), f"{mean:.1f}")
    return made


def score(packed: Packed, source: str, *, pooling: str = "mean", layer: int = -1, prefix: str = "") -> dict[str, float]:
    """The retrieval of an encoder as load_encoder finds it. pooling, layer, prefix: see `SentenceVectors`."""
    encoder, tokenizer = load_encoder(source)
    pairs = in_pieces_of(tokenizer, packed)
    if not pairs:
        raise ValueError("the packed text holds out no translations: pack it with --translations and held_out above 0")
    return retrieval(SentenceVectors(encoder, tokenizer, pooling, layer, prefix), pairs)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m metaner_core.pretrain.score", description="Compare encoders.")
    parser.add_argument("--packed", required=True, help="folder or s3:// prefix that metaner_core.pretrain.pack made")
    parser.add_argument("--encoder", required=True, nargs="+", help="embedded, e5-small, a folder, s3:// or hub name")
    parser.add_argument("--pooling", default="mean", choices=POOLINGS, help="a sentence's vector (default: mean)")
    parser.add_argument("--layer", type=int, default=-1, help="whose vectors (default: -1, the last)")
    parser.add_argument("--prefix", default="", help="before every sentence: 'query: ' for e5-small")
    options = parser.parse_args()
    how = {"pooling": options.pooling, "layer": options.layer, "prefix": options.prefix}
    try:
        with storage.local_copy(options.packed) as folder:
            packed = open_packed(folder)
            scores = {source: score(packed, source, **how) for source in options.encoder}
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"error: {error}")
    Console(width=100).print(table(scores))


if __name__ == "__main__":
    main()
