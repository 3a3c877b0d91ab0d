"""How many readers a run has, what it needs for them, and what it says of them."""

from pathlib import Path
from typing import Any

import pytest
import ray

from jobs import bulk_tag
from jobs.tagging.claim import decisive
from jobs.tagging.estimate import seconds
from jobs.tagging.job import Job, parse
from jobs.tagging.job import job as job_of
from jobs.tagging.stages.pipeline import _pool, with_readers
from metaner_core.reading.source import Source, find

NEEDED = ["--input", "in.jsonl", "--bundle", "b", "--output", "out"]


def job(**options: Any) -> Job:
    return Job(source=Source(uri="x"), bundle="b", output="o", **options)


@pytest.fixture
def eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 8.0, "GPU": 2.0})


@pytest.mark.parametrize(
    ("options", "readers"),
    [
        ({"gpu": True, "actors": 2}, 4),  # two CPUs are the actors', two are spare
        ({"gpu": True, "actors": 7}, 0),
        ({"gpu": True, "actors": (1, 7)}, 4),  # there are two GPUs
        ({"gpu": True, "actors": (3, 7)}, 3),
        ({"actors": 2}, 0),
        ({"gpu": True, "readers": 1}, 1),
        ({"readers": 3}, 3),
    ],
)
def test_with_gpus_readers_take_the_cpus_that_are_left(eight_cpus: None, options: Any, readers: int) -> None:
    assert with_readers(job(**options)).readers == readers


def test_more_readers_than_the_cluster_carries_are_refused(eight_cpus: None) -> None:
    bulk_tag.room(job(actors=2, readers=6)).require()
    with pytest.raises(
        ValueError, match=r"2 actor.* and 7 reader.* need 9 logical CPUs, this Ray has 8: set --actors or"
    ):
        bulk_tag.room(job(actors=2, readers=7)).require()


def test_a_run_begins_with_the_least_of_its_actors(eight_cpus: None) -> None:
    bulk_tag.room(job(actors=(2, 20), readers=6)).require()
    with pytest.raises(ValueError, match=r"3 actor.* and 6 reader.* need 9 logical CPUs"):
        bulk_tag.room(job(actors=(3, 20), readers=6)).require()


@pytest.mark.parametrize(("actors", "shards", "sizes"), [(3, 9, (3, 3)), ((2, 5), 9, (2, 5)), ((2, 5), 1, (1, 1))])
def test_a_pool_has_no_more_actors_than_there_are_shards(actors: Any, shards: int, sizes: tuple[int, int]) -> None:
    pool = _pool(actors, [None] * shards)  # type: ignore[list-item]
    assert (pool.min_size, pool.max_size) == sizes


def test_a_ray_of_its_own_has_room_for_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    assert bulk_tag.cpus(job(actors=(2, 6), readers=1)) == 9


def test_a_ray_of_its_own_has_room_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    assert [bulk_tag.cpus(job(actors=2, readers=n)) for n in (None, 1, 5)] == [6, 6, 9]


def test_readers_are_an_option_that_decides_no_row(tmp_path: Path) -> None:
    assert job_of(parse([*NEEDED, "--readers=3"])).readers == 3
    (tmp_path / "in.jsonl").write_text('{"text": "x"}\n')
    jobs = [Job(source=Source(uri=str(tmp_path / "in.jsonl")), bundle="b", output="o", readers=n) for n in (None, 3)]
    one, other = (decisive(job, find(job.source), {"fingerprint": "f"}) for job in jobs)
    assert one == other
    with pytest.raises(ValueError, match="readers is -1; least is 0"):
        job(readers=-1)


@pytest.mark.parametrize(("waited", "says"), [(30.0, "waited 75% of their time for text"), (1.0, None), (None, None)])
def test_actors_that_wait_for_text_are_told_of(waited: float | None, says: str | None) -> None:
    counts = {"documents": 1, "outcomes": {"tagged": 1}, "entities": {}, "sentences": 5}
    times = {"actors": 10.0} | ({} if waited is None else {"waited": waited})
    told = bulk_tag.summary({"counts": counts, "seconds": times, "output": "o"})
    assert says in told if says else "waited" not in told
    assert "5, 0.5/s an actor" in told


def test_an_estimate_goes_by_what_takes_longer_reading_or_tagging() -> None:
    clock = [10.0, 16.0, 18.0, 20.0]  # six seconds of reading, two of tagging, two of making rows
    assert seconds(job(), clock) == seconds(job(readers=0), clock) == 10
    assert seconds(job(readers=2), clock) == 4
    assert seconds(job(readers=2, actors=2), clock) == 8
    assert seconds(job(readers=16), clock) == 2
    assert seconds(job(readers=2, actors=(1, 2)), clock) == 8
