"""How a training ends that Ray could not bring to its end: in one line that says what to do."""

from typing import Any

import pytest
from ray.train import ControllerError, WorkerGroupError

from jobs.training import trainer
from jobs.training.options import TrainingRun
from metaner_core.command import Ended

LOW = RuntimeError("6 worker(s) were killed due to the node running low on memory. Memory on the node was 22.31GB used")
JOB = TrainingRun(output="out", storage="storage")


def ending(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    class Trainer:
        def fit(self) -> None:
            raise error

    def made(*of: Any) -> Trainer:
        return Trainer()

    monkeypatch.setattr(trainer, "trainer", made)
    trainer.fit(JOB, "name", lambda config: None, {})


@pytest.mark.parametrize("error", [ControllerError(LOW), WorkerGroupError(str(LOW), {0: LOW})])
def test_without_memory(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    with pytest.raises(Ended, match=r"low on memory.*fewer --workers.*the same command goes on"):
        ending(monkeypatch, error)


def test_a_users_error_is_raised_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="no such encoder"):
        ending(monkeypatch, WorkerGroupError("in a worker", {0: ValueError("no such encoder")}))


@pytest.mark.parametrize("error", [ControllerError(RuntimeError("x")), WorkerGroupError("x", {0: RuntimeError("x")})])
def test_what_is_unknown_is_not_hidden(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    with pytest.raises(type(error)):
        ending(monkeypatch, error)
