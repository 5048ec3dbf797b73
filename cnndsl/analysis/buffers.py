"""The buffers that a network's activations live in, and what keeps each of them alive.

A view (`flatten`, `split`, dropout in evaluation) needs no buffer of its own: it keeps
that of its input alive. With `inplace` an activation writes over its input, as
`nn.ReLU(inplace=True)` does. The network's inputs belong to the caller and count nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from cnndsl.graph import Network, Node
from cnndsl.ops.base import BYTES
from cnndsl.structure import blocks, nodes_of
from cnndsl.symbolic import strip


@dataclass(frozen=True, slots=True)
class Buffer:
    """What one node writes: the nodes that read it or a view of it."""

    node: str
    size: int
    readers: frozenset[str]
    kept: bool
    """It is an output of the network: nothing frees it."""


def buffers(network: Network, batch: int = 1, inplace: bool = False) -> dict[str, Buffer]:
    """The buffer that each node's output is in, by the node's name, views too."""
    roots: dict[str, str] = {}
    for node in network:
        operands = network.operands(node.name)
        shares = is_view(network, node) or (inplace and overwrites(network, node))
        roots[node.name] = roots[operands[0][0]] if shares else node.name
    readers: dict[str, set[str]] = {root: set() for root in roots.values()}
    for node in network:
        if roots[node.name] != node.name:
            readers[roots[node.name]].add(node.name)
        for producer, _ in network.operands(node.name):
            readers[roots[producer]].add(node.name)
    outputs = {roots[tensor.node] for tensor in network.outputs.values()}
    made = {
        root: Buffer(root, _size(network, root, batch), frozenset(found), root in outputs)
        for root, found in readers.items()
    }
    return {name: made[root] for name, root in roots.items()}


def is_view(network: Network, node: Node, *, training: bool = False) -> bool:
    """Whether a node's output lies in its input's memory."""
    inputs = strip(network.input_shapes(node.name))
    return bool(inputs) and node.op.plain().view(*inputs, training=training)


def overwrites(network: Network, node: Node) -> bool:
    """Whether an activation may write over its input: nothing else needs that value."""
    if not node.op.inplace:
        return False
    ((producer, _),) = network.operands(node.name)
    outside = {*network.inputs, *(tensor.node for tensor in network.outputs.values())}
    # Of a view, others may read what is behind it.
    own = producer not in outside and not is_view(network, network.node(producer))
    return own and len(network.wires.readers(producer)) == 1


def _size(network: Network, name: str, batch: int) -> int:
    if name in network.inputs:
        return 0
    elements = sum(math.prod(map(int, shape)) for shape in network.shapes[name])
    return BYTES * batch * elements * int(network.node(name).rows)


def held(network: Network) -> dict[str, str]:
    """For each node that is the input of blocks, the last node of the last of them.

    A function holds its arguments until it returns, so a block's input outlives its last
    reader.
    """
    position = {node.name: number for number, node in enumerate(network)}
    found: dict[str, str] = {}
    for block in blocks(network.structure):
        inside = list(nodes_of(block.body))
        if not inside:
            continue
        last = max(inside, key=position.__getitem__)
        for tensor in block.inputs.values():
            known = found.get(tensor.node)
            if known is None or position[last] > position[known]:
                found[tensor.node] = last
    return found
