"""The dashboard: of a shape that Grafana imports, and every panel's query has an answer from a real Prometheus."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.local import CRAWL, PROJECT, head
from tests.support.prometheus import PROGRAM, Prometheus, prometheus

FOLDER = PROJECT / "cluster" / "grafana"
WITHOUT_GPUS = {"GPU"}  # panels that are empty then
KILLS, BETWEEN_KILLS = 4, 8  # seconds
EVERY = "30s"  # in place of Grafana's own interval for rates


def panels() -> list[dict[str, Any]]:
    found = json.loads((FOLDER / "metaner.json").read_text())["panels"]
    return [panel for panel in found if panel["type"] != "row"]


def queries() -> dict[str, str]:
    """Of each panel, by its title; without what stands in for a series that is not there."""
    found = {}
    for panel in panels():
        (target,) = panel["targets"]
        query = target["expr"].replace("$__rate_interval", EVERY).removesuffix(" or vector(0)")
        assert "$" not in query
        found[panel["title"]] = query
    return found


def test_it_asks_for_a_prometheus_when_it_is_imported_and_for_nothing_else() -> None:
    dashboard = json.loads((FOLDER / "metaner.json").read_text())
    assert [(one["name"], one["type"]) for one in dashboard["templating"]["list"]] == [("datasource", "datasource")]
    sources = {json.dumps(part["datasource"]) for panel in panels() for part in (panel, *panel["targets"])}
    assert sources == {'{"type": "prometheus", "uid": "${datasource}"}'}
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    assert len(queries()) == len(panels()), "two panels of one title"


def test_panels_do_not_lie_upon_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads((FOLDER / "metaner.json").read_text())["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + i, at["y"] + j) for i in range(at["w"]) for j in range(at["h"])}
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells


def test_what_is_asked_of_gpus_is_what_ray_counts() -> None:
    from ray.dashboard.modules.reporter.reporter_agent import METRICS_GAUGES

    for title in WITHOUT_GPUS:
        names = re.findall(r"ray_(node_\w+)", queries()[title])
        assert names
        assert all(name in METRICS_GAUGES for name in names)


@pytest.fixture(scope="module")
def watched(tiny_bundle: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Prometheus, float]]:
    """A Prometheus that saw a tagging run, one of whose actors was ended in the middle; and when that began."""
    if shutil.which(PROGRAM) is None:
        pytest.skip("needs prometheus (Debian's package of that name)")
    folder, begun = tmp_path_factory.mktemp("prometheus"), time.time()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_metrics_report_interval_ms", "1000")  # every 10 s a short run might be over
        with head(5) as (address, environment):
            targets = Path(environment["RAY_AUTH_TOKEN_PATH"]).parent / "prom_metrics_service_discovery.json"
            with prometheus(FOLDER / "prometheus.yml", targets, folder) as server:
                _tag(tiny_bundle, folder / "tagged", address, environment, server, begun)
                yield server, begun


def _tag(
    bundle: str, output: Path, address: str, environment: dict[str, str], server: Prometheus, begun: float
) -> None:
    options = ["--bundle", bundle, "--input", str(CRAWL), "--output", str(output), "--shard-mb", "0.001"]
    command = ["ray", "job", "submit", "--address", address, "--working-dir", str(PROJECT), "--"]
    job = subprocess.Popen(
        [*command, "python", "-m", "jobs.bulk_tag", *options, "--readers", "1", "--engine", "reference"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    kills, last = 0, 0.0  # of one in the middle of a shard, so perhaps again, but not of one that loads for ever
    while job.poll() is None:
        due = kills < KILLS and time.monotonic() - last > BETWEEN_KILLS and _at_work(server, begun)
        if due and _kill_actor(environment["RAY_AUTH_TOKEN_PATH"]):
            kills, last = kills + 1, time.monotonic()
        time.sleep(0.5)
    assert job.stdout is not None
    told = job.stdout.read()
    assert job.returncode == 0, told[-3000:]


def _at_work(server: Prometheus, begun: float) -> bool:
    """Whether sentences were tagged, and no actor has ended yet."""
    seen = [server.series(f"ray_metaner_{name}_total", begun) for name in ("sentences", "worker_deaths")]
    return bool(seen[0]) and not seen[1]


def _kill_actor(mark: str) -> int:
    """SIGKILL to the process with the model of the Ray that has this in its environment; 0: none is at work."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if b"Predictor" in (folder / "cmdline").read_bytes() and mark.encode() in (folder / "environ").read_bytes():
                os.kill(int(folder.name), signal.SIGKILL)
                return int(folder.name)
        except OSError:
            continue
    return 0


@pytest.mark.slow
@pytest.mark.cluster
@pytest.mark.timeout(900)
def test_every_panel_has_something_to_show(watched: tuple[Prometheus, float]) -> None:
    server, begun = watched
    found = {title: server.series(query, begun) for title, query in queries().items()}
    empty = {title for title, series in found.items() if not series}
    gpus = server.series("ray_node_gpus_available", begun)
    assert empty == (set() if gpus else WITHOUT_GPUS)


@pytest.mark.slow
@pytest.mark.cluster
@pytest.mark.timeout(900)
def test_stages_and_tasks_are_called_by_what_they_do(watched: tuple[Prometheus, float]) -> None:
    server, begun = watched
    datasets = {one["metric"]["dataset"] for one in server.series("ray_data_num_tasks_running", begun)}
    assert len(datasets) == 1
    assert next(iter(datasets)).startswith("metaner tag")
    names = {one["metric"]["Name"] for one in server.series("ray_tasks", begun)}
    assert {"look through the input", "MapBatches(read_shards)", "MapBatches(write_shards)"} <= names
    assert not {name for name in names if re.match(r"_(?!Stats|Autoscaling|ray_internal)", name)}, "private names"
