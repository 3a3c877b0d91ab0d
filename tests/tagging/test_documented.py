"""The code that README.md and the guide show, run as it stands there."""

import re
from pathlib import Path
from typing import Any

import pytest

import metaner_core
from metaner_core.bundles import bundle
from metaner_core.tagging.pipeline import tag_documents
from metaner_core.text.document import Document

ROOT = Path(__file__).parents[2]


def blocks(page: str, uri: str) -> list[str]:
    """The page's Python, with a bundle that is there in place of out/bundle."""
    found = re.findall(r"^```python\n(.*?)^```$", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert '"out/bundle"' in found[0]
    return [block.replace('"out/bundle"', repr(uri)) for block in found]


def test_the_readme_s_lines_print_the_names(uri: str, capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = blocks("README.md", uri)
    exec(block, {})
    (row,) = tag_documents(bundle.load(uri), [Document("x", "Angela Merkel besuchte Paris.")])
    lines = [f"{e['type']} {e['text']} {e['start']} {e['end']} {round(e['score'], 2)}" for e in row["entities"]]
    assert capsys.readouterr().out.rstrip("\n").split("\n") == lines
    assert lines


def test_the_guide_s_lines_run_one_after_another(uri: str, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    for block in blocks("docs/guides/python.md", uri):
        exec(block, names)
    assert isinstance(names["tagger"], type(metaner_core.load(uri)))
    printed = capsys.readouterr().out
    assert "not tagged: rejected text expected a string, found null\n" in printed
    assert "\nEs regnete.\n[('Es', '" in printed
    assert "New York" in printed
