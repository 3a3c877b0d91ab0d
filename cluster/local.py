"""The three jobs, submitted the way they are to a real cluster, to a Ray head started on this machine for them.

    python -m cluster.local --output out/local                   # embedded data, demo preset
    python -m cluster.local --output out/local --set meta_updates=4

The head listens on loopback ports of its own and is ended with everything it started; another Ray on this machine is
left alone. Against a cluster that runs already, use its address: `ray job submit --address http://HEAD:8265 ...`.
"""

import argparse
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from metaner_core import storage
from metaner_core.command import run, say

PROJECT = Path(__file__).parents[1]
CRAWL = PROJECT / "metaner_core" / "embedded" / "crawl.jsonl"
START_SECONDS = 120


def jobs(output: str, overrides: Sequence[str] = (), tests: Sequence[str] = ()) -> dict[str, list[str]]:
    """The command lines of the three jobs, in order, that leave their results below `output`."""
    bundle = storage.join(output, "bundle")
    settings = [f"--set={pair}" for pair in overrides]
    corpus = ["--corpus", *tests] if tests else []
    storage_path = storage.join(output, "runs")
    return {
        "meta_train": ["--preset", "demo", *settings, "--workers", "2", "--storage", storage_path, "--output", bundle],
        "evaluate": ["--bundle", bundle, *corpus, "--output", storage.join(output, "scores.json")],
        "bulk_tag": ["--bundle", bundle, "--input", str(CRAWL), "--output", storage.join(output, "crawl")],
    }


@contextmanager
def head(cpus: int) -> Iterator[tuple[str, dict[str, str]]]:
    """A Ray head with a job server: its address and the environment that clients need. Ends with the block.

    Raises RuntimeError when it does not come up; its log is then part of the message.
    """
    folder = Path(tempfile.mkdtemp(prefix="metaner-"))  # short: socket paths below it have at most 107 bytes
    token = folder / "token"
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32))  # or whoever reaches a port of the head could run code as us
    environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
    environment |= {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "RAY_USAGE_STATS_ENABLED": "0"}
    environment.pop("RAY_ADDRESS", None)
    port, dashboard, client = free_ports(3)
    address = f"http://127.0.0.1:{dashboard}"
    command = [
        *("ray", "start", "--head", "--block", "--disable-usage-stats", f"--num-cpus={cpus}"),
        *("--temp-dir", str(folder)),  # or its address file would tell every other Ray on this machine to look here
        *("--node-ip-address=127.0.0.1", f"--port={port}", f"--ray-client-server-port={client}"),
        *("--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}", "--dashboard-agent-listen-port=0"),
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        _wait(address, process, folder / "log")
        yield address, environment
    finally:
        _end(process)
        shutil.rmtree(folder, ignore_errors=True)


def free_ports(n: int) -> list[int]:
    """Ports of the loopback address that nothing listens on at this moment, each another one."""
    sockets = [socket.socket() for _ in range(n)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports: list[int] = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def _wait(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/api/version", timeout=5):
                return
        except urllib.error.HTTPError as error:
            if error.code in (401, 403):  # it answers; the token is for the job client to show
                return
        except OSError:
            pass
        time.sleep(0.5)
    raise RuntimeError(f"the Ray head did not come up in {START_SECONDS} s; its log says:\n{log.read_text()[-2000:]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the head and all it started: asked first, forced after some seconds."""
    for kind in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, kind)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=15)


def submit(address: str, environment: dict[str, str], job: str, options: Sequence[str]) -> None:
    """`ray job submit` one job and follow its log to the end. Raises RuntimeError when it fails."""
    command = ["ray", "job", "submit", "--address", address, "--working-dir", str(PROJECT)]
    done = subprocess.run([*command, "--", "python", "-m", f"jobs.{job}", *options], env=environment, check=False)
    if done.returncode:
        raise RuntimeError(f"job {job} failed with status {done.returncode}: its log is above")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m cluster.local", description="The three jobs on a local Ray head.")
    parser.add_argument("--output", required=True, help="an unused folder")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="replace one hyper-parameter")
    parser.add_argument("--corpus", nargs="+", default=(), help="what to evaluate on (default: the embedded tests)")
    parser.add_argument("--cpus", type=int, default=5, help="logical CPUs of the head (default: 5)")
    options = parser.parse_args()
    storage.require_unused(options.output, "run")
    with head(options.cpus) as (address, environment):
        for job, arguments in jobs(storage.absolute(options.output), options.set, options.corpus).items():
            say(f"submitting {job} to {address}")
            submit(address, environment, job, arguments)
    say(f"bundle, scores and tagged crawl are below {options.output}")


if __name__ == "__main__":
    run(main)
