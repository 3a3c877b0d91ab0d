"""The model in an actor of a tagging run. To be imported late: with it come torch and transformers, some seconds."""

from collections.abc import Callable

import torch
from ray.actor import ActorHandle

from jobs.common.device import device
from jobs.common.options import greatest
from jobs.common.session import refusing
from jobs.tagging.job import Job
from jobs.tagging.supervisor import ask
from metaner_core.bundles import bundle
from metaner_core.bundles.bundle import Bundle
from metaner_core.engine.config import EngineConfig
from metaner_core.method.adapt import silent
from metaner_core.tagging.pipeline import iter_documents

__all__ = ["iter_documents", "load", "load_watched"]


def load(job: Job, tell: Callable[[int], object] = silent) -> Bundle:
    """The job's bundle, as it is to be used, where it is to be used. tell: of progress, as engines do."""
    if not job.gpu:
        torch.set_num_threads(job.threads)
    config = EngineConfig(job.engine, job.precision)
    return bundle.load(job.bundle, device=device(job.gpu), config=config, changes=job.adapting, tell=tell)


def load_watched(job: Job, supervisor: ActorHandle, tell: Callable[[int], object]) -> Bundle:
    """`load`, with its engine, by an actor of a run: the supervisor hears of it, and why if that cannot be."""
    ask(supervisor.enter.remote(greatest(job.actors)))
    with refusing(lambda why: ask(supervisor.refuse.remote(why))):
        loaded = load(job, tell)
        _ = loaded.engine  # made now: it may refuse the precision
    ask(supervisor.loaded.remote())
    return loaded
