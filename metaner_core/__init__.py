"""The method: minimal-resource cross-lingual NER by meta-learning (Wu et al., AAAI 2020). Imports no Ray.

For programs: `load` a bundle, then `tag` texts with it; docs/guides/python.md shows how.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # else every import of a part of the package would bring torch along
    import os

    import torch

    from metaner_core.tagging.api import BundleTagger

__all__ = ["__version__", "load"]

__version__ = "0.2.0"


def load(
    uri: str | os.PathLike[str],
    *,
    device: torch.device | str = "cpu",
    precision: str = "fp32",
    engine: str = "batched",
) -> BundleTagger:
    """A bundle, read and verified, ready to tag.

    uri: its folder or s3:// prefix. device: `cpu`, `cuda` or `cuda:1`. precision, engine: as in
    metaner_core.engine.config. Raises FileNotFoundError or ValueError: there is no bundle or it is not whole, the
    device is not there, or the engine cannot do what is asked of it.
    """
    from metaner_core.tagging import api

    return api.load(uri, device=device, precision=precision, engine=engine)
