"""Three hosts, each with an address: `ray up` with cluster/hosts.yaml, the three jobs from outside, `ray down`."""

import json
import time
from collections.abc import Iterator

import pytest

from cluster.local import CRAWL
from metaner_core.bundles import bundle
from tests.support.hosts.cluster import BUCKET, HEAD, WORKERS, Hosts, hosts
from tests.support.hosts.lan import missing
from tests.support.rows import written
from tests.support.small import save_tiny_bert

pytestmark = [
    pytest.mark.slow,
    pytest.mark.hosts,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(bool(missing()), reason=f"hosts in namespaces need {missing()}"),
]

TINY = ("meta_updates=2", "dev_every=2", "tasks_per_update=4")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    """Up, and with what the jobs read in its storage."""
    folder = tmp_path_factory.mktemp("hosts")
    save_tiny_bert(folder / "encoder")
    with hosts(folder) as made:
        made.upload(folder / "encoder", f"{BUCKET}/encoder")
        (folder / "in").mkdir()
        (folder / "in" / "crawl.jsonl").write_bytes(CRAWL.read_bytes())
        made.upload(folder / "in", f"{BUCKET}/in")
        made.up()
        made.wait_for(nodes=3)
        yield made


def test_the_file_makes_one_cluster_of_three_machines(cluster: Hosts) -> None:
    addresses = {node["NodeManagerAddress"] for node in cluster.nodes()}
    assert addresses == {cluster.address[name] for name in (HEAD, *WORKERS)}


def test_whoever_has_no_token_gives_it_no_work(cluster: Hosts) -> None:
    submit = ["ray", "job", "submit", "--address", f"http://{cluster.address[HEAD]}:8265", "--", "touch", "/tmp/came"]
    for wrong in ({}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}):
        told = cluster.outside(*submit, check=False, **wrong)
        assert "AuthenticationError" in told, told
    assert "No such file" in cluster.lan.run("ls", "/tmp/came", host=HEAD, check=False)


def test_the_three_jobs_from_object_storage_and_back(cluster: Hosts) -> None:
    made, out = f"{BUCKET}/bundle", f"{BUCKET}/tagged"
    train = ["--preset", "demo", *(f"--set={pair}" for pair in TINY), "--encoder", f"{BUCKET}/encoder"]
    cluster.submit("jobs.meta_train", *train, "--workers=3", "--storage", f"{BUCKET}/runs", "--output", made)
    bundle.load(str(cluster.download(made, cluster.folder / "bundle")))

    score = ["--bundle", made, "--corpus", "embedded-nl", "--actors=3"]
    cluster.submit("jobs.evaluate", *score, "--output", f"{BUCKET}/scores/scores.json")
    scores = json.loads((cluster.download(f"{BUCKET}/scores", cluster.folder / "scores") / "scores.json").read_text())
    assert [(test["test"], test["sentences"]) for test in scores["tests"]] == [("embedded-nl", 112)]

    tag = ["--bundle", made, "--input", f"{BUCKET}/in", "--output", out, "--actors=3", "--shard-mb=0.002"]
    cluster.submit("jobs.bulk_tag", *tag)
    found = cluster.download(out, cluster.folder / "tagged")
    ids = {json.loads(line)["id"] for line in CRAWL.read_text(encoding="utf-8").splitlines()}
    assert written(found, "tagged").keys() | written(found, "other").keys() == ids
    workers = {json.loads(file.read_text())["worker"].rpartition(" ")[2] for file in (found / "done").iterdir()}
    assert workers == {cluster.address[name] for name in (HEAD, *WORKERS)}


def test_after_ray_down_nothing_of_ray_is_left(cluster: Hosts) -> None:
    """The workers notice within a minute that their head is gone."""
    cluster.down()
    until = time.monotonic() + 150
    while left := [name for name in (HEAD, *WORKERS) if _runs_ray(cluster, name)]:
        assert time.monotonic() < until, f"{left} still run Ray"
        time.sleep(3)


def _runs_ray(cluster: Hosts, host: str) -> bool:
    return bool(cluster.lan.run("pgrep", "-f", "raylet|gcs_server", host=host, check=False).strip())
