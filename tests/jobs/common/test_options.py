"""How many processes there should be: a number, or the least and the most."""

import argparse
from typing import Any

import pytest

from jobs.common.options import OneOrTwo, add_ray_options, fewest, greatest, in_words, require_at_least, room, wrong


def given(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", action=OneOrTwo, default=1)
    parser.add_argument("--threads", type=int, default=1)
    add_ray_options(parser)
    return parser.parse_args(arguments)


@pytest.mark.parametrize(
    ("arguments", "many", "least", "most", "told"),
    [
        ([], 1, 1, 1, "1"),
        (["3"], 3, 3, 3, "3"),
        (["2", "8"], (2, 8), 2, 8, "2 to 8"),
        (["4", "4"], (4, 4), 4, 4, "4 to 4"),
    ],
)
def test_one_number_or_two(arguments: list[str], many: Any, least: int, most: int, told: str) -> None:
    found = given(*(["--workers", *arguments] if arguments else [])).workers
    assert found == many
    assert (fewest(found), greatest(found), in_words(found)) == (least, most, told)
    assert wrong("workers", found) is None


@pytest.mark.parametrize(
    ("many", "told"),
    [
        (0, "actors is 0; least is 1"),
        ((0, 3), "actors is 0 3; least is 1"),
        ((8, 2), "actors is 8 2; the least comes first: 2 8"),
        ((1, 2, 3), "actors is 1 2 3; give one number, or the least and the most"),
    ],
)
def test_what_cannot_be_is_told_with_its_remedy(many: Any, told: str) -> None:
    assert wrong("actors", many) == told


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(ValueError, match=r"--workers is 3 1; the least comes first: 1 3\n  --threads is 0; least is 1"):
        require_at_least(given("--workers", "3", "1", "--threads", "0"), workers=1, threads=1)


def test_room_is_wanted_for_the_least() -> None:
    wanted = room(given("--workers", "2", "8", "--gpu"), "workers")
    assert (wanted.who, wanted.cpus, wanted.gpus) == ("2 worker(s)", 2, 2)
