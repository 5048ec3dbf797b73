"""A network as an ONNX model.  ONNX itself is imported when one is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from cnndsl.analysis.weights import checked_weights
from cnndsl.backends.onnx.tracing import traced
from cnndsl.diagnostics import ArchError, Diagnostic
from cnndsl.graph import Network
from cnndsl.ops.facts import Array

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["model"]

LIMIT = 2**31 - 2**24
"""Bytes of weights in one file: protobuf's 2 GiB, less some for the graph."""


def model(
    network: Network, weights: Mapping[str, Array], *, functions: bool = False
) -> ModelProto:
    """The network with its weights, in float32; with `functions` each block is one.

    Raises ImportError: onnx is not installed. ArchError (E603): weights of another network.
    E608: a layer has no form in ONNX. E609: the weights are more than one file holds.
    """
    checked = checked_weights(network, weights)
    size = 4 * sum(array.size for array in checked.values())
    if size > LIMIT:
        message = f"the weights take {size / 2**30:.1f} GiB, but an ONNX file holds at most 2"
        raise ArchError([Diagnostic("E609", message, network.structure.definition.span)])
    from cnndsl.backends.onnx.protos import proto

    return proto(traced(network), checked, functions=functions)
