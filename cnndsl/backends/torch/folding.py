"""Batch normalisation folded: a network whose convolutions hold what the norm behind them does.

The folded layer keeps the norm's name in the graph, so that everything behind it still
finds its operand, and the convolution's path, so that its weight keeps its key.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from cnndsl.graph import Network, Node, Path, Wires
from cnndsl.ops.conv import Conv, DepthwiseConv
from cnndsl.ops.linear import Linear
from cnndsl.ops.norm import BatchNorm, FrozenBatchNorm

Folding = Conv | DepthwiseConv | Linear


@dataclass(frozen=True, slots=True)
class Fold:
    """A norm and the layer that takes it in."""

    layer: Node
    norm: Node

    @property
    def node(self) -> Node:
        """The layer as it stands in the norm's place."""
        assert isinstance(self.layer.op, Folding)
        op = replace(self.layer.op, bias=True)
        return replace(self.layer, name=self.norm.name, op=op)

    @property
    def eps(self) -> float:
        """What the norm adds to the variance."""
        assert isinstance(self.norm.op, BatchNorm | FrozenBatchNorm)
        return self.norm.op.eps


def folded(network: Network) -> tuple[Network, dict[str, Fold]]:
    """The network without the norms that a layer before them can hold; these, by name.

    Not folded: a norm behind anything else, one whose operand something else reads too,
    and one whose layer is called elsewhere without it.
    """
    folds = {
        norm: Fold(network.node(layer), network.node(norm))
        for norm, layer in _partners(network).items()
    }
    wires = Wires()
    gone = {fold.layer.name for fold in folds.values()}
    for node in network:
        if node.name in gone:
            continue
        fold = folds.get(node.name)
        read = network.operands(node.name if fold is None else fold.layer.name)
        wires.add(node if fold is None else fold.node, read)
    shapes = {name: found for name, found in network.shapes.items() if name not in gone}
    return replace(network, wires=wires, shapes=shapes), folds


def _partners(network: Network) -> dict[str, str]:
    """For each norm that may be folded, the layer before it.

    Where a module is called more than once, all calls are folded with the same one or none.
    """
    found: dict[str, str] = {}
    outputs = {tensor.node for tensor in network.outputs.values()}
    for node in network:
        if not isinstance(node.op, BatchNorm | FrozenBatchNorm):
            continue
        ((name, _),) = network.operands(node.name)
        layer = network.node(name)
        alone = len(network.wires.readers(name)) == 1 and name not in outputs
        affine = not isinstance(node.op, BatchNorm) or node.op.affine
        flat = not isinstance(layer.op, Linear) or len(network.shapes[name][0]) == 1
        if isinstance(layer.op, Folding) and alone and affine and flat:
            found[node.name] = name
    partners: dict[Path, set[Path]] = {}
    beside = {layer: network.node(norm).path for norm, layer in found.items()}
    beside |= {norm: network.node(layer).path for norm, layer in found.items()}
    for node in network:
        partners.setdefault(node.path, set()).add(beside.get(node.name, ()))
    return {
        norm: layer
        for norm, layer in found.items()
        if all(len(partners[network.node(name).path]) == 1 for name in (norm, layer))
    }
