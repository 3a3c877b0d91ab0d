"""What earlier versions wrote still loads and does the same: tests/fixtures holds what each of them left.

A version's bundle, its predictions and a tagging run that it began were written by that version itself, and are not to
be written again by a later one.
"""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from metaner_core import settings
from metaner_core.bundles import bundle
from metaner_core.settings import Settings

FIXTURES = Path(__file__).parents[1] / "fixtures"
VERSIONS = sorted(path.name for path in FIXTURES.glob("version-*"))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_bundle_predicts_what_its_own_version_did(version: str) -> None:
    loaded = bundle.load(str(FIXTURES / version / "bundle"))
    expected = json.loads((FIXTURES / version / "predictions.json").read_text())
    sentences = [loaded.encode(row["words"]) for row in expected]
    ids, similarities = loaded.support([row["words"] for row in expected])
    assert ids.tolist() == [row["neighbours"] for row in expected]
    assert similarities.tolist() == [pytest.approx(row["similarities"], abs=1e-6) for row in expected]
    found = {"unadapted": loaded.engine.plain(sentences), "adapted": loaded.engine.adapted(sentences, ids)}
    for kind, predictions in found.items():
        for prediction, row in zip(predictions, expected, strict=True):
            assert list(prediction.labels) == row[kind]["labels"]
            assert prediction.probabilities == pytest.approx(row[kind]["probabilities"], abs=1e-4)
    assert {label for row in expected for label in row["adapted"]["labels"]} > {"O"}
    assert any(row["adapted"]["labels"] != row["unadapted"]["labels"] for row in expected)


def altered(tmp_path: Path, change: Any) -> str:
    """A copy of a bundle whose manifest was changed."""
    folder = tmp_path / "bundle"
    shutil.copytree(FIXTURES / VERSIONS[0] / "bundle", folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return str(folder)


def test_a_setting_that_a_bundles_version_did_not_know_does_what_that_version_did(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = Settings(gamma=0.5).to_dict()
    del values["gamma"]
    monkeypatch.setattr(settings, "EARLIER", {"gamma": 0.25, "alpha": 0.125})
    found = Settings.from_dict(values)
    assert found == dataclasses.replace(Settings(), gamma=0.25)


def test_every_field_that_the_first_version_had_not_says_what_it_did() -> None:
    first = json.loads((FIXTURES / "version-0.1.0" / "bundle" / "manifest.json").read_text())["settings"]
    assert {field.name for field in dataclasses.fields(Settings)} - set(first) == set(settings.EARLIER)


def test_a_setting_of_a_newer_version_is_refused_by_name(tmp_path: Path) -> None:
    uri = altered(tmp_path, lambda manifest: manifest["settings"].update(pooling_of_tomorrow="max", another=1))
    with pytest.raises(ValueError, match=r"made by a newer metaner: .* another, pooling_of_tomorrow; upgrade"):
        bundle.load(uri)


def test_a_setting_that_every_version_wrote_must_be_there(tmp_path: Path) -> None:
    uri = altered(tmp_path, lambda manifest: manifest["settings"].pop("window"))
    with pytest.raises(ValueError, match="the settings lack window, which every version wrote"):
        bundle.load(uri)


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    uri = altered(tmp_path, lambda manifest: manifest.update(format=2))
    with pytest.raises(ValueError, match=r"bundle format 2, but metaner .* reads 1: it was made by a newer metaner"):
        bundle.load(uri)
