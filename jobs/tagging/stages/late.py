"""What readers and actors need of the core. To be imported late: with it come torch and transformers, some seconds."""

import functools

from jobs.tagging.job import Job
from metaner_core import storage
from metaner_core.bundles.inputs import load_inputs
from metaner_core.model.inputs import Inputs
from metaner_core.tagging.stages.making import make
from metaner_core.tagging.stages.predicting import predict

__all__ = ["inputs", "make", "predict"]


def inputs(job: Job) -> Inputs:
    """Of the job's bundle; those of the last bundle are kept, for a process reads shard after shard."""
    return _inputs(job.bundle, storage.read_bytes(storage.join(job.bundle, storage.MANIFEST)))


@functools.lru_cache(maxsize=1)
def _inputs(uri: str, manifest: bytes) -> Inputs:
    return load_inputs(uri)
