"""Which files a name stands for."""

import os
from pathlib import Path

import pytest

from metaner_core.reading.listing import files, wanted
from metaner_core.reading.source import Source, find, require_apart


def write(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text('{"id": "a", "text": "x"}\n', encoding="utf-8")


def names(uri: str, root: Path) -> list[str]:
    return [str(Path(file.uri).relative_to(root)) for file in files(uri)[1]]


HIDDEN = ["_temporary/0/a.jsonl", ".ipynb_checkpoints/a.jsonl", "x/_delta_log/0.jsonl", "_a.jsonl", "x/.a.jsonl"]


def test_hidden_names_are_left_out_at_every_level(tmp_path: Path) -> None:
    write(tmp_path, "a.jsonl", "x/a.jsonl", "_part=1/a.jsonl", *HIDDEN)
    assert names(str(tmp_path), tmp_path) == ["_part=1/a.jsonl", "a.jsonl", "x/a.jsonl"]
    assert names(f"{tmp_path}/*/*.jsonl", tmp_path) == ["_part=1/a.jsonl", "x/a.jsonl"]
    assert names(f"{tmp_path}/**/*.jsonl", tmp_path) == ["_part=1/a.jsonl", "a.jsonl", "x/a.jsonl"]


def test_what_is_named_is_taken_hidden_or_not(tmp_path: Path) -> None:
    write(tmp_path, "_x/a.jsonl", "_x/_b.jsonl")
    assert names(f"{tmp_path}/_x", tmp_path) == ["_x/a.jsonl"]
    assert names(f"{tmp_path}/_x/_b.jsonl", tmp_path) == ["_x/_b.jsonl"]
    assert names(f"{tmp_path}/_*/_*.jsonl", tmp_path) == ["_x/_b.jsonl"]


def test_a_name_with_marks_that_is_there_is_no_pattern(tmp_path: Path) -> None:
    write(tmp_path, "a[1].jsonl", "a1.jsonl", "in[1]/b?.jsonl", "in[1]/bc.jsonl", "in1/b.jsonl")
    assert names(f"{tmp_path}/a[1].jsonl", tmp_path) == ["a[1].jsonl"]
    assert names(f"{tmp_path}/in[1]", tmp_path) == ["in[1]/b?.jsonl", "in[1]/bc.jsonl"]
    assert names(f"{tmp_path}/in[1]/*.jsonl", tmp_path) == ["in[1]/b?.jsonl", "in[1]/bc.jsonl"]
    assert names(f"{tmp_path}/in[1]/b?.jsonl", tmp_path) == ["in[1]/b?.jsonl"]
    assert names(f"{tmp_path}/*/b[c].jsonl", tmp_path) == ["in[1]/bc.jsonl"]


def test_a_pattern_of_folders_at_any_depth(tmp_path: Path) -> None:
    write(tmp_path, "a.jsonl", "x/b.jsonl", "x/y/c.jsonl", "x/y/d.txt")
    assert names(f"{tmp_path}/**/*.jsonl", tmp_path) == ["a.jsonl", "x/b.jsonl", "x/y/c.jsonl"]
    assert names(f"{tmp_path}/x/**/c.*", tmp_path) == ["x/y/c.jsonl"]


def test_a_stray_name_that_is_no_utf8_stops_nothing(tmp_path: Path) -> None:
    write(tmp_path, "a.jsonl")
    (tmp_path / os.fsdecode(b"caf\xe9.md")).write_text("x")
    (tmp_path / os.fsdecode(b"\xff")).mkdir()
    assert [Path(file).name for file in find(Source(uri=str(tmp_path))).files] == ["a.jsonl"]


def test_an_input_whose_name_is_no_utf8_is_named(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.txt")).write_text("x")
    with pytest.raises(ValueError, match=r"caf\\udce9\.txt': the file's name is not UTF-8; rename it"):
        find(Source(uri=str(tmp_path)))


def test_links_that_lead_in_a_circle_are_followed_once(tmp_path: Path) -> None:
    write(tmp_path, "in/a.jsonl", "other/b.jsonl")
    (tmp_path / "in" / "up").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "there").symlink_to(tmp_path / "other")
    (tmp_path / "in" / "gone.jsonl").symlink_to(tmp_path / "nowhere")
    assert names(str(tmp_path / "in"), tmp_path / "in") == ["a.jsonl", "there/b.jsonl"]


@pytest.mark.parametrize("output", ["in", "in/out", "in/x/../out", "link/out"])
def test_an_output_inside_the_input_is_refused(tmp_path: Path, output: str) -> None:
    write(tmp_path, "in/x/a.jsonl")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    with pytest.raises(ValueError, match=r"is part of the input .* Give an --output outside it"):
        require_apart(Source(uri=str(tmp_path / "in")), str(tmp_path / output))


@pytest.mark.parametrize(
    ("uri", "output"),
    [("in", "out"), ("in", "in2"), ("in", "in/_out"), ("in/*.jsonl", "in/out"), ("in/a.jsonl", "in/out")],
)
def test_an_output_beside_it_is_none_of_it(tmp_path: Path, uri: str, output: str) -> None:
    write(tmp_path, "in/a.jsonl")
    require_apart(Source(uri=str(tmp_path / uri)), str(tmp_path / output))


def test_on_s3_names_are_patterns_below_the_bucket(s3: str) -> None:
    from metaner_core import storage

    storage.write_bytes(f"{s3}/in/a[1].jsonl", b"x")
    storage.write_bytes(f"{s3}/in/_x/a1.jsonl", b"x")
    storage.write_bytes(f"{s3}/in/y/a1.jsonl", b"x")
    assert [file.uri for file in files(f"{s3}/in")[1]] == [f"{s3}/in/a[1].jsonl", f"{s3}/in/y/a1.jsonl"]
    assert [file.uri for file in files(f"{s3}/in/a[1].jsonl")[1]] == [f"{s3}/in/a[1].jsonl"]
    assert wanted(f"{s3}/in/*/a[1].jsonl").folder == f"{s3}/in"
    assert [file.uri for file in files(f"{s3}/in/*/a[1].jsonl")[1]] == [f"{s3}/in/y/a1.jsonl"]
