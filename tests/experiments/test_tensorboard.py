"""TensorBoard's files hold what the tables hold; read here record by record."""

import struct
from pathlib import Path

import pytest

from metaner_core.experiments import tensorboard
from tests.experiments.test_study import TESTS, study, with_shares

event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")


def scalars(folder: Path) -> dict[tuple[str, str], list[tuple[int, float]]]:
    """Steps and values by run and tag, of records: length, checksum, message, checksum."""
    found: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for path in sorted(folder.rglob("events.out.tfevents.*")):
        content, at = path.read_bytes(), 0
        while at < len(content):
            (length,) = struct.unpack_from("<Q", content, at)
            event = event_pb2.Event.FromString(content[at + 12 : at + 12 + length])
            at += 12 + length + 4
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    run = str(path.parent.relative_to(folder))
                    found.setdefault((run, value.tag), []).append((event.step, value.simple_value))
    return found


def test_it_holds_curves_and_scores(tmp_path: Path) -> None:
    for _ in range(2):  # the second time in place of the first
        tensorboard.write(study(), str(tmp_path))
    found = scalars(tmp_path)
    assert found["trainings/embedded.full.PER.0", "english-dev/F1"] == [(100, 50.0), (200, 80.0)]
    assert found["trainings/embedded.full.PER.0", "loss"] == [(100, 1.0), (200, 0.5)]
    for cell in study().cells:
        run = f"scores/embedded.{cell.variant}.PER-LOC-ORG-MISC.{cell.seed}.0"
        assert cell.test in TESTS
        for engine, counts in cell.counts.items():
            correct, predicted, gold = (sum(kind.values()) for kind in counts.to_dict().values())
            ((_, value),) = found[run, f"F1-{engine}/{cell.test}"]
            assert value == pytest.approx(200 * correct / (predicted + gold), rel=1e-5)


def test_shares_of_labels_are_runs_of_their_own(tmp_path: Path) -> None:
    tensorboard.write(with_shares(), str(tmp_path))
    runs = {run for run, tag in scalars(tmp_path) if tag.startswith("F1")}
    assert runs == {
        f"scores/embedded.{variant}.PER-LOC-ORG-MISC.{seed}.{share}"
        for variant, share in (("base", 0), ("base", 2), ("full", 0), ("full", 2), ("ml", 2))
        for seed in (0, 1)
    }


def test_what_cannot_be_written_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    tensorboard.require("out/tb")
    with pytest.raises(ValueError, match=r"--tensorboard s3://bucket/tb: .* a folder of this machine; name one"):
        tensorboard.require("s3://bucket/tb")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"needs tensorboardX: pip install tensorboardX \(.*\[tensorboard\].*\), or"):
        tensorboard.require("out/tb")
