"""The Dockerfile as text: linted, and held to what its image must be."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.support.dockerfile import context, instructions

PROJECT = Path(__file__).parents[2]
DOCKERFILE = PROJECT / "cluster" / "Dockerfile"


def test_the_linter_has_nothing_to_say() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([hadolint, "--no-color", DOCKERFILE], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_script_is_sound_to_the_shell() -> None:
    done = subprocess.run(["bash", "-n", PROJECT / "cluster" / "install.sh"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_base_is_one_python_on_one_debian() -> None:
    bases = [one.text for one in instructions(DOCKERFILE) if one.name == "FROM"]
    assert len(bases) == 1
    assert re.fullmatch(r"python:3\.1[1-3]-slim-[a-z]+", bases[0])


def test_containers_are_not_root_and_their_user_is_a_number() -> None:
    steps = instructions(DOCKERFILE)
    user = next(n for n, one in enumerate(steps) if one.name == "USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", steps[user].text)
    assert not {one.name for one in steps[user:]} & {"RUN", "COPY"}, "all that is installed belongs to root"


def test_the_package_comes_after_what_changes_less() -> None:
    steps = [one.words()[1] for one in instructions(DOCKERFILE) if one.name == "RUN" and one.text.startswith("[")]
    assert steps == ["system", "package"]
    sources = [one.words()[:-1] for one in instructions(DOCKERFILE) if one.name == "COPY"]
    assert sources == [["cluster/install.sh"], ["pyproject.toml", "constraints.txt"]], (
        "no source file of ours before it"
    )


def test_what_is_copied_is_there_and_nothing_else_is_sent(tmp_path: Path) -> None:
    context(PROJECT, tmp_path)
    sent = {path.name for path in tmp_path.iterdir()}
    assert sent == {"pyproject.toml", "constraints.txt", "README.md", "LICENSE", "cluster", "jobs", "metaner_core"}
    for one in instructions(DOCKERFILE):
        if one.name == "COPY":
            assert all((tmp_path / name).exists() for name in one.words()[:-1])


def test_the_commands_in_its_head_name_this_version() -> None:
    version = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
    tags = re.findall(r"REGISTRY/metaner:([^ -]+)", DOCKERFILE.read_text())
    assert tags
    assert set(tags) == {version}
