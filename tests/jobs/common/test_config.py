"""Options from a file: what it says holds unless a flag says otherwise, and all that is wrong in it is told at once."""

import json
from pathlib import Path
from typing import Any

import pytest

from jobs.common.config import OptionsParser
from jobs.meta_train import parse as meta_train
from jobs.tagging.job import job, parse


def parser() -> OptionsParser:
    found = OptionsParser("jobs.x", "Does x.", ["--input a"])
    found.add_argument("--input", required=True)
    found.add_argument("--actors", type=int, default=1)
    found.add_argument("--shard-mb", type=float, default=8)
    found.add_argument("--languages", nargs="+", metavar="CODE")
    found.add_argument("--format", choices=("wet", "jsonl"))
    found.add_argument("--gpu", action="store_true")
    found.add_argument("--no-identify", action="store_true")
    found.add_argument("--estimate", type=int, nargs="?", const=200)
    found.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE")
    found.add_argument("--text", action="append", nargs="+", default=[], metavar=("LANGUAGE", "FILE"))
    return found


def given(tmp_path: Path, toml: str, *flags: str) -> Any:
    path = tmp_path / "run.toml"
    path.write_text(toml, encoding="utf-8")
    return parser().parse(["--config", str(path), *flags])


def test_keys_are_the_options_names(tmp_path: Path) -> None:
    toml = 'input = "a"\nactors = 2\nshard-mb = 1\nlanguages = ["de"]\nformat = "wet"\ngpu = true\nestimate = true'
    found = given(tmp_path, toml)
    flags = "--input=a --actors=2 --shard-mb=1 --languages de --format=wet --gpu --estimate"
    same = parser().parse(flags.split())
    assert vars(found) == vars(same)


@pytest.mark.parametrize(("toml", "many"), [("3", 3), ("[3]", 3), ("[2, 8]", (2, 8))])
def test_how_many_there_should_be_is_a_number_or_a_list_of_two(tmp_path: Path, toml: str, many: Any) -> None:
    needed = ["--bundle=b", "--input=i", "--output=o"]
    (tmp_path / "run.toml").write_text(f"actors = {toml}")
    found = parse([*needed, "--config", str(tmp_path / "run.toml")])
    assert job(found).actors == many
    again = {"config": json.loads(json.dumps(job(found).config))}  # as a manifest holds it
    (tmp_path / "manifest.json").write_text(json.dumps(again))
    assert job(parse([*needed, "--config", str(tmp_path / "manifest.json")])).actors == many
    assert job(parse([*needed, "--config", str(tmp_path / "run.toml"), "--actors", "1", "4"])).actors == (1, 4)


@pytest.mark.parametrize("toml", ['"two"', "true", "[1, 2.5]", "[]"])
def test_anything_else_is_refused(tmp_path: Path, toml: str) -> None:
    (tmp_path / "run.toml").write_text(f"workers = {toml}")
    with pytest.raises(
        ValueError, match=r"workers is .*; it must be a whole number, or a list of the least and the most"
    ):
        meta_train(["--output=o", "--config", str(tmp_path / "run.toml")])


def test_an_underscore_is_as_good_as_a_dash(tmp_path: Path) -> None:
    assert given(tmp_path, 'input = "a"\nshard_mb = 2.5').shard_mb == 2.5


def test_a_flag_wins_over_the_file(tmp_path: Path) -> None:
    toml = 'input = "a"\nactors = 2\ngpu = true\nno-identify = true\nlanguages = ["de"]'
    found = given(tmp_path, toml, "--input", "b", "--actors", "1", "--no-gpu", "--identify", "--languages", "nl")
    assert (found.input, found.actors, found.gpu, found.no_identify, found.languages) == ("b", 1, False, False, ["nl"])


def test_a_flag_turns_on_what_the_file_turns_off(tmp_path: Path) -> None:
    assert given(tmp_path, 'input = "a"\ngpu = false', "--gpu").gpu


def test_of_options_that_add_up_the_files_come_first(tmp_path: Path) -> None:
    assert given(tmp_path, 'input = "a"\nset = ["alpha=1"]', "--set", "alpha=2").set == ["alpha=1", "alpha=2"]


def test_such_options_may_be_tables(tmp_path: Path) -> None:
    toml = 'input = "a"\nset = { alpha = 1e-4, types = ["PER", "LOC"], x = true }\n[text]\nen = "e"\nde = ["d", "f"]'
    found = given(tmp_path, toml)
    assert found.set == ["alpha=0.0001", "types=PER,LOC", "x=true"]
    assert found.text == [["en", "e"], ["de", "d", "f"]]


def test_everything_wrong_is_told_at_once(tmp_path: Path) -> None:
    wrong = {
        "actors": ('"two"', "a whole number"),
        "shard-mb": ("true", "a number"),
        "input": ("7", "text"),
        "languages": ('"de"', "a list, each of it text"),
        "format": ('"zip"', "one of wet, jsonl"),
        "gpu": ("1", "true or false"),
        "estimate": ("false", "a whole number"),
        "set": ("[1]", "a table, or a list of text"),
        "text": ('["en"]', "a table, or a list of lists of text"),
    }
    toml = "\n".join(f"{key} = {value}" for key, (value, _) in wrong.items())
    with pytest.raises(ValueError) as error:
        given(tmp_path, f"{toml}\nactor = 1\ncolour = 2\nconfig = 'x'")
    text = str(error.value)
    assert str(tmp_path / "run.toml") in text
    assert all(f"\n  {key} is " in text and told in text for key, (_, told) in wrong.items())
    assert "actor is no option of this command; did you mean actors?" in text
    assert "colour is no option of this command; there are input, actors" in text
    assert "config is no option of this command" in text


def test_what_is_required_must_be_somewhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        given(tmp_path, "actors = 2")
    assert "required: --input" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content"), [("a.toml", b"x = "), ("a.toml", b"\xff"), ("a.json", b"{"), ("a.json", b"{}")]
)
def test_a_file_of_no_known_kind_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"--config .*{name}"):
        parser().parse(["--config", str(tmp_path / name)])


def test_there_is_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        parser().parse(["--config", str(tmp_path / "none.toml")])


def test_a_shortened_option_is_refused_so_that_no_file_is_overlooked(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        parser().parse(["--input", "a", "--conf", "run.toml"])


def test_help_begins_with_an_example() -> None:
    assert parser().format_help().startswith("example:\n  python -m jobs.x --input a\n\nusage: python -m jobs.x")


def test_a_tagging_runs_manifest_gives_its_options_back(tmp_path: Path) -> None:
    flags = "--input in --bundle b --output o --unadapted --languages de nl --limit 9"
    first = job(parse(flags.split()))
    (tmp_path / "manifest.json").write_text(json.dumps({"config": dict(first.config)}))
    again = job(parse(["--config", str(tmp_path / "manifest.json")]))
    assert (again, again.config) == (first, first.config)


def test_a_training_runs_manifest_gives_its_options_back(tmp_path: Path) -> None:
    flags = ["--preset", "demo", "--set", "alpha=1e-4", "--set", "types=PER,LOC", "--seed", "3", "--output", "o"]
    first, _ = meta_train(flags)
    (tmp_path / "manifest.json").write_text(json.dumps({"config": dict(first.config)}))
    again, _ = meta_train(["--config", str(tmp_path / "manifest.json")])
    assert (again, again.config) == (first, first.config)
    assert again.settings.types == ("PER", "LOC")
