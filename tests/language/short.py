"""Short ways to write a network, and to ask what became of it."""

from __future__ import annotations

import math

import pytest

from cnndsl.diagnostics import ArchError, Diagnostic
from cnndsl.graph import Network, key_of
from cnndsl.network import loads


def model(body: str, ports: str = "image[3, H=8, W=8] -> y", above: str = "") -> str:
    """The text of a model with these lines."""
    return f"{above}\nmodel M: {ports} {{\n{body}\n}}\n"


def net(body: str, ports: str = "image[3, H=8, W=8] -> y", above: str = "") -> Network:
    """The network of a model with these lines."""
    return loads(model(body, ports, above))


def names(network: Network) -> list[str]:
    """The nodes' names, the inputs' left out."""
    return [node.name for node in network if node.op.name != "input"]


def ops(network: Network) -> list[str]:
    """The operations, in order, the inputs left out."""
    return [node.op.name for node in network if node.op.name != "input"]


def keys(network: Network) -> list[str]:
    """The names of the weights, as a `state_dict` has them."""
    return [
        f"{key_of(node.path)}.{weight}"
        for node in network
        if not node.shared
        for weight in node.op.weights(*network.input_shapes(node.name))
    ]


def parameters(network: Network) -> int:
    """The number of trained weights."""
    return sum(
        math.prod(weight.shape)
        for node in network
        if not node.shared
        for weight in node.op.weights(*network.input_shapes(node.name)).values()
        if weight.trainable
    )


def shape(network: Network, name: str = "y") -> tuple[int, ...]:
    """The shape of an output, or of a node's first."""
    if name in network.outputs:
        return network.outputs[name].shape
    return network.shapes[name][0]


def attribute(network: Network, node: str, name: str) -> object:
    """An attribute of a node's operation."""
    return getattr(network.node(node).op, name)


def faults(text: str) -> tuple[Diagnostic, ...]:
    """What the author of a faulty text is told."""
    with pytest.raises(ArchError) as caught:
        loads(text)
    return caught.value.diagnostics


def fault(body: str, ports: str = "image[3, H=8, W=8] -> y", above: str = "") -> Diagnostic:
    """The one fault of a model with these lines."""
    (found,) = faults(model(body, ports, above))
    return found
