"""What tests share: quiet offline surroundings, one local Ray, an S3 on loopback, a small bundle."""

import os

os.environ |= {"HF_HUB_OFFLINE": "1", "RAY_TRAIN_V2_ENABLED": "1", "TOKENIZERS_PARALLELISM": "false"}
os.environ |= {"RAY_DEDUP_LOGS": "1", "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}
os.environ["RAY_ENABLE_AUTO_CONNECT"] = "0"  # a thread that outlives its Ray must not start another
os.environ["OMP_NUM_THREADS"] = "1"  # two threads that wait for each other crawl on a busy machine
os.environ["LOG_NAME_UPDATE_INTERVAL_S"] = "10"  # Ray's log monitor, whose lines nobody reads here

import fcntl
import functools
import gc
import logging
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

KEY, SECRET = "test-key", "test-secret-" + uuid.uuid4().hex

gc.disable()  # until all is imported, which takes a third less without it

hypothesis.settings.register_profile("metaner", deadline=None)  # a busy machine is no failure
hypothesis.settings.load_profile("metaner")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """`--dist loadfile`, but with one process for all files on the session's Ray, so that it is started once.

    Files come in the order in which `pytest_collection_modifyitems` puts them.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "ray" if on_ray(config.rootpath / file) else file

    config.option.loadscopereorder = False
    return Together(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, or one of two processes would end alone with them."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: 0 if on_ray(item.path) else 1 if item.path in slow else 2)


def pytest_collection_finish() -> None:
    gc.enable()


@functools.cache
def on_ray(file: Path) -> bool:
    """Whether a file of tests uses the session's Ray."""
    return "ray_local" in file.read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of an S3 mock on loopback; the environment, and so every later process, has the key to it."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = {"AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**settings, "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}.items():
            patch.setenv(name, value)
        yield settings["AWS_ENDPOINT_URL"]
    server.stop()


@pytest.fixture
def s3(s3_server: str) -> str:
    """An empty bucket's uri."""
    return new_bucket()


@pytest.fixture(scope="module")
def module_s3(s3_server: str) -> str:
    """Likewise, one for all tests of a file."""
    return new_bucket()


def new_bucket() -> str:
    import boto3

    bucket = f"bucket-{uuid.uuid4().hex[:8]}"
    boto3.Session().client("s3").create_bucket(Bucket=bucket)
    return f"s3://{bucket}"


@pytest.fixture(scope="session")
def swift(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What clients of a real S3 server, OpenStack Swift, need in their environment. Skips where it cannot run."""
    folder = tmp_path_factory.mktemp("swift")
    try:
        os.setxattr(folder, "user.test", b"x")
    except OSError:
        pytest.skip(f"Swift needs a file system with extended attributes for {folder}")
    user, secret = "test:tester", uuid.uuid4().hex
    command = [sys.executable, str(Path(__file__).parent / "support" / "swift_s3.py"), str(folder / "swift")]
    environment = {**os.environ, "SWIFT_USER": user, "SWIFT_SECRET": secret}
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
    assert server.stdout is not None
    port = server.stdout.readline().strip()
    assert port, (folder / "log").read_text()[-2000:]
    keys = {"AWS_ACCESS_KEY_ID": user, "AWS_SECRET_ACCESS_KEY": secret, "AWS_DEFAULT_REGION": "us-east-1"}
    yield {**keys, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_EC2_METADATA_DISABLED": "true"}
    server.kill()
    server.wait()


@pytest.fixture(scope="session")
def ray_local(s3_server: str) -> Iterator[None]:
    """One Ray for all tests: starting it takes seconds. Logical CPUs may exceed cores."""
    import ray

    from jobs.common.session import environment, quiet

    ray.init(
        address="local",  # or a Ray that somebody started on this machine would be joined
        num_cpus=6,
        include_dashboard=False,
        object_store_memory=200 * 2**20,
        logging_level=logging.ERROR,
        log_to_driver=False,
        runtime_env={"env_vars": environment()},
    )
    quiet()
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    """See tests/support/tiny_bundle.py. The first process of a test run that needs it makes it."""
    from tests.support.tiny_bundle import make_tiny_bundle

    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    with (folder / "tiny-bundle.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "tiny-bundle" / "manifest.json").exists():
            make_tiny_bundle(str(folder / "tiny-bundle"))
    return str(folder / "tiny-bundle")
