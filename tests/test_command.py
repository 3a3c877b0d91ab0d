"""How a command ends."""

import subprocess
import sys
from subprocess import PIPE

import pytest

from metaner_core.command import run


def test_an_error_of_the_users_is_one_line_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> None:
        raise ValueError("the file is empty")

    with pytest.raises(SystemExit) as ended:
        run(main)
    assert ended.value.code == 2
    assert capsys.readouterr().err == "error: the file is empty\n"


def test_another_error_is_not_hidden() -> None:
    def main() -> None:
        raise RuntimeError("lost")

    with pytest.raises(RuntimeError, match="lost"):
        run(main)


def test_who_reads_may_stop_reading() -> None:
    code = "from metaner_core.command import run, say; run(lambda: [say('line') for _ in range(100_000)])"
    with subprocess.Popen([sys.executable, "-c", code], stdout=PIPE, stderr=PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"line\n"
        process.stdout.close()
        assert process.stderr.read() == b""
