"""PyTorch source that reads as written by hand.  Nothing here imports torch."""

from __future__ import annotations

from cnndsl.backends.torch.source import Source
from cnndsl.graph import Network


def source(network: Network) -> str:
    """The network as one Python file.  Raises ArchError: PyTorch cannot say a layer."""
    return Source(network).text()


__all__ = ["source"]
