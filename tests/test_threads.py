"""Pieces on threads: every one once, in order, whatever fails."""

import threading

import pytest
import torch
from hypothesis import given, settings, strategies

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


def cut(numbers):
    """The numbers in their order, in pieces that add up to no more than `most`, or of one number."""

    def pieces(most):
        found = []
        for n in numbers:
            if not found or sum(found[-1]) + n > most:
                found.append([])
            found[-1].append(n)
        return found

    return pieces


@settings(max_examples=50, deadline=None)
@given(
    numbers=strategies.lists(strategies.integers(1, 60), max_size=40),
    most=strategies.sampled_from([1, 50, 200, 10**4]),
    hands=strategies.integers(1, 4),
)
def test_pieces_are_as_even_as_they_can_be_for_all_hands(numbers, most, hands):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threads, "count", lambda device: hands)
        found = threads.evenly(cut(numbers), most, device="cpu")
    fewest = len(cut(numbers)(most))
    wanted = hands * -(-fewest // hands)
    assert [n for piece in found for n in piece] == numbers
    assert all(sum(piece) <= most or len(piece) == 1 for piece in found)
    assert len(found) <= (wanted if hands > 1 else fewest)
    largest = max((sum(piece) for piece in found), default=0)
    if hands > 1 and largest > max(numbers, default=0):
        assert len(cut(numbers)(largest - 1)) > wanted  # in smaller pieces there would be too many


def test_every_hand_gets_some_of_little_work():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threads, "count", lambda device: 3)
        assert threads.evenly(cut([5, 5, 5, 5, 5, 5]), 1_000, device="cpu") == [[5, 5], [5, 5], [5, 5]]
        assert threads.evenly(cut([]), 1_000, device="cpu") == []
