"""Small things that tests of the method's mathematics share: sentences, tiny random encoders, an engine on them."""

import functools

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast, XLMRobertaConfig, XLMRobertaModel

from metaner_core.method.adapt import Engine
from metaner_core.model.encoder import load_encoder
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


@functools.cache
def bert_tokenizer():
    return load_encoder("embedded")[1]


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


def save_tiny_xlm_roberta(folder, *, positions=514):
    """A random XLM-RoBERTa with a Unigram tokenizer of a few sentences, on disk as load_encoder reads it."""
    tokenizer = _unigram()
    torch.manual_seed(0)
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


def _unigram():
    """Ids 0 to 3 are <s> <pad> </s> <unk>, as in the published XLM-RoBERTa."""
    special = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    names = [*special.values(), "<mask>"]
    trainer = trainers.UnigramTrainer(vocab_size=300, special_tokens=names, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator([" ".join(words) for words, _ in SENTENCES], trainer)
    roles = {**special, "cls_token": "<s>", "sep_token": "</s>", "mask_token": "<mask>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **roles)


def encoded(settings, tokenizer=None, sentences=SENTENCES):
    encode = Encoding(tokenizer or bert_tokenizer(), settings)
    return [encode(words, labels) for words, labels in sentences]


def tiny_engine(settings, *, encoder=None, tokenizer=None, sentences=SENTENCES):
    """A tagger on a tiny encoder that predicts many labels, in float64: a reference is met to many digits."""
    tokenizer, label_set = tokenizer or bert_tokenizer(), LabelSet.of(settings)
    source = encoded(settings, tokenizer, sentences)
    tagger = Tagger(encoder or tiny_bert(), len(label_set.names), settings).double().eval()
    with torch.no_grad():
        tagger.classifier.weight.mul_(20)
        tagger.classifier.bias.sub_(tagger(collate(source, tokenizer)).mean(0))
    return Engine(tagger, tokenizer, label_set, settings, source)
