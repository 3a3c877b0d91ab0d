"""What is told of an experiment at its end."""

import pytest

from jobs.experiments import story
from jobs.experiments.story import Story


def test_it_says_how_many_things_went_on_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two for a minute, one for another, none for half of one."""
    now = 0.0
    monkeypatch.setattr(story.time, "monotonic", lambda: now)
    told = Story(cells=7, done=4)
    with told.working():
        with told.working():
            now = 60.0
        now = 120.0
    now = 150.0
    told.finished = 6
    told.end()
    assert capsys.readouterr().out == "[all] 2 cell(s) in 2 min 30 s, 1.2 at once\n"
