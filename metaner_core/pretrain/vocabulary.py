"""A cased WordPiece vocabulary over all languages: words as BERT cuts them, every Chinese character by itself."""

import random
from collections.abc import Iterator, Mapping, Sequence

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from metaner_core.pretrain.settings import PackSettings
from metaner_core.pretrain.text import lines

SPECIAL = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}  # ids 0 to 4
CONTINUES = "##"


def train_vocabulary(mono: Mapping[str, Sequence[str]], settings: PackSettings) -> Tokenizer:
    """WordPieces of a sample of every language's files, as large a sample as `shares` says.

    The trainer breaks ties by hash order: two trainings on the same text may differ in a few rare pieces.
    """
    tokenizer = _untrained()
    trainer = trainers.WordPieceTrainer(
        vocab_size=settings.vocabulary,
        limit_alphabet=settings.alphabet,
        special_tokens=list(SPECIAL.values()),
        continuing_subword_prefix=CONTINUES,
        show_progress=False,
    )
    tokenizer.train_from_iterator(sample(mono, settings), trainer)
    ids = special_ids(tokenizer)
    tokenizer.post_processor = processors.BertProcessing((SPECIAL["sep"], ids["sep"]), (SPECIAL["cls"], ids["cls"]))
    return tokenizer


def tokenizer_of(encoder: str) -> Tokenizer:
    """The WordPieces of an encoder as load_encoder takes it. Raises ValueError when they are not as BERT's."""
    from metaner_core.encoders.encoder import load_encoder  # late: torch comes along, which no other vocabulary needs

    tokenizer = load_encoder(encoder)[1].backend_tokenizer
    tokenizer.no_padding()
    tokenizer.no_truncation()
    missing = [token for token in SPECIAL.values() if tokenizer.token_to_id(token) is None]
    if missing or tokenizer.token_to_id(SPECIAL["pad"]) != 0 or not isinstance(tokenizer.model, models.WordPiece):
        lacks = f"; it has no {', '.join(missing)}" if missing else ""
        raise ValueError(f"encoder {encoder!r}: text is packed in WordPieces with [PAD] as number 0{lacks}")
    return tokenizer


def special_ids(tokenizer: Tokenizer) -> dict[str, int]:
    return {name: tokenizer.get_vocab(with_added_tokens=True)[token] for name, token in SPECIAL.items()}


def _untrained() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token=SPECIAL["unk"], max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=False, lowercase=False
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix=CONTINUES)
    return tokenizer


def fast(tokenizer: Tokenizer, *, longest: int = 512) -> PreTrainedTokenizerFast:
    """The tokenizer as transformers saves and loads it."""
    roles = {f"{name}_token": token for name, token in SPECIAL.items()}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=longest, **roles)


def shares(sizes: Mapping[str, int], exponent: float) -> dict[str, float]:
    """p_l ∝ size_l^exponent: with an exponent below 1 small languages are seen more often than they occur."""
    weights = {name: size**exponent if size else 0.0 for name, size in sizes.items()}
    return {name: weight / sum(weights.values()) for name, weight in weights.items()}


def sample(mono: Mapping[str, Sequence[str]], settings: PackSettings) -> Iterator[str]:
    """Lines of each language, at random as many characters as its share; a small language's lines several times."""
    sizes = {language: sum(map(len, lines(files))) for language, files in sorted(mono.items())}
    budget = min(settings.vocabulary_characters, sum(sizes.values()))
    for language, share in shares(sizes, settings.vocabulary_exponent).items():
        often, chance = divmod(share * budget / sizes[language], 1)
        rng = random.Random(f"{settings.seed} {language}")
        for line in lines(mono[language]):
            for _ in range(int(often) + (rng.random() < chance)):
                yield line
