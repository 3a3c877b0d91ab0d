"""The exported ONNX file computes what transformers computes, whatever the shape of its input."""

import importlib.util
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForTokenClassification, AutoTokenizer

from metaner_core.bundles import bundle
from metaner_core.bundles.export import export, main
from metaner_core.bundles.onnx_file import PACKAGES, require_packages
from metaner_core.settings import preset
from tests.support.bundles import german, save_bert, save_xlm_roberta, write_lively

MISSING = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
needs_packages = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")


@pytest.fixture(scope="module", params=["bert", "xlm-roberta"])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds a bundle and what was exported of it: `onnx`, and `transformers` to compare with."""
    folder = tmp_path_factory.mktemp(request.param)
    save = save_xlm_roberta if request.param == "xlm-roberta" else save_bert
    settings = preset("paper", frozen_layers=1, window=48, window_context=16)
    uri = write_lively(str(folder / "bundle"), settings, encoder=save(folder / "encoder"))
    for to in ("onnx", "transformers"):
        said = "\n".join(export(uri, str(folder / to), to=to))
        assert to != "onnx" or re.search(r"onnxruntime's logits are transformers' to \d\.\de-0[5-9]", said)
    return folder


@needs_packages
@pytest.mark.parametrize("together", [1, 2, 5])
def test_logits_are_transformers_in_batches_of_any_shape(exported: Path, together: int) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(exported / "onnx" / "model.onnx"))
    tokenizer = AutoTokenizer.from_pretrained(exported / "onnx")
    model = AutoModelForTokenClassification.from_pretrained(exported / "transformers").eval()
    for at in range(0, 10, together):
        texts = [" ".join(words) for words in german()[at : at + together]]
        given = tokenizer(texts, padding=True, truncation=True, return_tensors="np")
        (logits,) = session.run(["logits"], dict(given))  # just what the tokenizer gives, by name
        with torch.no_grad():
            expected = model(**{name: torch.from_numpy(value) for name, value in given.items()}).logits.numpy()
        attended = given["attention_mask"].astype(bool)
        np.testing.assert_allclose(logits[attended], expected[attended], atol=1e-4)


@needs_packages
def test_the_folder_is_whole_without_torch_s_weights(exported: Path) -> None:
    names = {path.name for path in (exported / "onnx").iterdir()}
    assert names == {"README.md", "config.json", "model.onnx", "tokenizer.json", "tokenizer_config.json"}


@needs_packages
def test_the_file_names_no_file_of_this_machine(exported: Path) -> None:
    content = (exported / "onnx" / "model.onnx").read_bytes()
    assert str(Path(torch.__file__).parents[1]).encode() not in content
    assert b"stack_trace" not in content


@needs_packages
def test_the_card_s_code_works(exported: Path) -> None:
    text = (exported / "onnx" / "README.md").read_text()
    assert "unadapted model" in text
    (snippet,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    loaded = bundle.load(str(exported / "bundle"))
    for words in german()[:4]:
        names: dict[str, Any] = {}
        exec(re.sub(r"(?m)^words = .*$", f"words = {list(words)!r}", snippet), names)
        ours = loaded.encode(words)
        (expected,) = loaded.engine.plain([ours])
        read = list(names["labels"].values())
        assert read == list(expected.labels[: len(read)])
        assert len(ours.windows) > 1 or len(read) == len(words)


def test_the_command_that_installs_what_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxruntime" else find(name))
    with pytest.raises(SystemExit) as ended:  # before anything is read
        main([str(tmp_path / "no bundle"), "--to", "onnx", "--output", str(tmp_path / "out")])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "onnxruntime" in said
    assert "pip install onnxscript onnxruntime" in said
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: True)
    require_packages()
