"""The model in an actor of a tagging run. To be imported late: with it come torch and transformers, some seconds."""

import torch

from jobs.common.device import device
from jobs.tagging.job import Job
from metaner_core.bundles import bundle
from metaner_core.bundles.bundle import Bundle
from metaner_core.engine.config import EngineConfig
from metaner_core.tagging.pipeline import tag_documents

__all__ = ["load", "tag_documents"]


def load(job: Job) -> Bundle:
    """The job's bundle, as it is to be used, where it is to be used."""
    if not job.gpu:
        torch.set_num_threads(job.threads)
    return bundle.load(job.bundle, device=device(job.gpu), config=EngineConfig(job.engine, job.precision))
