"""The minute's grid on three nodes while workers, drivers and a node are killed: its cells are those of a quiet run."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.jobs.experiments.test_run import cells
from tests.support.kills import ROOT, Cluster, cluster

pytestmark = [pytest.mark.slow, pytest.mark.cluster, pytest.mark.timeout(3000)]

PATIENCE = 900.0  # seconds for anything that is waited for
CELLS, BUNDLES = 12, 4


@pytest.fixture(scope="module")
def nodes() -> Iterator[Cluster]:
    with cluster(3) as made:
        yield made


class Run:
    """The grid at one output, with a driver that may have to be started again."""

    def __init__(self, nodes: Cluster, output: Path) -> None:
        self.nodes, self.output, self.log = nodes, output, output.with_suffix(".log")
        self.start()

    def start(self) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_AUTH_MODE": "disabled"}
        command = [sys.executable, "-m", "jobs.experiment", "minute", "--output", str(self.output), "--every-seconds=5"]
        with self.log.open("ab") as log:
            self.driver = subprocess.Popen(
                [*command, "--address", self.nodes.address], env=environment, stdout=log, stderr=log
            )

    def wait_for(self, what: Callable[[], object]) -> None:
        until = time.monotonic() + PATIENCE
        while not what():
            late = time.monotonic() > until or self.driver.poll() is not None
            assert not late, f"it ended too soon, or hangs: {self.said()}"
            time.sleep(0.2)

    def strike(self, what: str) -> None:
        """Kill the process of a trainer or scorer, or a node that has one, as soon as there is one."""
        self.wait_for(lambda: self.nodes.ask(what) != "none")

    def kill(self) -> None:
        self.driver.kill()
        self.driver.wait()

    def end(self) -> None:
        assert self.driver.wait(PATIENCE) == 0, self.said()

    def said(self) -> str:
        return self.log.read_text()[-4000:]

    def there(self, pattern: str) -> int:
        return len(list(self.output.glob(pattern)))


def test_killed_workers_drivers_and_a_lost_node_leave_the_cells_of_a_quiet_run(nodes: Cluster, tmp_path: Path) -> None:
    quiet = Run(nodes, tmp_path / "quiet")
    quiet.end()
    run = Run(nodes, tmp_path / "killed")
    run.wait_for(lambda: run.there("runs/*/checkpoint_*/state.json"))
    run.strike("trainer 0.5")
    run.wait_for(lambda: run.there("bundles/*/manifest.json"))
    run.kill()
    assert run.there("cells/*/*.json") < CELLS, "the kill came too late to test anything"
    run.start()
    run.strike("scorer 0.5")
    run.wait_for(lambda: run.there("cells/*/*.json"))
    run.strike("lose")
    run.wait_for(lambda: run.there("tuned/*.json"))
    run.kill()
    assert run.there("cells/*/*.json") < CELLS
    run.start()
    run.end()
    assert len(cells(quiet.output)) == CELLS
    assert cells(run.output) == cells(quiet.output)
    for name in ("results", "comparisons", "curves"):
        found, expected = (table(one.output / f"{name}.parquet") for one in (run, quiet))
        assert found == expected
    assert records(run.output) == records(quiet.output)
    for one in (run, quiet):
        bundles = {path.name for path in (one.output / "bundles").iterdir() if any(path.rglob("*.*"))}
        assert len(bundles) == one.there("bundles/*/manifest.json") == BUNDLES, "none that was fine-tuned"
        left = [path for part in ("runs", "parts") for path in (one.output / part).rglob("*") if path.is_file()]
        assert left == []


def table(file: Path) -> list[dict[str, object]]:
    """All but what a clock decides."""
    found = pq.read_table(file)
    return found.select([name for name in found.column_names if name != "seconds"]).to_pylist()


def records(output: Path) -> dict[str, dict[str, object]]:
    """Of trainings and fine-tunings, all but how long they took."""
    found = {path.name: json.loads(path.read_text()) for path in output.glob("t*/*.json")}
    return {name: {key: value for key, value in record.items() if key != "seconds"} for name, record in found.items()}
