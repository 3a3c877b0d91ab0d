"""A cluster whose machines come when they are asked for, by Ray's autoscaler and a provider that has none."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import ray

HEAD = "ray.head.default"  # the name that Ray's provider of machines that are none gives it
UNUSED = (
    *(f"{when}_commands" for when in ("initialization", "setup", "head_setup", "worker_setup")),
    *("head_start_ray_commands", "worker_start_ray_commands", "cluster_synced_files", "rsync_exclude", "rsync_filter"),
)  # of an autoscaler's configuration, which has to have them


@contextlib.contextmanager
def from_zero(*, machines: int, cpus: int) -> Iterator[str]:
    """A cluster of a head on which nothing runs and, when somebody asks, so many machines of so many CPUs.

    Yields its address.
    """
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # short: Ray's sockets are in it
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"{ray.util.get_node_ip_address()}:{port}"
    worker = {"resources": {"CPU": cpus}, "node_config": {}, "min_workers": 0, "max_workers": machines}
    head = {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0}
    config = {
        "cluster_name": "from-zero",
        "provider": {"type": "fake_multinode", "gcs_address": address, "disable_node_updaters": True},
        "available_node_types": {HEAD: head, "worker": worker},
        "head_node_type": HEAD,
        "max_workers": machines,
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
