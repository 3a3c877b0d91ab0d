import re

import pytest

from metaner_core.page import render, write

EMPTY = render(title="Größe 大 🎉", summary=[], scores=[], documents=[], source=[])


def palettes():
    """The colours by name, in light and in dark."""
    light, dark = re.findall(r":root \{(.*?)\}", EMPTY, re.DOTALL)
    return [dict(re.findall(r"--([\w-]+): (#\w{6});", block)) for block in (light, dark)]


def contrast(one, other):
    """WCAG 2.2's contrast ratio: 1 to 21."""

    def luminance(colour):
        channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("colours", palettes(), ids=["light", "dark"])
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
