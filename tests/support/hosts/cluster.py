"""Three hosts that `ray up` makes a cluster of with cluster/hosts.yaml, and object storage on a fourth."""

import json
import re
import secrets
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.hosts.lan import HOME, PROJECT, USER, Lan

HEAD, WORKERS, STORAGE = "head", ("one", "two"), "storage"
PORT = 9000
ATTEMPTS = 3
BUCKET = "s3://bucket"


class Hosts:
    """See `hosts`, which makes them."""

    def __init__(self, lan: Lan, folder: Path) -> None:
        self.lan, self.folder = lan, folder
        self.keys = {"AWS_ACCESS_KEY_ID": "test:tester", "AWS_SECRET_ACCESS_KEY": uuid.uuid4().hex}
        self.where = {"AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}
        self.config, self.faults = folder / "hosts.yaml", folder / "faults"

    def add(self, **options: dict[str, Any]) -> None:
        """The machines, with nothing on them yet. options: of `Lan.add`, by name."""
        names = (HEAD, *WORKERS, STORAGE)
        self.address = {name: self.lan.add(name, 11 + n, **options.get(name, {})) for n, name in enumerate(names)}
        self.where["AWS_ENDPOINT_URL"] = f"http://{self.address[STORAGE]}:{PORT}"
        self._start_storage()
        self._set_up_outside()
        for host in (HEAD, *WORKERS):  # as one does who installs it by another way than the file's
            self.lan.run("ln", "-s", sys.prefix, f"{HOME}/metaner", host=host)

    def restore(self, name: str, **options: Any) -> None:
        """A machine that was killed is there again with what was on its disk. options: of `Lan.add`."""
        self.lan.add(name, int(self.address[name].rpartition(".")[2]), **options)

    def restore_storage(self, **options: Any) -> None:
        """The same for the storage's machine."""
        self._swift.wait()
        self.restore(STORAGE, **options)
        self._start_storage()

    def _start_storage(self) -> None:
        self.faults.write_text("")
        user = {"SWIFT_USER": self.keys["AWS_ACCESS_KEY_ID"], "SWIFT_SECRET": self.keys["AWS_SECRET_ACCESS_KEY"]}
        listen = {"SWIFT_LISTEN": f"{self.address[STORAGE]}:{PORT}", "SWIFT_FAULTS": str(self.faults)}
        server = [sys.executable, str(PROJECT / "tests" / "support" / "swift_s3.py"), str(self.folder / "swift")]
        with (self.folder / "swift.log").open("ab") as log:
            command = self.lan.command(*server, host=STORAGE, **user, **listen)
            self._swift = subprocess.Popen(command, stdout=log, stderr=log)
        make = (
            "import boto3; s3 = boto3.client('s3'); s3.list_buckets()['Buckets'] or s3.create_bucket(Bucket='bucket')"
        )
        until = time.monotonic() + 30
        while self.outside(sys.executable, "-c", make, check=False).strip():
            assert time.monotonic() < until, (self.folder / "swift.log").read_text()
            time.sleep(0.5)

    def _set_up_outside(self) -> None:
        """What the file's first lines ask of whoever uses it: a token, a key to the storage, and the file edited."""
        lines = ["[default]", *(f"{name.lower()} = {value}" for name, value in self.keys.items())]
        (self.folder / "credentials").write_text("\n".join(lines))
        (self.folder / "token").write_text(secrets.token_hex(32))
        for name, place in (("credentials", ".aws/credentials"), ("token", ".ray/auth_token")):
            self.lan.run("install", "-D", "-m", "600", str(self.folder / name), f"{HOME}/{place}")
        text = (PROJECT / "cluster" / "hosts.yaml").read_text()
        workers = ", ".join(self.address[name] for name in WORKERS)
        for before, after in {
            r"head_ip: 192\.0\.2\.11": f"head_ip: {self.address[HEAD]}",
            r"worker_ips: \[.*\]": f"worker_ips: [{workers}]",
            r"ssh_user: ubuntu": f"ssh_user: {USER}",
            r"(?m)^  ~/wheelhouse: .*\n": "",
            r"AWS_DEFAULT_REGION=us-east-1": " ".join(f"{k}={v}" for k, v in self.where.items()) + " HF_HUB_OFFLINE=1",
        }.items():
            text, n = re.subn(before, after, text)
            assert n, f"cluster/hosts.yaml has no {before}"
        self.config.write_text(text)

    def outside(self, *command: str, check: bool = True, **environment: str) -> str:
        """Run a command from outside of the hosts. Returns what it printed."""
        return self.lan.run(*command, check=check, **self.keys, **self.where, **environment)

    def upload(self, folder: Path, uri: str) -> None:
        """folder: below the hosts' own, as that of a download: of others in /tmp they see nothing."""
        self._copy("here", str(folder), "there", uri.removeprefix("s3://"))

    def download(self, uri: str, folder: Path) -> Path:
        self._copy("there", uri.removeprefix("s3://"), "here", str(folder))
        return folder

    def _copy(self, source: str, folder: str, target: str, place: str) -> None:
        lines = ["import pyarrow.fs as fs", "from metaner_core.storage import s3"]
        lines += ["here, there = fs.LocalFileSystem(), s3()"]
        lines += [f"fs.copy_files({folder!r}, {place!r}, source_filesystem={source}, destination_filesystem={target})"]
        self.outside(sys.executable, "-c", "\n".join(lines))

    def up(self) -> None:
        """As the file's first lines say. `ray start` gives up on a machine that is too busy; then it is done again."""
        command = ("ray", "up", "-y", "--no-config-cache", str(self.config))
        for _ in range(ATTEMPTS - 1):
            told = self.outside(*command, check=False, RAY_UP_enable_autoscaler_v2="0")
            if "Failed to setup head node" not in told:
                return
        self.outside(*command, RAY_UP_enable_autoscaler_v2="0")

    def down(self) -> str:
        return self.outside("ray", "down", "-y", str(self.config))

    def nodes(self) -> list[dict[str, Any]]:
        """Of the cluster, that are alive."""
        ask = "import json, ray; ray.init('auto', log_to_driver=False); print(json.dumps(ray.nodes()))"
        told = self.lan.run("python", "-W", "ignore", "-c", ask, host=HEAD, RAY_AUTH_MODE="token")
        return [node for node in json.loads(told.splitlines()[-1]) if node["Alive"]]

    def wait_for(self, nodes: int, seconds: float = 300) -> None:
        until = time.monotonic() + seconds
        while len(found := self.nodes()) != nodes:
            assert time.monotonic() < until, f"{len(found)} of {nodes} nodes after {seconds:g} s\n{self.log('monitor')}"
            time.sleep(2)

    def log(self, name: str, host: str = HEAD) -> str:
        """The end of a log of Ray's."""
        return self.lan.run("bash", "-c", f"tail -n 60 /tmp/ray/session_latest/logs/{name}*", host=host, check=False)

    def submission(self, module: str, *options: str) -> list[str]:
        """The command that submits a job from outside and follows it to its end."""
        submit = ["ray", "job", "submit", "--address", f"http://{self.address[HEAD]}:8265", "--working-dir", "."]
        at_once = {"RAY_AUTH_MODE": "token", "PYTHONUNBUFFERED": "1"}
        return self.lan.command(*submit, "--", "python", "-m", module, *options, **at_once)

    def submit(self, module: str, *options: str) -> str:
        """Submit a job and wait for its end. Returns its log."""
        command = self.submission(module, *options)
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert not done.returncode, done.stdout[-6000:]
        return done.stdout


@contextmanager
def hosts(folder: Path, **options: Any) -> Iterator[Hosts]:
    """Three hosts and a storage. options: of `Lan.add`, by name."""
    with Lan(folder) as lan:
        made = Hosts(lan, folder)
        made.add(**options)
        yield made
