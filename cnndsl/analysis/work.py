"""Everything a network computes, in buckets that are never added together.

Multiply-adds are one bucket; each of the others is counted in its own unit: a bias, an
activation or a sum once per element, batch normalisation in evaluation 2 per element,
pooling once per element read, a function like an exponential once per element.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from cnndsl.analysis.buffers import layout
from cnndsl.graph import Network, Node
from cnndsl.ops.facts import Family, Shape

BUCKETS = (
    "macs", "bias", "norm", "activation", "pool", "resize", "elementwise", "special", "gather",
)  # fmt: skip


BUCKET = {
    Family.NORM: "norm", Family.ACTIVATION: "activation", Family.POOL: "pool",
    Family.UPSAMPLE: "resize", Family.ADD: "elementwise",
}  # fmt: skip
"""What an operation of a family is counted as, where it does not say another."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One node with its shapes as plain numbers; `rows` is how often it runs."""

    node: Node
    inputs: tuple[Shape, ...]
    outputs: tuple[Shape, ...]
    macs: int
    weights: dict[str, Shape]
    trained: frozenset[str]
    rows: int

    @property
    def op(self) -> str:
        """The operation's name."""
        return self.node.op.name

    @property
    def family(self) -> Family:
        """The operation's family."""
        return self.node.op.family

    @property
    def read(self) -> int:
        """Elements of the first input, over all rows."""
        return self.rows * math.prod(self.inputs[0]) if self.inputs else 0

    @property
    def written(self) -> int:
        """Elements of the first output, over all rows."""
        return self.rows * math.prod(self.outputs[0])

    @property
    def bias(self) -> int:
        """Elements to which a bias is added."""
        biased = "bias" in self.weights and self.macs
        return self.written if biased else 0


def layers(network: Network) -> Iterator[Layer]:
    """The layers of a network, its inputs left out."""
    for node in network:
        if node.name in network.inputs:
            continue
        inputs = tuple(tuple(map(int, s)) for s in network.input_shapes(node.name))
        outputs = tuple(tuple(map(int, s)) for s in network.shapes[node.name])
        found = node.op.weights(*inputs)
        weights = {name: tuple(map(int, weight.shape)) for name, weight in found.items()}
        trained = frozenset(name for name, weight in found.items() if weight.trainable)
        rows = int(node.rows)
        macs = rows * int(node.op.macs(*inputs))
        yield Layer(node, inputs, outputs, macs, weights, trained, rows)


@dataclass(frozen=True, slots=True)
class Work:
    """Totals by bucket, and those of each node; printed, a line a bucket."""

    network: Network = field(repr=False)
    total: dict[str, int]
    nodes: dict[str, dict[str, int]] = field(repr=False)

    def rows(self) -> list[dict[str, object]]:
        """One row a node, for a data frame."""
        return [
            {"node": name, **{bucket: found.get(bucket, 0) for bucket in BUCKETS}}
            for name, found in self.nodes.items()
        ]

    def __str__(self) -> str:
        """`macs 4,089,184,256`, and so on."""
        return "\n".join(f"{name:12}{count:>18,}" for name, count in self.total.items())


def work(network: Network) -> Work:
    """What a network computes, by bucket."""
    views = layout(network).views
    nodes = {layer.node.name: buckets(layer, views) for layer in layers(network)}
    total = {name: sum(found.get(name, 0) for found in nodes.values()) for name in BUCKETS}
    return Work(network, total, nodes)


def buckets(layer: Layer, views: set[str]) -> dict[str, int]:
    """The buckets of one layer that are not empty; a view moves nothing."""
    op, written = layer.node.op, layer.written
    found = {"macs": layer.macs, "bias": layer.bias}
    found["special"] = layer.rows * op.special(*layer.inputs)
    read = {"bilinear": 4, "bicubic": 16}.get(getattr(op, "mode", ""), 1)
    match bucket(layer):
        case "norm":
            found["norm"] = 2 * written
        case "activation":
            found["activation"] = written
        case "pool":
            found["pool"] = _pooled(layer)
        case "resize" if not layer.macs:
            found["resize"] = written * read
        case "elementwise":
            found["elementwise"] = written * max(1, len(layer.inputs) - 1)
    if op.moves and layer.node.name not in views:
        found["gather"] = written
    return {name: count for name, count in found.items() if count}


def bucket(layer: Layer) -> str:
    """What a layer's work is counted as, beside multiply-adds."""
    op = layer.node.op
    return op.bucket or BUCKET.get(op.family, "")


def _pooled(layer: Layer) -> int:
    """The elements that the windows read, padding among them."""
    window = layer.node.op.window(*layer.inputs)
    if window is None or window.whole:
        return layer.read
    return layer.written * math.prod(map(int, window.kernel))
