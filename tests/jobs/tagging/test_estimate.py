"""An estimate from documents drawn at random: drawing without Ray and a model, and one estimate on both."""

import json
from collections import Counter
from pathlib import Path

import pytest

from jobs.tagging import estimate as module
from jobs.tagging.estimate import PLACES, estimate_run, look
from jobs.tagging.job import Job
from metaner_core.reading.files import Stretch, read
from metaner_core.reading.source import Input, Source, find


def crawl(folder: Path, *sizes: int) -> Input:
    folder.mkdir(exist_ok=True)
    for file, size in enumerate(sizes):
        rows = [json.dumps({"id": f"{file}-{n}", "text": f"Ana {n}. Kiel."}) + "\n" for n in range(size)]
        (folder / f"{file}.jsonl").write_text("".join(rows))
    return find(Source(uri=str(folder)))


def test_a_file_is_counted_whole_and_some_of_it_drawn(tmp_path: Path) -> None:
    found = crawl(tmp_path / "in", 103)
    documents, size, rows = look(found, 0, together=5, most=7)
    drawn = [document.id for row in rows for document in read(found, Stretch.from_row(row))]
    assert (documents, len(rows)) == (103, 7)
    assert size > 103 * 200
    assert len(set(drawn)) == len(drawn) >= 6 * 5 + 3
    assert look(found, 0, together=5, most=7)[2] == rows  # the same sample every time


def test_files_are_drawn_from_as_often_as_they_have_documents() -> None:
    by_file = [[[file, n, 0, 1, 1, 1] for n in range(1000)] for file in range(3)]
    drawn = Counter(stretch.file for stretch in module._draw(by_file, [100, 300, 600], 900))
    assert {file: round(n / 90) for file, n in drawn.items()} == {0: 1, 1: 3, 2: 6}


def test_an_estimate_counts_all_documents_and_writes_nothing(
    ray_local: None, tiny_bundle: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On actors that may become more: with all of them, and a word about the least."""
    crawl(tmp_path / "in", 40, 25)
    options = {"bundle": tiny_bundle, "output": str(tmp_path / "out"), "adapted": False, "actors": (1, 3)}
    found = estimate_run(Job(source=Source(uri=str(tmp_path / "in")), **options), documents=PLACES, price=2.0)
    assert (found.documents, found.sampled, found.places, found.actors) == (65, PLACES, PLACES, 3)
    assert found.sentences.expected == pytest.approx(130, rel=0.05)
    assert found.cost is not None
    assert found.cost.expected == pytest.approx(2.0 * 3 * found.hours.expected)
    assert found.cost.low <= found.cost.expected <= found.cost.high
    assert not (tmp_path / "out").exists()
    assert "on 1 actor(s), if no more find room: " in capsys.readouterr().out


def test_too_small_a_sample_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"draw {PLACES} or more"):
        estimate_run(Job(source=Source(uri=str(tmp_path)), bundle="b", output="o"), documents=PLACES - 1)
