"""What is counted of support sets, against counts by hand."""

import json
from pathlib import Path

import numpy as np
import pytest

from metaner_core.bundles import growth
from metaner_core.bundles.growth import Point, points
from metaner_core.data import corpora


def test_counts_are_of_the_sentences_so_far() -> None:
    support = np.array([[0, 1], [1, 0], [2, 3], [0, 1], [4, 1]] * 2 + [[5, 6], [0, 2]])
    assert points(support) == [Point(10, 3, 5, 1.0), Point(12, 5, 7, 1.0)]
    assert [point.sentences for point in points(np.tile(support, (20, 1)))] == [10, 20, 50, 100, 200, 240]


def test_the_most_frequent_sources_cover_a_share_of_the_places() -> None:
    support = np.array([[0, n] for n in range(1, 200)])
    assert points(support)[-1].covered == pytest.approx((199 + 99) / 398)


def test_texts_are_counted_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = tmp_path / "de.txt"
    text.write_text("\n".join(f"Anna Berg kam am {n}. Mai nach Bremen und ging nach Kiel." for n in range(1, 31)))
    options = ["--encoder", "embedded", "--text", "de", str(text), "--most", "25", "--output", str(tmp_path / "out")]
    growth.main(options)
    found = json.loads((tmp_path / "out" / "growth.json").read_text())
    assert [point["sentences"] for point in found["texts"]["de"]] == [10, 20, 25]
    assert found["source"] == len([s for s in corpora.load("embedded-en", "train") if s.words])
    assert "support sets" in (tmp_path / "out" / "growth.svg").read_text()
    with pytest.raises(FileExistsError):
        growth.main(options)


def test_without_what_draws_it_says_so_before_it_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"--output needs matplotlib: pip install matplotlib \(.*\[bench\]"):
        growth.main(["--bundle", str(tmp_path / "none"), "--text", "de", "none.txt", "--output", str(tmp_path / "out")])
