"""The manifests for KubeRay: of the right shape, with commands that our own parsers take, and large enough for them."""

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from jobs import cli
from jobs.common.config import OptionsParser
from jobs.tagging.stages.pipeline import SPARE
from tests.support.kuberay import cluster, pods, schema

PROJECT = Path(__file__).parents[2]
FOLDER = PROJECT / "cluster" / "kuberay"
JOBS = ("bulk-tag", "evaluate", "meta-train")
ALL = ("raycluster", *JOBS)
KUBERNETES = "1.34"  # whose schema pods are held to


def manifest(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    return found


def test_all_files_are_looked_at() -> None:
    assert sorted(path.stem for path in FOLDER.iterdir()) == sorted(ALL)


@pytest.mark.parametrize("name", ALL)
def test_the_shape_is_kuberays(name: str) -> None:
    found = manifest(name)
    jsonschema.validate(found, schema(found["kind"]))


@pytest.mark.parametrize("name", ALL)
def test_the_pods_are_kubernetes_own(name: str) -> None:
    for _, pod in pods(manifest(name)):
        kubernetes_validate.validate(pod, KUBERNETES, strict=True)


def test_a_misspelt_field_would_be_found() -> None:
    found = manifest("bulk-tag")
    found["spec"]["backOffLimit"] = found["spec"].pop("backoffLimit")
    with pytest.raises(jsonschema.ValidationError, match="backOffLimit"):
        jsonschema.validate(found, schema("RayJob"))
    _, pod = next(pods(manifest("bulk-tag")))
    pod["spec"]["containers"][0]["envfrom"] = []
    with pytest.raises(kubernetes_validate.ValidationError, match="envfrom"):
        kubernetes_validate.validate(pod, KUBERNETES, strict=True)


class Parsed(Exception):
    """In place of the job's run."""


def options(entrypoint: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What our command makes of it, up to where the job would begin."""
    program, *words = shlex.split(entrypoint)
    assert program == "metaner"
    parse = OptionsParser.parse

    def stop(self: OptionsParser, *arguments: Any) -> Any:
        raise Parsed(parse(self, *arguments))

    monkeypatch.setattr(OptionsParser, "parse", stop)
    monkeypatch.setattr("sys.argv", ["metaner"])
    with pytest.raises(Parsed) as found:
        cli.main(words)
    return found.value.args[0]


@pytest.mark.parametrize("name", JOBS)
def test_every_command_is_taken_by_its_parser(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = options(manifest(name)["spec"]["entrypoint"], monkeypatch)
    assert found.gpu
    assert found.wait_minutes >= 15, "machines of the group come when they are asked for"
    assert found.output.startswith("s3://"), "what is left in a pod is lost"


@pytest.mark.parametrize("name", JOBS)
def test_the_cluster_can_grow_to_what_its_job_asks_for(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = options(manifest(name)["spec"]["entrypoint"], monkeypatch)
    have = {"cpu": 0, "nvidia.com/gpu": 0}
    for group in cluster(manifest(name))["workerGroupSpecs"]:
        limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
        for kind in have:
            have[kind] += group["maxReplicas"] * int(limits.get(kind, 0))
    processes = getattr(found, "actors", 0) or found.workers
    assert have["nvidia.com/gpu"] >= processes
    assert have["cpu"] >= processes + (getattr(found, "readers", 0) or 0) + SPARE


@pytest.mark.parametrize("name", JOBS)
def test_a_job_whose_machines_go_is_done_again_and_leaves_no_cluster(name: str) -> None:
    spec = manifest(name)["spec"]
    assert spec["backoffLimit"] >= 1
    assert spec["shutdownAfterJobFinishes"]


@pytest.mark.parametrize("name", ALL)
def test_workers_come_from_none_and_the_head_has_no_tasks(name: str) -> None:
    spec = cluster(manifest(name))
    assert spec["enableInTreeAutoscaling"]
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert {group["minReplicas"] for group in spec["workerGroupSpecs"]} == {0}
    assert "gpu" in {group["groupName"] for group in spec["workerGroupSpecs"]}


@pytest.mark.parametrize("name", ALL)
def test_pods_are_bounded_and_have_no_privileges(name: str) -> None:
    spec = cluster(manifest(name))
    assert spec["authOptions"] == {"mode": "token"}
    for _, pod in pods(manifest(name)):
        for container in pod["spec"]["containers"]:
            resources, security = container["resources"], container["securityContext"]
            assert resources["requests"] == resources["limits"]
            assert {"cpu", "memory"} <= resources["limits"].keys()
            assert security["runAsNonRoot"]
            assert not security["allowPrivilegeEscalation"]
            assert security["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize("name", ALL)
def test_only_workers_go_to_machines_that_may_be_taken_away(name: str) -> None:
    for group, pod in pods(manifest(name)):
        tolerated = {toleration["key"] for toleration in pod["spec"].get("tolerations", [])}
        assert ("cloud.google.com/gke-spot" in tolerated) == (group in ("cpu", "gpu"))
        assert ("nvidia.com/gpu" in tolerated) == (group == "gpu")


@pytest.mark.parametrize("name", ALL)
def test_nothing_in_it_is_a_secret(name: str) -> None:
    for _, pod in list(pods(manifest(name)))[:-1]:
        container = pod["spec"]["containers"][0]
        assert "env" not in container, "a value here would be in the file"
        assert container["envFrom"] == [{"secretRef": {"name": "metaner-storage", "optional": True}}]
    text = (FOLDER / f"{name}.yaml").read_text()
    assert not re.search(r"A[KS]IA[A-Z0-9]{12}|(?i:secret_?access_?key|token|password)\S*[=:] *[^\s,]{8}", text)


@pytest.mark.parametrize("name", ALL)
def test_versions_are_those_of_the_image(name: str) -> None:
    pinned = re.search(r"^ray==(.+)$", (PROJECT / "constraints.txt").read_text(), re.MULTILINE)
    assert pinned is not None
    assert cluster(manifest(name))["rayVersion"] == pinned[1]
    version = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
    images = {pod["spec"]["containers"][0]["image"] for _, pod in pods(manifest(name))} - {"any"}
    assert images == {f"REGISTRY/metaner:{version}", f"REGISTRY/metaner:{version}-gpu"}


@pytest.mark.parametrize("name", JOBS)
def test_a_jobs_cluster_is_the_one_that_stays(name: str) -> None:
    stays, its = (cluster(manifest(one)) for one in ("raycluster", name))
    groups = {group["groupName"]: group for group in stays.pop("workerGroupSpecs")}
    assert all(groups[group["groupName"]] == group for group in its.pop("workerGroupSpecs"))
    assert its == stays
