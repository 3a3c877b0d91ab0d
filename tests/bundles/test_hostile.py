"""Bundles that somebody altered who means harm, checksums and all."""

import hashlib
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from metaner_core.bundles import bundle
from metaner_core.bundles.inputs import load_inputs


@pytest.fixture
def copy(tiny_bundle: str, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


def seal(folder: Path, name: str) -> None:
    """Make the manifest right about a file again, as whoever can write there can."""
    manifest = json.loads((folder / "manifest.json").read_text())
    content = (folder / name).read_bytes()
    manifest["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (folder / "manifest.json").write_text(json.dumps(manifest))


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.mark,)


def test_a_pickle_does_what_it_wants_where_it_is_loaded(tmp_path: Path) -> None:
    does, arguments = Payload(tmp_path / "mark").__reduce__()  # all that unpickling it is
    does(*arguments)
    assert (tmp_path / "mark").exists()


@pytest.mark.parametrize("name", ["tagger.safetensors", "index.safetensors", "encoder/model.safetensors"])
def test_a_pickle_in_the_place_of_weights_is_not_loaded(name: str, copy: Path, tmp_path: Path) -> None:
    (copy / name).write_bytes(pickle.dumps(Payload(tmp_path / "mark")))
    seal(copy, name)
    with pytest.raises(Exception):  # noqa: B017  # whose it is differs
        bundle.load(str(copy))
    assert not (tmp_path / "mark").exists()


def test_a_pickle_beside_the_weights_is_not_looked_at(copy: Path, tmp_path: Path) -> None:
    for name in ("encoder/pytorch_model.bin", "encoder/training_args.bin"):
        (copy / name).write_bytes(pickle.dumps(Payload(tmp_path / "mark")))
        seal(copy, name)
    bundle.load(str(copy))
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("model_type", [None, "mine"])
def test_code_in_a_bundle_is_not_run(model_type: str | None, copy: Path, tmp_path: Path) -> None:
    (copy / "encoder" / "evil.py").write_text(f"open({str(tmp_path / 'mark')!r}, 'w')\nclass Model: pass\n")
    seal(copy, "encoder/evil.py")
    for name, classes in (("config", ("AutoConfig", "AutoModel")), ("tokenizer_config", ("AutoTokenizer",))):
        path = copy / "encoder" / f"{name}.json"
        facts = json.loads(path.read_text()) | {"auto_map": dict.fromkeys(classes, "evil.Model")}
        if model_type is not None:
            facts |= {"model_type": model_type, "tokenizer_class": "Model"}
        path.write_text(json.dumps(facts))
        seal(copy, f"encoder/{name}.json")
    if model_type is None:
        bundle.load(str(copy))  # transformers has a class of its own for it
    else:
        with pytest.raises(ValueError):
            bundle.load(str(copy))
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("name", ["/{}/mark", "encoder/../../../../../../../../{}/mark", "../mark"])
@pytest.mark.parametrize("load", [bundle.load, load_inputs], ids=["bundle", "inputs"])
def test_a_file_that_is_named_outside_of_it_is_neither_read_nor_written(
    load: Callable[[str], object], name: str, copy: Path, tmp_path: Path
) -> None:
    named = name.format(str(tmp_path).lstrip("/"))
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["files"][named] = {"bytes": 4, "sha256": hashlib.sha256(b"evil").hexdigest()}
    (copy / "manifest.json").write_text(json.dumps(manifest))
    inside = copy / named.lstrip("/")  # as `uri + "/" + name` finds it
    if ".." not in named:
        inside.parent.mkdir(parents=True)
        inside.write_bytes(b"evil")
    with pytest.raises(ValueError, match="no place in a bundle"):
        load(str(copy))
    assert not (tmp_path / "mark").exists()
