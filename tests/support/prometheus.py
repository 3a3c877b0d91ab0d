"""A real Prometheus on loopback, where Debian's package is installed."""

import json
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from cluster.local import free_ports

PROGRAM = "prometheus"


class Prometheus:
    def __init__(self, address: str) -> None:
        self.address = address

    def series(self, query: str, since: float) -> list[dict[str, Any]]:
        """Each series that it has for the query from a Unix time until now, with `metric` and `values`.

        Raises ValueError for what is no query.
        """
        asked = {"query": query, "start": since, "end": time.time(), "step": "2s"}
        try:
            with urllib.request.urlopen(f"{self.address}/api/v1/query_range?{urllib.parse.urlencode(asked)}") as answer:
                found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        except urllib.error.HTTPError as error:
            raise ValueError(f"{query}: {error.read().decode()}") from error
        return [one for one in found if any(value != "NaN" for _, value in one["values"])]


@contextmanager
def prometheus(config: Path, targets: Path, folder: Path) -> Iterator[Prometheus]:
    """One that goes by our configuration, but for the place of Ray's list and for how often it looks: every second."""
    settings = yaml.safe_load(config.read_text())
    (job,) = settings["scrape_configs"]
    job["scrape_interval"] = "1s"
    job["file_sd_configs"] = [{"files": [str(targets)]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
    address = f"127.0.0.1:{free_ports(1)[0]}"
    places = [f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([PROGRAM, *places, f"--web.listen-address={address}"], stdout=log, stderr=log)
    try:
        _wait(f"http://{address}/-/ready", server, folder / "log")
        yield Prometheus(f"http://{address}")
    finally:
        server.terminate()
        server.wait(timeout=30)


def _wait(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and server.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"Prometheus did not come up: {log.read_text()[-2000:]}")
