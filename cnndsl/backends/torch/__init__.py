"""PyTorch source that reads as written by hand.  Nothing here imports torch."""

from __future__ import annotations

from cnndsl.backends.torch.optimize import Optimized
from cnndsl.backends.torch.source import Source
from cnndsl.graph import Network


def source(network: Network, *, optimize: bool = False) -> str:
    """The network as one Python file.  Raises ArchError: PyTorch cannot say a layer.

    With `optimize` for inference: batch norm in the convolutions, channels last.
    """
    return (Optimized if optimize else Source)(network).text()


__all__ = ["source"]
