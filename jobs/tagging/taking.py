"""A shard's documents a batch at a time, as a supervisor says that they are to be taken."""

from collections.abc import Callable, Iterator
from typing import TypeVar

from jobs.planning.shards import Shard
from jobs.tagging.deaths import DEATHS, FEW, Care
from metaner_core.tagging.batches import take
from metaner_core.text.document import Document

T = TypeVar("T")
ENDED_WORKERS = f"worker: {DEATHS} worker processes ended while they had this document alone"


def taken(
    items: Iterator[T], shard: Shard, care: Care, most: int, size: Callable[[T], int], begin: Callable[[int, int], None]
) -> Iterator[tuple[int, list[T]]]:
    """The items of a shard's documents, one for each, in batches of at most `most`: each with the place of its first.

    size: characters of an item's text. begin: told the places, from and to (exclusive), of what is taken next. Raises
    RuntimeError when there are fewer than the shard has documents.
    """
    at = 0
    while at < shard.documents:
        last = _last(at, shard.documents, care, most)
        begin(at, last)
        batch = list(take(items, last - at, size))
        if not batch:
            planned = f"{shard.documents} were found when the job began"
            raise RuntimeError(f"shard {shard.name} has {at} documents, {planned}: the input changed meanwhile")
        yield at, batch
        at += len(batch)


def characters(document: Document) -> int:
    """Of its text."""
    return len(document.text or "")


def _last(at: int, documents: int, care: Care, most: int) -> int:
    """Where a batch that begins at `at` ends at most: a document that is to be alone is."""
    apart = care.alone | care.rejected
    if at in apart:
        return at + 1
    few = at in care.few
    others = apart if few else apart | care.few
    most = min(FEW, most) if few else most
    return min([documents, at + most, *(n for n in others if n > at)])
