"""Several processes computing one thing: thin names over torch.distributed, and the plain case of one process."""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TypeVar

import torch
import torch.distributed as dist

T = TypeVar("T")


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def count() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def share(items: Iterable[T]) -> Iterable[T]:
    """This worker's part of a sequence that every worker sees whole."""
    return islice(items, rank(), None, count())


def add_up(tensors: Sequence[torch.Tensor]) -> None:
    """Replace each tensor, in place, by its sum over all workers."""
    if count() > 1:
        for tensor in tensors:
            dist.all_reduce(tensor)


def wait_for_all() -> None:
    if count() > 1:
        dist.barrier()
