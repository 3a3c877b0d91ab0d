"""A small bundle for tests that are not about what a model has learnt."""

import tempfile

import torch

from metaner_core.bundles import bundle
from metaner_core.bundles.prepare import prepare
from metaner_core.data import corpora
from metaner_core.method.checkpoint import NoCheckpoints
from metaner_core.model.encoding import collate
from metaner_core.settings import preset
from tests.support.small import save_tiny_bert


def make_tiny_bundle(uri: str) -> None:
    """A bundle after three meta-updates of a random encoder on embedded sentences: wrong about nearly all, whole.

    Its classifier is then centred and made ten times as large, so that it predicts every label, and others once it is
    adapted; else it would say O to every word.
    """
    settings = preset(
        "demo", meta_updates=3, dev_every=3, tasks_per_update=8, beta=2e-3, adapt_optimizer="adam", gamma=1e-3
    )
    train, dev = (corpora.load("embedded-en", split)[:n] for split, n in (("train", 60), ("dev", 10)))
    with tempfile.TemporaryDirectory() as encoder:
        prepared = prepare(settings, train, dev, encoder=save_tiny_bert(encoder))
    state = prepared.trainer.run(NoCheckpoints())
    tagger = prepared.trainer.engine.tagger
    with torch.no_grad():
        tagger.classifier.weight.mul_(10)
        tagger.classifier.bias.sub_(tagger(collate(prepared.trainer.engine.source, prepared.tokenizer)).mean(0))
    bundle.write(uri, prepared, facts={"best": {"dev_f1": state.best_f1, "update": state.best_update}})
