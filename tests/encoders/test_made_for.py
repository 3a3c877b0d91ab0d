"""Which languages encoders were made for."""

import re

import pytest

from metaner_core.encoders.made_for import MARKS, knows, languages


@pytest.mark.parametrize(
    ("encoder", "count"),
    [
        ("embedded", 6),
        ("e5-small", 93),
        ("intfloat/multilingual-e5-small", 93),
        ("s3://bucket/models/xlm-roberta-base/", 93),
        ("bert-base-multilingual-cased", 102),  # 104 Wikipedias: Norway's two are one here, as are China's
    ],
)
def test_an_encoder_is_known_by_its_name(encoder: str, count: int) -> None:
    found = languages(encoder)
    assert found is not None
    assert len(found) == count
    assert all(re.fullmatch("[a-z]{2,3}", code) for code in found)


def test_every_list_names_a_language_once() -> None:
    for codes in MARKS.values():
        assert len(set(codes.split())) == len(codes.split())


def test_what_is_not_known_is_said_to_be_so() -> None:
    assert languages("/home/me/my-encoder") is None
    assert knows("/home/me/my-encoder", "de") is None


def test_names_for_one_language() -> None:
    assert knows("e5-small", "nb")
    assert knows("bert-base-multilingual-cased", "no")
    assert knows("embedded", "yue")
    assert knows("embedded", "pt") is False
    assert knows("bert-base-multilingual-cased", "am") is False
    assert knows("e5-small", "am")
