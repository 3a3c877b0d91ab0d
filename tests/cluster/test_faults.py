"""What befalls machines and their network while three hosts tag: the rows are those of one process, each once.

One cluster for all: each fault leaves it as it found it, or waits until `ray up`'s autoscaler has.
"""

import shutil
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.hosts import crawl
from tests.support.hosts.cluster import BUCKET, HEAD, STORAGE, WORKERS, Hosts, hosts
from tests.support.hosts.crawl import Tagging
from tests.support.hosts.lan import library, missing

pytestmark = [
    pytest.mark.slow,
    pytest.mark.hosts,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(bool(missing()), reason=f"hosts in namespaces need {missing()}"),
]

BEGUN = 20  # documents, when the fault comes
MINUTE = 60.0
Rows = dict[str, dict[str, dict[str, Any]]]
ONE, TWO = WORKERS


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: str) -> Iterator[Hosts]:
    folder = tmp_path_factory.mktemp("hosts")
    with hosts(folder, **{TWO: {"tmp": "512m"}}) as made:
        made.upload(shutil.copytree(tiny_bundle, folder / "bundle"), f"{BUCKET}/bundle")
        made.upload(crawl.write(folder / "in"), f"{BUCKET}/in")
        made.up()
        made.wait_for(nodes=3)
        yield made


@pytest.fixture(scope="module")
def expected(cluster: Hosts, tiny_bundle: str) -> Rows:
    return crawl.expected(cluster.folder / "in", tiny_bundle)


@pytest.fixture(scope="module")
def unbroken(cluster: Hosts, expected: Rows) -> float:
    """Seconds that a run takes that nothing befalls."""
    run = Tagging(cluster, "unbroken")
    seconds = run.wait()
    run.require_rows(expected)
    return seconds


def begun(cluster: Hosts, name: str) -> Tagging:
    run = Tagging(cluster, name)
    run.wait_for(BEGUN)
    return run


def cut_off(cluster: Hosts, name: str, seconds: float) -> None:
    cluster.lan.cut(name)
    try:
        time.sleep(seconds)
    finally:
        cluster.lan.mend(name)


def test_a_host_that_is_cut_off_and_comes_back(cluster: Hosts, expected: Rows, unbroken: float) -> None:
    """Its processes go on meanwhile, and what they wrote after they came back is what others wrote."""
    run = begun(cluster, "cut-off")
    cut_off(cluster, ONE, MINUTE)
    assert run.wait() < 2 * unbroken + 2 * MINUTE
    run.require_rows(expected)
    cluster.wait_for(nodes=3)
    assert f"machine {cluster.address[ONE]} is lost; 2 now" in run.said()


def test_the_head_s_link_is_cut_for_some_seconds(cluster: Hosts, expected: Rows, unbroken: float) -> None:
    run = begun(cluster, "head-cut-off")
    cut_off(cluster, HEAD, 10)
    assert run.wait() < 2 * unbroken + MINUTE
    run.require_rows(expected)
    assert "is lost" not in run.said()


def test_storage_that_cannot_be_reached_for_a_minute(cluster: Hosts, expected: Rows, unbroken: float) -> None:
    run = begun(cluster, "no-storage")
    cut_off(cluster, STORAGE, MINUTE)
    assert run.wait() < 2 * unbroken + 2 * MINUTE
    run.require_rows(expected)


def test_storage_that_is_slow_and_refuses_every_third_request(cluster: Hosts, expected: Rows, unbroken: float) -> None:
    run = begun(cluster, "slow-storage")
    cluster.faults.write_text("1.0 0.3")
    try:
        time.sleep(MINUTE)
    finally:
        cluster.faults.write_text("")
    assert run.wait() < 2 * unbroken + 2 * MINUTE
    run.require_rows(expected)


def test_a_disk_that_is_full_at_one_host(cluster: Hosts, expected: Rows, unbroken: float) -> None:
    """That of Ray's logs and temporary files."""
    run = begun(cluster, "full-disk")
    told = cluster.lan.run("dd", "if=/dev/zero", "of=/tmp/filler", "bs=1M", host=TWO, check=False)
    assert "No space left" in told
    try:
        assert run.wait() < 2 * unbroken + MINUTE
    finally:
        cluster.lan.run("rm", "/tmp/filler", host=TWO)
    run.require_rows(expected)


def test_a_host_whose_power_is_cut(cluster: Hosts, expected: Rows, unbroken: float) -> None:
    """When it is there again, it becomes part of the cluster again."""
    run = begun(cluster, "killed")
    cluster.lan.kill(ONE)
    assert run.wait() < 2 * unbroken + 2 * MINUTE
    run.require_rows(expected)
    assert f"machine {cluster.address[ONE]} is lost; 2 now" in run.said()
    cluster.restore(ONE)
    cluster.wait_for(nodes=3)


@pytest.mark.skipif(not library(), reason="a wrong clock needs Debian's faketime")
@pytest.mark.parametrize("clock", ["+5m", "-5m"])
def test_clocks_apart(cluster: Hosts, expected: Rows, unbroken: float, clock: str) -> None:
    """Of those who sign requests and the storage, which refuses what was signed a quarter of an hour ago.

    Among Ray's own machines it cannot be tried so: below faketime Ray's processes wait for minutes, or do not start.
    """
    cluster.lan.kill(STORAGE)
    cluster.restore_storage(clock=clock)
    run = Tagging(cluster, f"apart{clock}")
    assert run.wait() < 2 * unbroken + MINUTE
    run.require_rows(expected)
