"""Which files an input is made of, and what is refused before any work."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from metaner_core.reading.source import Source, find


def write(path: Path, content: str = '{"id": "a", "text": "x"}\n') -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


def names(uri: Path | str, root: Path, **options: str) -> list[str]:
    return [str(Path(file).relative_to(root)) for file in find(Source(uri=str(uri), **options)).files]


def test_a_folder_is_all_files_of_the_format_below_it(tmp_path: Path) -> None:
    for name in ("b.jsonl", "sub/a.jsonl.gz", "_SUCCESS", ".hidden.jsonl", "notes.md"):
        write(tmp_path / name, "" if name.endswith("gz") else '{"id": "a", "text": "x"}\n')
    assert names(tmp_path, tmp_path) == ["b.jsonl", "sub/a.jsonl.gz"]


def test_a_glob_stays_in_its_folder(tmp_path: Path) -> None:
    for name in ("x/a1.jsonl", "x/a2.jsonl", "x/b1.jsonl", "x/sub/a3.jsonl", "y/a4.jsonl"):
        write(tmp_path / name)
    assert names(f"{tmp_path}/x/a*.jsonl", tmp_path) == ["x/a1.jsonl", "x/a2.jsonl"]
    assert names(f"{tmp_path}/*/a[14].jsonl", tmp_path) == ["x/a1.jsonl", "y/a4.jsonl"]


def test_a_format_that_is_given_goes_before_the_ending(tmp_path: Path) -> None:
    found = find(Source(uri=str(write(tmp_path / "documents.dat")), format="jsonl"))
    assert (found.format, found.columns) == ("jsonl", ("id", "text", None))


def test_a_language_column_is_found_by_its_name(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", json.dumps({"id": "a", "text": "x"}) + '\n{"id": "b", "language": "de"}')
    assert find(Source(uri=str(path))).columns == ("id", "text", "language")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.jsonl", "there is no such input"),
        ("none", "there is no such input"),
        ("none/*.jsonl", "no file matches this pattern"),
    ],
)
def test_no_such_input(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(FileNotFoundError, match=f"none.*{message}"):
        find(Source(uri=str(tmp_path / name)))


def test_two_formats_at_once_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl")
    write(tmp_path / "b.txt")
    with pytest.raises(ValueError, match=r"found 1 jsonl and 1 text; .* such as '.*'") as raised:
        find(Source(uri=str(tmp_path)))
    advice = str(raised.value).rpartition(" ")[2].strip("'")
    assert names(advice, tmp_path) == ["a.jsonl"]


def test_an_ending_that_says_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"found no file that ends in \.wet, \.jsonl.*--format"):
        find(Source(uri=str(write(tmp_path / "a.dat"))))


@pytest.mark.parametrize("option", ["text", "id", "language"])
def test_a_missing_column_is_named_with_those_there_are(tmp_path: Path, option: str) -> None:
    path = write(tmp_path / "a.jsonl")
    message = rf"a\.jsonl has no column 'body'; it has id, text: name the right one with --{option}-column"
    with pytest.raises(ValueError, match=message):
        find(Source(uri=str(path), **{f"{option}_column": "body"}))


def test_a_parquet_column_must_hold_strings(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["a"], "text": [1.5]}), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=r"a\.parquet: column 'text' holds double; the text column must hold strings"):
        find(Source(uri=str(tmp_path / "a.parquet")))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", "", "holds no document"),
        ("a.jsonl", "\n \n", "holds no document"),
        ("a.jsonl", "plain words\n", "none of its first lines is a JSON object"),
        ("a.parquet", "no parquet", "is no Parquet file"),
    ],
)
def test_content_that_is_not_what_the_format_says(tmp_path: Path, name: str, content: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        find(Source(uri=str(write(tmp_path / name, content))))
