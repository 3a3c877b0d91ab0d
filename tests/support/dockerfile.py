"""The instructions of a Dockerfile, and how to follow them without a container engine, in a bare system."""

import json
import re
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.bare_system import BareSystem


@dataclass(frozen=True)
class Instruction:
    """name: in capitals. options: such as `--mount=...`. text: the rest of it, lines put together."""

    name: str
    options: tuple[str, ...]
    text: str

    def words(self) -> list[str]:
        return json.loads(self.text) if self.text.startswith("[") else shlex.split(self.text)


def instructions(file: Path) -> list[Instruction]:
    lines = [line for line in file.read_text().splitlines() if line.strip() and not line.startswith("#")]
    found = []
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        name, options, text = re.fullmatch(r"(\w+)((?: --\S+)*) (.*)", line).groups()
        found.append(Instruction(name, tuple(options.split()), text))
    return found


def context(project: Path, to: Path) -> None:
    """What `docker build` is sent, where .dockerignore excludes all and lets names at the top in again."""
    first, *others = [
        line for line in (project / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")
    ]
    assert first == "*", "what is not named must stay out"
    back = [line[1:] for line in others if line.startswith("!")]
    never = [line.removeprefix("**/") for line in others if line.startswith("**/")]
    assert len(back) + len(never) == len(others), f"not understood: {others}"
    to.mkdir(exist_ok=True)
    for name in back:
        assert not {"/", "*"} & set(name)
        if (project / name).is_dir():
            shutil.copytree(project / name, to / name, ignore=shutil.ignore_patterns(*never))
        else:
            shutil.copy2(project / name, to / name)


@dataclass
class Image:
    """A system after the instructions: what a container of it would start with."""

    system: BareSystem
    environment: dict[str, str]
    user: str = "0:0"
    folder: str = "/"
    command: tuple[str, ...] = ()

    def run(self, command: str, **more: object) -> str:
        """A command as a container would run it, without a network: what it prints."""
        return self.system.run(command, self.environment, user=self.user, folder=self.folder, apart=True, **more)


def followed(
    file: Path, sources: Path, system: BareSystem, building: Mapping[str, str], binds: Mapping[Path, str]
) -> Image:
    """The image that the file describes, upon a system that stands for its base.

    sources: its context. building: environment variables of the build only. binds: folders to see while it is built.
    Raises ValueError for an instruction that this does not know.
    """
    image = Image(system, {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": "/root"})
    arguments: dict[str, str] = {}
    for one in instructions(file):
        match one.name:
            case "FROM":
                pass
            case "ENV":
                for pair in one.words():
                    name, _, value = pair.partition("=")
                    image.environment[name] = value.replace("$PATH", image.environment["PATH"])
            case "ARG":
                name, _, value = one.text.partition("=")
                arguments[name] = building.get(name, value)
            case "COPY":
                *files, to = one.words()
                for name in files:
                    system.copy(sources / name, f"{to}{name}" if to.endswith("/") else to)
            case "RUN":
                seen = dict(binds)
                for option in one.options:
                    mount = dict(part.partition("=")[::2] for part in option.removeprefix("--mount=").split(","))
                    assert mount.pop("type") == "bind"
                    seen[sources] = mount.pop("target")
                    assert not mount
                command = shlex.join(one.words()) if one.text.startswith("[") else one.text
                environment = {**image.environment, **arguments, **building}
                system.run(command, environment, user=image.user, folder=image.folder, binds=seen)
            case "USER":
                image.user = one.text
            case "WORKDIR":
                image.folder = one.text
            case "CMD":
                image.command = tuple(one.words())
            case _:
                raise ValueError(f"{one.name}: this test does not know how to follow it")
    image.environment["HOME"] = "/home/metaner"  # an engine takes it from the user's entry in /etc/passwd
    return image
