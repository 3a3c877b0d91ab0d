"""Hosts in namespaces: each is a machine to the others, and none outlives the test that made it."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.hosts.lan import PROJECT, Lan, library, missing

pytestmark = [
    pytest.mark.hosts,
    pytest.mark.skipif(bool(missing()), reason=f"hosts in namespaces need {missing()}"),
]


def reached(lan: Lan, address: str, host: str) -> bool:
    """Whether one host's sshd is reached from another."""
    probe = f"timeout 2 bash -c 'exec 3<>/dev/tcp/{address}/22' && echo reached"
    return "reached" in lan.run("bash", "-c", probe, host=host, check=False)


def test_a_link_that_is_cut_cuts_off_and_a_host_that_is_killed_keeps_its_disk(tmp_path: Path) -> None:
    with Lan(tmp_path) as lan:
        one, two = lan.add("one", 11), lan.add("two", 12)
        assert one != two
        assert reached(lan, two, "one")
        lan.cut("two")
        assert not reached(lan, two, "one")
        lan.mend("two")
        assert reached(lan, two, "one")
        lan.run("bash", "-c", "echo kept > ~/file; echo lost > /tmp/file", host="two")
        lan.kill("two")
        assert not reached(lan, two, "one")
        lan.add("two", 12)
        assert lan.run("bash", "-c", "cat ~/file; test -e /tmp/file || echo gone", host="two") == "kept\ngone\n"


@pytest.mark.skipif(not library(), reason="a wrong clock needs Debian's faketime")
def test_a_clock_that_is_wrong_is_so_on_one_host_alone(tmp_path: Path) -> None:
    with Lan(tmp_path) as lan:
        lan.add("right", 11)
        lan.add("fast", 12, clock="+5m")
        right, fast = (int(lan.run("date", "+%s", host=host)) for host in ("right", "fast"))
        assert 290 < fast - right < 310


def test_nothing_is_left_when_the_test_is_killed(tmp_path: Path) -> None:
    lines = ["import sys, time, pathlib", "from tests.support.hosts.lan import Lan"]
    lines += ["lan = Lan(pathlib.Path(sys.argv[1])).__enter__(); lan.add('one', 11)", "print('up', flush=True)"]
    command = [sys.executable, "-c", "\n".join([*lines, "time.sleep(100)"]), str(tmp_path)]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as test:
        assert test.stdout is not None
        assert test.stdout.readline() == "up\n"
        assert alive(tmp_path)
        test.kill()
    until = time.monotonic() + 10
    while alive(tmp_path):
        assert time.monotonic() < until, alive(tmp_path)
        time.sleep(0.1)


def alive(folder: Path) -> list[str]:
    """Processes that have the folder's name in their command line."""
    found = subprocess.run(["pgrep", "-fa", str(folder)], stdout=subprocess.PIPE, text=True, check=False)
    return found.stdout.splitlines()
