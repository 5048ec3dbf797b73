"""The buffers that a network's activations live in, and what keeps each of them alive.

A view (`flatten`, `split`, dropout in evaluation) needs no buffer of its own: it keeps
that of its input alive. Whether a step gives a view depends on how its input lies. With
`inplace` an activation writes over its input, as `nn.ReLU(inplace=True)` does. The
network's inputs belong to the caller and count nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from cnndsl.graph import Network, Node
from cnndsl.ops.facts import BYTES
from cnndsl.ops.strides import Laid, fresh
from cnndsl.structure import blocks, nodes_of
from cnndsl.symbolic import strip

Key = tuple[str, int]
"""A tensor: a node and the number of its output."""


@dataclass(frozen=True, slots=True)
class Buffer:
    """What one node writes: the nodes that read it or a view of it."""

    node: str
    size: int
    readers: frozenset[str]
    kept: bool
    """It is an output of the network: nothing frees it."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How each tensor lies, and which nodes write no memory of their own."""

    at: dict[Key, Laid]
    views: set[str]
    over: set[str]
    """Activations that write over their input."""

    def shares(self, name: str) -> bool:
        """Whether a node's outputs lie in the memory of its first input."""
        return name in self.views or name in self.over


def layout(
    network: Network, batch: int = 1, *, training: bool = False, inplace: bool = False
) -> Layout:
    """The tensors of a batch in memory; with `inplace` activations write over their inputs."""
    found = Layout({}, set(), set())
    for node in network:
        name, shapes = node.name, network.shapes[node.name]
        if name in network.inputs:
            found.at[name, 0] = replace(fresh((batch, *strip(shapes[0]))), shared=True)
            continue
        inputs = tuple(found.at[key] for key in network.operands(name))
        if inplace and _overwrites(network, node, found.views):
            found.over.add(name)
            found.at[name, 0] = inputs[0]
            continue
        outputs = node.op.plain().laid(*inputs, training=training)
        for number, one in enumerate(outputs):
            found.at[name, number] = replace(one, shared=True)
        if all(one.shared for one in outputs):
            found.views.add(name)
    return found


def _overwrites(network: Network, node: Node, views: set[str]) -> bool:
    """Whether an activation may write over its input: nothing else needs that value."""
    if not node.op.inplace:
        return False
    ((producer, _),) = network.operands(node.name)
    outside = {*network.inputs, *(tensor.node for tensor in network.outputs.values())}
    # Of a view, others may read what is behind it.
    own = producer not in outside and producer not in views
    return own and len(network.wires.readers(producer)) == 1


def buffers(network: Network, batch: int = 1, inplace: bool = False) -> dict[str, Buffer]:
    """The buffer that each node's output is in, by the node's name, views too."""
    lies = layout(network, batch, inplace=inplace)
    roots: dict[str, str] = {}
    for node in network:
        operands = network.operands(node.name)
        roots[node.name] = roots[operands[0][0]] if lies.shares(node.name) else node.name
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
