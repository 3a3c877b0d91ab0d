"""The template for AWS: taken by Ray's own checks, and by an EC2 that is only played (moto), up to its first machines.

What follows in truth, Docker on those machines, was never run.
"""

import copy
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import moto
import pytest
import yaml
from ray.autoscaler._private.aws.config import bootstrap_aws
from ray.autoscaler._private.aws.node_provider import AWSNodeProvider
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.autoscaler.tags import TAG_RAY_NODE_KIND, TAG_RAY_USER_NODE_TYPE

PROJECT = Path(__file__).parents[2]
FILE = PROJECT / "cluster" / "aws.yaml"


def template() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return found


def prepared() -> dict[str, Any]:
    """As `ray up` makes it ready, with all that Ray adds."""
    found: dict[str, Any] = prepare_config(template())
    return found


def test_ray_takes_it() -> None:
    validate_config(prepared())


def test_ray_would_refuse_a_misspelt_field() -> None:
    wrong = prepared() | {"idle_timeout_minute": 5}
    with pytest.raises(Exception, match="idle_timeout_minute"):
        validate_config(wrong)


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """An account in which the template's EDITs are made: the template so edited. One for all, it takes seconds."""
    home = tmp_path_factory.mktemp("home")  # a key for ssh is put there
    (home / ".ssh").mkdir()
    with pytest.MonkeyPatch.context() as patch, moto.mock_aws():
        for name, value in (("HOME", str(home)), ("AWS_ACCESS_KEY_ID", "played"), ("AWS_SECRET_ACCESS_KEY", "played")):
            patch.setenv(name, value)
        patch.delenv("AWS_ENDPOINT_URL", raising=False)
        iam, ec2 = boto3.client("iam"), boto3.client("ec2", region_name="us-east-1")
        ami = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
        text = FILE.read_text().replace("ami-EDIT", ami)
        for profile in ("metaner-head", "metaner-worker"):
            arn = iam.create_instance_profile(InstanceProfileName=profile)["InstanceProfile"]["Arn"]
            text = text.replace(f"arn:aws:iam::EDIT:instance-profile/{profile}", arn)
        yield yaml.safe_load(text)


def test_machines_can_be_asked_for_the_head_on_demand_and_the_others_at_spot(account: dict[str, Any]) -> None:
    config = bootstrap_aws(prepare_config(account))
    provider = AWSNodeProvider(config["provider"], config["cluster_name"])
    for kind, name in (("head", "head"), ("worker", "cpu"), ("worker", "gpu")):
        node = copy.deepcopy(config["available_node_types"][name]["node_config"])
        provider.create_node(node, {TAG_RAY_NODE_KIND: kind, TAG_RAY_USER_NODE_TYPE: name}, 1)
    ec2 = boto3.client("ec2", region_name="us-east-1")
    machines = [one["Instances"][0] for one in ec2.describe_instances()["Reservations"]]
    by_type = {machine["InstanceType"]: machine for machine in machines}
    assert by_type.keys() == {"m7i.large", "c7i.4xlarge", "g6.2xlarge"}
    lifes = {name: machine.get("InstanceLifecycle", "on demand") for name, machine in by_type.items()}
    assert lifes == {"m7i.large": "on demand", "c7i.4xlarge": "spot", "g6.2xlarge": "spot"}


def test_only_ssh_comes_in_from_outside(account: dict[str, Any]) -> None:
    bootstrap_aws(prepare_config(account))
    ec2 = boto3.client("ec2", region_name="us-east-1")
    groups = [group for group in ec2.describe_security_groups()["SecurityGroups"] if "ray" in group["GroupName"]]
    rules = [rule for group in groups for rule in group["IpPermissions"]]
    outside = [(rule.get("FromPort"), rule.get("ToPort")) for rule in rules if rule.get("IpRanges")]
    assert outside == [(22, 22)]
    assert len(rules) == 2, "ssh, and the cluster's machines to each other"


def test_what_a_machine_is_said_to_have_is_what_amazon_says(account: dict[str, Any]) -> None:
    ec2 = boto3.client("ec2", region_name="us-east-1")
    for name, kind in account["available_node_types"].items():
        asked = ec2.describe_instance_types(InstanceTypes=[kind["node_config"]["InstanceType"]])["InstanceTypes"][0]
        if name != "head":  # which takes none of a job's tasks
            assert kind["resources"]["CPU"] == asked["VCpuInfo"]["DefaultVCpus"]
        gpus = sum(gpu["Count"] for gpu in asked.get("GpuInfo", {}).get("Gpus", []))
        assert kind["resources"].get("GPU", 0) == gpus


def test_workers_come_from_none_and_the_head_has_no_tasks() -> None:
    kinds = template()["available_node_types"]
    assert {kind["min_workers"] for name, kind in kinds.items() if name != "head"} == {0}
    assert kinds["head"]["resources"] == {"CPU": 0}
    assert any("--head --num-cpus=0" in command for command in template()["head_start_ray_commands"])


def test_nothing_is_installed_when_a_machine_comes() -> None:
    config = prepared()
    assert config["setup_commands"] == config["head_setup_commands"] == config["worker_setup_commands"] == []


def test_the_images_are_of_this_version() -> None:
    version = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
    images = re.findall(r"REGISTRY/metaner:([\w.-]+)", FILE.read_text())
    assert images == [version, f"{version}-gpu"]


def test_nothing_in_it_is_a_secret() -> None:
    assert not re.search(r"A[KS]IA[A-Z0-9]{12}|secret_access_key", FILE.read_text(), re.IGNORECASE)
    assert "RAY_AUTH_MODE=token" in " ".join(template()["docker"]["run_options"])
