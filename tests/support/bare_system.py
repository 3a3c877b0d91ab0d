"""A root file system with a bare Debian in it, in which commands run by themselves: own mounts, own processes."""

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

MIRROR = "http://deb.debian.org/debian"
# The mounts of a namespace end with it, so nothing is left on this machine that could be removed through them.
APART = ("unshare", "--mount", "--pid", "--fork", "--kill-child")


class BareSystem:
    def __init__(self, root: Path) -> None:
        self.root = root

    def copy(self, source: Path, to: str) -> None:
        """A file or folder, owned by root. to: an absolute path in there."""
        target = self.root / to.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)

    def run(
        self,
        command: str,
        environment: Mapping[str, str],
        *,
        user: str = "0:0",
        folder: str = "/",
        binds: Mapping[Path, str] | None = None,
        apart: bool = False,
        seconds: float = 1200,
    ) -> str:
        """A shell command in there and all that it starts, which ends with it: what it prints, errors too.

        binds: folders of this machine, to be read at a path in there. apart: with no network but its own loopback, and
        a /tmp that goes with it. Raises RuntimeError when it fails.
        """
        mounts = [f"mount -t proc proc {self.root}/proc", f"mount --rbind /dev {self.root}/dev"]
        for here, there in (binds or {}).items():
            target = self.root / there.lstrip("/")
            target.mkdir(parents=True, exist_ok=True)
            mounts += [f"mount --bind -o ro {shlex.quote(str(here))} {target}"]
        if apart:
            mounts += ["ip link set lo up", f"mount -t tmpfs -o mode=1777 tmpfs {self.root}/tmp"]
        given = " ".join(f"{name}={shlex.quote(value)}" for name, value in environment.items())
        inside = f"cd {folder} && {command}"
        enter = f"exec chroot --userspec={user} {self.root} /usr/bin/env -i {given} /bin/sh -c {shlex.quote(inside)}"
        whole = [*APART, *(["--net"] if apart else []), "sh", "-ec", "; ".join([*mounts, enter])]
        done = subprocess.run(whole, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=seconds)
        if done.returncode:
            raise RuntimeError(f"{command}: status {done.returncode}\n{done.stdout[-4000:]}")
        return done.stdout


def missing() -> str | None:
    """Why there can be no such system here; None: there can."""
    if os.geteuid() != 0:
        return "root, to change the root of a process"
    for program, package in (("debootstrap", "debootstrap"), ("unshare", "util-linux"), ("ip", "iproute2")):
        if shutil.which(program) is None:
            return f"{program} (Debian's package {package})"
    if subprocess.run([*APART, "--net", "true"], capture_output=True).returncode:
        return "namespaces of its own: unshare is refused here"
    return None


@contextmanager
def bare_system(root: Path, suite: str, packages: tuple[str, ...]) -> Iterator[BareSystem]:
    """Debian's least, with these packages, for as long as the block lasts."""
    command = ["debootstrap", "--variant=minbase", f"--include={','.join(packages)}", suite, str(root), MIRROR]
    try:
        done = subprocess.run([*APART, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert done.returncode == 0, done.stdout[-3000:]
        shutil.copy("/etc/resolv.conf", root / "etc" / "resolv.conf")
        yield BareSystem(root)
    finally:
        shutil.rmtree(root)
