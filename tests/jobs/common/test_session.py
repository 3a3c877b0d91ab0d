"""What every job does first and last."""

import os

import pytest

from jobs.common.device import device
from jobs.common.session import connect, environment
from metaner_core.command import Ended


def test_no_secret_goes_into_the_workers_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9000")
    assert "hidden" not in environment().values()
    assert environment()["AWS_ENDPOINT_URL"] == "http://127.0.0.1:9000"


def test_a_gpu_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert device(False).type == "cpu"
    with pytest.raises(ValueError, match="torch sees no CUDA device"):
        device(True)


@pytest.mark.parametrize(
    ("given", "variable", "joined"),
    [(None, None, "local"), (None, "10.0.0.1:6379", "10.0.0.1:6379"), ("auto", "10.0.0.1:6379", "auto")],
)
def test_which_ray_is_joined(
    monkeypatch: pytest.MonkeyPatch, given: str | None, variable: str | None, joined: str
) -> None:
    seen: dict[str, object] = {}
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("ray.init", lambda **options: seen.update(options))
    monkeypatch.setattr("jobs.common.session.require_answering", lambda address: None)
    monkeypatch.delenv("RAY_BACKEND_LOG_LEVEL", raising=False)
    monkeypatch.setenv("RAY_ADDRESS", variable) if variable else monkeypatch.delenv("RAY_ADDRESS", raising=False)
    connect(given, cpus=3)
    assert seen["address"] == joined
    assert ("num_cpus" in seen) == (joined == "local")
    # Were it "fatal", a driver that loses its Ray's GCS would end without a word; any value brings a line at the start.
    assert "RAY_BACKEND_LOG_LEVEL" not in os.environ


def test_a_machine_too_busy_to_start_a_ray_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(**_: object) -> None:
        raise Exception("The current node timed out during startup. This could happen because ...")

    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("ray.init", init)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(Ended, match=r"30 seconds.*--address"):
        connect(cpus=1)
    monkeypatch.setattr("jobs.common.session.require_answering", lambda address: None)
    with pytest.raises(Exception, match="The current node"):  # another's Ray, of which nothing is known here
        connect("10.0.0.1:6379", cpus=1)
