"""Bundles whose support sets another encoder finds, or the tagger's own in another way."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from metaner_core.bundles import bundle
from metaner_core.bundles.bundle import Bundle
from metaner_core.bundles.prepare import Prepared, prepare
from metaner_core.data.corpora import load
from metaner_core.encoders.encoder import load_encoder
from metaner_core.engine.config import EngineConfig
from metaner_core.method.checkpoint import NoCheckpoints
from metaner_core.settings import Settings, preset
from tests.support.small import save_tiny_xlm_roberta

HOW: dict[str, Any] = {"pooling": "mean", "layer": 2, "prefix": "query: "}
QUERIES = [("Anna", "Berg", "spielt", "für", "Hertha", "in", "Berlin", "."), ("Warsaw",), ("Rain", "fell", ".")]


def settings(**changes: Any) -> Settings:
    return preset("demo", meta_updates=1, dev_every=1, tasks_per_update=2, select_on="adapted", **changes)


def prepared(**changes: Any) -> Prepared:
    train, dev = load("embedded-en", "train")[:12], load("embedded-en", "dev")[:4]
    return prepare(settings(**changes), train, dev, encoder="embedded")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> tuple[Prepared, str, str]:
    """A trained run, its bundle, and where the retrieval encoder was, which is gone."""
    name = save_tiny_xlm_roberta(tmp_path_factory.mktemp("other") / "xlm")
    found = prepared(retrieval_encoder=name, **HOW)
    found.trainer.run(NoCheckpoints())
    uri = str(tmp_path_factory.mktemp("bundle") / "b")
    bundle.write(uri, found, facts={})
    shutil.rmtree(name)
    return found, uri, name


def plain_vectors(folder: str, sentences: list[tuple[str, ...]]) -> np.ndarray:
    """By transformers' own model, one sentence at a time: `query: ` in front, mean over all tokens of layer 2."""
    encoder, tokenizer = load_encoder(folder)
    prefix, *each = tokenizer([["query:"], *sentences], is_split_into_words=True, add_special_tokens=False)["input_ids"]
    found = []
    for subwords in each:
        ids = [tokenizer.cls_token_id, *prefix, *subwords[:128], tokenizer.sep_token_id]
        with torch.no_grad():
            hidden = encoder(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states[2]
        found.append(hidden[0].mean(0).numpy())
    return np.stack(found)


def nearest(vectors: np.ndarray, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    unit = [a / np.linalg.norm(a, axis=1, keepdims=True) for a in (vectors, queries)]
    cosines = unit[1] @ unit[0].T
    ids = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    return ids, np.take_along_axis(cosines, ids, 1)


def test_the_bundle_finds_what_the_other_encoder_does_though_that_is_gone(other: tuple[Prepared, str, str]) -> None:
    loaded = bundle.load(other[1])
    retrieval = str(Path(other[1]) / "retrieval")
    vectors = plain_vectors(retrieval, [s.words for s in loaded.source])
    np.testing.assert_allclose(loaded.vectors, vectors, atol=1e-5)
    ids, similarities = loaded.support(QUERIES)
    expected = nearest(vectors, plain_vectors(retrieval, QUERIES), loaded.settings.neighbours)
    assert ids.tolist() == expected[0].tolist()
    np.testing.assert_allclose(similarities, expected[1], atol=1e-5)


def test_retrieval_is_in_the_precision_that_is_asked_for(other: tuple[Prepared, str, str]) -> None:
    exact, half = (bundle.load(other[1], config=EngineConfig(precision=p)) for p in ("fp32", "bf16"))
    ids, similarities = exact.support(QUERIES)
    found, near = half.support(QUERIES)
    assert np.mean(found == ids) > 0.5  # a near tie may fall the other way
    np.testing.assert_allclose(near, similarities, atol=1e-2)
    assert not np.array_equal(near, similarities)


def test_training_was_on_the_neighbours_that_it_finds(other: tuple[Prepared, str, str]) -> None:
    trainer = other[0].trainer
    found, _ = nearest(other[0].vectors, other[0].vectors, 3)
    assert trainer.support.tolist() == [[i for i in row if i != n][:2] for n, row in enumerate(found.tolist())]
    dev = [s.words for s in load("embedded-en", "dev")[:4]]
    assert trainer.dev_support is not None
    assert trainer.dev_support.tolist() == bundle.load(other[1]).support(dev)[0].tolist()


def test_the_tagger_is_the_one_that_was_trained(other: tuple[Prepared, str, str]) -> None:
    trained, loaded = other[0].trainer.engine, bundle.load(other[1])
    sentences = [loaded.encode(words) for words in QUERIES]
    support, _ = loaded.support(QUERIES)
    assert loaded.engine.adapted(sentences, support) == trained.adapted(sentences, support)


def test_the_manifest_vouches_for_its_files(other: tuple[Prepared, str, str], tmp_path: Path) -> None:
    shutil.copytree(other[1], tmp_path / "b")
    (tmp_path / "b" / "retrieval" / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"not whole: retrieval/model\.safetensors is missing"):
        bundle.load(str(tmp_path / "b"))


def test_an_index_of_another_width_is_refused_by_the_encoders_name(
    other: tuple[Prepared, str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "b"
    shutil.copytree(other[1], folder)
    save_file(
        {"vectors": load_file(folder / "index.safetensors")["vectors"][:, :-1].copy()}, folder / "index.safetensors"
    )
    manifest = json.loads((folder / "manifest.json").read_text())
    content = (folder / "index.safetensors").read_bytes()
    manifest["files"]["index.safetensors"] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=r"retrieval encoder \(.*/xlm\) has vectors of 32 .* holds vectors of 31"):
        bundle.load(str(folder))


def test_the_taggers_own_encoder_can_be_asked_otherwise(tmp_path: Path) -> None:
    bundle.write(str(tmp_path / "b"), prepared(**HOW), facts={})
    loaded = bundle.load(str(tmp_path / "b"))
    np.testing.assert_allclose(loaded.vectors, plain_vectors("embedded", [s.words for s in loaded.source]), atol=1e-5)
    expected = nearest(loaded.vectors, plain_vectors("embedded", QUERIES), loaded.settings.neighbours)
    assert loaded.support(QUERIES)[0].tolist() == expected[0].tolist()


@pytest.mark.parametrize("change", [{"layer": 5}, {"prefix": "query: " * 100}], ids=["layer", "prefix"])
def test_what_does_not_fit_the_encoder_is_refused_before_any_work(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"^{next(iter(change))} .*: give"):
        prepared(**change)


@pytest.mark.parametrize("name", ["same", "embedded"])
def test_one_copy_is_in_memory_and_in_the_bundle_when_the_encoder_is_the_taggers(name: str, tmp_path: Path) -> None:
    found = prepared(retrieval_encoder=name)
    assert found.retrieval.encoder is found.encoder
    assert_shared(found.trainer.engine.tagger.encoder, found.encoder)
    found.trainer.run(NoCheckpoints())
    bundle.write(str(tmp_path / "b"), found, facts={})
    assert not (tmp_path / "b" / "retrieval").exists()
    loaded = bundle.load(str(tmp_path / "b"))
    assert_shared(loaded.tagger.encoder, loaded.retrieval.encoder)
    assert_pre_trained(loaded)


def assert_shared(tagger: torch.nn.Module, retrieval: torch.nn.Module) -> None:
    """The embeddings and the one frozen layer are held once, the trained layers twice."""
    held = {name: p.data_ptr() for name, p in retrieval.named_parameters()}
    same = {name for name, p in tagger.named_parameters() if p.data_ptr() == held[name]}
    assert same == {name for name in held if name.startswith(("embeddings.", "encoder.layer.0."))}
    assert all(not p.requires_grad for p in retrieval.parameters())


def assert_pre_trained(loaded: Bundle) -> None:
    """What the bundle retrieves with is the encoder as it was before the tagger was trained."""
    expected = load_encoder("embedded")[0].state_dict()
    found = loaded.retrieval.encoder.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in found.items())
    tagger = loaded.tagger.encoder.state_dict()
    trained = range(loaded.settings.frozen_layers, loaded.tagger.encoder.config.num_hidden_layers)
    changed = {name.split(".")[2] for name, value in tagger.items() if not torch.equal(value, expected[name])}
    assert changed == {str(number) for number in trained}
