"""How much goes through the model together: enough to share work, within what memory holds. Quick to import."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")

BATCH_CHARACTERS = 1_000_000  # of text in a batch that has more than one document: some 8,000 sentences


def take(items: Iterator[T], most: int, characters: Callable[[T], int]) -> Iterator[T]:
    """At most so many items, and no more once they have BATCH_CHARACTERS in all. characters: of one item."""
    taken = 0
    for item in islice(items, most):
        yield item
        taken += characters(item)
        if taken >= BATCH_CHARACTERS:
            return


def batches(items: Iterable[T], most: int, characters: Callable[[T], int]) -> Iterator[list[T]]:
    """All items in their order, as many at a time as `take` takes."""
    rest = iter(items)
    while batch := list(take(rest, most, characters)):
        yield batch
