"""Jobs on clusters whose machines come and go: they take what comes and go on without what is lost."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from jobs.planning.shards import DONE
from metaner_core.bundles import bundle
from metaner_core.bundles.prepare import prepare
from metaner_core.data import corpora
from metaner_core.data.columns import Sentence
from metaner_core.method.checkpoint import NoCheckpoints
from metaner_core.reading.files import documents
from metaner_core.reading.source import Source, find
from metaner_core.settings import parse_overrides, preset
from metaner_core.tagging.pipeline import tag_documents
from metaner_core.text import schema
from metaner_core.text.rules import Rules
from tests.support.autoscaled import from_zero
from tests.support.kills import LANGUAGES, Cluster, cluster, write_documents
from tests.support.rows import near, written
from tests.support.small import save_tiny_bert

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.cluster, pytest.mark.timeout(600)]


@pytest.fixture
def one_node() -> Iterator[Cluster]:
    with cluster(1) as found:
        yield found


class Driver:
    """A job's driver as a process, which is ended whatever happens."""

    def __init__(self, command: list[str], log: Path, **environment: str) -> None:
        self.log = log
        given = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_AUTH_MODE": "disabled", **environment}
        with log.open("wb") as file:
            self.process = subprocess.Popen([sys.executable, *command], env=given, cwd=ROOT, stdout=file, stderr=file)

    def __enter__(self) -> "Driver":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def wait(self) -> None:
        assert self.process.wait(300) == 0, self.log.read_text()[-4000:]

    def wait_until(self, so: Callable[[], bool]) -> None:
        until = time.monotonic() + 200
        while not so():
            ended = time.monotonic() > until or self.process.poll() is not None
            assert not ended, self.log.read_text()[-4000:]
            time.sleep(0.3)

    def wait_for(self, *lines: str) -> None:
        """Until the log has lines that hold these, one after another."""

        def there() -> bool:
            left = list(lines)
            for line in self.log.read_text().splitlines():
                if left and left[0] in line:
                    del left[0]
            return not left

        self.wait_until(there)


def workers(output: Path) -> list[str]:
    """Of each shard that is done, in the order in which they began."""
    found = [json.loads(file.read_text()) for file in (output / DONE).glob("*.json")]
    return [record["worker"] for record in sorted(found, key=lambda record: record["started"])]


def tagging(address: str, bundle: str, folder: Path, readers: int = 0) -> list[str]:
    """A slow run of in.jsonl, on one actor or two."""
    command = ["-m", "tests.support.deadly", "--address", address, "--bundle", bundle, "--unadapted"]
    command += [f"--input={folder / 'in.jsonl'}", f"--output={folder / 'out'}", "--languages", *LANGUAGES]
    return [*command, "--actors", "1", "2", f"--readers={readers}", "--shard-mb=0.0001", "--every-seconds=5"]


def require_rows(folder: Path, uri: str) -> None:
    """Those that one process has of in.jsonl, and no others."""
    found = find(Source(uri=str(folder / "in.jsonl")))
    read = [document for _, document in documents(found, 0)]
    table, _ = schema.tables(tag_documents(bundle.load(uri), read, rules=Rules(languages=LANGUAGES), adapted=False))
    expected, there = {row["id"]: row for row in table.to_pylist()}, written(folder / "out", "tagged")
    assert there.keys() == expected.keys()
    assert len(there) == len(read)
    assert all(there[id_] == near(row) for id_, row in expected.items())


def test_a_pool_of_actors_grows_with_the_cluster_and_the_rows_are_the_same(
    one_node: Cluster, tiny_bundle: str, tmp_path: Path
) -> None:
    """With a reader before it, on a machine of its own."""
    one_node.ask("add")
    write_documents(tmp_path / "in.jsonl", 200)
    output = tmp_path / "out"
    with Driver(tagging(one_node.address, tiny_bundle, tmp_path, readers=1), tmp_path / "log") as driver:
        driver.wait_until(lambda: len(workers(output)) > 10)
        assert len(set(workers(output))) == 1
        one_node.ask("add")
        driver.wait()
    assert len(set(workers(output))) == 2
    require_rows(tmp_path, tiny_bundle)


def test_a_pool_that_may_grow_asks_for_machines(tiny_bundle: str, tmp_path: Path) -> None:
    """There is none before: the first comes because the run waits for it, the second while it goes on."""
    write_documents(tmp_path / "in.jsonl", 300)
    with (
        from_zero(machines=2, cpus=1) as address,
        Driver(tagging(address, tiny_bundle, tmp_path), tmp_path / "log") as driver,
    ):
        driver.wait()
    assert len(set(workers(tmp_path / "out"))) == 2
    require_rows(tmp_path, tiny_bundle)


OPTIONS = ["meta_updates=150", "dev_every=10", "tasks_per_update=2", "beta=1e-3"]


def test_a_training_goes_on_without_a_lost_machine_and_takes_one_that_comes(one_node: Cluster, tmp_path: Path) -> None:
    """Task by task, two a meta-update: then one worker adds up what two do, to the last bit."""
    one_node.ask("add")
    encoder = save_tiny_bert(tmp_path / "encoder")
    parts = [corpora.load("embedded-en", split)[:n] for split, n in (("train", 40), ("dev", 12))]
    command = ["-m", "tests.support.slow_training", "--address", one_node.address, "--preset=demo"]
    command += [f"--encoder={encoder}", "--engine=reference", *(f"--set={option}" for option in OPTIONS)]
    for name, sentences in zip(("train", "dev"), parts, strict=True):
        command.append(f"--{name}={tmp_path / name}.bio")
        write_columns(tmp_path / f"{name}.bio", sentences)
    command += [f"--output={tmp_path / 'bundle'}", f"--storage={tmp_path / 'runs'}", "--workers", "1", "2"]
    soon = {"RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "15"}  # for machines that are there no more
    with Driver(command, tmp_path / "log", **soon) as driver:
        two, one, kept = "2 worker(s) of at most 2", "1 worker(s) of at most 2", "loss"
        driver.wait_for(two, kept)
        assert one_node.ask("lose") == "1"
        driver.wait_for(two, "is lost; 2 now", one, kept)  # the head is one
        one_node.ask("add")
        driver.wait_for(two, one, two)
        driver.wait()
    unbroken = prepare(preset("demo", **parse_overrides(OPTIONS)), *parts, encoder=encoder, engine="reference").trainer
    state = unbroken.run(NoCheckpoints())
    there = bundle.load(str(tmp_path / "bundle"))
    assert there.manifest["history"] == state.history
    assert there.manifest["workers"] == [1, 2]
    trained, expected = there.tagger.trained(), unbroken.engine.tagger.trained()
    assert trained.keys() == expected.keys()
    assert max((trained[name] - p).abs().max().item() for name, p in expected.items()) < 1e-6


def write_columns(file: Path, sentences: Sequence[Sentence]) -> None:
    rows = ("".join(f"{w}\t{t}\n" for w, t in zip(s.words, s.labels, strict=True)) for s in sentences)
    file.write_text("\n".join(rows), encoding="utf-8")
