"""Who reaches the ports of a head with a token, and has none: what docs/guides/security.md says of that, tried."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from cluster.local import head
from tests.support.listening import listening

pytestmark = [pytest.mark.slow, pytest.mark.cluster, pytest.mark.timeout(600)]
# What asks for nothing but to be told, of the head's store and of a machine's daemon, and what would start something.
ASKING = ("NodeInfoGcsService/GetAllNodeInfo", "NodeManagerService/GetNodeStats")
TASK = "CoreWorkerService/PushTask"  # of a worker
STARTING = (
    "NodeManagerService/RequestWorkerLease",
    TASK,
    "JobInfoGcsService/AddJob",
    "ActorInfoGcsService/RegisterActor",
    "InternalKVGcsService/InternalKVPut",
    "RayletDriver/Init",
)
REFUSED = grpc.StatusCode.UNAUTHENTICATED
NO_SUCH = grpc.StatusCode.UNIMPLEMENTED  # at this port
WORKER = "import ray, time; ray.init(); ray.get(ray.remote(time.sleep).remote(900))"
WITHOUT = ({"RAY_AUTH_MODE": "disabled"}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64})


class Ray:
    def __init__(self, address: str, environment: dict[str, str]) -> None:
        self.address, self.environment = address, environment
        self.token = Path(environment["RAY_AUTH_TOKEN_PATH"])

    @property
    def ports(self) -> dict[int, bool]:
        return listening(str(self.token))

    def without(self, change: dict[str, str]) -> dict[str, str]:
        """The environment of somebody who does not have the token."""
        return {name: v for name, v in self.environment.items() if not name.startswith("RAY_AUTH_")} | change


@pytest.fixture(scope="module")
def running() -> Iterator[Ray]:
    with head(2) as (address, environment):
        found = Ray(address, environment)
        until = time.monotonic() + 180
        while not (found.token.parent / "ray_current_cluster").exists() and time.monotonic() < until:
            time.sleep(0.5)
        command = ["ray", "job", "submit", "--no-wait", "--address", address, "--", "python", "-c", WORKER]
        subprocess.run(command, env=environment, capture_output=True, check=True, timeout=120)
        while not any(_called(port, TASK, None) == REFUSED for port in found.ports) and time.monotonic() < until:
            time.sleep(0.5)  # until a worker listens too
        yield found


def status(address: str, path: str, content: bytes | None = None) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{address}{path}", content), timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.parametrize("path", ["/api/jobs/", "/api/cluster_status", "/nodes?view=summary", "/logical/actors"])
def test_the_job_server_tells_nothing(running: Ray, path: str) -> None:
    assert status(running.address, path) == 401


def test_the_job_server_takes_no_job(running: Ray) -> None:
    assert status(running.address, "/api/jobs/", json.dumps({"entrypoint": "true"}).encode()) == 401


@pytest.mark.parametrize("change", WITHOUT, ids=["no token", "another token"])
def test_no_job_is_submitted(running: Ray, change: dict[str, str]) -> None:
    command = ["ray", "job", "submit", "--address", running.address, "--", "echo", "done"]
    done = subprocess.run(command, env=running.without(change), capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert "authentication token" in done.stderr


@pytest.mark.parametrize("change", WITHOUT, ids=["no token", "another token"])
def test_nobody_joins(running: Ray, change: dict[str, str]) -> None:
    address = (running.token.parent / "ray_current_cluster").read_text().strip()
    program = f"import ray; ray.init({address!r}, log_to_driver=False); print('joined')"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=running.without(change), capture_output=True, text=True, timeout=300)
    assert done.returncode != 0
    assert "joined" not in done.stdout


def test_what_rays_own_services_tell_they_tell_with_the_token_only(running: Ray) -> None:
    token = [("authorization", f"Bearer {running.token.read_text()}")]
    told = {(port, m) for port in running.ports for m in ASKING if _called(port, m, token) == grpc.StatusCode.OK}
    assert {method for _, method in told} == set(ASKING), "else nothing is shown by the rest"
    assert {_called(port, method, None) for port, method in told} == {REFUSED}


def test_nothing_is_started_without_the_token(running: Ray) -> None:
    answers = {(port, method): _called(port, method, None) for port in running.ports for method in STARTING}
    speaking = {port for (port, _), code in answers.items() if code in (REFUSED, NO_SUCH)}
    assert len(speaking) >= 3, "of the head's store, a machine's daemon and the rest"
    assert {code for (port, _), code in answers.items() if port in speaking} <= {REFUSED, NO_SUCH}
    assert {method for (_, method), code in answers.items() if code == REFUSED} == set(STARTING)


def _called(port: int, method: str, metadata: list[tuple[str, str]] | None) -> grpc.StatusCode:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary(f"/ray.rpc.{method}", request_serializer=bytes, response_deserializer=bytes)
        try:
            call(b"", timeout=2, metadata=metadata)
        except grpc.RpcError as error:
            return error.code()
    return grpc.StatusCode.OK


def test_ports_are_open_on_every_interface(running: Ray) -> None:
    """Though the head was told the loopback address."""
    assert any(running.ports.values())
    assert not running.ports[int(running.address.rpartition(":")[2])], "the job server's is not"


def test_sums_and_names_can_be_read_by_anyone(running: Ray) -> None:
    """Prometheus has no token to show; so what it reads is not to hold a secret."""
    found = [told for port in running.ports if (told := _metrics(port))]
    assert found
    assert not any(running.token.read_text() in told for told in found)


def _metrics(port: int) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            return answer.read().decode()
    except (OSError, ValueError):
        return ""
    except Exception:  # what is no HTTP
        return ""
