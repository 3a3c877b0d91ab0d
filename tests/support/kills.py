"""A tagging run whose driver, actors, readers and machines are killed at random moments, and what must come of it.

    python -m tests.support.kills --output out/kills --documents 100000 --kills 100     an hour or two on two cores

The same documents are tagged twice on a Ray cluster on this machine: once undisturbed, once with so many kills, drawn
by --seed; a driver that was killed is started again. Fails unless both have the same rows. Ends all that it started.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

import pyarrow.parquet as pq

from jobs.planning.shards import MANIFEST, done
from metaner_core.data import corpora
from tests.support.rows import near
from tests.support.tiny_bundle import make_tiny_bundle

ROOT = Path(__file__).parents[2]
NODES = 4
LANGUAGES = ("es", "nl", "de")
WHAT = ("driver", "actor", "reader", "node")
SHARDS = 4  # for each kill, at least: so that something is left to be killed
PATIENCE = 600.0  # seconds without a new shard, then the run hangs


def write_documents(file: Path, n: int) -> None:
    """One JSON Lines file of sentences of three languages."""
    tests = [corpora.load(f"embedded-{language}", "test") for language in LANGUAGES]
    with file.open("w", encoding="utf-8") as out:
        for number in range(n):
            sentences = tests[number % len(tests)]
            text = " ".join(sentences[number % len(sentences)].words[:12])
            out.write(json.dumps({"id": str(number), "language": LANGUAGES[number % len(tests)], "text": text}) + "\n")


class Cluster:
    """A cluster in a process of its own; `ask` is answered as tests/support/ray_cluster.py says."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.address = self._line()

    def ask(self, what: str) -> str:
        print(what, file=self.process.stdin, flush=True)
        return self._line()

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


@contextmanager
def cluster(nodes: int) -> Iterator[Cluster]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_BACKEND_LOG_LEVEL": "fatal", "RAY_AUTH_MODE": "disabled"}
    temp = mkdtemp(prefix="ray-")  # short: socket paths below it have at most 107 bytes
    command = [sys.executable, str(ROOT / "tests" / "support" / "ray_cluster.py"), temp, str(nodes)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env=environment, text=True, start_new_session=True, **pipes) as process:
        yield Cluster(process)
        assert process.stdin is not None
        process.stdin.close()
        process.wait(60)
    shutil.rmtree(temp, ignore_errors=True)


class Run:
    """One output, with a driver that may have to be started again."""

    def __init__(self, cluster: Cluster, folder: Path, name: str, shard_mb: float) -> None:
        self.output, self.log = folder / name, folder / f"{name}.log"
        places = ["--bundle", str(folder / "bundle"), "--input", str(folder / "in.jsonl"), "--output", str(self.output)]
        how = ["--actors=2", "--readers=1", f"--shard-mb={shard_mb}", "--unadapted", "--languages", *LANGUAGES]
        self._command = [sys.executable, "-m", "jobs.bulk_tag", "--address", cluster.address, *places, *how]
        self.start()

    def start(self) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_AUTH_MODE": "disabled", "HF_HUB_OFFLINE": "1"}
        with self.log.open("ab") as log:
            self.driver = subprocess.Popen(self._command, env=environment, cwd=ROOT, stdout=log, stderr=log)

    def done(self) -> int:
        return len(done(str(self.output)))

    def wait_for(self, shards: int) -> bool:
        """Until so many are done; false if the run came to its end before. Raises RuntimeError if it fails or hangs."""
        last, since = self.done(), time.monotonic()
        while (now := self.done()) < shards and not self._ended():
            if now > last:
                last, since = now, time.monotonic()
            if time.monotonic() - since > PATIENCE:
                raise RuntimeError(f"no shard in {PATIENCE:g} s, {now} done: {self.log.read_text()[-3000:]}")
            time.sleep(0.3)
        return not (self.output / MANIFEST).exists()

    def _ended(self) -> bool:
        if self.driver.poll() not in (None, 0):
            raise RuntimeError(f"the driver failed: {self.log.read_text()[-3000:]}")
        return self.driver.poll() is not None


def torment(run: Run, cluster: Cluster, kills: int, seed: int) -> dict[str, int]:
    """Kill so many, one after another, at random moments. Returns how many of each; fewer if the run ended before."""
    draw = random.Random(seed)
    killed = dict.fromkeys(WHAT, 0)
    while sum(killed.values()) < kills:
        if not run.wait_for(run.done() + draw.randint(1, SHARDS - 1)):
            return killed
        time.sleep(draw.random())
        what = draw.choice(WHAT)
        if what == "driver":
            run.driver.kill()
            run.driver.wait()
            run.start()
        elif cluster.ask(f"{what} {draw.random()}") == "none":
            continue
        killed[what] += 1
        print(f"{sum(killed.values())}/{kills} killed: {what}; {run.done()} shards done", flush=True)
    return killed


def differences(one: Path, other: Path) -> Iterator[str]:
    """Between two outputs: files, and rows that are not near one another."""
    parts = [{str(file.relative_to(output)) for file in output.glob("*/*.parquet")} for output in (one, other)]
    yield from (f"{name} is in one alone" for name in sorted(parts[0] ^ parts[1]))
    ids = 0
    for name in sorted(parts[0] & parts[1]):
        a, b = ({row["id"]: row for row in pq.read_table(output / name).to_pylist()} for output in (one, other))
        ids += len(a)
        yield from (f"{name}: {id_} is in one alone" for id_ in sorted(a.keys() ^ b.keys()))
        yield from (f"{name}: {id_} differs" for id_ in a.keys() & b.keys() if a[id_] != near(b[id_]))
    counts = [json.loads((output / MANIFEST).read_text())["counts"]["documents"] for output in (one, other)]
    if {*counts, ids} != {ids}:
        yield f"manifests say {counts} documents, the files hold {ids}"


def hundred(folder: Path, *, documents: int, kills: int, seed: int) -> dict[str, int]:
    """Both runs and their comparison. Returns how many of each were killed. Raises AssertionError for a difference."""
    folder.mkdir(parents=True)
    write_documents(folder / "in.jsonl", documents)
    make_tiny_bundle(str(folder / "bundle"))
    shard_mb = (folder / "in.jsonl").stat().st_size / (SHARDS * kills) / 2**20
    with cluster(NODES) as nodes:
        quiet = Run(nodes, folder, "quiet", shard_mb)
        quiet.wait_for(2**31)
        tormented = Run(nodes, folder, "tormented", shard_mb)
        killed = torment(tormented, nodes, kills, seed)
        tormented.wait_for(2**31)
        assert tormented.driver.wait(120) == 0, tormented.log.read_text()[-3000:]
    assert not (found := list(differences(quiet.output, tormented.output))), found[:20]
    rows = sum(pq.read_metadata(file).num_rows for file in tormented.output.glob("*/*.parquet"))
    assert rows == documents, f"{rows} rows of {documents} documents"
    return killed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="an unused folder")
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    killed = hundred(options.output, documents=options.documents, kills=options.kills, seed=options.seed)
    print(f"{killed}: the same rows as undisturbed")


if __name__ == "__main__":
    main()
