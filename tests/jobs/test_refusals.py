"""What a command says of what cannot be: offender, rule and remedy, in one message, before anything starts."""

import re
import sys
from pathlib import Path

import pytest

from jobs import cli

CASES = [
    ("tag --input {0}/a.jsonl --bundle {1} --output {0}/o --price 2", "--price .* give --estimate too, or leave"),
    ("tag --input {0}/a.jsonl --bundle {1} --output {0}/o --estimate 3", "draw 20 or more"),
    ("tag --input {0}/a.jsonl --bundle {1} --output {0}/o --shard-mb nan", "shard_mb is nan; it must be above 0"),
    ("tag --input {0}/a.jsonl --bundle {1} --output {0}/a.conll/o", "a.conll is no folder; give a path"),
    ("tag --input {0}/empty --bundle {1} --output {0}/o", "no file is in this folder"),
    ("tag --input {0}/*.wet --bundle {1} --output {0}/o", "no file matches this pattern"),
    ("evaluate --bundle {1} --limit 0 --actors 0", "--limit is 0; least is 1\n  --actors is 0; least is 1"),
    ("evaluate --bundle {1} --file {0}/a.conll --corpus embedded-es", "in place of a --corpus: give one or the other"),
    ("evaluate --bundle {1} --file {0}/empty", "empty is a folder; give a file"),
    ("evaluate --bundle {1} --file {0}/a.conll --types ,", "--types names none; name some"),
    ("evaluate --bundle {1} --file {0}/a.conll --types PER", "type 'LOC', expected one of PER; .*--types"),
    ("evaluate --bundle {1} --output {0}/a.conll/x.json", "a.conll is no folder; give a path"),
    ("evaluate --bundle {1} --set gamma=x", "'x' is not a number"),
    ("evaluate --bundle {1} --set gamma=1 --unadapted", "--set gamma=1 says how to adapt, .*leave one of them out"),
    ("meta-train --train {0}/a.conll --dev {0}/a.conll --corpus conll2003-en --output {0}/o", "give one or the other"),
    ("meta-train --preset demo --workers 0 --output {0}/o", "--workers is 0; least is 1"),
    ("neighbours --bundle {1} --limit 0", "--limit is 0; least is 1"),
    ("neighbours --encoder {0}/empty", "cannot be loaded.*; give a folder, s3://, a hub name"),
]


@pytest.mark.parametrize(("line", "told"), CASES)
def test_a_refusal_is_one_message_before_anything_starts(
    line: str,
    told: str,
    tiny_bundle: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.jsonl").write_text('{"text": "Ana."}\n')
    (tmp_path / "a.conll").write_text("Ana B-PER\nKiel B-LOC\n")
    for module in ("bulk_tag", "evaluate", "meta_train"):
        monkeypatch.setattr(f"jobs.{module}.connect", None)
    monkeypatch.setattr(sys, "argv", ["metaner"])
    with pytest.raises(SystemExit) as ended:
        cli.main([part.format(tmp_path, tiny_bundle) for part in line.split()])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.count("error: ") == 1
    assert "Traceback" not in error
    assert re.search(told, error), error
    assert not (tmp_path / "o").exists()
