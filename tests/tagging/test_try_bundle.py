"""The command `metaner try`, as it is typed."""

import io
import subprocess
import sys
from pathlib import Path

import pytest

from metaner_core import load
from metaner_core.tagging.try_bundle import main

SPANISH = "Rosa Vidal vive en Zaragoza."


def stdin(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))


def test_a_text_is_shown_with_its_names_and_neighbours(uri: str, capsys: pytest.CaptureFixture[str]) -> None:
    main([uri, *SPANISH.split(), "--language", "es"])
    first, sentence, *neighbours = capsys.readouterr().out.rstrip("\n").split("\n")
    (document,) = load(uri).tag([SPANISH], language="es")
    assert first == "es (given)"
    assert all(entity.text in sentence and f"[{entity.type} " in sentence for entity in document.entities)
    assert document.entities
    expected = [f"    {neighbour.similarity:.2f}  " for neighbour in document.sentences[0].neighbours]
    assert [line[:10] for line in neighbours] == expected
    assert len(expected) == 2


def test_unadapted_shows_no_neighbours(uri: str, capsys: pytest.CaptureFixture[str]) -> None:
    main([uri, SPANISH, "--unadapted", "--language", "es"])
    assert len(capsys.readouterr().out.rstrip("\n").split("\n")) == 2


def test_without_a_text_every_line_of_the_input_is_one(
    uri: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stdin(monkeypatch, f"{SPANISH}\n \nkaputt \xff\n".encode("latin-1") + "王小明在北京。".encode())
    main([uri, "--unadapted"])
    blocks = capsys.readouterr().out.rstrip("\n").split("\n\n")
    assert len(blocks) == 3
    assert blocks[1] == "kaputt �\nrejected: text: half of a surrogate pair at character 7, which is no text"
    assert blocks[2].startswith("zh (identified")


def test_no_line_at_all_is_no_error(
    uri: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stdin(monkeypatch, b"")
    main([uri])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none", "x"], "none: there is no such folder"),
        ([".", "x"], "is no bundle"),
        (["none", "x", "--language", "Elbonian"], "'Elbonian' is no language that is known; write a code like de"),
    ],
)
def test_a_user_s_error_is_told_without_a_traceback(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    told = capsys.readouterr().err
    assert ended.value.code == 2
    assert told.startswith("error: ")
    assert message in told
    assert "Traceback" not in told


def test_it_runs_as_a_module_and_its_help_waits_for_no_model() -> None:
    module = "metaner_core.tagging.try_bundle"
    done = subprocess.run([sys.executable, "-m", module, "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("examples:\n  python -m metaner_core.tagging.try_bundle out/bundle ")
    look = f"import sys, {module}; print({{'torch', 'rich', 'numpy', 'pyarrow'}} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
