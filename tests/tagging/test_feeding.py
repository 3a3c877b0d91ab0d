"""What feeding a GPU costs: that the measurement measures what it says."""

from pathlib import Path

import pytest

from metaner_core.tagging import feeding


def test_every_step_is_timed_and_a_worker_s_time_is_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    costs, sentences = feeding.measure(feeding.embedded(10), rounds=2)
    assert 100 < sentences < 200  # twelve lines each, and a line may be two sentences or none
    assert costs.taken.keys() == set(feeding.COSTS)
    assert all(len(taken) == 2 and min(taken) > 0 for taken in costs.taken.values())
    monkeypatch.setattr(feeding.Costs, "of", lambda _, name: 10.0 ** feeding.COSTS.index(name))
    assert feeding.totals(costs) == {feeding.READER: 110, feeding.ACTOR: 1_111_000, feeding.WRITER: 10_000_000}


def test_lines_of_a_file_become_documents(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("".join(f"Zeile {n}.\n" for n in range(30)))
    found = feeding.lines(str(tmp_path / "x.txt"))
    assert [len(document.text.splitlines()) for document in found if document.text] == [12, 12, 6]
