"""What is in flight in a tagging run: who works on what, what ended a worker before, and the sums for progress.

One small Ray actor on the driver's node holds it. Workers tell it of every batch before they begin it, and wait for the
answer; so what was in flight when one dies is known, and a document that ends its worker again and again is found. A
run without readers has one worker at a shard, an actor; with readers three come one after another, and each passes the
shard on.
"""

import asyncio
import os
import signal
import time
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import ray
from ray.actor import ActorHandle
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from jobs.common.machines import here
from jobs.tagging.deaths import MOST_DEATHS, Care, Deaths
from jobs.tagging.metrics import Metrics
from metaner_core.text import schema

READ, TAG, WRITE = "being read", "being tagged", "being written"  # the stages of a shard, where it has several
ROOM_SECONDS = 0.1  # between two looks whether a reader may begin
Process: TypeAlias = ActorHandle | tuple[str, int] | None  # an actor, or the node and number of a task's process


@dataclass
class _Attempt:
    """One worker at one shard. worker: None once it has passed the shard on, which waits for another. stage: of
    several, if there are. batch: places of the documents in flight, from and to (exclusive)."""

    worker: str | None
    process: Process
    since: float
    stage: str = ""
    batch: tuple[int, int] | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    ahead: int = 0  # sentences tagged of the documents in flight


class Supervisor:
    """Times are of time.monotonic, in seconds. May itself die and begin anew: it then knows only what it is told."""

    def __init__(self) -> None:
        self.name = uuid.uuid4().hex
        self.running: dict[str, _Attempt] = {}
        self.finished = 0
        self.begun = False
        self.refusal: str | None = None
        self.loading = 0  # actors that load the bundle, or ended while they did
        self._actors = 0  # that there should be, at most
        self.counts = Counter[str]()
        self.deaths = Deaths()
        self.heard = time.monotonic()
        self._read, self._ahead = set[str](), set[str]()
        self._ended = False
        self._metrics = Metrics()

    def enter(self, actors: int) -> None:
        """An actor, of so many at most that there should be, is going to load the bundle. Raises RuntimeError when too
        many before it did not come to the end of that: Ray would start another for ever."""
        self.loading += 1
        self._actors = actors
        if (ended := self.loading - actors) >= MOST_DEATHS:
            self.refuse(
                f"{ended} actors ended while they loaded the bundle. If they ran out of memory, "
                "start the job again with fewer --actors for each machine, or on larger ones"
            )
            raise RuntimeError(self.refusal)

    def loaded(self) -> None:
        """One has loaded it: so it can be done, and those that ended before are forgotten, on machines that were lost
        as on others."""
        self.loading = max(0, min(self.loading, self._actors) - 1)

    def refuse(self, why: str) -> None:
        """An actor cannot load the bundle, by a fault of the user's."""
        self.refusal = why

    def beginning(self) -> tuple[bool, str | None]:
        """Whether any shard was begun, but for its being read, and why an actor did not come to be."""
        return self.begun, self.refusal

    async def room(self, shard: str, most: int) -> None:
        """Wait until a reader may begin the shard: fewer than `most` are ahead, begun by a reader and by no actor yet.

        One that was begun before is read again at once, for somebody waits for just that one. Asked with ray.get, which
        gives the waiting reader's CPU to others. Raises RuntimeError once the run was ended.
        """
        while shard not in self._read and len(self._ahead) >= most:
            self._require_going_on()
            await asyncio.sleep(ROOM_SECONDS)
        self._read.add(shard)
        self._ahead.add(shard)

    def start(self, shard: str, worker: str, process: Process = None, stage: str = "") -> Care:
        """A worker begins a shard. If another did not come to its end with it, that one died. process: the worker's.

        Raises RuntimeError when that happens for the last time that is borne, and once the run was ended.
        """
        self._require_going_on()
        before = self.running.get(shard)
        if before is not None and before.worker not in (None, worker):  # the same asks again if an answer got lost
            self._died(shard, before)
        passed = before is not None and before.worker is None
        counts = before.counts if passed and before is not None else {}
        self.running[shard] = _Attempt(worker, process, time.monotonic(), stage, counts=counts)
        self.begun |= stage != READ  # reading leaves nothing behind
        if stage == TAG:
            self._ahead.discard(shard)
        self.heard = time.monotonic()
        return self.deaths.care(shard)

    def pass_on(self, shard: str, counts: Mapping[str, int]) -> None:
        """A worker has come to the end of its stage with a shard, which waits for the next."""
        attempt = self._attempt(shard)
        self._count(attempt, counts)
        attempt.worker, attempt.process, attempt.batch, attempt.ahead = None, None, None, 0
        self.heard = time.monotonic()

    def begin(self, shard: str, first: int, last: int, counts: Mapping[str, int]) -> None:
        """Documents first to last (exclusive) come next. counts: of the shard so far."""
        attempt = self._attempt(shard)
        self._count(attempt, counts)
        attempt.batch, attempt.ahead = (first, last), 0
        self.heard = time.monotonic()

    def work(self, shard: str, sentences: int) -> None:
        """So many sentences of the documents in flight are tagged."""
        self._attempt(shard).ahead = sentences
        self.heard = time.monotonic()

    def write(self, shard: str, counts: Mapping[str, int]) -> None:
        """All documents are tagged; what is left is to write them."""
        attempt = self._attempt(shard)
        self._count(attempt, counts)
        attempt.batch, attempt.ahead = None, 0
        self.heard = time.monotonic()

    def finish(self, shard: str, counts: Mapping[str, int]) -> None:
        """The shard's record is written."""
        self._count(self._attempt(shard), counts)
        del self.running[shard]
        self._ahead.discard(shard)
        self.counts.update(counts)
        self.finished += 1
        self.heard = time.monotonic()
        self._metrics.shards.set(self.finished, tags={"state": "done"})
        self._metrics.shards.set(len(self.running), tags={"state": "in flight"})
        self.deaths.forget(shard)

    def state(self) -> dict[str, Any]:
        """Of the time since it began: shards finished and their counts, counts of those in flight, deaths of workers,
        and the seconds since anything was heard. ahead: of the sentences in flight, those whose documents do not count
        yet. begun: whether a batch is in flight, though none of its sentences may be tagged yet."""
        flying = Counter[str]()
        for attempt in self.running.values():
            flying.update(attempt.counts)
        ahead = sum(attempt.ahead for attempt in self.running.values())
        flying.update({"sentences": ahead} if ahead else {})
        silent = time.monotonic() - self.heard
        begun = any(attempt.batch is not None for attempt in self.running.values())
        counts = {"counts": dict(self.counts), "in_flight": dict(flying), "ahead": ahead, "begun": begun}
        return {"name": self.name, "shards": self.finished, **counts, "deaths": self.deaths.all, "silent": silent}

    def in_flight(self) -> list[str]:
        """A line for each shard that is worked on: shard, documents, worker, since when."""
        return [self._told(shard, attempt) for shard, attempt in sorted(self.running.items()) if attempt.worker]

    def end(self) -> list[str]:
        """End the workers that have something in flight, for good, and say what that is."""
        told = self.in_flight()
        self._ended = True  # or Ray would have others do over what the ended ones had
        for attempt in self.running.values():
            if isinstance(attempt.process, tuple):
                _end_process(*attempt.process)
            elif attempt.process is not None:
                ray.kill(attempt.process)
        return told

    def _require_going_on(self) -> None:
        if self._ended:
            raise RuntimeError("the run was ended")

    def _died(self, shard: str, attempt: _Attempt) -> None:
        self._metrics.deaths.inc()
        self.deaths.add(shard, attempt.batch, sum(self.counts[outcome] for outcome in schema.OUTCOMES))

    def _attempt(self, shard: str) -> _Attempt:
        attempt = self.running.setdefault(shard, _Attempt("an actor", None, time.monotonic()))
        self.begun |= attempt.stage != READ
        return attempt

    def _count(self, attempt: _Attempt, counts: Mapping[str, int]) -> None:
        for name, value in counts.items():
            self._metrics.add(name, value - attempt.counts.get(name, 0))
        attempt.counts = counts

    def _told(self, shard: str, attempt: _Attempt) -> str:
        batch = "" if attempt.batch is None else f", documents {attempt.batch[0]} to {attempt.batch[1] - 1} of it"
        stage = attempt.stage or ("" if attempt.batch else "being read or written")
        stage = stage and f", {stage}"
        return f"shard {shard}{batch}{stage}, on {attempt.worker}, for {time.monotonic() - attempt.since:.0f} s"


def _end_process(node: str, number: int) -> None:
    """Of a task. Ray can only cancel a task by what its caller holds, and that is Ray Data."""
    there = NodeAffinitySchedulingStrategy(node, soft=False)
    _kill.options(scheduling_strategy=there).remote(number, signal.SIGKILL)


@ray.remote(num_cpus=0, max_retries=0)
def _kill(number: int, by: int) -> None:
    os.kill(number, by)


def ask(answer: Any) -> Any:
    """Wait for what was asked of a supervisor."""
    return ray.get(answer)


def start_supervisor() -> ActorHandle:
    """A supervisor; if it dies it comes again."""
    options = {"num_cpus": 0, "scheduling_strategy": here(), "max_restarts": -1, "max_task_retries": -1}
    handle: ActorHandle = ray.remote(Supervisor).options(**options).remote()  # type: ignore[assignment, union-attr]
    return handle
