"""An E5 file as a folder that transformers loads: a BERT, and XLM-RoBERTa's tokenizer."""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.numpy import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from metaner_core.encoders.e5_file import E5File

MASK = "<mask>"
SPACE = "▁"  # stands for a space, and before every text
STAND_INS = range(0xFDD0, 0xFDF0)  # code points that Unicode promises never to give to a character
NAMES = {  # of a layer's parts in the file, and in transformers
    "attention.self.query": "q",
    "attention.self.key": "k",
    "attention.self.value": "v",
    "attention.output.dense": "ao",
    "attention.output.LayerNorm": "aln",
    "intermediate.dense": "fi",
    "output.dense": "fo",
    "output.LayerNorm": "oln",
    "embeddings.word_embeddings": "emb.word",
    "embeddings.position_embeddings": "emb.pos",
    "embeddings.token_type_embeddings": "emb.type",
    "embeddings.LayerNorm": "emb.ln",
}


def write_folder(file: E5File, folder: Path, facts: Mapping[str, str]) -> None:
    """Write config.json, model.safetensors and the tokenizer's files into a folder.

    The weights are float32, which holds the file's to the bit; half precision would round a quarter of them.
    facts: go into config.json, which transformers copies to wherever the encoder is saved (licence, origin).
    """
    shape, special = file.shape, file.special
    config = BertConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.intermediate,
        max_position_embeddings=shape.positions,
        type_vocab_size=shape.types,
        layer_norm_eps=float(f"{shape.epsilon:.6g}"),  # 1e-12 comes out of float32 with more digits
        bos_token_id=special["bos"],
        eos_token_id=special["eos"],
        pad_token_id=special["pad"],
        architectures=["BertModel"],
        dtype="float32",
    )
    config.update(dict(facts))
    config.save_pretrained(folder)
    with torch.device("meta"):  # the names and shapes alone
        model = BertModel(config, add_pooling_layer=False)
    weights = {name: file.tensor(name_in_file(name), tuple(p.shape)) for name, p in model.named_parameters()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    fast(file).save_pretrained(folder)


def name_in_file(name: str) -> str:
    """`encoder.layer.3.output.dense.bias` is `l3.fo.b`; a table of embeddings is nothing's weight."""
    module, kind = name.rsplit(".", 1)
    layer = re.fullmatch(r"encoder\.layer\.(\d+)\.(.+)", module)
    short = f"l{layer[1]}.{NAMES[layer[2]]}" if layer else NAMES[module]
    return short if module.endswith("_embeddings") else f"{short}.{kind[0]}"


def fast(file: E5File) -> PreTrainedTokenizerFast:
    """The tokenizer as transformers saves and loads it. Raises ValueError when the last piece is not <mask>."""
    if file.pieces[-1] != MASK:
        raise ValueError(f"{file.path}: the last piece should be {MASK}, it is {file.pieces[-1]!r}")
    bos, eos, pad, unk = (file.pieces[file.special[name]] for name in ("bos", "eos", "pad", "unk"))
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer(file),
        model_max_length=file.shape.positions,
        bos_token=bos,
        eos_token=eos,
        cls_token=bos,
        sep_token=eos,
        pad_token=pad,
        unk_token=unk,
        mask_token=AddedToken(MASK, lstrip=True, special=True),
    )
    assert len(made) == len(file.pieces), "special tokens are pieces of the file"
    return made


def tokenizer(file: E5File) -> Tokenizer:
    """Unigram with the file's pieces, scores and normalisation."""
    bos, eos = file.special["bos"], file.special["eos"]
    first, last = file.pieces[bos], file.pieces[eos]
    made = Tokenizer(models.Unigram(list(zip(file.pieces, file.scores.tolist(), strict=True)), file.special["unk"]))
    made.normalizer = normalizer(file)
    made.pre_tokenizer = pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="always")
    made.decoder = decoders.Metaspace(replacement=SPACE, prepend_scheme="always")
    made.post_processor = processors.TemplateProcessing(
        single=[first, "$A", last],
        pair=[first, "$A", last, last, "$B", last],
        special_tokens=[(first, bos), (last, eos)],
    )
    return made


def normalizer(file: E5File) -> normalizers.Normalizer:
    """NFKC but where the file says otherwise; then one space for several.

    The file knows single code points only. NFKC also composes, as the tokenizer did that the encoder was trained with:
    `e` and an accent after it are one piece, not an unknown mark.
    """
    nfkc = normalizers.NFKC()
    odd: dict[str, str] = {}
    for code, text in file.replaced.items():
        if nfkc.normalize_str(chr(code)) != text:
            odd[text] = odd.get(text, "") + f"\\x{{{code:x}}}"
    steps: list[normalizers.Normalizer] = []
    steps += [normalizers.Replace(Regex(f"[{codes}]"), text) for text, codes in odd.items()]
    hidden = dict(zip(_kept(file, nfkc), map(chr, STAND_INS), strict=False))
    steps += [normalizers.Replace(character, stand_in) for character, stand_in in hidden.items()]
    steps.append(nfkc)
    steps += [normalizers.Replace(stand_in, character) for character, stand_in in hidden.items()]
    return normalizers.Sequence([*steps, normalizers.Replace(Regex(" {2,}"), " ")])


def _kept(file: E5File, nfkc: normalizers.Normalizer) -> list[str]:
    """Characters of pieces that NFKC would change and the file does not: a full-width tilde."""
    characters = sorted({character for piece in file.pieces for character in piece})
    kept = [c for c in characters if ord(c) not in file.replaced and nfkc.normalize_str(c) != c]
    assert len(kept) <= len(STAND_INS), "a few exceptions from NFKC are what this is made for"
    return kept
