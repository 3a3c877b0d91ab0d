"""Chinese through a bundle with a SentencePiece encoder, whose subwords hold several words: rows are as any others."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from metaner_core.bundles import bundle
from metaner_core.bundles.bundle import Bundle
from metaner_core.bundles.prepare import prepare
from metaner_core.data import corpora, labels
from metaner_core.data.columns import Sentence
from metaner_core.method import adapt
from metaner_core.method.checkpoint import NoCheckpoints
from metaner_core.settings import preset
from metaner_core.tagging.pipeline import Document, tag_documents
from tests.support.small import CHINESE_TEXTS, SENTENCES, save_tiny_xlm_roberta

TEXTS = (
    "王小明在北京大学学习英语。李明2008年去上海买 iPhone，\n王小明和李明在上海。",
    "\u200b北京\x01大学\u3000的𠮷𠮷，㍿ﬁ " * 30,
)


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    settings = preset("demo", meta_updates=1, dev_every=1, tasks_per_update=2, window=16, window_context=6)
    encoder = save_tiny_xlm_roberta(tmp_path_factory.mktemp("encoder"), texts=CHINESE_TEXTS)
    source = [Sentence(tuple(words), tuple(names)) for words, names in SENTENCES]
    prepared = prepare(settings, source, source[:2], encoder=encoder)
    prepared.trainer.run(NoCheckpoints())
    made = str(tmp_path_factory.mktemp("bundle") / "tiny")
    bundle.write(made, prepared, facts={})
    return made


@pytest.fixture(scope="module")
def tiny(uri: str) -> Bundle:
    """In float64, its classifier drawn anew, so that it finds entities."""
    loaded = bundle.load(uri)
    weight = loaded.tagger.classifier.weight
    torch.nn.init.normal_(weight, generator=torch.Generator().manual_seed(1))
    torch.nn.init.zeros_(weight[0].detach())
    loaded.tagger.double()
    return loaded


@pytest.fixture(scope="module")
def rows(tiny: Bundle) -> list[dict[str, Any]]:
    return tag_documents(tiny, [Document(str(n), text, "zh") for n, text in enumerate(TEXTS)])


def test_tokens_and_entities_are_slices_of_the_text(rows: list[dict[str, Any]]) -> None:
    assert [row["outcome"] for row in rows] == ["tagged", "tagged"]
    for row, text in zip(rows, TEXTS, strict=True):
        tokens = [token for sentence in row["sentences"] for token in sentence["tokens"]]
        assert all(text[part["start"] : part["end"]] == part["text"] for part in [*tokens, *row["entities"]])
        assert all(len(token["text"]) == 1 or token["text"] in ("iPhone", "2008") for token in tokens)
        assert sum(len(token["text"]) for token in tokens) == sum(c not in " \n\u3000\u200b\x01" for c in text)
        assert any(entity["end"] - entity["start"] > 1 for entity in row["entities"])


def test_labels_are_the_reference_engine_s_and_several_words_have_one_subword(
    tiny: Bundle, rows: list[dict[str, Any]]
) -> None:
    parts = {f.name: getattr(tiny.engine, f.name) for f in dataclasses.fields(adapt.Engine)}
    reference, shared = adapt.Engine(**parts), 0
    for sentence in (sentence for row in rows for sentence in row["sentences"]):
        words = [token["text"] for token in sentence["tokens"]]
        encoded = tiny.encode(words)
        expected = reference.adapted([encoded], tiny.support([words])[0])[0]
        assert [token["label"] for token in sentence["tokens"]] == labels.to_bio(expected.labels)
        shared += len(encoded.first) - len(set(encoded.first))
    assert shared > 20


def test_a_corpus_by_character_gets_a_label_for_every_character(tiny: Bundle) -> None:
    sentences = corpora.load("embedded-zh", "test")[:40]
    found = tiny.engine.plain([tiny.encode(s.words) for s in sentences])
    assert [p.words for p in found] == [tuple(range(len(s.words))) for s in sentences]


def test_a_bundle_without_the_setting_encodes_as_its_version_did(uri: str, tiny: Bundle, tmp_path: Path) -> None:
    earlier = tmp_path / "bundle"
    shutil.copytree(uri, earlier)
    manifest = json.loads((earlier / "manifest.json").read_text())
    assert manifest["settings"].pop("touching_words") == "together"
    (earlier / "manifest.json").write_text(json.dumps(manifest))
    words = list("王小明去上海")
    tokens = [
        loaded.tokenizer.convert_ids_to_tokens(loaded.encode(words).ids) for loaded in (tiny, bundle.load(str(earlier)))
    ]
    assert tokens[0] == ["▁王小明", "去", "上海"]
    assert [token for token in tokens[1] if token.startswith("▁")] == ["▁"] * 6
