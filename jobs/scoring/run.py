"""Scoring a bundle on tests, on the connected Ray: parts of the tests go to actors, counts come back."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import ray
from ray.actor import ActorHandle

from jobs.common.progress import Pace, Tell, shown, told
from jobs.common.session import got, quiet
from jobs.scoring.parts import Part, cut, done, planned
from jobs.scoring.result import Result, Test, joined
from jobs.scoring.scorer import Scorer, Scoring
from metaner_core.command import EVERY_SECONDS, say
from metaner_core.data.scoring import Counts
from metaner_core.engine.config import EngineConfig


class ScoringFailed(RuntimeError):
    """Tests that could not be scored, each with what happened; the others' results are told all the same."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__("\n".join(f"{test} could not be scored: {error}" for test, error in errors.items()))
        self.errors = errors


def evaluate(
    uri: str,
    tests: Sequence[Test],
    *,
    actors: int = 1,
    gpu: bool = False,
    threads: int = 1,
    config: EngineConfig | None = None,
    changes: Mapping[str, Any] | None = None,
    unadapted: bool = False,
    names: bool = False,
    parts: str | None = None,
    every: float = EVERY_SECONDS,
    tell: Tell | None = None,
    found: Callable[[int, Result], object] = lambda test, result: None,
) -> list[Result]:
    """Score the bundle at uri on every test; only counts come back to the driver.

    Args:
        changes: see `Settings.adapting`.
        unadapted: score the model as it was trained alone: results have no `adapted` then.
        names: results have the names of every sentence, those of the labels too. Not of a bundle that scores overlaps,
            for places of words.
        parts: a folder or s3:// prefix for what is scored, from which a later call goes on; whoever gave it deletes it
            (`jobs.scoring.parts.forget`) when the results are safe.
        every: seconds between lines of progress.
        tell: takes them; None: they are printed, or in a terminal there is a bar.
        found: called with a test's place and its result when all of it is scored.

    Raises:
        ScoringFailed: naming the tests that could not be scored, when all others are.
        ValueError: an actor cannot load the bundle, or `parts` holds what another evaluation scored.
    """
    where: dict[str, Any] = {"actors": actors, "gpu": gpu, "threads": threads}
    scoring = Scoring(uri=uri, config=config, changes=changes, unadapted=unadapted, names=names, parts=parts, **where)
    todo = cut([len(test.scored()) for test in tests], actors)
    before: dict[Part, dict[str, Any]] = {}
    if parts is not None:
        todo = planned(parts, scoring.facts(tests), todo)
        before = done(parts)
    tally = Tally(tests, todo, scoring.engines, found)
    for record in before.values():
        tally.add(record)
    left = [part for part in todo if part not in before]
    if left:
        total = sum(part.last - part.first for part in todo)
        pace = Pace("sentences", total, total - sum(part.last - part.first for part in left))
        if before:
            (tell or say)(f"{pace.before:,} sentences were scored before, {total - pace.before:,} are left")
        with shown(pace, tell, every=every) as watch, told(tell or say, watch) as board:
            for record in _scored(scoring, tests, left, board):
                tally.add(record)
    if tally.errors:
        raise ScoringFailed(tally.errors)
    return [tally.results[test] for test in range(len(tests))]


def _scored(
    scoring: Scoring, tests: Sequence[Test], left: Sequence[Part], board: ActorHandle
) -> Iterator[dict[str, Any]]:
    """Records of the parts, as they are done."""
    rows = ray.data.from_items([part.to_dict() for part in left], override_num_blocks=len(left))
    quiet()  # Ray Data sets up its log with the first dataset
    records = rows.map_batches(
        Scorer,
        fn_constructor_args=(scoring, [ray.put(list(tests))], board),
        batch_size=None,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=min(scoring.actors, len(left)), max_tasks_in_flight_per_actor=1),
        num_cpus=1,
        num_gpus=1 if scoring.gpu else 0,
    )
    records.set_name("metaner evaluate")  # in Ray's dashboard
    try:
        for row in records.iter_rows():
            yield json.loads(row["record"])
    except Exception:
        why: str | None = got(board.refused.remote())
        if why is not None:
            raise ValueError(why) from None
        raise


class Tally:
    """Gathers the records of parts into results of tests."""

    def __init__(
        self,
        tests: Sequence[Test],
        parts: Sequence[Part],
        engines: Sequence[str],
        found: Callable[[int, Result], object],
    ) -> None:
        self.tests, self.found = tests, found
        self.waiting = {test: [part for part in parts if part.test == test] for test in range(len(tests))}
        self.results: dict[int, Result] = {}
        self.errors: dict[str, str] = {}
        self._there: dict[Part, Result] = {}
        for test, waiting in self.waiting.items():
            if not waiting:  # no sentences
                zero = {"counts": dict.fromkeys(engines, Counts()), "seconds": dict.fromkeys(engines, 0.0)}
                self._close(test, Result(name=tests[test].name, sentences=0, **zero))  # type: ignore[arg-type]

    def add(self, record: Mapping[str, Any]) -> None:
        part = Part(record["test"], record["first"], record["last"])
        name = self.tests[part.test].name
        if "error" in record:
            self.errors.setdefault(name, record["error"])
            return
        self._there[part] = Result.from_dict(record["result"])
        if all(other in self._there for other in self.waiting[part.test]):
            self._close(part.test, joined(name, [self._there.pop(p) for p in self.waiting[part.test]]))

    def _close(self, test: int, result: Result) -> None:
        self.results[test] = result
        self.found(test, result)
