"""Pieces on threads: every one once, in order, whatever fails."""

import threading

import pytest
import torch

from metaner_core import threads


@pytest.fixture(params=[1, 2, 3])
def count(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    assert torch.get_num_threads() == request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("many", [0, 1, 2, 7, 20])
def test_results_come_in_the_order_of_the_pieces(count, many):
    assert list(threads.each(lambda n: n * n, range(many), device="cpu")) == [n * n for n in range(many)]


def test_as_many_at_a_time_as_torch_has_threads_and_each_operation_on_one(count):
    together = threading.Barrier(count)

    def call(_):
        together.wait(20)  # all are here at once, or this breaks
        return torch.get_num_threads()

    assert list(threads.each(call, range(3 * count), device="cpu")) == [1] * 3 * count
    assert threads.count("cpu") == count
    assert threads.count("cuda") == 1


def test_an_exception_comes_in_its_turn_and_ends_the_rest(count):
    begun = []

    def call(n):
        begun.append(n)
        if n == 2:
            raise KeyError(n)
        return n

    done = threads.each(call, range(100), device="cpu")
    assert [next(done), next(done)] == [0, 1]
    with pytest.raises(KeyError):
        next(done)
    assert len(begun) <= 3 + 2 * count
