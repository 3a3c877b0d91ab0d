"""Streams of random numbers: each is of its own purpose, and starts from what it is for, never from who asks."""

import numpy as np

from metaner_core.model.encoding import Encoded
from metaner_core.settings import Settings

ORDER, MASK, DROPOUT, ADAPTATION = 1, 2, 3, 4  # streams that must not be the same one


def adaptation_seed(sentence: Encoded, settings: Settings) -> int:
    """Seed of torch's generator for adapting to one sentence: the same wherever and whenever it is tagged."""
    return int(np.random.default_rng([settings.seed, ADAPTATION, *sentence.ids]).integers(2**62))
