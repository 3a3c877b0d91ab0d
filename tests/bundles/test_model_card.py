"""The model card: hubs can read its front matter, and whatever a manifest holds it is text in it, not markup."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from metaner_core import storage
from metaner_core.bundles.model_card import card, code, main
from metaner_core.settings import preset

MANIFEST: dict[str, Any] = {
    "format": 1,
    "fingerprint": "0123456789ab",
    "settings": preset("paper").to_dict(),
    "labels": ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"],
    "source": {"sentences": 14041, "fingerprint": "10c977e0cf69"},
    "versions": {"metaner": "0.1.0", "torch": "2.13.0"},
    "source_name": "conll2003-en",
    "encoder": "bert-base-multilingual-cased",
    "best": {"dev_f1": 91.2345, "update": 2900, "selected_on": "unadapted"},
    "history": [{"update": n, "dev_f1": n / 40} for n in range(100, 3001, 100)],
}
ODD: list[Any] = [
    None,
    True,
    3,
    float("nan"),
    "",
    "x",
    "<b>|`\n---\n#",
    [],
    [None],
    {},
    {"dev_f1": "high"},
    "\ud800\x85",
]


def changed(**values: Any) -> dict[str, Any]:
    return {**MANIFEST, **values}


def front_matter(text: str) -> Any:
    assert text.startswith("---\n")
    return yaml.safe_load(text.split("---\n")[1])


def test_hubs_read_what_it_is() -> None:
    found = front_matter(card(MANIFEST, "out/tagger"))
    assert found["language"] == ["en"]
    assert found["license"] == "apache-2.0"
    assert found["base_model"] == "bert-base-multilingual-cased"
    assert found["tags"] == ["token-classification", "named-entity-recognition", "cross-lingual"]
    assert found["pipeline_tag"] == "token-classification"
    assert found["metrics"] == ["f1"]
    (index,) = found["model-index"]
    (result,) = index["results"]
    assert index["name"] == "tagger"
    assert result["dataset"]["type"] == "conll2003-en"
    assert (result["metrics"][0]["type"], result["metrics"][0]["value"]) == ("f1", 91.23)


def test_what_was_fine_tuned_says_on_what_and_that_its_score_was_before() -> None:
    tuned = {"corpus": "conll2002-es", "sentences": 166, "share": 2.0}
    text = card(changed(tuned=tuned), "out/tagger")
    assert "one language, `en`, but for `166 sentences of conll2002-es`." in text
    assert "unadapted, before it was fine-tuned." in text
    assert "metrics" not in front_matter(text)
    assert all(card(changed(tuned={"corpus": odd, "sentences": odd}), "x") for odd in ODD)


@pytest.mark.parametrize(
    ("exported", "library"), [(None, "metaner"), ("transformers", "transformers"), ("onnx", "onnx")]
)
def test_hubs_read_what_loads_it(exported: str | None, library: str) -> None:
    assert front_matter(card(MANIFEST, "out/x", exported=exported))["library_name"] == library


@pytest.mark.parametrize(
    ("encoder", "expected"),
    [
        ("embedded", {"license": "other", "license_name": "non-commercial"}),
        ("FacebookAI/xlm-roberta-base", {"license": "mit", "base_model": "FacebookAI/xlm-roberta-base"}),
        ("e5-small", {"license": "mit", "base_model": "intfloat/multilingual-e5-small"}),
        ("someone/encoder", {"base_model": "someone/encoder"}),
        ("s3://bucket/xlm-roberta-base", {}),
        ("/data/xlm-roberta-base", {}),
        (None, {}),
    ],
)
def test_licence_and_base_model_are_given_where_they_are_known(encoder: str | None, expected: dict[str, str]) -> None:
    found = front_matter(card(changed(encoder=encoder), "x"))
    assert {key: found[key] for key in ("license", "license_name", "base_model") if key in found} == expected


@pytest.mark.parametrize(
    ("encoder", "finds", "expected"),
    [
        ("e5-small", "same", {"license": "mit"}),
        ("e5-small", "xlm-roberta-base", {"license": "mit"}),
        ("bert-base-multilingual-cased", "e5-small", {"license": "other", "license_name": "apache-2.0-and-mit"}),
        ("e5-small", "embedded", {"license": "other", "license_name": "non-commercial"}),
        ("e5-small", "out/unknown", {}),
    ],
)
def test_the_licence_is_that_of_both_encoders(encoder: str, finds: str, expected: dict[str, str]) -> None:
    manifest = changed(encoder=encoder, settings={**MANIFEST["settings"], "retrieval_encoder": finds})
    found = front_matter(card(manifest, "x"))
    assert {key: found[key] for key in ("license", "license_name") if key in found} == expected


def test_an_exported_model_has_nothing_of_the_encoder_that_finds_neighbours() -> None:
    manifest = changed(encoder="e5-small", settings={**MANIFEST["settings"], "retrieval_encoder": "embedded"})
    own, exported = card(manifest, "x"), card(manifest, "x", exported="onnx")
    assert "the one that finds neighbours has read text for non-commercial use only" in own
    assert "- Encoder that finds the neighbours: `embedded`" in own
    assert front_matter(exported)["license"] == "mit"
    assert "Licence: the encoder is published under mit." in exported


def test_a_folder_that_lies_here_is_no_base_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out" / "encoder").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert "base_model" not in front_matter(card(changed(encoder="out/encoder"), "x"))


def test_the_language_is_that_of_the_labels() -> None:
    assert front_matter(card(changed(source_name="conll2002-nl"), "x"))["language"] == ["nl"]
    assert front_matter(card(changed(source_name="my.conll"), "x"))["language"] == ["en"]


def test_a_score_of_the_adapted_model_is_not_that_of_the_exported_one() -> None:
    manifest = changed(best={**MANIFEST["best"], "selected_on": "adapted"})
    assert "model-index" in front_matter(card(manifest, "x"))
    text = card(manifest, "x", exported="transformers")
    assert "model-index" not in front_matter(text)
    assert "This model does not adapt: expect another score of it." in text


def test_it_tells_how_it_was_trained_and_what_was_measured() -> None:
    text = card(MANIFEST, "x")
    assert "`conll2003-en`" in text
    assert "`14,041`" in text
    assert "`metaner 0.1.0, torch 2.13.0`" in text
    settings = json.loads(re.findall(r"```json\n(.*?)```", text, re.DOTALL)[0])
    assert settings == {**MANIFEST["settings"], "types": list(MANIFEST["settings"]["types"])}
    assert "**91.23** percent at meta-update 2900" in text
    assert "Wu, Qianhui" in text


def test_a_long_history_is_thinned_and_ends_with_its_end() -> None:
    (line,) = (line for line in card(MANIFEST, "x").splitlines() if line.startswith("In the course of training"))
    assert line.endswith(" 52.50 at 2100, 60.00 at 2400, 67.50 at 2700, 75.00 at 3000.")
    assert line.count(" at ") == 10


def test_plain_fine_tuning_is_not_called_meta_learning() -> None:
    text = card(changed(settings=preset("base").to_dict()), "x")
    assert "Plain fine-tuning" in text
    assert "Meta-learning after" not in text


@pytest.mark.parametrize("exported", [None, "transformers", "onnx"])
@pytest.mark.parametrize("key", [*MANIFEST, "all"])
def test_odd_values_are_left_out(key: str, exported: str | None) -> None:
    for value in ODD:
        manifest = dict.fromkeys(MANIFEST, value) if key == "all" else changed(**{key: value})
        text = card(manifest, "x", exported=exported)
        assert front_matter(text)["pipeline_tag"] == "token-classification"
        text.encode()
        headings = re.findall(r"(?m)^#+ .*$", re.sub(r"```\w+\n.*?```", "", text.split("---\n", 2)[2], flags=re.DOTALL))
        assert headings == [
            "# Cross-lingual named entity recognition",
            "## How it was trained",
            "## Labels",
            "## Scores",
            "## How to use it",
            "## Limits",
            "## Citation",
        ]


def test_a_manifest_of_nothing_has_a_card() -> None:
    assert "Its manifest gives none." in card({}, "x")


def test_markup_in_names_is_shown_as_it_is() -> None:
    name = "a <b>*[x](y)* `c` | d"
    assert f"Source of the labels: `` {name} ``\n" in card(changed(source_name=name), "x")
    assert front_matter(card(changed(source_name=name), "x"))["model-index"][0]["results"][0]["dataset"]["type"] == name


@pytest.mark.parametrize(
    ("text", "expected"), [("a", "`a`"), ("a`b", "`` a`b ``"), ("``", "``` `` ```"), ("$x$_y_", "`$x$_y_`")]
)
def test_a_code_span_has_a_longer_fence_than_its_text(text: str, expected: str) -> None:
    assert code(text) == expected


def test_commands_name_the_bundle_whatever_it_is_called() -> None:
    place = "out/it's a bundle"
    (block,) = re.findall(r"```sh\n(.*?)```", card(MANIFEST, place), re.DOTALL)
    assert all(place in shlex.split(line) for line in block.splitlines())


def test_the_python_code_of_a_bundle_s_card_works(tiny_bundle: str) -> None:
    manifest = json.loads((Path(tiny_bundle) / "manifest.json").read_text())
    (snippet,) = re.findall(r"```python\n(.*?)```", card(manifest, tiny_bundle), re.DOTALL)
    names: dict[str, Any] = {}
    exec(snippet, names)
    assert names["document"].outcome == "tagged"


def test_the_command_shows_the_card(tiny_bundle: str, capsys: pytest.CaptureFixture[str]) -> None:
    main([tiny_bundle])
    manifest = json.loads((Path(tiny_bundle) / "manifest.json").read_text())
    assert capsys.readouterr().out == card(manifest, tiny_bundle)


def test_the_command_writes_it_and_never_over_a_file(
    tiny_bundle: str, s3: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    storage.publish(Path(tiny_bundle), f"{s3}/bundle", last="manifest.json")
    main([f"{s3}/bundle", "--output", f"{s3}/card.md"])
    assert front_matter(storage.read_bytes(f"{s3}/card.md").decode())["language"] == ["en"]
    main([tiny_bundle, "--output", str(tmp_path / "card.md")])
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main([tiny_bundle, "--output", str(tmp_path / "card.md")])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize("content", [None, "{", "[]", '{"input": {}}'])
def test_what_is_no_bundle_is_refused(content: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path)])
    assert ended.value.code == 2
    assert re.fullmatch(r"error: [^\n]*give a bundle's folder\n", capsys.readouterr().err)
