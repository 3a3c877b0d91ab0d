"""Where a worker or actor computes. By itself, so that processes without a model need not import torch."""

import torch


def device(gpu: bool) -> torch.device:
    """Raises ValueError when it was promised a GPU and there is none."""
    if gpu and not torch.cuda.is_available():
        raise ValueError("--gpu was asked for, but torch sees no CUDA device on this machine")
    return torch.device("cuda" if gpu else "cpu")
