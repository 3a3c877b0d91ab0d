"""Numbers as people read them."""

import pytest

from metaner_core.report.units import duration, moment, share, size


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (moment(1_795_375_000), "2026-11-22 19:16:40 UTC"),
        (moment(None), "–"),
        (share(1, 100_000), "<0.1%"),
        (share(99_999, 100_000), ">99.9%"),
        (share(1, 3), "33.3%"),
        (share(0, 0), "–"),
        (size(999), "999 bytes"),
        (size(1_234_567), "1.23 MB"),
        (size(4.2e15), "4,200 TB"),
        (duration(0.25), "0.2 s"),
        (duration(59.7), "1 min"),
        (duration(7_500), "2 h 5 min"),
        (duration(86_400), "1 d"),
        (duration(90_000), "1 d 1 h"),
    ],
)
def test_numbers_read_well(found: str, expected: str) -> None:
    assert found == expected
