"""A cased vocabulary over all languages: WordPieces, each Chinese character by itself, or pieces of another encoder."""

import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from metaner_core.pretrain.settings import PackSettings
from metaner_core.pretrain.text import lines
from metaner_core.text.scripts import without_spaces

SPECIAL = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}  # ids 0 to 4
CONTINUES = "##"
CHUNK = 4_096  # lines that the tokenizer is given at once, for its threads
BEGINS = "▁"  # a SentencePiece that has a space before it


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


def tokenizer_of(encoder: str, mono: Mapping[str, Sequence[str]], settings: PackSettings) -> Tokenizer:
    """The pieces of an encoder as load_encoder takes it: all of WordPieces as BERT's or of an encoder that was made
    here; of a SentencePiece vocabulary those that a sample of the text uses most. Raises ValueError for others."""
    from metaner_core.encoders.encoder import load_encoder  # late: torch comes along, which no other vocabulary needs

    loaded = load_encoder(encoder)[1]
    tokenizer = loaded.backend_tokenizer
    tokenizer.no_padding()
    tokenizer.no_truncation()
    missing = [token for token in SPECIAL.values() if tokenizer.token_to_id(token) is None]
    whole = not missing and tokenizer.token_to_id(SPECIAL["pad"]) == 0
    if whole and isinstance(tokenizer.model, models.WordPiece | models.Unigram):
        return tokenizer
    if isinstance(tokenizer.model, models.Unigram):
        return trimmed(tokenizer, set(loaded.all_special_tokens), sample(mono, settings), settings)
    lacks = f"; it has no {', '.join(missing)}" if missing else ""
    raise ValueError(
        f"encoder {encoder!r}: text is packed in SentencePieces (Unigram), or WordPieces with [PAD] as number 0{lacks}"
    )


def trimmed(tokenizer: Tokenizer, special: set[str], texts: Iterable[str], settings: PackSettings) -> Tokenizer:
    """A SentencePiece (Unigram) tokenizer with `vocabulary` of its pieces: SPECIAL in place of its own `special`, the
    `alphabet` most frequent characters in the texts, and the pieces that they use most. What is cut as before stays
    so; a piece that is left out becomes several."""
    used, characters = Counter[str](), Counter[str]()
    rest = iter(texts)
    while chunk := list(islice(rest, CHUNK)):
        for encoding in tokenizer.encode_batch(chunk, add_special_tokens=False):
            used.update(encoding.tokens)
            characters.update("".join(encoding.tokens))
    described = json.loads(tokenizer.to_str())
    scores = {piece: score for piece, score in described["model"]["vocab"] if piece not in special}
    alone = [c for c, _ in characters.most_common() if c in scores and c != BEGINS][: settings.alphabet]
    kept = dict.fromkeys([BEGINS, *alone, *(piece for piece, _ in used.most_common())])
    chosen = [piece for piece in kept if piece in scores][: settings.vocabulary - len(SPECIAL)]
    described["model"]["vocab"] = [*((token, 0.0) for token in SPECIAL.values()), *((p, scores[p]) for p in chosen)]
    ids = {name: number for number, name in enumerate(SPECIAL)}
    described["model"]["unk_id"] = ids["unk"]
    described.update(added_tokens=[], post_processor=None)
    found = Tokenizer.from_str(json.dumps(described))
    found.add_special_tokens(list(SPECIAL.values()))
    found.post_processor = processors.BertProcessing((SPECIAL["sep"], ids["sep"]), (SPECIAL["cls"], ids["cls"]))
    return found


def continues(tokenizer: Tokenizer) -> list[int]:
    """The pieces that go on with a word that another began."""
    pieces = tokenizer.get_vocab()
    if isinstance(tokenizer.model, models.WordPiece):
        return [i for piece, i in pieces.items() if piece.startswith(CONTINUES)]
    plain = {piece: i for piece, i in pieces.items() if piece not in SPECIAL.values()}
    return [i for piece, i in plain.items() if not piece.startswith(BEGINS) and not without_spaces(piece)]


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
