"""What the engine takes of a GPU follows from how much memory the GPU has."""

import dataclasses
from types import SimpleNamespace

import pytest
import torch

from metaner_core.engine import memory, meta_training
from metaner_core.engine.adapting import GPU_FORMED, GPU_PASSED, GPU_ROOM
from metaner_core.settings import Settings
from tests.support.small import tiny_engine


@pytest.fixture
def of_gib(monkeypatch):
    """A GPU of so many GiB, to look at only."""

    def give(gib):
        properties = SimpleNamespace(total_memory=gib * 2**30)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)

    return give


def test_a_larger_gpu_holds_more_at_once(of_gib):
    of_gib(16)
    assert memory.numbers("cuda", 8) == 2**29  # 2 GiB of fp32
    of_gib(80)
    assert memory.numbers("cuda", 8) == 5 * 2**29


def test_traces_and_three_times_what_is_formed_leave_more_than_half_of_it():
    # Beside the traces that are kept: what goes forward and backward, a part of them, takes twice its numbers.
    assert (1 + 2 / GPU_PASSED) / GPU_ROOM + 3 / GPU_FORMED < 1 / 2


def test_a_chunk_of_tasks_is_what_a_quarter_holds(of_gib, monkeypatch):
    engine = dataclasses.replace(tiny_engine(Settings(window=8, window_context=3, frozen_layers=1)), device="cuda")
    kept = 2 * sum(p.numel() for p in engine.tagger.trained().values())
    of_gib(80)
    assert meta_training.tasks_at_once(engine, 32) == 32
    properties = SimpleNamespace(total_memory=4 * 4 * kept * 5)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    assert meta_training.tasks_at_once(engine, 32) == 5
