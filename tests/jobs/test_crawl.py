"""A made crawl on a real S3 server, tagged while things die: the rows are those of one process that nothing befalls."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest

from jobs.planning.shards import DONE, PLAN, done
from metaner_core import storage
from metaner_core.bundles import bundle
from metaner_core.data import corpora
from metaner_core.reading.files import documents
from metaner_core.reading.source import Source, find
from metaner_core.tagging.pipeline import rejected, tag_documents
from metaner_core.text import schema
from metaner_core.text.rules import Rules
from tests.support.rows import near, written
from tests.support.wet import wet

FILES, DOCUMENTS = 5, 120  # of each file
ROOT = Path(__file__).parents[2]
PLANTED = {
    (0, 17): b"caf\xe9 en M\xe1laga",
    (0, 18): b"Ana Morales vive en\0 Sevilla desde hace tiempo y trabaja como periodista en la radio.\0",
    (1, 3): b"Ana Morales vive en Sevilla desde hace tiempo y trabaja en la radio. " + b"x" * 300_000,
    (1, 4): b" \n\t ",
    (3, 0): b"The committee will meet again next week to discuss the report, and it should be published soon.",
    (3, 60): b"DEADLY",
    (4, 119): "\u202eAna\u202c \u200f\u200b\x07 vive en Sevilla desde hace tiempo y trabaja en la radio.".encode(),
}
LANGUAGES = ("es", "nl", "de", "zh")  # each process compiles the rules of each, for French seconds long

pytestmark = [pytest.mark.slow, pytest.mark.cluster, pytest.mark.timeout(900)]


def texts() -> Iterator[list[tuple[str, bytes]]]:
    """Ids and texts of each file: sentences of four languages, and what is planted among them."""
    tests = [corpora.load(f"embedded-{language}", "test") for language in LANGUAGES]
    for file in range(FILES):
        rows = []
        for n in range(DOCUMENTS):
            sentences = tests[n % len(tests)]
            words = sentences[(file * DOCUMENTS + n) % len(sentences)].words[:12]
            text = ("" if LANGUAGES[n % len(tests)] == "zh" else " ").join(words).encode()
            rows.append((f"urn:uuid:{file}-{n}", PLANTED.get((file, n), text)))
        yield rows


@pytest.fixture(scope="module")
def crawl(swift: dict[str, str], tiny_bundle: str) -> Iterator[str]:
    """The uri of a bucket that holds the bundle and, below crawl/, the files."""
    import boto3

    with pytest.MonkeyPatch.context() as patch:
        for name, value in swift.items():
            patch.setenv(name, value)
        boto3.Session().client("s3").create_bucket(Bucket="crawl")
        for n, rows in enumerate(texts()):
            storage.write_bytes(f"s3://crawl/in/{n}.warc.wet.gz", wet(rows))
        storage.publish(Path(tiny_bundle), "s3://crawl/bundle", last="manifest.json")
        yield "s3://crawl"


@pytest.fixture
def cluster(crawl: str) -> Iterator[subprocess.Popen[str]]:
    """A Ray cluster of four nodes in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "RAY_BACKEND_LOG_LEVEL": "fatal"}
    temp = mkdtemp(prefix="ray-")  # short: socket paths below it have at most 107 bytes
    command = [sys.executable, str(ROOT / "tests" / "support" / "ray_cluster.py"), temp, "4"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env=environment, text=True, start_new_session=True, **pipes) as process:
        yield process
        process.stdin.close()
        process.wait(60)
    shutil.rmtree(temp, ignore_errors=True)


def ask(cluster: subprocess.Popen[str], what: str) -> str:
    print(what, file=cluster.stdin, flush=True)
    return cluster.stdout.readline().strip()


class Driver:
    """The job's driver as a process."""

    def __init__(self, address: str, bucket: str, output: str, log: Path, readers: int = 0) -> None:
        self.output, self.log = output, log
        command = [sys.executable, str(ROOT / "tests" / "support" / "deadly.py"), "--address", address, "--unadapted"]
        command += ["--bundle", f"{bucket}/bundle", "--input", f"{bucket}/in", "--output", output, "--actors=2"]
        command += [f"--readers={readers}"]
        command += ["--shard-mb=0.004", "--languages", *LANGUAGES, "--every-seconds=5"]
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
        with log.open("ab") as file:
            self.process = subprocess.Popen(command, env=environment, stdout=file, stderr=file)

    def wait(self) -> None:
        assert self.process.wait(300) == 0, self.log.read_text()[-4000:]

    def wait_for(self, files: int, folder: str = DONE) -> None:
        """Until so many are in a folder of the output: of that which holds a file for each shard that is done."""
        deadline = time.monotonic() + 200
        while len(found := storage.list_files(f"{self.output}/{folder}")) < files:
            late = time.monotonic() > deadline or self.process.poll() is not None
            assert not late, f"{len(found)} of {files} in {folder}/: {self.log.read_text()[-4000:]}"
            time.sleep(0.6)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def untroubled(crawl: str, uri: str) -> dict[str, dict[str, dict[str, object]]]:
    """The rows of both tables by id, tagged in this process. What ends a process is rejected without a look at it."""
    found, loaded = find(Source(uri=f"{crawl}/in")), bundle.load(uri)
    read = [document for file in range(FILES) for _, document in documents(found, file)]
    (deadly,) = (document for document in read if document.text == "DEADLY")
    read.remove(deadly)
    rows = tag_documents(loaded, read, rules=Rules(languages=LANGUAGES), adapted=False)
    rows.append(rejected(deadly, "worker: 2 worker processes ended while they had this document alone"))
    tables = zip(("tagged", "other"), schema.tables(rows), strict=True)
    return {name: {row["id"]: row for row in table.to_pylist()} for name, table in tables}


def test_killed_drivers_actors_and_nodes_leave_the_rows_of_one_process_that_nothing_befalls(
    crawl: str, tiny_bundle: str, cluster: subprocess.Popen[str], tmp_path: Path
) -> None:
    assert cluster.stdout is not None
    address = cluster.stdout.readline().strip()
    broken = f"{crawl}/broken"
    kept: dict[str, bytes] = {}
    for folder, files in ((PLAN, 1), (DONE, 8)):  # while it looks through the input, then in the middle
        driver = Driver(address, crawl, broken, tmp_path / "broken.log")
        driver.wait_for(files, folder)
        driver.kill()
        kept |= {name: storage.read_bytes(f"{broken}/done/{name}.json") for name in done(broken)}
    for readers in (0, 1):
        driver = Driver(address, crawl, broken, tmp_path / "broken.log", readers)
        driver.wait_for(len(done(broken)) + 2)
        assert int(ask(cluster, "kill"))
        driver.wait_for(len(done(broken)) + 4)
        if not readers:
            driver.kill()
    assert ask(cluster, "lose") == "3"
    driver.wait()
    assert len(done(broken)) > len(kept) + 10
    for table, expected in untroubled(crawl, tiny_bundle).items():
        found = written(broken, table)
        assert found.keys() == expected.keys()
        for id_, row in expected.items():
            assert found[id_] == near(row)
    assert all(storage.read_bytes(f"{broken}/done/{name}.json") == record for name, record in kept.items())


def test_every_document_of_the_crawl_is_accounted_for(crawl: str) -> None:
    tagged, other = written(f"{crawl}/broken", "tagged"), written(f"{crawl}/broken", "other")
    given = {id_: text for file in texts() for id_, text in file}
    assert tagged.keys() | other.keys() == given.keys()
    assert not tagged.keys() & other.keys()
    assert len(tagged) > 0.9 * len(given)
    assert all(row["text"].encode() == given[id_] for id_, row in tagged.items())
    found = {id_: (row["outcome"], row["stage"]) for id_, row in other.items()}
    planted = {at: found.get("urn:uuid:{}-{}".format(*at), ("tagged", None)) for at in PLANTED}
    assert planted == {
        (0, 17): ("rejected", "reading"),
        (0, 18): ("tagged", None),
        (1, 3): ("filtered", "language"),  # of a word of 300,000 letters none can be told
        (1, 4): ("empty", None),
        (3, 0): ("filtered", "language"),
        (3, 60): ("rejected", "worker"),
        (4, 119): ("tagged", None),
    }
    assert Counter(outcome for outcome, _ in found.values())["rejected"] == 2
