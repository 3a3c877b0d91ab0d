"""The encoder with its masked-LM head: made new, scored on translation retrieval, written as other jobs read it."""

import copy
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import normalize
from torch.nn.utils.rnn import pad_sequence
from transformers import BertConfig, BertForMaskedLM

from metaner_core import storage, workers
from metaner_core.pretrain.packed import Packed, Pairs
from metaner_core.pretrain.settings import PretrainSettings
from metaner_core.pretrain.vocabulary import fast, special_ids

FACTS = "training.json"
SCORED_PAIRS = 500  # of each language
SCORED_AT_ONCE = 50
LONGEST_SCORED = 128  # pieces of a side


def new_model(settings: PretrainSettings, vocabulary: int) -> BertForMaskedLM:
    """A BERT with random weights that depend on the seed only."""
    torch.manual_seed(settings.seed)
    config = BertConfig(
        vocab_size=vocabulary,
        hidden_size=settings.width,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        intermediate_size=settings.inner_width,
        max_position_embeddings=settings.positions,
        hidden_dropout_prob=settings.dropout,
        attention_probs_dropout_prob=settings.dropout,
    )
    return BertForMaskedLM(config).train()


def loss_sum(model: BertForMaskedLM, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Cross-entropy summed over the targets; the head is computed for them only: its vocabulary is most of the work."""
    attended = batch["attended"]
    states = model.bert(
        input_ids=batch["inputs"],
        attention_mask=None if bool(attended.all()) else attended.long(),
        token_type_ids=batch["types"],
        position_ids=batch["positions"],
    ).last_hidden_state
    logits = model.cls(states[batch["targets"]])  # [targets, V]
    return torch.nn.functional.cross_entropy(logits.float(), batch["ids"][batch["targets"]], reduction="sum")


def retrieval(model: BertForMaskedLM, packed: Packed) -> dict[str, float]:
    """For each language, how often (percent) a held-out sentence's nearest among all translations is its own.

    Mean of both directions; sentences are means of their last-layer vectors, compared by cosine. Languages are shared
    out over the workers. Empty when nothing was held out.
    """
    languages = [language for language, held in packed.held.items() if len(held) > 1]
    device = next(model.parameters()).device
    found = torch.zeros(len(languages), dtype=torch.float64, device=device)
    model.eval()
    for i in workers.share(range(len(languages))):
        found[i] = _accuracy(*(_vectors(model, packed, packed.held[languages[i]], side) for side in (0, 1)))
    model.train()
    workers.add_up([found])
    return dict(zip(languages, found.tolist(), strict=True))


def _accuracy(english: torch.Tensor, other: torch.Tensor) -> float:
    similarity, own = english @ other.T, torch.arange(len(english), device=english.device)
    both = [(similarity.argmax(dim) == own).double().mean() for dim in (0, 1)]
    return 50 * (both[0] + both[1]).item()


@torch.no_grad()
def _vectors(model: BertForMaskedLM, packed: Packed, held: Pairs, side: int) -> torch.Tensor:
    """[n, d], of length 1."""
    special = special_ids(packed.tokenizer)
    first, last = special["cls"], special["sep"]
    device, vectors = next(model.parameters()).device, []
    sides = [held[i][side][:LONGEST_SCORED] for i in range(min(len(held), SCORED_PAIRS))]
    longest = model.config.max_position_embeddings - 2
    for start in range(0, len(sides), SCORED_AT_ONCE):
        chunk = [torch.tensor([first, *s[:longest].tolist(), last]) for s in sides[start : start + SCORED_AT_ONCE]]
        ids = pad_sequence(chunk, batch_first=True).to(device)
        states = model.bert(input_ids=ids, attention_mask=(ids > 0).long()).last_hidden_state
        inside = ((ids > 0) & (ids != first) & (ids != last)).unsqueeze(-1)
        vectors.append(normalize((states * inside).sum(1), dim=-1))
    return torch.cat(vectors)


def write_encoder(model: BertForMaskedLM, packed: Packed, uri: str, facts: Mapping[str, Any], *, run: str) -> None:
    """A Hugging Face folder in half precision; `facts` lie beside it in training.json, which is written last.

    run: name of the run; what it left when it was stopped while writing is replaced. Raises FileExistsError when
    anything else lies at uri.
    """
    storage.require_unused(uri, "encoder", run=run)
    with tempfile.TemporaryDirectory(prefix="metaner-encoder-") as name:
        folder = Path(name)
        copy.deepcopy(model).half().save_pretrained(folder)
        fast(packed.tokenizer, longest=model.config.max_position_embeddings).save_pretrained(folder)
        (folder / FACTS).write_text(json.dumps(facts, indent=1), encoding="utf-8")
        storage.publish(folder, uri, last=FACTS, run=run)
