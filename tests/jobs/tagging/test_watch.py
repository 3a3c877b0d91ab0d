"""What is told of a run while it goes on."""

import pytest

from jobs.tagging import watch
from jobs.tagging.watch import Extent, Silence, Story, duration, follow, line

EXTENT = Extent(documents=10_000, before=2_000, shards=40)
STATE = {"shards": 3, "deaths": 0, "ahead": 0, "begun": False, "silent": 0.0}


class Asked:
    """In place of a supervisor: each answer is its own question."""

    def __init__(self, **state: object) -> None:
        self.now = {**STATE, "name": "s", "counts": {}, "in_flight": {}, **state}
        self.state, self.end = self, None
        self.in_flight = type("Method", (), {"remote": staticmethod(lambda: self.waiting)})
        self.waiting: list[str] = []

    def remote(self) -> dict[str, object]:
        return self.now


@pytest.fixture(autouse=True)
def _without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "ask", lambda answer: answer)
    monkeypatch.setattr(watch, "POLL_SECONDS", 0.01)
    monkeypatch.setattr("ray.nodes", lambda: [])


def test_a_line_says_how_far_how_fast_and_how_long() -> None:
    counts = {"tagged": 1900, "empty": 0, "filtered": 60, "rejected": 40, "sentences": 30_000}
    counts |= {"adapted": 30_000, "support_sets": 12_000}
    assert line({**STATE, "counts": counts, "deaths": 2}, EXTENT, 100.0) == (
        "4,000/10,000 documents (40%); 1,900 tagged, 60 filtered, 40 rejected; 300.0 sentences/s; "
        "0.40 support sets a sentence; 2 workers lost; 5 min left"
    )


def test_sentences_of_documents_that_do_not_count_yet_are_part_of_the_time_left() -> None:
    counts = {"tagged": 1000, "sentences": 3000}
    extent = Extent(documents=4000, before=0, shards=1)
    none, half = (
        line({**STATE, "counts": {**counts, "sentences": 3000 + n}, "ahead": n}, extent, 600.0) for n in (0, 3000)
    )
    assert none.endswith("; 5.0 sentences/s; 30 min left")
    assert half.endswith("1,000/4,000 documents (25%); 1,000 tagged; 10.0 sentences/s; 10 min left")
    beyond = line({**STATE, "counts": {**counts, "sentences": 20_000}, "ahead": 17_000}, extent, 600.0)
    assert beyond.endswith("; 0 s left")


def test_before_the_first_sentence_actors_start_and_then_seek_neighbours() -> None:
    assert line({**STATE, "counts": {}}, EXTENT, 0.0) == "starting actors"
    assert line({**STATE, "counts": {}, "begun": True}, EXTENT, 9.0) == "at the first documents"


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(5, "5 s"), (600, "10 min"), (5400, "1 h 30 min"), (13 * 3600, "13 h 0 min"), (73 * 3600, "3 d 1 h")],
)
def test_durations_as_one_says_them(seconds: float, told: str) -> None:
    assert duration(seconds) == told


def test_a_supervisor_that_begins_anew_does_not_begin_the_story_anew() -> None:
    story = Story()
    flying = {"in_flight": {"tagged": 3}, "ahead": 2, "begun": True}
    first = {"name": "a", "shards": 2, "counts": {"tagged": 20}, **flying, "deaths": 1, "silent": 4.0}
    assert story.told(first) == {
        "shards": 2,
        "counts": {"tagged": 23},
        "deaths": 1,
        "ahead": 2,
        "begun": True,
        "silent": 4.0,
    }
    flying = {"in_flight": {}, "ahead": 0, "begun": False}
    second = {"name": "b", "shards": 1, "counts": {"tagged": 10}, **flying, "deaths": 0, "silent": 0.0}
    for _ in range(2):
        expected = {"shards": 3, "counts": {"tagged": 30}, "deaths": 1, "ahead": 0, "begun": False, "silent": 0.0}
        assert story.told(second) == expected


def test_lines_come_so_often_and_the_error_of_the_pipeline_is_raised(capsys: pytest.CaptureFixture[str]) -> None:
    def pipeline() -> None:
        watch.time.sleep(0.35)
        raise KeyError("broken")

    with pytest.raises(KeyError, match="broken"):
        follow(pipeline, Asked(counts={"tagged": 5}), EXTENT, every=0.1, stall=60)  # type: ignore[arg-type]
    assert 2 <= capsys.readouterr().out.count("2,005/10,000 documents") <= 4


def test_what_is_waited_for_is_told_once_in_a_silence(capsys: pytest.CaptureFixture[str]) -> None:
    asked = Asked()
    silence = Silence(asked)  # type: ignore[arg-type]
    silence.look(40.0)  # nothing is in flight: actors start
    assert not capsys.readouterr().out
    asked.waiting = ["shard 7, being read or written, on process 3 of node n, for 41 s"]
    for seconds in (29.0, 31.0, 45.0):
        silence.look(seconds)
    assert capsys.readouterr().out == f"nothing heard for 31 s; waiting for\n  {asked.waiting[0]}\n"
    for seconds in (1.0, 33.0):
        silence.look(seconds)
    assert "nothing heard for 33 s" in capsys.readouterr().out


def test_a_terminal_gets_a_bar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch.sys.stdout, "isatty", lambda: True)
    follow(lambda: watch.time.sleep(0.2), Asked(counts={"tagged": 5}), EXTENT, every=60, stall=60)  # type: ignore[arg-type]
    assert "2,005/10,000 documents" in capsys.readouterr().out
