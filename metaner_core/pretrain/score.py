"""How often a held-out sentence finds its translation: to follow pre-training by, and to compare encoders.

python -m metaner_core.pretrain.score --packed PACKED --encoder out/encoder embedded
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn.functional import normalize
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedTokenizerBase

from metaner_core import storage, workers
from metaner_core.encoders.encoder import load_encoder, longest_input
from metaner_core.pretrain.packed import Packed, open_packed

PAIRS = 500  # of each language
AT_ONCE = 50
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


def retrieval(encoder: nn.Module, pairs: Mapping[str, tuple[Side, Side]], *, first: int, last: int) -> dict[str, float]:
    """For each language, how often (percent) a sentence's nearest among all translations is its own.

    Mean of both directions; sentences are means of their last-layer vectors, compared by cosine. Languages are shared
    out over the workers. encoder: in eval mode. first, last: ids that enclose a sentence.
    """
    device = next(encoder.parameters()).device
    found = torch.zeros(len(pairs), dtype=torch.float64, device=device)
    for i in workers.share(range(len(pairs))):
        sides = [*pairs.values()][i]
        found[i] = _accuracy(*(_vectors(encoder, side, first, last) for side in sides))
    workers.add_up([found])
    return dict(zip(pairs, found.tolist(), strict=True))


def _accuracy(english: torch.Tensor, other: torch.Tensor) -> float:
    similarity, own = english @ other.T, torch.arange(len(english), device=english.device)
    both = [(similarity.argmax(dim) == own).double().mean() for dim in (0, 1)]
    return 50 * (both[0] + both[1]).item()


@torch.no_grad()
def _vectors(encoder: Any, side: Side, first: int, last: int) -> torch.Tensor:
    """[n, d], of length 1."""
    device, vectors = next(encoder.parameters()).device, []
    longest = longest_input(encoder) - 2
    for start in range(0, len(side), AT_ONCE):
        rows = [torch.tensor([first, *ids[:longest], last]) for ids in side[start : start + AT_ONCE]]
        attended = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True).to(device)
        ids = pad_sequence(rows, batch_first=True).to(device)
        states = encoder(input_ids=ids, attention_mask=attended).last_hidden_state
        inside = attended.bool() & (ids != first) & (ids != last)
        vectors.append(normalize((states * inside.unsqueeze(-1)).sum(1), dim=-1))
    return torch.cat(vectors)


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


def score(packed: Packed, source: str) -> dict[str, float]:
    """The retrieval of an encoder as load_encoder finds it."""
    encoder, tokenizer = load_encoder(source)
    pairs = in_pieces_of(tokenizer, packed)
    if not pairs:
        raise ValueError("the packed text holds out no translations: pack it with --translations and held_out above 0")
    return retrieval(encoder, pairs, first=tokenizer.cls_token_id, last=tokenizer.sep_token_id)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m metaner_core.pretrain.score", description="Compare encoders.")
    parser.add_argument("--packed", required=True, help="folder or s3:// prefix that metaner_core.pretrain.pack made")
    parser.add_argument("--encoder", required=True, nargs="+", help="embedded, e5-small, a folder, s3:// or hub name")
    options = parser.parse_args()
    try:
        with storage.local_copy(options.packed) as folder:
            packed = open_packed(folder)
            scores = {source: score(packed, source) for source in options.encoder}
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"error: {error}")
    Console(width=100).print(table(scores))


if __name__ == "__main__":
    main()
