"""The encoder with its masked-LM head: made new, its loss, written as other jobs read it."""

import copy
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import BertConfig, BertForMaskedLM, PreTrainedModel

from metaner_core import storage
from metaner_core.encoders.encoder import load_encoder
from metaner_core.encoders.source import located
from metaner_core.pretrain.packed import Packed
from metaner_core.pretrain.settings import PretrainSettings
from metaner_core.pretrain.vocabulary import fast

FACTS = "training.json"
SHAPE = (
    *("model_type", "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"),
    "max_position_embeddings",
)


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


def known_model(settings: PretrainSettings, tokenizer: Tokenizer) -> BertForMaskedLM:
    """The model of `settings` with the weights of the encoder `start_from`, with its masked-LM head if that is used.

    Raises ValueError when shape or vocabulary are not those of the settings and the packed text, or there is no head
    and masked words are to be learnt.
    """
    source, model = settings.start_from, new_model(settings, tokenizer.get_vocab_size())
    encoder, pieces = load_encoder(source)
    differing = [name for name in SHAPE if getattr(encoder.config, name, None) != getattr(model.config, name)]
    if differing:
        found = ", ".join(f"{n} {getattr(encoder.config, n, None)} for {getattr(model.config, n)}" for n in differing)
        raise ValueError(f"start_from {source!r} is not of the shape of these settings: {found}")
    if pieces.get_vocab() != tokenizer.get_vocab():
        raise ValueError(
            f"start_from {source!r} has other pieces than the packed text: pack with tokenizer_of={source}"
        )
    if not settings.masks_words:
        model.bert.load_state_dict(encoder.state_dict())
        return model
    load: Any = BertForMaskedLM.from_pretrained  # its stub does not know that it can return a pair
    with located(source) as path:
        known, loading = load(path, dtype=torch.float32, use_safetensors=True, output_loading_info=True)
    if missing := sorted(loading["missing_keys"]):
        raise ValueError(f"start_from {source!r} lacks {', '.join(missing)}: it must have its masked-LM head")
    model.load_state_dict(known.state_dict())
    return model


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


def write_encoder(model: PreTrainedModel, packed: Packed, uri: str, facts: Mapping[str, Any], *, run: str) -> None:
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
