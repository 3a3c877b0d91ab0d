"""Pieces of work on the CPU's threads, each piece on one: small operations gain nothing from being shared out."""

import math
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


def count(device: torch.device | str) -> int:
    """Threads that `each` works on: torch's own on a CPU, one for a GPU."""
    return torch.get_num_threads() if torch.device(device).type == "cpu" else 1


def each(call: Callable[[T], R], pieces: Sequence[T], *, device: torch.device | str) -> Iterator[R]:
    """call(piece) of every piece in order, `count(device)` of them at a time; as many results at most lie waiting.

    Meanwhile torch's operations use one thread each. A call's exception is raised in its turn; pieces that have not
    begun by then are dropped.
    """
    threads = min(count(device), len(pieces))
    if threads < 2:
        yield from map(call, pieces)
        return
    with _single_threaded(), ThreadPoolExecutor(threads) as pool:
        running: deque[Future[R]] = deque()
        try:
            for piece in pieces:
                if len(running) == 2 * threads:
                    yield running.popleft().result()
                running.append(pool.submit(call, piece))
            while running:
                yield running.popleft().result()
        finally:
            for future in running:
                future.cancel()


def evenly(cut: Callable[[int], list[T]], most: int, *, device: torch.device | str) -> list[T]:
    """The pieces that `cut` makes of some work when each may be as large as `most`, or more, and smaller and all of
    about one size, so that none of the threads that `each` works on is left without at the end.

    cut: has fewer pieces the larger they may be.
    """
    hands = count(device)
    if hands == 1:
        return cut(most)
    wanted = hands * math.ceil(len(cut(most)) / hands)
    return cut(bisect_left(range(most), True, key=lambda size: len(cut(size)) <= wanted))


@contextmanager
def _single_threaded() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
