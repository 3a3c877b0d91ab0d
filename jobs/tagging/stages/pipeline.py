"""A tagging run as a Ray Data pipeline: of actors alone, or of readers, actors and writers.

How far readers get ahead of the actors is bounded: `Job.ahead` shards are begun by a reader and by no actor yet. A
supervisor sees to it, for Ray Data's own bounds are the object store's size, and so another on every machine.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import ray
from ray.actor import ActorHandle

from jobs.common.options import Many, fewest, greatest
from jobs.common.session import quiet
from jobs.planning.shards import Shard
from jobs.tagging.actor import TagActor, Tagging
from jobs.tagging.job import Job
from jobs.tagging.stages.predictor import Predicting, Predictor
from jobs.tagging.stages.reader import Making, read_shards
from jobs.tagging.stages.writer import write_shards
from metaner_core import storage
from metaner_core.reading.source import Input

SPARE = 2  # logical CPUs: looking through the input and Ray Data itself want some
RETRIES = 3  # of a shard in the same process, after storage had failed for all the time that storage.py tries
ALL_BUSY, NEVER = 1.0, -1.0  # shares of a pool's actors that have a shard
READERS_OF_A_WRITER = 4  # a sentence costs a reader ten times what it costs a writer, whose disk may be slow


@dataclasses.dataclass(frozen=True)
class Instead:
    """What is run in place of the core's functions, for tests. tag: in an actor that does all by itself. make: in a
    reader. predict: in the actor after it."""

    tag: Tagging | None = None
    make: Making | None = None
    predict: Predicting | None = None


def with_readers(job: Job) -> Job:
    """The job with a number of readers, for the Ray that is connected. See `Job.readers`."""
    if job.readers is not None:
        return job
    have = ray.cluster_resources()
    actors = max(fewest(job.actors), min(greatest(job.actors), int(have.get("GPU", 0))))  # that there can be at once
    fit = int(have.get("CPU", 0)) - actors - SPARE
    return dataclasses.replace(job, readers=max(0, fit) if job.gpu else 0)


def dataset(
    job: Job, found: Input, shards: Sequence[Shard], supervisor: ActorHandle, instead: Instead
) -> ray.data.Dataset:
    """The run of these shards; what it yields are their names."""
    context = ray.data.DataContext.get_current()
    context.retried_map_errors, context.max_map_retries = list(storage.TRANSIENT), RETRIES
    # An actor has one shard at a time: by Ray's own bound, of more than one, a pool would never grow. Nor does it
    # shrink, for one that waits for readers would have to load the model again.
    growing: dict[str, Any] = {
        "actor_pool_util_upscaling_threshold": ALL_BUSY,
        "actor_pool_util_downscaling_threshold": NEVER,
    }
    context.autoscaling_config = dataclasses.replace(context.autoscaling_config, **growing)
    rows = ray.data.from_items([{"shard": shard.to_json()} for shard in shards], override_num_blocks=len(shards))
    quiet()  # Ray Data sets up its log with the first dataset
    whole: dict[str, Any] = {"batch_size": None, "batch_format": "pyarrow"}
    actor = {**whole, "compute": _pool(job.actors, shards), "num_cpus": 1, "num_gpus": 1 if job.gpu else 0}
    if not job.readers:
        return rows.map_batches(TagActor, fn_constructor_args=(job, found, supervisor, instead.tag), **actor)
    reader = {**whole, **_tasks(job.readers, shards), "num_cpus": 1}
    # No CPU of its own: what has been tagged must be written even if readers have all there are.
    writer = {**whole, **_tasks(-(-job.readers // READERS_OF_A_WRITER), shards), "num_cpus": 0}
    read = rows.map_batches(read_shards, fn_args=(job, found, supervisor, instead.make), **reader)  # type: ignore[arg-type]
    tagged = read.map_batches(Predictor, fn_constructor_args=(job, supervisor, instead.predict), **actor)
    return tagged.map_batches(write_shards, fn_args=(job, supervisor), **writer)  # type: ignore[arg-type]


def _pool(actors: Many, shards: Sequence[Shard]) -> ray.data.ActorPoolStrategy:
    """So many, as there are shards for. An actor gets its next shard when it has done the one before, so that no shard
    waits while others are idle."""
    least, largest = (min(n, len(shards)) for n in (fewest(actors), greatest(actors)))
    return ray.data.ActorPoolStrategy(min_size=least, max_size=largest, max_tasks_in_flight_per_actor=1)


def _tasks(most: int, shards: Sequence[Shard]) -> dict[str, Any]:
    """So many at once, as there are shards for. How often one is begun again is for the supervisor to say."""
    return {"compute": ray.data.TaskPoolStrategy(size=min(most, len(shards))), "max_retries": -1}
