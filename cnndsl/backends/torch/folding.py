"""Batch normalisation folded: a network whose convolutions hold what the norm behind them does.

The folded layer keeps the norm's name in the graph, so that everything behind it still
finds its operand, and the convolution's path, so that its weight keeps its key.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import networkx as nx

from cnndsl.graph import (
    Block,
    Call,
    Each,
    Group,
    Line,
    Loop,
    Network,
    Node,
    Path,
    Repeat,
    Step,
    Tensor,
    Term,
    connect,
)
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
    folder = _Folder(network)
    structure = folder.block(network.structure)
    folds = folder.folds
    graph: nx.MultiDiGraph[str] = nx.MultiDiGraph()
    gone = {fold.layer.name for fold in folds.values()}
    for node in network:
        if node.name in gone:
            continue
        fold = folds.get(node.name)
        read = network.operands(node.name if fold is None else fold.layer.name)
        operands = tuple(Tensor(name, n, network.shapes[name][n]) for name, n in read)
        connect(graph, node if fold is None else fold.node, operands)
    shapes = {name: found for name, found in network.shapes.items() if name not in gone}
    return replace(network, graph=graph, structure=structure, shapes=shapes), folds


class _Folder:
    """The steps rewritten, and the folds that were found on the way."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.folds: dict[str, Fold] = {}
        self.partner = _partners(network)

    def block(self, block: Block) -> Block:
        return replace(block, body=self.lines(block.body))

    def lines(self, lines: list[Line]) -> list[Line]:
        return [replace(line, terms=self.terms(line.terms)) for line in lines]

    def terms(self, terms: list[Term]) -> list[Term]:
        """Steps side by side are one where a norm is folded across them."""
        found: list[Term] = []
        for term in map(self.term, terms):
            last = found[-1] if found else None
            if isinstance(last, Step) and isinstance(term, Step) and self._joins(last, term):
                nodes, slots = (*last.nodes, *term.nodes), (*last.slots, *term.slots)
                both = replace(last, nodes=nodes, slots=slots, outputs=term.outputs)
                found[-1] = self.step(both)
            else:
                found.append(term)
        return found

    def _joins(self, first: Step, second: Step) -> bool:
        if not first.nodes or not second.nodes or second.lines is not None:
            return False
        return self.partner.get(second.nodes[0]) == first.nodes[-1]

    def term(self, term: Term) -> Term:
        match term:
            case Step():
                lines = None if term.lines is None else self.lines(term.lines)
                return self.step(replace(term, lines=lines))
            case Call():
                lines = None if term.lines is None else self.lines(term.lines)
                return replace(term, block=self.block(term.block), lines=lines)
            case Group():
                return replace(term, body=self.lines(term.body))
            case Repeat():
                return replace(term, items=[self.term(item) for item in term.items])
            case Loop():
                return replace(term, bodies=[self.lines(body) for body in term.bodies])
            case Each():
                lines = None if term.lines is None else self.lines(term.lines)
                return replace(term, calls=[self.term(c) for c in term.calls], lines=lines)

    def step(self, step: Step) -> Step:
        """Without the norms behind a layer that holds them now."""
        nodes: list[str] = []
        slots: list[str] = []
        for slot, name in zip(step.slots, step.nodes, strict=True):
            if nodes and self.partner.get(name) == nodes[-1]:
                node = self.network.node
                self.folds[name] = Fold(node(nodes[-1]), node(name))
                nodes[-1] = name
            else:
                nodes.append(name)
                slots.append(slot)
        return replace(step, nodes=tuple(nodes), slots=tuple(slots))


def _partners(network: Network) -> dict[str, str]:
    """For each norm that may be folded, the layer before it.

    Where a module is called more than once, all calls are folded or none.
    """
    found: dict[str, str] = {}
    outputs = {tensor.node for tensor in network.outputs.values()}
    for node in network:
        if not isinstance(node.op, BatchNorm | FrozenBatchNorm):
            continue
        ((name, _),) = network.operands(node.name)
        layer = network.node(name)
        alone = network.graph.out_degree(name) == 1 and name not in outputs
        affine = not isinstance(node.op, BatchNorm) or node.op.affine
        flat = not isinstance(layer.op, Linear) or len(network.shapes[name][0]) == 1
        if isinstance(layer.op, Folding) and alone and affine and flat:
            found[node.name] = name
    behind: dict[Path, set[Path]] = {}
    layers = {layer: network.node(norm).path for norm, layer in found.items()}
    for node in network:
        behind.setdefault(node.path, set()).add(layers.get(node.name, ()))
    return {
        norm: layer
        for norm, layer in found.items()
        if len(behind[network.node(layer).path]) == 1
    }
