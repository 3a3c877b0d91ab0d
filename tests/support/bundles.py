"""Bundles whose untrained taggers find many names, so that two ways of tagging can be seen to agree."""

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import BertTokenizer, XLMRobertaTokenizer

from metaner_core.bundles import bundle
from metaner_core.bundles.bundle import Bundle
from metaner_core.bundles.prepare import prepare
from metaner_core.data import corpora
from metaner_core.data.corpora import Sentence
from metaner_core.data.labels import spans
from metaner_core.model.encoding import collate
from metaner_core.settings import Settings
from tests.support.small import SENTENCES, bert_tokenizer, save_tiny_xlm_roberta, tiny_bert

FACTS = {
    "source_name": "embedded-en",
    "best": {"dev_f1": 41.379, "update": 200, "selected_on": "unadapted"},
    "history": [{"update": 100, "dev_f1": 35.0}, {"update": 200, "dev_f1": 41.379}],
}


def write_lively(uri: str, settings: Settings, *, encoder: str) -> str:
    """A bundle of ten source sentences, whose labels are equally likely whatever the encoder. Returns its uri."""
    source = [Sentence(tuple(words), tuple(labels)) for words, labels in SENTENCES]
    prepared = prepare(settings, source, source, encoder=encoder)
    tagger, tokenizer = prepared.trainer.engine.tagger, prepared.tokenizer
    encoded = prepared.trainer.engine.source
    with torch.no_grad():
        tagger.classifier.weight.mul_(2 / tagger(collate(encoded, tokenizer)).std(0)[:, None])
        tagger.classifier.bias.sub_(tagger(collate(encoded, tokenizer)).mean(0))
    bundle.write(uri, prepared, facts={**FACTS, "encoder": encoder})
    return uri


def save_bert(folder: Path) -> str:
    """A tiny random BERT with a tokenizer of BERT's own class, which gives token types too."""
    tiny_bert().save_pretrained(folder)
    BertTokenizer(vocab=bert_tokenizer().get_vocab(), do_lower_case=False).save_pretrained(folder)
    return str(folder)


def save_xlm_roberta(folder: Path) -> str:
    """A tiny random XLM-RoBERTa with a tokenizer of the published one's class, in whose vocabulary are whole words."""
    trained = Tokenizer(models.Unigram())
    trained.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = trainers.UnigramTrainer(vocab_size=900, special_tokens=special, unk_token="<unk>", show_progress=False)
    trained.train_from_iterator(map(" ".join, german()), trainer)
    pieces = json.loads(trained.to_str())["model"]["vocab"]
    return save_tiny_xlm_roberta(folder, tokenizer=XLMRobertaTokenizer(vocab=[tuple(piece) for piece in pieces]))


def german() -> list[tuple[str, ...]]:
    """Sentences to tag, none of which is in a bundle."""
    return [sentence.words for sentence in corpora.load("embedded-de", "test")]


def places(loaded: Bundle, words: tuple[str, ...]) -> list[tuple[str, int, int]]:
    """Type and character offsets of the names that the unadapted engine finds in the words with spaces between."""
    (prediction,) = loaded.engine.plain([loaded.encode(words)])
    starts = [sum(len(word) + 1 for word in words[:n]) for n in range(len(words))]
    return [(s.type, starts[s.start], starts[s.end - 1] + len(words[s.end - 1])) for s in spans(prediction.labels)]
