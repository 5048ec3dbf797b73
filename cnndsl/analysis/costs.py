"""Parameters, buffers and multiply-adds, exactly: of each node, and of the whole.

Conventions: multiply-adds of convolutions, linear layers and contractions, padding
included; 0 for bias, normalisation, activation, pooling, resizing and joins. What is
shared counts its parameters once and its multiply-adds at each call.
"""

from __future__ import annotations

import math
from dataclasses import field, replace

from cnndsl.graph import Network
from cnndsl.ops.base import Op
from cnndsl.ops.facts import Shape
from cnndsl.records import Record, record
from cnndsl.symbolic import strip


@record
class Cost(Record):
    """What one node costs, per sample: elements, elements, multiply-adds."""

    parameters: int = 0
    buffers: int = 0
    macs: int = 0

    @property
    def flops(self) -> int:
        """Two per multiply-add."""
        return 2 * self.macs

    def __add__(self, other: Cost) -> Cost:
        """The cost of both."""
        return Cost(
            self.parameters + other.parameters,
            self.buffers + other.buffers,
            self.macs + other.macs,
        )


@record
class Total(Cost):
    """What a network costs, and its multiply-adds by operation, the largest first."""

    macs_by_op: dict[str, int] = field(default_factory=dict)


def giga(count: int) -> str:
    """A count in units of 10⁹, to three decimals, of a small one to three digits: `4.089`."""
    value = count / 1e9
    decimals = 3 if value >= 0.1 or not count else 2 - math.floor(math.log10(value))
    return f"{value:.{decimals}f}"


def costs(network: Network) -> dict[str, Cost]:
    """The cost of each node, by its name."""
    # Layers that are alike, as in a repeat, are worked out once.
    known: dict[tuple[Op, tuple[Shape, ...]], Cost] = {}
    table = {}
    for node in network:
        inputs = network.input_shapes(node.name)
        cost = known.get((node.op, inputs))
        if cost is None:
            cost = known[node.op, inputs] = of_layer(node.op, inputs)
        if node.shared:
            cost = Cost(macs=cost.macs)
        table[node.name] = cost if node.rows == 1 else replace(cost, macs=node.rows * cost.macs)
    return table


def of_layer(op: Op, inputs: tuple[Shape, ...]) -> Cost:
    """The cost of one layer."""
    # In plain numbers: the formulas would be worked out too, and no one asked for them.
    op, inputs = op.plain(), strip(inputs)
    weights = op.weights(*inputs).values()
    trained = sum(weight.size for weight in weights if weight.trainable)
    buffers = sum(weight.size for weight in weights) - trained
    return Cost(trained, buffers, op.macs(*inputs))


def total(network: Network, table: dict[str, Cost] | None = None) -> Total:
    """The sums over a network; `table` is `costs(network)`, where it is known already."""
    table = costs(network) if table is None else table
    by_op: dict[str, int] = {}
    for node in network:
        name = node.op.name
        by_op[name] = by_op.get(name, 0) + table[node.name].macs
    ordered = sorted(by_op.items(), key=lambda item: -item[1])
    return Total(
        sum(cost.parameters for cost in table.values()),
        sum(cost.buffers for cost in table.values()),
        sum(cost.macs for cost in table.values()),
        {name: macs for name, macs in ordered if macs},
    )
