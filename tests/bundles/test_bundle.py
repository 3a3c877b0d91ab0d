"""A bundle holds all that tagging needs, and says so when it does not."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from metaner_core import storage
from metaner_core.bundles import bundle
from metaner_core.bundles.prepare import Prepared, prepare
from metaner_core.data.corpora import load
from metaner_core.encoders.encoder import load_encoder
from metaner_core.method.checkpoint import NoCheckpoints
from metaner_core.model import sentence_vectors
from metaner_core.settings import preset
from metaner_core.tagging.stages.predicting import predict

WORDS = ("Anna", "Berg", "spielt", "für", "Hertha", "in", "Berlin", ".")


@pytest.fixture
def copy(tiny_bundle: str, tmp_path: Path) -> Path:
    shutil.copytree(tiny_bundle, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    settings = preset("demo", meta_updates=1, dev_every=1, tasks_per_update=2, types=("PER", "LOC"))
    found = prepare(settings, load("embedded-en", "train")[:12], load("embedded-en", "dev")[:4], encoder="embedded")
    found.trainer.run(NoCheckpoints())
    return found


def test_the_loaded_bundle_tags_like_the_model_that_was_written(prepared: Prepared, tmp_path: Path) -> None:
    bundle.write(str(tmp_path / "b"), prepared, facts={})
    loaded = bundle.load(str(tmp_path / "b"))
    sentences = [loaded.encode(WORDS), loaded.encode(["One"])]
    support, _ = loaded.support([WORDS, ["One"]])
    assert loaded.engine.plain(sentences) == prepared.trainer.engine.plain(sentences)
    assert loaded.engine.adapted(sentences, support) == prepared.trainer.engine.adapted(sentences, support)


def test_all_parts_come_back(prepared: Prepared, tmp_path: Path) -> None:
    bundle.write(str(tmp_path / "b"), prepared, facts={"note": "mine"})
    loaded = bundle.load(str(tmp_path / "b"))
    assert loaded.settings == prepared.trainer.engine.settings
    assert list(loaded.source) == prepared.source
    assert np.array_equal(loaded.vectors, prepared.vectors)
    assert loaded.manifest["note"] == "mine"
    assert loaded.manifest["labels"] == ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]


def test_a_source_sentence_is_its_own_nearest_neighbour(tiny_bundle: str) -> None:
    loaded = bundle.load(tiny_bundle)
    ids, similarities = loaded.support([loaded.source[7].words])
    assert ids[0, 0] == 7
    assert similarities[0, 0] == pytest.approx(1, abs=1e-5)


def test_while_neighbours_are_sought_it_gives_signs_of_life(tiny_bundle: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Retrieval takes as long as tagging: whoever waits for a large batch is to hear of it before any is tagged."""
    monkeypatch.setattr(sentence_vectors, "CPU_BATCH", 40)
    told: list[int] = []
    loaded = bundle.load(tiny_bundle, tell=told.append)
    inputs = [loaded.inputs(s.words) for s in loaded.source[:20]]
    loaded.nearest(inputs)
    assert set(told) == {0}
    assert len(told) > 3
    told.clear()
    predict(loaded, [inputs], adapted=True)
    assert told[0] == 0
    assert sum(told) == 20


def test_it_goes_to_s3_and_comes_back(tiny_bundle: str, s3: str) -> None:
    storage.publish(Path(tiny_bundle), f"{s3}/bundles/one", last=bundle.MANIFEST)
    loaded, local = bundle.load(f"{s3}/bundles/one"), bundle.load(tiny_bundle)
    assert loaded.manifest == local.manifest
    for name, p in local.tagger.state_dict().items():
        assert torch.equal(p, loaded.tagger.state_dict()[name])


def test_the_encoder_of_a_bundle_on_s3_loads(tiny_bundle: str, s3: str) -> None:
    storage.publish(Path(tiny_bundle) / "encoder", f"{s3}/encoder", last="config.json")
    found, _ = load_encoder(f"{s3}/encoder")
    expected, _ = load_encoder(f"{tiny_bundle}/encoder")
    assert all(torch.equal(a, b) for a, b in zip(found.parameters(), expected.parameters(), strict=True))


def test_a_taken_place_is_refused(prepared: Prepared, copy: Path) -> None:
    with pytest.raises(FileExistsError, match="a bundle is never overwritten"):
        bundle.write(str(copy), prepared, facts={})


def test_a_missing_file_is_named(copy: Path) -> None:
    (copy / "tagger.safetensors").unlink()
    with pytest.raises(ValueError, match=r"not whole: tagger\.safetensors is missing"):
        bundle.load(str(copy))


def test_an_altered_file_is_named(copy: Path) -> None:
    content = bytearray((copy / "support.jsonl").read_bytes())
    content[20] ^= 1
    (copy / "support.jsonl").write_bytes(content)
    with pytest.raises(ValueError, match=r"support\.jsonl was altered"):
        bundle.load(str(copy))


def test_every_problem_is_reported_at_once(copy: Path) -> None:
    (copy / "encoder" / "config.json").unlink()
    (copy / "index.safetensors").write_bytes(b"short")
    with pytest.raises(ValueError, match=r"config\.json is missing.*index\.safetensors has 5 bytes instead of"):
        bundle.load(str(copy))


def test_a_bundle_that_was_not_finished_is_refused(copy: Path) -> None:
    (copy / "manifest.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"no manifest\.json"):
        bundle.load(str(copy))


def test_another_format_is_refused(copy: Path) -> None:
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps({**manifest, "format": 99}))
    with pytest.raises(ValueError, match="bundle format 99"):
        bundle.load(str(copy))


def test_a_place_with_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such folder"):
        bundle.load(str(tmp_path / "nothing"))
