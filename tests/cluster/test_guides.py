"""What the guides name is there."""

import re
import shlex
from pathlib import Path

import pytest

from cluster.local import PROJECT
from jobs import cli

GUIDES = PROJECT / "docs" / "guides"


def test_every_sentence_on_security_has_a_test_that_is_there() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (GUIDES / "security.md").read_text())
    assert len(named) > 20
    missing = [(file, test) for file, test in named if f"def {test}(" not in (PROJECT / file).read_text()]
    assert missing == []


def commands() -> list[str]:
    """Of the guide to clusters, each with the lines that it goes on in."""
    text = (GUIDES / "cluster.md").read_text()
    blocks = "\n".join(re.findall(r"^    (.*)$", text, re.MULTILINE))
    return re.sub(r"\\\n\s*", "", blocks).splitlines()


@pytest.mark.parametrize("command", [line for line in commands() if "ray job submit" in line])
def test_the_jobs_in_the_guide_are_taken_by_their_parsers(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from jobs.common.config import OptionsParser

    words = shlex.split(command.partition(" -- ")[2])
    names = {module: name for name, (module, _) in cli.COMMANDS.items()}
    words = [names[words[2]], *words[3:]] if words[0] == "python" else words[1:]
    parse = OptionsParser.parse

    class Parsed(Exception):
        pass

    def stop(self: OptionsParser, *arguments: object) -> None:
        parse(self, *arguments)  # type: ignore[arg-type]
        raise Parsed

    monkeypatch.setattr(OptionsParser, "parse", stop)
    monkeypatch.setattr("sys.argv", ["metaner"])
    with pytest.raises(Parsed):
        cli.main(words)


def test_the_files_in_the_guide_are_there() -> None:
    text = (GUIDES / "cluster.md").read_text()
    named = set(re.findall(r"cluster/[\w/.-]+\.(?:yaml|yml|json)|cluster/Dockerfile", text))
    assert len(named) >= 6
    assert not [name for name in named if not Path(PROJECT, name).exists()]
