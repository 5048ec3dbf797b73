"""PyTorch source that reads as written by hand.  Nothing here imports torch."""

from __future__ import annotations

from cnndsl.backends.torch.writing import Written, written
from cnndsl.graph import Network


def write(network: Network, *, optimize: bool = False) -> Written:
    """The network as one Python file, proved.  Raises ArchError: it could not be.

    With `optimize` for inference: batch norm in the convolutions, channels last.
    """
    if optimize:
        from cnndsl.backends.torch.optimize import optimized

        return optimized(network)
    return written(network)


def source(network: Network, *, optimize: bool = False) -> str:
    """The text of the file.  Raises ArchError: it could not be proved."""
    return write(network, optimize=optimize).text


__all__ = ["Written", "source", "write"]
