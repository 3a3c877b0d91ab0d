"""Follow a tagging run from the driver: a line every so often or a bar in a terminal; a run that stalls is ended."""

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ray.actor import ActorHandle
from rich.progress import BarColumn, Progress, TextColumn

from jobs.common.machines import Machines
from jobs.tagging.supervisor import ask
from metaner_core.command import Ended, say
from metaner_core.text import schema

POLL_SECONDS = 1.0
SILENT_SECONDS = 30.0  # then it is told what is waited for: storage, most often, which is tried again for longer
END_SECONDS = 20.0  # for the pipeline to notice that its actors are gone


class Stalled(Ended):
    """Nothing was heard of any actor for too long."""


@dataclass(frozen=True)
class Extent:
    """Of a run: all documents, and those that were done before it began."""

    documents: int
    before: int
    shards: int


def follow(
    pipeline: Callable[[], None], supervisor: ActorHandle, extent: Extent, *, every: float, stall: float
) -> None:
    """Run the pipeline and tell how far it is. every, stall: seconds.

    Raises what it raises; Stalled, naming what was in flight, when nothing is heard of it for `stall` seconds.
    """
    errors: list[BaseException] = []

    def work() -> None:
        try:
            pipeline()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    started = time.monotonic()
    story, machines, silence = Story(), Machines(), Silence(supervisor)
    with _teller(every) as tell:
        while thread.is_alive():
            thread.join(POLL_SECONDS)
            for change in machines.changes():
                say(change)
            state = story.told(ask(supervisor.state.remote()))
            started = started if state["counts"] or state["begun"] else time.monotonic()  # not of starting actors
            tell(state, extent, time.monotonic() - started)
            silence.look(state["silent"])
            if state["silent"] > stall and thread.is_alive():
                told = ask(supervisor.end.remote())
                thread.join(END_SECONDS)
                raise Stalled(_stalled(told, state, stall, extent))
    if errors:
        raise errors[0]


class Silence:
    """Says what is waited for when nothing is heard for a while; once, until something is heard again."""

    def __init__(self, supervisor: ActorHandle) -> None:
        self._supervisor, self._said = supervisor, False

    def look(self, seconds: float) -> None:
        """seconds: since anything was heard."""
        if seconds < SILENT_SECONDS:
            self._said = False
        elif not self._said and (waiting := ask(self._supervisor.in_flight.remote())):
            self._said = True
            say(f"nothing heard for {seconds:.0f} s; waiting for\n  " + "\n  ".join(waiting))


class Story:
    """What supervisors told, one after another: one that died is followed by one that begins at nothing."""

    def __init__(self) -> None:
        self._last: dict[str, Any] = {"name": None, "shards": 0, "counts": {}, "deaths": 0}
        self._before: dict[str, Any] = {"shards": 0, "counts": Counter(), "deaths": 0}

    def told(self, state: dict[str, Any]) -> dict[str, Any]:
        """The state with what was told before it, and with what is in flight in the counts."""
        if state["name"] != self._last["name"]:
            self._before = self._sum(self._before, self._last)
        self._last = state
        total = self._sum(self._before, state)
        counts = total["counts"] + Counter(state["in_flight"])
        return {**total, "counts": counts, **{key: state[key] for key in ("ahead", "begun", "silent")}}

    @staticmethod
    def _sum(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
        counts = Counter(a["counts"]) + Counter(b["counts"])
        return {"shards": a["shards"] + b["shards"], "counts": counts, "deaths": a["deaths"] + b["deaths"]}


def _stalled(told: list[str], state: Mapping[str, Any], stall: float, extent: Extent) -> str:
    where = "\n  ".join(told) if told else "no actor has begun a shard: does the cluster have room for them?"
    return (
        f"no progress for {stall / 60:g} minutes, {state['shards']:,} of {extent.shards:,} shards done; in flight:\n"
        f"  {where}\nThe same command goes on from here; --stall-minutes sets how long to wait"
    )


def line(state: Mapping[str, Any], extent: Extent, seconds: float) -> str:
    """How far a run is: documents, pace, outcomes, sharing, time left. seconds: of tagging, in this call."""
    counts = state["counts"]
    if not counts:
        return "at the first documents" if state["begun"] else "starting actors"
    now = sum(counts.get(outcome, 0) for outcome in schema.OUTCOMES)
    done = extent.before + now
    outcomes = ", ".join(f"{counts[o]:,} {o}" for o in schema.OUTCOMES if counts.get(o))
    parts = [f"{done:,}/{extent.documents:,} documents ({100 * done / max(extent.documents, 1):.0f}%)", outcomes]
    parts.append(f"{counts.get('sentences', 0) / max(seconds, 1e-9):.1f} sentences/s")
    if counts.get("adapted"):
        parts.append(f"{counts['support_sets'] / counts['adapted']:.2f} support sets a sentence")
    if state["deaths"]:
        parts.append(f"{state['deaths']} workers lost")
    if now:
        tagged = now + _documents_ahead(state, now)  # a batch's documents count when all of it is done
        left = max(0.0, extent.documents - extent.before - tagged)
        parts.append(f"{duration(seconds * left / tagged)} left")
    return "; ".join(filter(None, parts))


def _documents_ahead(state: Mapping[str, Any], now: int) -> float:
    """How many documents the sentences are that are tagged while theirs do not count yet, by those that do."""
    counted = state["counts"].get("sentences", 0) - state["ahead"]
    return state["ahead"] * now / counted if counted else 0.0


def duration(seconds: float) -> str:
    """As one says it: 50 s, 12 min, 3 h 20 min, 4 d 3 h."""
    minutes, hours = round(seconds / 60), seconds / 3600
    if seconds < 90:
        return f"{seconds:.0f} s"
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min" if hours < 48 else f"{hours // 24:.0f} d {hours % 24:.0f} h"


@contextmanager
def _teller(every: float) -> Iterator[Callable[[Mapping[str, Any], Extent, float], None]]:
    """What tells of a state: a bar in a terminal, else a line every so many seconds."""
    if sys.stdout.isatty():
        with Progress(BarColumn(), TextColumn("{task.description}")) as bar:
            task = bar.add_task("starting actors")
            yield lambda state, extent, seconds: bar.update(
                task,
                description=line(state, extent, seconds),
                total=extent.documents,
                completed=extent.before + sum(state["counts"].get(outcome, 0) for outcome in schema.OUTCOMES),
            )
        return
    said = time.monotonic()

    def tell(state: Mapping[str, Any], extent: Extent, seconds: float) -> None:
        nonlocal said
        if time.monotonic() - said >= every:
            said = time.monotonic()
            say(line(state, extent, seconds))

    yield tell
