"""Hosts on this one machine: each has an address, processes, /tmp, /dev/shm, home and sshd of its own.

All of them live in namespaces below one, whose first process ends with its input: so nothing of them is left, no
process, bridge or mount, however the test that made them ends. Needs root.
"""

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

NETWORK = "10.77.0"
OUTSIDE = f"{NETWORK}.1"  # of the bridge: where whoever uses the hosts is
USER = "metaner"
HOME = f"/home/{USER}"
PROJECT = Path(__file__).parents[3]
SCRIPT = Path(__file__).with_name("namespace.sh")
NEEDED = {"ip": "iproute2", "sshd": "openssh-server", "ssh": "openssh-client", "rsync": "rsync", "pgrep": "procps"}


def missing() -> str:
    """What this machine lacks for hosts, in words; empty if nothing."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    lacks = [f"{name} (Debian: {package})" for name, package in NEEDED.items() if not shutil.which(name, path=path)]
    if os.geteuid():
        return "root, who may make network namespaces"
    if not lacks and subprocess.run(["unshare", "--net", "--pid", "--mount", "--fork", "true"], check=False).returncode:
        lacks = ["the right to make namespaces"]
    return ", ".join(lacks)


def library() -> str:
    """Of Debian's faketime; empty without it."""
    return str(next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), ""))


class Lan:
    """folder: for keys and logs. keep: folders that every host sees as they are, besides the project and its Python."""

    def __init__(self, folder: Path, keep: Iterable[Path] = ()) -> None:
        self.folder = folder
        self._seen = [str(path) for path in (PROJECT, sys.prefix, sys.base_prefix, folder, *keep)]
        self._ends = ExitStack()
        self._hosts: dict[str, str] = {}
        self._pid = ""

    def __enter__(self) -> "Lan":
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / "key")], check=True)
        command = ["unshare", "--mount", "--pid", "--net", "--uts", "--ipc", "--fork", "--kill-child"]
        command += ["bash", str(SCRIPT), "outside", OUTSIDE, *self._seen]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        process = self._ends.enter_context(subprocess.Popen(command, **pipes))
        self._ends.callback(process.kill)
        assert process.stdout is not None
        ready = process.stdout.readline()
        assert ready == "ready\n", "the namespaces were not made: the reason is above"
        (self._pid,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        self.run("mkdir", "-p", f"{HOME}/.ssh")
        self.run("cp", str(self.folder / "key"), f"{HOME}/.ssh/id_ed25519")
        return self

    def __exit__(self, *error: object) -> None:
        self._ends.close()

    def command(self, *command: str, host: str | None = None, **environment: str) -> list[str]:
        """A command as it is run outside of the hosts, or on one, without ssh."""
        enter = ["nsenter", f"--target={self._pid}", "--mount", "--pid", "--net", "--uts", "--ipc"]
        path = f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin"
        usual = {"HOME": HOME, "USER": USER, "LOGNAME": USER, "PATH": path, "LANG": "C.UTF-8"}
        variables = [f"{name}={value}" for name, value in {**usual, **environment}.items()]
        clean = ["env", "-i", f"--chdir={PROJECT}", *variables]
        if host is None:
            return [*enter, *clean, *command]
        there = f'nsenter --target "$(pgrep --parent "$(cat /run/{host}.pid)")" --mount --pid --net --uts --ipc "$@"'
        return [*enter, "bash", "-c", there, "bash", *clean, *command]

    def run(self, *command: str, host: str | None = None, check: bool = True, **environment: str) -> str:
        """Run it to its end. Returns what it printed."""
        whole = self.command(*command, host=host, **environment)
        done = subprocess.run(whole, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        assert not check or not done.returncode, f"{shlex.join(command)}: {done.stdout[-4000:]}"
        return done.stdout

    def add(self, name: str, number: int, *, tmp: str = "4g", clock: str = "") -> str:
        """A new host. tmp: size of its /tmp. clock: how wrong it is, as faketime reads it. Returns its address."""
        address = f"{NETWORK}.{number}"
        self.run("bash", str(SCRIPT), "link", name, address, OUTSIDE)
        own = ["unshare", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "--mount-proc"]
        start = ["bash", str(SCRIPT), "host", name, tmp, str(self.folder / "key.pub"), clock, library(), *self._seen]
        begun = f'echo $$ > /run/{name}.pid; exec ip netns exec {name} "$@"'
        with (self.folder / f"{name}.log").open("ab") as log:
            whole = self.command("bash", "-c", begun, "bash", *own, *start)
            subprocess.Popen(whole, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._hosts[name] = address
        self._wait(name, address)
        return address

    def _wait(self, name: str, address: str) -> None:
        until = time.monotonic() + 30
        while self.run("bash", "-c", f"exec 3<>/dev/tcp/{address}/22 && echo up", check=False) != "up\n":
            assert time.monotonic() < until, (self.folder / f"{name}.log").read_text()
            time.sleep(0.2)

    def cut(self, name: str) -> None:
        """Its link goes down; its processes do not know."""
        self.run("ip", "link", "set", name, "down")

    def mend(self, name: str) -> None:
        self.run("ip", "link", "set", name, "up")

    def kill(self, name: str) -> None:
        """All of it ends at once and says nothing to anybody, as when its power is cut."""
        self.cut(name)
        self.run("bash", "-c", f"kill -KILL $(cat /run/{name}.pid)")
