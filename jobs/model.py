"""The model in an actor of a tagging run. To be imported late: with it come torch and transformers, some seconds."""

import torch

from jobs.device import device
from jobs.tag_job import Job
from metaner_core import bundle
from metaner_core.bundle import Bundle
from metaner_core.how import How
from metaner_core.tagging import tag_documents

__all__ = ["load", "tag_documents"]


def load(job: Job) -> Bundle:
    """The job's bundle, as it is to be used, where it is to be used."""
    if not job.gpu:
        torch.set_num_threads(job.threads)
    return bundle.load(job.bundle, device=device(job.gpu), how=How(job.engine, job.precision))
