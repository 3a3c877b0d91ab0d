"""Parts of an evaluation: how they are cut, and that a stopped one goes on from what is scored."""

import json
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobs.scoring import parts, run
from jobs.scoring.parts import Part, cut
from jobs.scoring.result import ENGINES, Result, Test, joined
from jobs.scoring.run import ScoringFailed, evaluate
from jobs.scoring.scorer import MEMORY, MOST_DEATHS, Scorer
from metaner_core import storage
from metaner_core.data.columns import Sentence
from metaner_core.data.scoring import Counts

Test.__test__ = False  # type: ignore[attr-defined]  # not a test class, whatever its name
SENTENCES = [Sentence((f"word{i}",), ("B-PER",)) for i in range(300)]
TESTS = [Test(name="a", sentences=SENTENCES, types=("PER",)), Test(name="b", sentences=SENTENCES[:1], types=("PER",))]
LOADING = 7  # threads by which an actor knows that it is to end as it loads
ONE = Counts({"PER": 1}, {"PER": 1}, {"PER": 1})


def test_parts_are_whole_and_even_and_every_actor_has_one() -> None:
    for sizes, actors in (([5000, 3, 0], 1), ([1500], 4), ([300, 300], 64)):
        found = cut(sizes, actors)
        for test, n in enumerate(sizes):
            own = [part for part in found if part.test == test]
            assert [i for part in own for i in range(part.first, part.last)] == list(range(n))
            lengths = [part.last - part.first for part in own]
            assert not lengths or max(lengths) - min(lengths) <= 1
        assert max(part.last - part.first for part in found) <= parts.TOGETHER
    assert len(cut([1500], 4)) == 4
    assert len(cut([300, 300], 64)) == 6, "not smaller than is worth it"


def scored(part: Part, counts: Counts = ONE) -> dict[str, Any]:
    n = part.last - part.first
    result = Result(
        name="x",
        sentences=n,
        counts=dict.fromkeys(ENGINES, counts),
        seconds=dict.fromkeys(ENGINES, 1.0),
        tally={"gold": np.arange(part.first, part.last)},
        changed={"gained": {"PER": n}},
        examples=[{"kind": "gained", "words": [str(part.first)]}],
    )
    return {**part.to_dict(), "result": result.to_dict()}


@pytest.fixture
def bundle(tmp_path: Path) -> str:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "manifest.json").write_text(json.dumps({"fingerprint": "abc"}))
    return str(tmp_path / "bundle")


Actors = Callable[..., Iterator[dict[str, Any]]]


def actors(asked: list[Part], *, die_after: int = 99, fail: int | None = None) -> Actors:
    """In place of those on Ray: score a part, and keep its record as they do. die_after: so many parts."""

    def work(scoring: Any, tests: Sequence[Test], left: Sequence[Part], board: Any) -> Iterator[dict[str, Any]]:
        for n, part in enumerate(left):
            if n == die_after:
                raise KeyboardInterrupt
            asked.append(part)
            if part.test == fail:
                yield {**part.to_dict(), "error": "RuntimeError: no memory"}
                continue
            if scoring.parts is not None:
                storage.write_whole(parts.record_uri(scoring.parts, part), json.dumps(scored(part)).encode())
            yield scored(part)

    return work


def test_a_stopped_evaluation_goes_on_from_what_is_scored(
    ray_local: None, bundle: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Part] = []
    so_far = str(tmp_path / "scores.json.parts")
    monkeypatch.setattr(run, "_scored", actors(asked, die_after=2))
    with pytest.raises(KeyboardInterrupt):
        evaluate(bundle, TESTS, actors=2, parts=so_far)
    monkeypatch.setattr(run, "_scored", actors(asked))
    told: list[str] = []
    results = evaluate(bundle, TESTS, actors=7, parts=so_far, tell=told.append)
    assert sorted(asked, key=str) == sorted(cut([300, 1], 2), key=str), "each part once, as first cut"
    assert told[0] == "300 sentences were scored before, 1 are left"
    assert [result.sentences for result in results] == [300, 1]
    assert results[0].tally["gold"].tolist() == list(range(300)), "in the test's order"
    assert results[0].counts["adapted"].gold == {"PER": 2}
    assert evaluate(bundle, TESTS, parts=so_far) == results, "all of it is there"
    parts.forget(so_far)
    assert storage.list_files(so_far) == []


def test_parts_of_another_evaluation_are_refused(bundle: str, tmp_path: Path) -> None:
    facts = {"bundle": "abc", "changes": {}, "tests": {}}
    parts.planned(str(tmp_path), facts, [Part(0, 0, 1)])
    told = r"(?s)differs in\n  changes.gamma: absent then, 0.1 now\nTake the options .* or give another output"
    with pytest.raises(ValueError, match=told):
        parts.planned(str(tmp_path), {**facts, "changes": {"gamma": 0.1}}, [])
    assert parts.planned(str(tmp_path), facts, []) == [Part(0, 0, 1)]


def test_what_was_scored_adapted_too_is_another_evaluation(
    ray_local: None, bundle: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "_scored", actors([], die_after=1))
    with pytest.raises(KeyboardInterrupt):
        evaluate(bundle, TESTS, parts=str(tmp_path / "parts"))
    with pytest.raises(ValueError, match=r"differs in\n  unadapted: absent then, true now"):
        evaluate(bundle, TESTS, unadapted=True, parts=str(tmp_path / "parts"))


def test_one_tests_failure_is_named_and_the_others_results_are_told(
    ray_local: None, bundle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "_scored", actors([], fail=0))
    found: list[str] = []
    with pytest.raises(ScoringFailed, match="a could not be scored: RuntimeError: no memory") as failed:
        evaluate(bundle, TESTS, found=lambda test, result: found.append(result.name))
    assert found == ["b"]
    assert list(failed.value.errors) == ["a"]


class Deadly(Scorer):
    """Ends its process, as the system does when there is no memory left: in the middle of one test, or as it loads."""

    def __init__(self, scoring: Any, *given: Any) -> None:
        if scoring.threads == LOADING:
            import metaner_core.bundles.bundle as module

            module.load = lambda *args, **kwargs: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment]
        super().__init__(scoring, *given)

    def score(self, test: Test, part: Part) -> Result:
        if test.name == "deadly":
            os.kill(os.getpid(), signal.SIGKILL)
        return super().score(test, part)


@pytest.mark.slow
def test_a_test_that_ends_its_actors_is_named_and_the_others_are_scored(
    ray_local: None, tiny_bundle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "Scorer", Deadly)
    tests = [Test(name=name, sentences=SENTENCES[:3], types=("PER",)) for name in ("before", "deadly", "after")]
    told: list[str] = []
    found: list[str] = []
    with pytest.raises(ScoringFailed) as failed:
        evaluate(tiny_bundle, tests, tell=told.append, found=lambda test, result: found.append(result.name))
    assert sorted(found) == ["after", "before"]
    where = "in the middle of"
    assert failed.value.errors == {
        "deadly": f"{MOST_DEATHS} actors ended {where} sentences 1 to 3 of deadly: {MEMORY}; what is scored stays"
    }
    assert [line for line in told if "once more" in line] == [
        f"sentences 1 to 3 of deadly once more: {n} actor(s) ended {where} them" for n in range(1, MOST_DEATHS)
    ]


@pytest.mark.slow
def test_actors_that_end_as_they_load_the_bundle_end_the_evaluation(
    ray_local: None, tiny_bundle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "Scorer", Deadly)
    with pytest.raises(ValueError, match=f"{MOST_DEATHS} actors ended while they loaded the bundle: {MEMORY}"):
        evaluate(tiny_bundle, TESTS[1:], threads=LOADING)


def test_a_result_comes_back_from_json_and_parts_add_up() -> None:
    two = [Result.from_dict(json.loads(json.dumps(scored(part)["result"]))) for part in (Part(0, 0, 2), Part(0, 2, 5))]
    whole = joined("a", two)
    assert whole.sentences == 5
    assert whole.tally["gold"].tolist() == [0, 1, 2, 3, 4]
    assert whole.changed == {"gained": {"PER": 5}}
    assert whole.seconds == {"unadapted": 2.0, "adapted": 2.0}
    assert [example["words"] for example in whole.examples] == [["0"], ["2"]]
