"""The second stage of a shard, an actor that holds the model and does nothing else."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa
from ray.actor import ActorHandle

from jobs.common.imports import gc_paused
from jobs.planning.shards import Shard, record_uri
from jobs.tagging.job import Job
from jobs.tagging.process import Clock, Teller, give_back_memory, here
from jobs.tagging.stages import packed
from jobs.tagging.stages.packed import Packed
from jobs.tagging.supervisor import TAG, ask
from jobs.tagging.taking import ENDED_WORKERS, taken
from metaner_core import storage
from metaner_core.tagging.stages import passing
from metaner_core.text import schema

Predicting = Callable[..., Any]  # as metaner_core.tagging.stages.predicting.predict


class Predictor:
    """predict: what finds labels; None: `predict`."""

    def __init__(self, job: Job, supervisor: ActorHandle, predict: Predicting | None) -> None:
        with gc_paused():
            from jobs.tagging import model
            from jobs.tagging.stages import late

        self.tell = Teller(supervisor)
        self.bundle = model.load_watched(job, supervisor, self.tell)
        self.predict = predict or late.predict
        self.job, self.supervisor = job, supervisor
        self.worker, self.actor = here()
        self._ended: float | None = None  # when the shard before was done

    def __call__(self, rows: pa.Table) -> pa.Table:
        return pa.concat_tables(self.do(*one) for one in packed.unpacked(rows))

    def do(self, shard: Shard, facts: dict[str, Any], contents: dict[str, pa.Buffer | None]) -> pa.Table:
        """Tag a shard that a reader made ready, and pass it on."""
        clock, waited = Clock(), 0.0 if self._ended is None else time.monotonic() - self._ended
        care = ask(self.supervisor.start.remote(shard.name, self.worker, self.actor, TAG))
        before, counts = Counter(self.bundle.engine.work()), Counter[str]()
        passed = Packed(shard)
        if contents["inputs"] is not None and not storage.exists(record_uri(self.job.output, shard)):
            inputs = packed.table(contents["inputs"])
            for found in self._found(shard, inputs, care, counts):
                passed.add("found", passing.found_table(found))
        engine = {name: n - before[name] for name, n in self.bundle.engine.work().items()}
        ask(self.supervisor.pass_on.remote(shard.name, counts))
        told = {**clock.facts(), "worker": self.worker, "engine": engine, "waited": round(waited, 3)}
        give_back_memory()
        self._ended = time.monotonic()
        return passed.row({**facts, "actor": told, "counts": counts}, texts=contents["texts"])

    def _found(self, shard: Shard, inputs: pa.Table, care: Any, counts: Counter[str]) -> Iterator[Sequence[Any]]:
        """What is found in each batch of documents; counts grow with it."""
        outcomes, sizes = (inputs[name].to_pylist() for name in ("outcome", "characters"))
        before = Counter(self.bundle.engine.work())

        def begin(first: int, last: int) -> None:
            ask(self.supervisor.begin.remote(shard.name, first, last, dict(counts)))
            self.tell.begin(shard.name)

        places = iter(range(inputs.num_rows))
        for at, batch in taken(places, shard, care, self.job.batch_size, sizes.__getitem__, begin):
            found: Sequence[Any]
            if at in care.rejected:
                found = [ENDED_WORKERS if outcomes[at] == schema.TAGGED else []]
            else:
                sentences = passing.sentences(inputs.slice(at, len(batch)), self.bundle.encode)
                found = self.predict(self.bundle, sentences, adapted=self.job.adapted, keep=self.job.keep)
            for place, its in zip(batch, found, strict=True):
                counts[schema.REJECTED if isinstance(its, str) else outcomes[place]] += 1
                many = 0 if isinstance(its, str) else len(its)
                counts.update({"sentences": many, "adapted": many if self.job.adapted else 0})
            counts["support_sets"] = self.bundle.engine.work().get("sets", 0) - before["sets"]
            yield found
