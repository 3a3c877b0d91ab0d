"""What the stages need of the core. To be imported late: with it come torch and transformers, some seconds."""

import functools

from jobs.tagging.job import Job
from metaner_core import storage
from metaner_core.bundles.inputs import load_inputs
from metaner_core.model.inputs import Inputs
from metaner_core.tagging.stages import passing
from metaner_core.tagging.stages.making import Made, make
from metaner_core.tagging.stages.predicting import predict
from metaner_core.tagging.stages.rows import row
from metaner_core.text.screening import Ready, rejected

__all__ = ["Made", "Ready", "inputs", "make", "passing", "predict", "rejected", "row"]


def inputs(job: Job) -> Inputs:
    """Of the job's bundle; those of the last bundle are kept, for a process reads shard after shard."""
    return _inputs(job.bundle, storage.read_bytes(storage.join(job.bundle, storage.MANIFEST)))


@functools.lru_cache(maxsize=1)
def _inputs(uri: str, manifest: bytes) -> Inputs:
    return load_inputs(uri)
