"""Tiny teachers on disk: random encoders with pieces of their own, which cut words otherwise than their students."""

from pathlib import Path

from tests.support.pretrain_small import sentences
from tests.support.small import save_tiny_xlm_roberta, unigram

VOCABULARY = 2_000


def save_tiny_teacher(folder: Path, *, seed: int = 0) -> str:
    """Three layers of 32, and a Unigram tokenizer of English and Chinese."""
    folder.mkdir()
    tokenizer = unigram([*sentences("en"), *sentences("zh")], vocabulary=VOCABULARY)
    return save_tiny_xlm_roberta(folder, tokenizer=tokenizer, seed=seed)
