"""The dashboard: of a shape that Grafana imports, and every panel's query has an answer from a real Prometheus."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ray.util.metrics import Counter, Metric

from cluster.local import CRAWL, PROJECT, head
from jobs.tagging.metrics import Metrics
from tests.support.prometheus import PROGRAM, Prometheus, prometheus

FOLDER = PROJECT / "cluster" / "grafana"
WITHOUT_GPUS = {"GPU"}  # panels that are empty then
EVERY = "30s"  # in place of Grafana's own interval for rates


def panels() -> list[dict[str, Any]]:
    found = json.loads((FOLDER / "metaner.json").read_text())["panels"]
    return [panel for panel in found if panel["type"] != "row"]


def queries() -> dict[str, str]:
    """Of each panel, by its title."""
    found = {}
    for panel in panels():
        (target,) = panel["targets"]
        query = target["expr"].replace("$__rate_interval", EVERY)
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


def test_every_sum_of_a_run_is_shown_and_nothing_else_is_asked_of_it(ray_local: None) -> None:
    sums = [one for one in vars(Metrics()).values() if isinstance(one, Metric)]
    names = {f"ray_{one.info['name']}" + "_total" * isinstance(one, Counter) for one in sums}
    assert set(re.findall(r"ray_metaner_\w+", " ".join(queries().values()))) == names


@pytest.fixture(scope="module")
def watched(tiny_bundle: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Prometheus, float]]:
    """A Prometheus that saw a tagging run, and when that began."""
    if shutil.which(PROGRAM) is None:
        pytest.skip("needs prometheus (Debian's package of that name)")
    folder, begun = tmp_path_factory.mktemp("prometheus"), time.time()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_metrics_report_interval_ms", "1000")  # every 10 s a short run might be over
        with head(5) as (address, environment):
            targets = Path(environment["RAY_AUTH_TOKEN_PATH"]).parent / "prom_metrics_service_discovery.json"
            with prometheus(FOLDER / "prometheus.yml", targets, folder) as server:
                _tag(tiny_bundle, folder / "tagged", address, environment)
                yield server, begun


def _tag(bundle: str, output: Path, address: str, environment: dict[str, str]) -> None:
    options = ["--bundle", bundle, "--input", str(CRAWL), "--output", str(output), "--shard-mb", "0.001"]
    submit = ["ray", "job", "submit", "--address", address, "--working-dir", str(PROJECT), "--"]
    job = [*submit, "python", "-m", "jobs.bulk_tag", *options, "--readers", "1", "--engine", "reference"]
    log = output.with_name("log")
    for _ in range(3):  # on a busy machine a head that has just come up drops a connection; again, it goes on
        with log.open("w") as file:
            done = subprocess.run(job, env=environment, stdout=file, stderr=file, check=False)
        if done.returncode == 0:
            return
    raise AssertionError(log.read_text()[-3000:])


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
    assert datasets
    assert all(name.startswith("metaner tag") for name in datasets)
    names = {one["metric"]["Name"] for one in server.series("ray_tasks", begun)}
    assert {"look through the input", "MapBatches(read_shards)", "MapBatches(write_shards)"} <= names
    assert not {name for name in names if re.match(r"_(?!Stats|Autoscaling|ray_internal)", name)}, "private names"
