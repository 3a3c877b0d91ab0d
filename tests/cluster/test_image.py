"""The Dockerfile followed in a bare Debian, with the wheels of `make wheelhouse` and no network for pip.

No container engine is needed. The base of such a bare system is Debian's own Python of the same version; what an engine
alone does is not tried: its layers, its cache, its entry for a GPU.
"""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.bare_system import bare_system, missing
from tests.support.dockerfile import Image, context, followed, instructions

PROJECT = Path(__file__).parents[2]
DOCKERFILE = PROJECT / "cluster" / "Dockerfile"
WHEELS = "/wheels"
IMPORTS = """
import importlib, jobs.cli
assert jobs.__file__.startswith("/opt/metaner/"), jobs.__file__
for module, _ in jobs.cli.COMMANDS.values():
    importlib.import_module(module)
"""
SUBMIT = """
ray start --head --block --disable-usage-stats --num-cpus=4 --node-ip-address=127.0.0.1 --dashboard-host=127.0.0.1 \
    --object-store-memory=100000000 > /tmp/head.log 2>&1 &
for i in $(seq 60); do wget -q -O- http://127.0.0.1:8265/api/version > /tmp/version && break; sleep 1; done
ray job submit --address http://127.0.0.1:8265 -- metaner tag --bundle /bundle --input /crawl.jsonl \
    --output /tmp/tagged --limit 5 || { tail -n 30 /tmp/head.log; exit 1; }
python -c "import json; print(json.load(open('/tmp/tagged/manifest.json'))['counts']['documents'], 'documents')"
"""
BARE_RAY = """
python3 -m venv ~/bare && ~/bare/bin/pip install --quiet --no-index --find-links /wheels 'ray[default]'
export PATH=$HOME/bare/bin:/usr/bin:/bin PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels
cd /sources && sed 's/\\[gpu,e5\\]/[cpu,e5]/' cluster/runtime-env.yaml > ~/runtime-env.yaml
ray start --head --block --disable-usage-stats --num-cpus=4 --node-ip-address=127.0.0.1 --dashboard-host=127.0.0.1 \
    --temp-dir=$HOME/r --object-store-memory=100000000 > ~/head.log 2>&1 &
for i in $(seq 60); do wget -q -O- http://127.0.0.1:8265/api/version > /tmp/version && break; sleep 1; done
(cd / && python -c "import metaner_core") && exit 1
ray job submit --address http://127.0.0.1:8265 --working-dir . --runtime-env ~/runtime-env.yaml -- \
    python -m jobs.bulk_tag --bundle /bundle --input /crawl.jsonl --output ~/tagged --limit 5 || \
    { tail -n 30 ~/head.log; exit 1; }
python -c "import json; print(json.load(open('$HOME/tagged/manifest.json'))['counts']['documents'], 'documents')"
"""

pytestmark = [pytest.mark.slow, pytest.mark.hosts, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What `make wheelhouse` leaves, for a CPU."""
    folder = tmp_path_factory.mktemp("wheels")
    folder.chmod(0o755)  # an ordinary user takes them
    command = ["make", "wheelhouse", f"PYTHON={sys.executable}", "EXTRA=cpu", f"WHEELS={folder}"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    yield folder
    shutil.rmtree(folder)  # pytest would keep the last three


@pytest.fixture(scope="module")
def image(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    base = next(one.text for one in instructions(DOCKERFILE) if one.name == "FROM")
    found = re.fullmatch(r"python:(.+)-slim-(\w+)", base)
    assert found is not None
    version, suite = found.groups()
    if why := missing():
        pytest.skip(f"needs {why}")
    if "{}.{}".format(*sys.version_info) != version:
        pytest.skip(f"the wheels are for Python {version}, this one is {sys.version}")
    folder = tmp_path_factory.mktemp("image")
    context(PROJECT, folder / "sources")
    building = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": WHEELS, "EXTRA": "cpu"}
    with bare_system(folder / "root", suite, ("python3", "python3-venv")) as system:
        yield followed(DOCKERFILE, folder / "sources", system, building, {wheels: WHEELS})


def test_the_wheelhouse_is_enough_for_a_machine_without_a_network(image: Image, wheels: Path) -> None:
    told = image.run(
        f"python3 -m venv /tmp/fresh && /tmp/fresh/bin/pip install --dry-run --no-index --find-links {WHEELS} "
        "'metaner[cpu,e5]'",
        binds={wheels: WHEELS},
    )
    last = told.strip().splitlines()[-1]
    assert re.search(r"Would install .*\bmetaner-\d.*\btorch-", last), told[-2000:]


def test_a_container_is_an_ordinary_user_who_can_change_nothing_that_is_installed(image: Image) -> None:
    assert image.run("id -u").strip() == "1000"
    assert image.system.run("find / -xdev -user 1000 -not -path '/home/metaner*'", image.environment).strip() == ""
    with pytest.raises(RuntimeError, match="Permission denied"):
        image.run("touch /opt/metaner/bin/metaner")


@pytest.mark.parametrize("shell", ["bash -c", "bash -lc", "bash --login -c -i"])
def test_every_kind_of_shell_finds_the_programs(image: Image, shell: str) -> None:
    """Kubernetes' is the first; some versions of KubeRay's operator take the second, `ray up` the last."""
    told = image.run(f"{shell} 'command -v metaner; command -v ray; command -v python'")
    assert told.splitlines()[-3:] == [f"/opt/metaner/bin/{name}" for name in ("metaner", "ray", "python")]


def test_what_others_call_is_there(image: Image) -> None:
    image.run("command -v wget && command -v ssh && command -v rsync && command -v ps && command -v bash")


def test_its_command_and_every_job_can_be_started(image: Image) -> None:
    assert "usage: metaner COMMAND" in image.run(" ".join(image.command))
    image.run(f"python -c {shlex.quote(IMPORTS)}")


def test_a_text_is_tagged(image: Image, tiny_bundle: str) -> None:
    told = image.run("metaner try /bundle 'Angela Merkel besuchte Paris.'", binds={Path(tiny_bundle): "/bundle"})
    assert "Merkel besuchte" in told  # whatever so small a model calls them


def test_a_job_is_submitted_without_any_file_sent_along(image: Image, tiny_bundle: str) -> None:
    image.system.copy(PROJECT / "metaner_core" / "embedded" / "crawl.jsonl", "/crawl.jsonl")
    told = image.run(SUBMIT, binds={Path(tiny_bundle): "/bundle"}, seconds=300)
    assert told.splitlines()[-1] == "5 documents", told[-3000:]


def test_a_cluster_that_has_ray_alone_installs_the_rest_when_a_job_comes(
    image: Image, wheels: Path, tiny_bundle: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    image.system.copy(PROJECT / "metaner_core" / "embedded" / "crawl.jsonl", "/crawl.jsonl")
    sources = tmp_path_factory.mktemp("carried")
    sources.chmod(0o755)
    context(PROJECT, sources)
    binds = {Path(tiny_bundle): "/bundle", wheels: WHEELS, sources: "/sources"}
    told = image.run(BARE_RAY, binds=binds, seconds=900)
    assert told.splitlines()[-1] == "5 documents", told[-3000:]


def test_the_environment_of_a_build_is_not_left_in_the_image(image: Image) -> None:
    assert not [name for name in image.environment if name.startswith("PIP_")]
    assert list((image.system.root / "tmp").iterdir()) == [], "a layer would have it"
