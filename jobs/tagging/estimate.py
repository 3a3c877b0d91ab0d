"""What a big run would take, from documents drawn at random and tagged: nothing is written.

Few documents that follow one another are drawn together, from at least PLACES places, so that one site of a crawl does
not stand for all of it. Of an input of many files, FILES drawn at random are looked through; how many documents there
are then goes by the files' sizes.
"""

import itertools
import random
import time
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import ray

from jobs.common.imports import gc_paused
from jobs.common.options import fewest, greatest
from jobs.common.session import got
from jobs.tagging.job import Job, as_its_bundle, with_lines
from jobs.tagging.stages.pipeline import with_readers
from jobs.tagging.write import parquet_bytes
from metaner_core.bundles import manifest as manifests
from metaner_core.command import say
from metaner_core.reading.files import Cutter, Stretch, documents, read
from metaner_core.reading.source import Input, find
from metaner_core.report.estimate import Estimate, Sampled, estimate
from metaner_core.report.units import duration
from metaner_core.tagging.stages.rows import row
from metaner_core.text import schema

FILES = 64
PLACES = 20
SEED = 0


def estimate_run(job: Job, *, documents: int, price: float | None = None) -> Estimate:
    """Tag so many documents on one actor of the connected Ray. price: of one actor for an hour.

    Where the number of actors may grow, it is that of the most for all of the time; what the least would take is said.
    """
    require_enough(documents)
    model = manifests.read(job.bundle)
    manifests.require_usable(job.bundle, model)
    job = as_its_bundle(job, model)
    found = find(job.source)
    for note in found.notes:
        say(note)
    job = with_readers(with_lines(job, found))
    chosen = random.Random(SEED).sample(range(len(found.files)), min(FILES, len(found.files)))
    together = max(1, min(job.batch_size, documents // PLACES))
    looked = got([_look.remote(found, file, together, documents // together + 1) for file in chosen])
    some = sum(n for n, _, _ in looked)
    if not some:
        raise ValueError(f"{job.source.uri}: no document in {len(chosen)} of its files; give an input that has some")
    share = sum(found.sizes[file] for file in chosen) / max(1, sum(found.sizes))
    total = some if len(chosen) == len(found.files) else round(some / share)
    places = _draw([rows for _, _, rows in looked], [n for n, _, _ in looked], documents // together)
    say(f"{'about ' if total != some else ''}{total:,} documents; tagging some from {len(places)} places")
    options = {"num_cpus": 1, "num_gpus": 1 if job.gpu else 0}
    actor: Any = ray.remote(Sampler).options(**options).remote(job, found)  # type: ignore[union-attr]
    sample, startup = got(actor.tag.remote(places))
    wanted = min(total, job.limit or total)
    text = round(sum(size for _, size, _ in looked) / some * wanted)
    run: dict[str, Any] = {"documents": wanted, "text_bytes": text, "shards": 1 + text // job.shard_bytes}
    run |= {"price": price, "startup_seconds": startup}
    if (least := fewest(job.actors)) < greatest(job.actors):
        hours = estimate(sample, actors=least, **run).hours.expected
        say(f"on {least} actor(s), if no more find room: {duration(3600 * hours)}; on all of them:")
    return estimate(sample, actors=greatest(job.actors), **run)


def require_enough(documents: int) -> None:
    """Raises ValueError for a sample that says nothing."""
    if documents < PLACES:
        raise ValueError(
            f"an estimate of {documents} documents says nothing: draw {PLACES} or more (--estimate {PLACES})"
        )


@ray.remote(num_cpus=1, max_retries=3)
def _look(found: Input, file: int, together: int, most: int) -> tuple[int, int, list[list[int]]]:
    return look(found, file, together, most)


def look(found: Input, file: int, together: int, most: int) -> tuple[int, int, list[list[int]]]:
    """Of a file: documents, bytes of text, and up to `most` stretches of `together` documents drawn at random."""
    cutter = Cutter(file, 2**62, most=together)
    for place, document in documents(found, file):
        cutter.add(place, document)
    stretches = cutter.close()
    drawn = random.Random(SEED + file).sample(stretches, min(most, len(stretches)))
    return sum(s.documents for s in stretches), sum(s.size for s in stretches), [s.to_row() for s in drawn]


def _draw(by_file: Sequence[list[list[int]]], weights: Sequence[int], most: int) -> list[Stretch]:
    """Stretches, each file's as often as it has documents."""
    chance, left = random.Random(SEED), [list(rows) for rows in by_file]
    drawn: list[Stretch] = []
    while len(drawn) < most and any(left):
        open_ = [n for n, rows in enumerate(left) if rows]
        file = chance.choices(open_, [weights[n] for n in open_])[0]
        drawn.append(Stretch.from_row(left[file].pop()))
    return drawn


class Sampler:
    """An actor that tags as a run's would, reading and making rows itself."""

    def __init__(self, job: Job, found: Input) -> None:
        self.job, self.found = job, found

    def load(self) -> None:
        """By itself, for of an error in a constructor Ray keeps the text only."""
        started = time.monotonic()
        with gc_paused():
            from jobs.tagging import model
            from jobs.tagging.stages import late

        self.late = late
        self.bundle = model.load(self.job)
        self.startup = time.monotonic() - started

    def tag(self, places: Sequence[Stretch]) -> tuple[list[Sampled], float]:
        """What was drawn and what it took, and the seconds that an actor needs before its first document."""
        self.load()
        self._tag(places[0])  # the first time is slow
        found = [self._tag(place) for place in places]
        tables = [table for table, _ in found]
        whole = len(parquet_bytes(pa.concat_tables(tables)))
        total = sum(table.nbytes for table in tables)
        sample = [Sampled(bytes=round(whole * table.nbytes / max(1, total)), **facts) for table, facts in found]
        return sample, self.startup

    def _tag(self, place: Stretch) -> tuple[pa.Table, dict[str, Any]]:
        clock = [time.monotonic()]
        some = list(read(self.found, place))
        made = self.late.make(self.bundle.inputs, some, self.job.rules)
        clock.append(time.monotonic())
        labels = self.late.predict(self.bundle, made.inputs, adapted=self.job.adapted, keep=self.job.keep)
        clock.append(time.monotonic())
        rows = list(map(row, made.documents, labels))
        table, _ = schema.tables(rows, self.job.keep)
        clock.append(time.monotonic())
        sentences = sum(len(row["sentences"]) for row in rows if row["outcome"] == schema.TAGGED)
        facts = {"documents": len(some), "sentences": sentences, "seconds": seconds(self.job, clock)}
        return table, {**facts, "text_bytes": place.size}


def seconds(job: Job, clock: Sequence[float]) -> float:
    """That an actor takes for a place. clock: times at which reading it began, tagging it, making rows, and the end.

    With readers text is made ready, and rows are made, while the actor tags: what takes longer counts. How many CPUs
    share that is known; that the writers' are among them is taken for granted.
    """
    reading, tagging, writing = (after - before for before, after in itertools.pairwise(clock))
    if not job.readers:
        return reading + tagging + writing
    return max(tagging, (reading + writing) * greatest(job.actors) / job.readers)
