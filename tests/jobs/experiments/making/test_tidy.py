"""What a kill leaves of what is done goes with the next call, and nothing else does."""

from pathlib import Path

import pytest

from jobs.experiments.cells import Training, left
from jobs.experiments.grid import Grid
from jobs.experiments.job import Job
from jobs.experiments.making.tidy import tidy
from metaner_core import storage
from tests.jobs.experiments.test_shares import grid

FILES = ("manifest.json", "encoder/config.json")


@pytest.fixture
def low() -> Grid:
    return grid(seeds=[0], shares=[10], tests=["conll2002-es"], variants={"full": {"preset": "embedded"}})


def put(output: str, *files: str) -> None:
    for file in files:
        storage.write_bytes(f"{output}/{file}", b"{}")


def begun(low: Grid, output: str) -> tuple[Job, Training]:
    """A bundle, one that was fine-tuned, and what a training and an evaluation keep."""
    job = Job(grid=low, output=output)
    (training,) = left(job)[1]
    names = (training.name, training.tuned[0].name)
    put(output, *(f"bundles/{name}/{file}" for name in names for file in FILES), "runs/x/state", "parts/x/plan.json")
    return job, training


def test_while_a_cell_is_to_do_its_bundle_stays(low: Grid, s3: str) -> None:
    job, training = begun(low, f"{s3}/out")
    before = storage.list_files(job.output)
    assert tidy(job, *left(job)) == {training.name, training.tuned[0].name}
    assert storage.list_files(job.output) == before


def test_a_fine_tuned_bundle_whose_cells_are_done_goes_and_the_trained_one_stays(low: Grid, tmp_path: Path) -> None:
    job, training = begun(low, str(tmp_path / "out"))
    put(job.output, f"cells/{training.tuned[0].cells[0].name}.json")
    assert tidy(job, *left(job)) == {training.name}
    found = {uri.removeprefix(f"{job.output}/") for uri in storage.list_files(job.output) if "/cells/" not in uri}
    assert found == {f"bundles/{training.name}/{file}" for file in FILES}
