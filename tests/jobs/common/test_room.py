"""Waiting for a cluster's machines: for whom, how long, what is said, and how it ends."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from jobs.common import room as rooms
from jobs.common import session
from jobs.common.room import Room
from jobs.evaluate import main as evaluate
from jobs.meta_train import parse
from tests.support.autoscaled import from_zero

NEED = Room("2 actor(s)", 3, 2, "--actors", minutes=1)


class Group:
    """A reservation that is granted at the n-th time of asking, if at all."""

    def __init__(self, granted: int | None) -> None:
        self.granted, self.asked, self.removed = granted, 0, False
        self.clock, self.bundles = 0.0, list[dict[str, float]]()

    def wait(self, timeout_seconds: float) -> bool:
        self.asked += 1
        self.clock += timeout_seconds
        return self.granted is not None and self.asked >= self.granted


@pytest.fixture
def reserve(monkeypatch: pytest.MonkeyPatch) -> Any:
    def cluster(granted: int | None) -> Group:
        group = Group(granted)

        def asked(bundles: list[dict[str, float]], **_: Any) -> Group:
            group.bundles = bundles
            return group

        monkeypatch.setattr(rooms, "placement_group", asked)
        monkeypatch.setattr(rooms, "remove_placement_group", lambda g: setattr(g, "removed", True))
        monkeypatch.setattr(rooms.time, "monotonic", lambda: group.clock)
        monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 8.0})
        monkeypatch.setattr(ray, "available_resources", lambda: {"CPU": 5.0})
        return group

    return cluster


def test_where_there_is_room_nothing_is_said(reserve: Any) -> None:
    said: list[object] = []
    group = reserve(1)
    NEED.wait(said.append)
    assert not said
    assert group.bundles == [{"CPU": 1.0, "GPU": 1.0}] * 2 + [{"CPU": 1.0}]
    assert group.removed


def test_what_is_waited_for_is_said_until_it_comes(reserve: Any) -> None:
    said: list[str] = []
    group = reserve(3)
    NEED.wait(said.append)  # type: ignore[arg-type]
    assert said == [
        f"waiting for machines: 2 actor(s) need 2 logical GPUs and 3 logical CPUs, this Ray has 0 GPUs, 0 free and "
        f"8 CPUs, 5 free; {minutes} minutes more (--wait-minutes)"
        for minutes in (1, 0)
    ]
    assert group.removed


def test_in_the_end_a_remedy(reserve: Any) -> None:
    group = reserve(None)
    with pytest.raises(ValueError, match=r"has 0 GPUs, 0 free .*after 1 minutes: set --actors lower, .*--wait-minutes"):
        NEED.wait(lambda said: None)
    assert group.removed
    assert group.clock == pytest.approx(60, abs=0.2)


def test_without_waiting_what_is_missing_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 8.0})
    monkeypatch.setattr(rooms, "placement_group", None)
    with pytest.raises(ValueError, match=r"need 2 logical GPUs, this Ray has 0: set .* lower, leave out --gpu, or"):
        Room("2 actor(s)", 2, 2, "--actors", minutes=0).wait()
    Room("2 actor(s)", 2, 0, "--actors", minutes=0).wait()


@pytest.mark.parametrize(("address", "waited"), [(None, False), ("10.0.0.1:6379", True)])
def test_only_a_ray_that_runs_already_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, address: str | None, waited: bool
) -> None:
    done: list[str] = []
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("ray.init", lambda **options: None)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(Room, "wait", lambda self: done.append("waited"))
    monkeypatch.setattr(Room, "require", lambda self: done.append("required"))
    session.connect(address, cpus=1, room=NEED)
    assert done == ["waited" if waited else "required"]


def test_a_time_that_cannot_be_is_refused_before_any_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="--wait-minutes is -1"):
        parse(["--output", "out", "--wait-minutes", "-1"])
    monkeypatch.setattr(sys, "argv", ["evaluate", "--bundle", "b", "--wait-minutes", "nan"])
    with pytest.raises(ValueError, match="--wait-minutes is nan"):
        evaluate()


@pytest.fixture
def one_of_four_cpus() -> Iterator[str]:
    with from_zero(machines=1, cpus=4) as address:
        yield address


@pytest.mark.slow
def test_a_job_waits_for_a_machine_that_comes_when_it_is_asked_for(
    one_of_four_cpus: str, tiny_bundle: str, tmp_path: Path
) -> None:
    (tmp_path / "in.jsonl").write_text('{"text": "Angela Merkel besuchte Paris."}\n')
    where = ["--bundle", tiny_bundle, "--input", str(tmp_path / "in.jsonl"), "--address", one_of_four_cpus]

    def tag(name: str, *options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "jobs.bulk_tag", *where, "--output", str(tmp_path / name), *options]
        return subprocess.run(command, capture_output=True, text=True, timeout=150)

    refused = tag("none", "--actors", "9", "--wait-minutes", "0.1")
    assert refused.returncode == 2, refused.stdout + refused.stderr
    assert re.search(r"9 actor\(s\) need 9 logical CPUs, this Ray has .* after 0.1 minutes", refused.stderr)
    assert not (tmp_path / "none").exists()
    done = tag("out", "--actors", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "documents  1: 1 tagged" in done.stdout
