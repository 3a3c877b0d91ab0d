"""What is told of machines that come and go."""

import pytest
import ray

from jobs.common.machines import Machines


def nodes(**alive: str) -> list[dict[str, object]]:
    """As `ray.nodes()`: addresses by id; those that were lost stay in it."""
    found: list[dict[str, object]] = [{"NodeID": "gone", "NodeManagerAddress": "192.0.2.9", "Alive": False}]
    return found + [{"NodeID": id_, "NodeManagerAddress": address, "Alive": True} for id_, address in alive.items()]


def test_machines_that_come_and_go_are_named_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now = nodes(a="192.0.2.1", b="192.0.2.2", c="192.0.2.3")
    monkeypatch.setattr(ray, "nodes", lambda: now)
    machines = Machines()
    assert machines.changes() == []
    now = nodes(a="192.0.2.1")
    assert machines.changes() == ["machine 192.0.2.2 is lost; 1 now", "machine 192.0.2.3 is lost; 1 now"]
    assert machines.changes() == []
    now = nodes(a="192.0.2.1", again="192.0.2.2")
    assert machines.changes() == ["machine 192.0.2.2 has come; 2 now"]


def test_a_machine_that_was_away_between_two_questions_was_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    now = nodes(a="192.0.2.1", b="192.0.2.2")
    monkeypatch.setattr(ray, "nodes", lambda: now)
    machines = Machines()
    now = nodes(a="192.0.2.1", again="192.0.2.2")
    assert machines.changes() == ["machine 192.0.2.2 is lost; 2 now", "machine 192.0.2.2 has come; 2 now"]
