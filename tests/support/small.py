"""Small things that tests of the method's mathematics share: sentences, tiny random encoders, an engine on them."""

import functools
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast, XLMRobertaConfig, XLMRobertaModel

from metaner_core.encoders.encoder import load_encoder
from metaner_core.method.adapt import Engine
from metaner_core.model.encoding import Encoding, LabelSet, collate
from metaner_core.model.tagger import Tagger

SENTENCES = [
    tuple(zip(*(pair.rsplit("/", 1) for pair in line.split()), strict=True))
    for line in (
        "Angela/B-PER Merkel/I-PER met/O the/O mayor/O of/O Warsaw/B-LOC on/O Tuesday/O ./O",
        "Rain/O ./O",
        "Ajax/B-ORG beat/O Real/B-ORG Madrid/I-ORG 3-1/O in/O Amsterdam/B-LOC ./O",
        "Shares/O of/O Siemens/B-ORG rose/O by/O two/O per/O cent/O after/O the/O report/O ./O",
        "The/O French/B-MISC minister/O François/B-PER Duval/I-PER resigned/O ./O",
        "BERLIN/B-LOC",
        "Prices/O fell/O sharply/O ,/O the/O central/O bank/O said/O ./O",
        "Unpronounceablehausen/B-LOC and/O Czechoslovakianisation/B-MISC puzzled/O Dr./O Mbeki-Oyelaran/B-PER ./O",
        "Lin/B-PER Yutang/I-PER flew/O from/O Beijing/B-LOC to/O New/B-LOC York/I-LOC with/O Air/B-ORG China/I-ORG ./O",
        "Nobody/O came/O ./O",
    )
]


def by_character(line):
    """Words that are single characters but for Latin ones, and labels, from `李明/PER 去/O 北京/LOC`."""
    words, labels = [], []
    for part, type_ in (pair.rsplit("/", 1) for pair in line.split()):
        found = [part] if part.isascii() else list(part)
        words += found
        labels += ["O"] * len(found) if type_ == "O" else [f"B-{type_}", *[f"I-{type_}"] * (len(found) - 1)]
    return tuple(words), tuple(labels)


CHINESE = [
    by_character(line)
    for line in (
        "李明/PER 在/O 北京大学/ORG 学习/O 。/O",
        "王小明/PER 和/O 李明/PER 去/O 上海/LOC ，/O 上海/LOC 很/O 大/O 。/O",
        "北京/LOC 的/O 大学/O 在/O 上海/LOC 买/O iPhone/MISC 。/O",
        "北京大学/ORG 的/O 王小明/PER 学习/O 英语/MISC ，/O 李明/PER 学习/O 英语/MISC 。/O",
        "他/O 在/O 上海/LOC 。/O",
        "2008/O 年/O 北京/LOC 大/O ，/O 2/O 0/O 0/O 8/O 年/O 上海/LOC 大/O 。/O",
        "𠮷㐂/PER 在/O 北京大学/ORG 学习/O 英语/MISC 的/O 。/O",
        "王小明/PER",
    )
]
SHARED = [*CHINESE, *SENTENCES[:2]]  # some of them with subwords that hold several words
TEXTS = tuple(" ".join(words) for words, _ in SENTENCES)
CHINESE_TEXTS = (*TEXTS, *("".join(words) for words, _ in CHINESE))


WORDPIECES = Path(__file__).parents[1] / "fixtures" / "wordpieces"


@functools.cache
def bert_tokenizer():
    """WordPieces, every Chinese character by itself: those of the first embedded encoder."""
    return PreTrainedTokenizerFast.from_pretrained(WORDPIECES)


def tiny_bert(*, layers=3, positions=512, seed=0):
    """A random BERT with weights large enough that inputs and gradients matter."""
    config = BertConfig(
        vocab_size=len(bert_tokenizer()),
        hidden_size=32,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=48,
        max_position_embeddings=positions,
        initializer_range=0.2,
    )
    torch.manual_seed(seed)
    return BertModel(config, add_pooling_layer=False).eval()


def save_tiny_bert(folder):
    """The same with its tokenizer, on disk as load_encoder reads it."""
    bert_tokenizer().save_pretrained(folder)
    tiny_bert().save_pretrained(folder)
    return str(folder)


def save_tiny_xlm_roberta(folder, *, positions=514, texts=TEXTS, tokenizer=None, seed=0):
    """A random XLM-RoBERTa on disk as load_encoder reads it. tokenizer: if not given, a Unigram of a few texts."""
    tokenizer = tokenizer or unigram(texts)
    torch.manual_seed(seed)
    config = XLMRobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=48,
        max_position_embeddings=positions,
        type_vocab_size=1,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        initializer_range=0.2,
    )
    tokenizer.save_pretrained(folder)
    XLMRobertaModel(config).save_pretrained(folder)
    return str(folder)


def unigram(texts, vocabulary=300):
    """Ids 0 to 3 are <s> <pad> </s> <unk>, and control characters are dropped, as in the published XLM-RoBERTa."""
    special = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.Replace(Regex("[\x01-\x1f]"), ""), normalizers.NFKC()])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    names = [*special.values(), "<mask>"]
    trainer = trainers.UnigramTrainer(
        vocab_size=vocabulary, special_tokens=names, unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    roles = {**special, "cls_token": "<s>", "sep_token": "</s>", "mask_token": "<mask>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **roles)


def encoded(settings, tokenizer=None, sentences=SENTENCES):
    encode = Encoding(tokenizer or bert_tokenizer(), settings)
    return [encode(words, labels) for words, labels in sentences]


def family(name, folder):
    """Encoder, tokenizer and sentences for `tiny_engine`: bert, xlm-roberta, or chinese, the latter with SHARED."""
    if name == "bert":
        return {}
    texts, sentences = (CHINESE_TEXTS, SHARED) if name == "chinese" else (TEXTS, SENTENCES)
    encoder, tokenizer = load_encoder(save_tiny_xlm_roberta(folder, texts=texts))
    return {"encoder": encoder, "tokenizer": tokenizer, "sentences": sentences}


def tiny_engine(settings, *, encoder=None, tokenizer=None, sentences=SENTENCES):
    """A tagger on a tiny encoder that predicts many labels, in float64: a reference is met to many digits."""
    tokenizer, label_set = tokenizer or bert_tokenizer(), LabelSet.of(settings)
    source = encoded(settings, tokenizer, sentences)
    tagger = Tagger(encoder or tiny_bert(), len(label_set.names), settings).double().eval()
    with torch.no_grad():
        tagger.classifier.weight.mul_(20)
        tagger.classifier.bias.sub_(tagger(collate(source, tokenizer)).mean(0))
    return Engine(tagger, tokenizer, label_set, settings, source)
