import re

import pytest

from metaner_core.report.page import render, write
from tests.support.reader import contrast, palettes

EMPTY = render(title="Größe 大 🎉", summary=[], scores=[], documents=[], source=[])


@pytest.mark.parametrize("colours", palettes(EMPTY), ids=["light", "dark"])
def test_text_stands_out_from_its_ground(colours):
    types = [name for name in colours if name.isupper()]
    pairs = [(f"{type_}-ink", type_) for type_ in types] + [("ink", type_) for type_ in types]
    pairs += [("quiet", type_) for type_ in types]  # in the English sentences
    pairs += [(text, ground) for text in ("ink", "quiet") for ground in ("page", "card")]
    pairs += [(f"{type_}-ink", "card") for type_ in types]  # low scores have no ground of their own
    assert len(types) == 5
    assert {pair: ratio for pair in pairs if (ratio := contrast(colours[pair[0]], colours[pair[1]])) < 4.5} == {}


def test_nothing_is_loaded_from_elsewhere_and_no_script_can_run():
    assert not re.findall(r"<(?:link|script|img|iframe|object|embed|base)\b|\bsrc=|@import|url\(|https?:", EMPTY)
    assert "default-src 'none'; style-src 'unsafe-inline'" in EMPTY


def test_written_page_is_the_page(tmp_path):
    write(str(tmp_path / "new" / "page.html"), EMPTY)
    assert (tmp_path / "new" / "page.html").read_text(encoding="utf-8") == EMPTY


def test_page_is_never_overwritten(tmp_path):
    (tmp_path / "page.html").write_text("mine")
    with pytest.raises(FileExistsError, match=r"page\.html is there already; a page is never overwritten"):
        write(str(tmp_path / "page.html"), EMPTY)
    assert (tmp_path / "page.html").read_text() == "mine"
