"""How much of a GPU's memory the engine lays out its work for."""

import torch

NUMBER = 4  # bytes, in fp32


def numbers(device: torch.device | str, share: int) -> int:
    """How many numbers in fp32 have room in so small a part (one in `share`) of a GPU's memory, whoever else is on it.

    Raises RuntimeError if there is no such GPU.
    """
    return int(torch.cuda.get_device_properties(device).total_memory) // (share * NUMBER)
