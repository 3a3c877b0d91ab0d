"""Texts that Unicode calls equal have one form, and a way back."""

import sys
import unicodedata

from hypothesis import given, settings
from hypothesis import strategies as st

from metaner_core.text.canonical import canonical, joins


@settings(max_examples=300, deadline=None)
@given(
    text=st.lists(st.one_of(st.text(max_size=3), st.sampled_from(["e\u0301", "\u1100\u1161\u11a8", "\u0958", "각"])))
)
def test_the_form_is_nfc_and_borders_go_from_its_start_to_its_end(text: list[str]) -> None:
    given_ = "".join(text)
    plain, borders = canonical(given_)
    assert plain == unicodedata.normalize("NFC", given_)
    if borders is None:
        assert plain == given_
    else:
        assert len(borders) == len(plain) + 1
        assert (borders[0], borders[-1]) == (0, len(given_))
        assert list(borders) == sorted(borders)


def test_each_letter_stands_where_its_letter_and_marks_do() -> None:
    text = "José\u200b Muñoz vit ở Huế".replace("vit", "vi\u0302t")
    given_ = unicodedata.normalize("NFD", text)
    plain, borders = canonical(given_)
    assert borders is not None
    for at, letter in enumerate(plain):
        assert unicodedata.normalize("NFC", given_[borders[at] : borders[at + 1]]) == letter


def test_whatever_composes_with_what_is_before_it_joins_that() -> None:
    for number in range(sys.maxunicode + 1):
        parts = unicodedata.decomposition(chr(number)).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            assert joins(chr(int(parts[1], 16))), hex(number)
