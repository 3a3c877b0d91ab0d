"""Pre-trained multilingual encoders and their tokenizers: from a hub name, a local folder, s3:// or the package."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from transformers import AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as hf_logging

from metaner_core.encoders.source import CHOICES, located

LAYER = {  # the parameters of a layer that this file knows what to do with
    f"{module}.{kind}"
    for module in (
        *(f"attention.{part}" for part in ("self.query", "self.key", "self.value", "output.dense", "output.LayerNorm")),
        *("intermediate.dense", "output.dense", "output.LayerNorm"),
    )
    for kind in ("weight", "bias")
}


def load_encoder(source: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Encoder (float32, no pooler, eval mode) and fast tokenizer of `source`.

    source: `embedded`, `e5-small`, a local folder, `s3://...`, or a hub name. Weights are read from safetensors only
    and no code of the model's is run. Raises ValueError when there is no fast tokenizer or the encoder's layers are
    not found.
    """
    with located(source) as path:
        return _load(path, source)


def load_tokenizer(source: str) -> PreTrainedTokenizerBase:
    """The tokenizer that `load_encoder` gives, without the encoder. It says what is raised."""
    with located(source) as path, _quietly(source):
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
    return _usable(tokenizer, source)


def _load(path: str, source: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    with _quietly(source):
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
        encoder = AutoModel.from_pretrained(path, dtype=torch.float32, use_safetensors=True, trust_remote_code=False)
    _usable(tokenizer, source)
    if getattr(encoder, "pooler", None) is not None:
        encoder.pooler = None  # tagging and retrieval read the layers' own vectors
    require_known(encoder)
    return encoder.eval(), tokenizer


@contextmanager
def _quietly(source: str) -> Iterator[None]:
    """Without transformers' own lines; what cannot be read there is an error that names the source."""
    before = hf_logging.get_verbosity()
    hf_logging.set_verbosity_error()  # a masked-LM head in the file is expected and left out
    hf_logging.disable_progress_bar()
    try:
        yield
    except (OSError, ValueError) as error:  # the first of its lines: those after it are about transformers' insides
        why = next(iter(str(error).splitlines()), type(error).__name__).rstrip(".: ")
        raise ValueError(f"encoder {source!r} cannot be loaded: {why}; {CHOICES}") from error
    finally:
        hf_logging.set_verbosity(before)


def _usable(tokenizer: PreTrainedTokenizerBase, source: str) -> PreTrainedTokenizerBase:
    if not tokenizer.is_fast:
        raise ValueError(f"encoder {source!r} has no fast tokenizer, which word positions need; convert it to one")
    if None in (tokenizer.mask_token_id, tokenizer.unk_token_id, tokenizer.cls_token_id, tokenizer.sep_token_id):
        raise ValueError(f"encoder {source!r}: its tokenizer must have [CLS], [SEP], [MASK] and [UNK] tokens")
    return tokenizer


def layers(encoder: nn.Module) -> nn.ModuleList:
    """The encoder's transformer layers, bottom first. Raises ValueError for a shape that is not known."""
    found = getattr(getattr(encoder, "encoder", None), "layer", None)
    if not isinstance(found, nn.ModuleList):
        raise ValueError(f"{type(encoder).__name__} has no encoder.layer: use an encoder of the BERT or RoBERTa family")
    return found


def require_known(encoder: nn.Module) -> None:
    """Raises ValueError unless the layers are BERT's or (XLM-)RoBERTa's, which transformer.py computes."""
    config: Any = encoder.config
    for number, layer in enumerate(layers(encoder)):
        if odd := {name for name, _ in layer.named_parameters()} ^ LAYER:
            raise ValueError(
                f"{type(encoder).__name__}: layer {number} differs from BERT's in {', '.join(sorted(odd)[:4])}: "
                "use an encoder of the BERT or RoBERTa family"
            )
    if getattr(config, "position_embedding_type", None) not in (None, "absolute") or getattr(
        config, "is_decoder", False
    ):
        raise ValueError(f"{type(encoder).__name__}: expected an encoder with absolute positions")


def freeze(encoder: nn.Module, frozen_layers: int) -> None:
    """Stop gradients into the embeddings and the bottom layers (Sec. 4.2). Raises ValueError when too many."""
    stack = layers(encoder)
    if frozen_layers > len(stack):
        raise ValueError(f"frozen_layers is {frozen_layers}, but the encoder has {len(stack)} layers")
    embeddings = encoder.get_submodule("embeddings")
    for module in (embeddings, *stack[:frozen_layers]):
        module.requires_grad_(False)


def trainable_copy(encoder: PreTrainedModel, frozen_layers: int) -> PreTrainedModel:
    """A copy to be trained above the frozen layers. Their numbers, and the embeddings', are in memory only once.

    To be made where both will be: the one that is moved or cast afterwards gets numbers of its own.
    """
    shared = (encoder.get_submodule("embeddings"), *layers(encoder)[:frozen_layers])
    ready = {id(p): nn.Parameter(p.data, requires_grad=False) for module in shared for p in module.parameters()}
    found = copy.deepcopy(encoder, ready)  # takes what is ready for copied
    for layer in layers(found)[frozen_layers:]:
        layer.requires_grad_(True)
    return found


def longest_input(encoder: PreTrainedModel) -> int:
    """Positions that one input may have, special tokens included (RoBERTa keeps the first two for itself)."""
    padding = getattr(encoder.get_submodule("embeddings"), "padding_idx", None)
    return encoder.config.max_position_embeddings - (0 if padding is None else padding + 1)
