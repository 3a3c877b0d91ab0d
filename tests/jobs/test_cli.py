"""The command `metaner`."""

import importlib
import subprocess
import sys

import pytest

from jobs import cli
from metaner_core import __version__


def test_help_shows_an_example_first_and_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["--help"])
    out = capsys.readouterr().out
    assert out.startswith("examples:\n  metaner ")
    assert all(f"\n  {name} " in out for name in cli.COMMANDS)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["--version"])
    assert capsys.readouterr().out.startswith(f"metaner {__version__} ")


def test_an_unknown_command_is_refused() -> None:
    with pytest.raises(SystemExit, match=r"'tagg' is no command of metaner; did you mean tag\?"):
        cli.main(["tagg"])


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_help_that_begins_with_an_example(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["metaner"])
    with pytest.raises(SystemExit) as ended:
        cli.main([name, "--help"])
    out = capsys.readouterr().out
    assert ended.value.code == 0
    assert out.startswith("example")
    assert f"metaner {name}" in out.splitlines()[1]


def test_options_are_those_of_the_module(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(importlib.import_module("jobs.bulk_tag"), "main", lambda: seen.append(list(sys.argv)))
    monkeypatch.setattr(sys, "argv", ["metaner"])
    with pytest.raises(SystemExit) as ended:
        cli.main(["tag", "--limit", "3"])
    assert not ended.value.code
    assert seen == [["metaner tag", "--limit", "3"]]


def test_a_users_error_is_one_line_and_status_2() -> None:
    command = [sys.executable, "-m", "jobs.cli", "tag", "--bundle", "nowhere", "--input", "nothing", "--output", "o"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
