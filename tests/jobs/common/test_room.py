"""Waiting for a cluster's machines: for whom, how long, what is said, and how it ends."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
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


HEAD = "ray.head.default"  # the name that Ray's provider of machines that are none gives it
UNUSED = (
    *(f"{when}_commands" for when in ("initialization", "setup", "head_setup", "worker_setup")),
    *("head_start_ray_commands", "worker_start_ray_commands", "cluster_synced_files", "rsync_exclude", "rsync_filter"),
)  # of an autoscaler's configuration, which has to have them


@pytest.fixture
def from_zero() -> Iterator[str]:
    """A cluster of a head on which nothing runs and, when somebody asks, a machine of four CPUs. Its address."""
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # short: Ray's sockets are in it
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"{ray.util.get_node_ip_address()}:{port}"
    worker = {"resources": {"CPU": 4}, "node_config": {}, "min_workers": 0, "max_workers": 1}
    head = {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0}
    config = {
        "cluster_name": "from-zero",
        "provider": {"type": "fake_multinode", "gcs_address": address},
        "available_node_types": {HEAD: head, "worker": worker},
        "head_node_type": HEAD,
        "max_workers": 1,
        "idle_timeout_minutes": 5,
        "upscaling_speed": 1.0,
        **{name: {} for name in ("auth", "docker", "file_mounts")},
        **{name: [] for name in UNUSED},
    }
    (folder / "config.json").write_text(json.dumps(config))
    command = [Path(sys.executable).with_name("ray"), "start", "--head", "--block", "--num-cpus=0", f"--port={port}"]
    command += [f"--temp-dir={folder}", f"--autoscaling-config={folder / 'config.json'}", "--include-dashboard=false"]
    env = {**os.environ, "RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1"}
    with (folder / "head.log").open("w") as log:
        started = subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True)
    try:
        until = time.monotonic() + 60
        while "Ray runtime started" not in (folder / "head.log").read_text():
            assert time.monotonic() < until, (folder / "head.log").read_text()
            assert started.poll() is None, (folder / "head.log").read_text()
            time.sleep(0.5)
        yield address
    finally:
        started.kill()
        for line in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if str(folder).encode() in line.read_bytes():
                    os.kill(int(line.parent.name), signal.SIGKILL)
        started.wait()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_a_job_waits_for_a_machine_that_comes_when_it_is_asked_for(
    from_zero: str, tiny_bundle: str, tmp_path: Path
) -> None:
    (tmp_path / "in.jsonl").write_text('{"text": "Angela Merkel besuchte Paris."}\n')
    where = ["--bundle", tiny_bundle, "--input", str(tmp_path / "in.jsonl"), "--address", from_zero]

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
