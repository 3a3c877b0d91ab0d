"""What an actor loads, for a run or an estimate."""

from typing import Any

import pytest

from jobs.tagging import model
from jobs.tagging.job import Job
from metaner_core.engine.config import EngineConfig
from metaner_core.reading.source import Source


@pytest.mark.parametrize(("engine", "precision"), [("reference", "fp32"), ("batched", "bf16")])
def test_the_bundle_is_used_as_the_job_says(engine: str, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}
    monkeypatch.setattr(model.bundle, "load", lambda uri, **options: asked.update(uri=uri, **options))
    monkeypatch.setattr(model.torch, "set_num_threads", lambda n: asked.update(threads=n))
    model.load(Job(source=Source(uri="x"), bundle="b", output="o", engine=engine, precision=precision, threads=3))
    assert (asked["uri"], asked["device"].type, asked["threads"]) == ("b", "cpu", 3)
    assert asked["config"] == EngineConfig(engine, precision)
    assert asked["changes"] == {}
    model.load(Job(source=Source(uri="x"), bundle="b", output="o", adapting={"gamma": 0.5}))
    assert asked["changes"] == {"gamma": 0.5}
