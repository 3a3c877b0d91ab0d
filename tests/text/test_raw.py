"""Sentences of raw text files."""

import gzip
from pathlib import Path

import pytest

from metaner_core.text import raw


def test_sentences_are_those_of_each_line_and_no_more_than_asked_for(tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "a.txt").write_text("Anna kam. Sie ging\n\nund lief.\n")
    (folder / "b.txt.gz").write_bytes(gzip.compress(b"Es regnet."))
    every = [["Anna", "kam", "."], ["Sie", "ging"], ["und", "lief", "."], ["Es", "regnet", "."]]
    assert raw.sentences(str(folder), "de", 10) == every
    assert raw.sentences(str(folder), "de", 2) == every[:2]
    assert raw.sentences(str(folder / "b.txt.gz"), "de", 2) == every[3:]


def test_a_text_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere: there is no such file"):
        raw.sentences(str(tmp_path / "nowhere"), "de", 2)
