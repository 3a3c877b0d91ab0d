"""How progress reads."""

import time

import pytest
import ray

from jobs.common.progress import Pace, shown, told


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_the_pace_is_that_of_work_not_of_the_start(clock: list[float]) -> None:
    pace = Pace("sentences", 1000, before=400)
    clock[0] += 300  # actors start
    assert pace.line({}) == "starting; 600 sentences to do"
    clock[0] += 20
    assert pace.line({"sentences": 200}) == "600/1,000 sentences (60%); 10.0/s; 40 s left"


def test_a_line_every_so_many_seconds_and_none_that_says_nothing_new(clock: list[float]) -> None:
    lines: list[str] = []
    with shown(Pace("sentences", 100), lines.append, every=10) as watch:
        for seconds in range(60):
            clock[0] = 1000.0 + seconds
            watch({"sentences": seconds - 30} if seconds > 30 else {})
    assert [line.split(";")[0] for line in lines] == [
        "starting",
        "1/100 sentences (1%)",
        "11/100 sentences (11%)",
        "21/100 sentences (21%)",
    ]


def test_a_board_that_ended_comes_again(ray_local: None) -> None:
    """As when Ray ends processes lest the machine run out of memory: a job's lines go on."""
    lines: list[str] = []
    with told(lines.append) as board:
        ray.get(board.post.remote("before"))
        while lines != ["before"]:
            time.sleep(0.05)
        ray.kill(board, no_restart=False)
        while "after" not in lines:  # the first may reach the old one, which ends a little later
            ray.get(board.post.remote("after"))
            time.sleep(0.5)
    assert {*lines} == {"before", "after"}
