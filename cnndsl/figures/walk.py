"""Walks over the structure of a network: no recursion, in written order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction

from cnndsl.figures.text import spell_argument
from cnndsl.figures.variants import identity
from cnndsl.graph import Network
from cnndsl.structure import Block, Call, Line, Tensor, labels_in, walk

DEEP = 6
"""So many calls of a block within each other are shown as one."""


def calls_of(lines: Sequence[Line]) -> Iterator[Call]:
    """Every call of a block below some lines, in order."""
    return (item for item in walk(lines) if isinstance(item, Call))


def labels_of(lines: Sequence[Line]) -> set[str]:
    """The labels of the lines that are on, blocks not opened."""
    items = walk(lines, into_blocks=False)
    on = (item for item in items if isinstance(item, Line) and item.on)
    return {label for line in on for label in line.labels}


def ratio(network: Network, nodes: Iterable[str], call: Call) -> int:
    """The whole stride of a call with one input and one output; 0 where it has none.

    It is how far a unit's place moves from one to the next, by the block's `nodes` in the
    graph's order: a size may be less by chance, as that of a matrix made of a map.
    """
    if len(call.inputs) != 1 or len(call.outputs) != 1:
        return 0
    (source,), (target,) = call.inputs, call.outputs
    if len(source.shape) != len(target.shape) or source.shape[-1:] == target.shape[-1:]:
        return 0
    found = {(source.node, source.output): Fraction(1)}
    for name in nodes:
        operands, inputs = network.operands(name), network.input_shapes(name)
        if not any(operand in found for operand in operands):
            continue
        readings = network.node(name).op.reads(*inputs)
        for output, reading in enumerate(readings):
            for (number, axis), taps in reading.axes[-1].items() if reading.axes else ():
                before = found.get(operands[number])
                if before is not None and axis == len(inputs[number]) - 1:
                    found[name, output] = before * taps.advance / taps.period
    stride = found.get((target.node, target.output), Fraction(0))
    return int(stride) if stride.denominator == 1 and stride > 1 else 0


def read(network: Network, name: str) -> list[tuple[str, int]]:
    """The operands of a node of which more than the size is read: what an edge is drawn of."""
    if not _LAST or _LAST[0][0] is not network:
        _LAST[:] = [(network, {})]
    known = _LAST[0][1]
    if name not in known:
        known[name] = _read(network, name)
    return known[name]


def taken(network: Network, block: Block, calls: Sequence[Sequence[str]]) -> dict[str, Tensor]:
    """What is read from outside of a block that does not give it out, by its label inside.

    `calls` are the layers of each of its calls in the same places; all of them are read so.
    """
    given = {(t.node, t.output) for t in block.outputs.values()}
    final = {(t.node, t.output) for t in network.outputs.values()}
    members = [{*names} for names in calls]

    def read_outside(name: str, output: int, inside: set[str]) -> bool:
        heads = {*network.wires.readers(name)} - inside
        operands = {one for head in heads for one in network.operands(head)}
        return (name, output) in operands | final

    found = {
        (column[0], output)
        for column in zip(*calls, strict=True)
        for output in range(len(network.shapes[column[0]]))
        if (column[0], output) not in given
        and all(
            n and read_outside(n, output, own) for n, own in zip(column, members, strict=True)
        )
    }
    labels = labels_in(block, block.outputs) if found else {}
    named = {(t.node, t.output): (name, t) for name, t in reversed(labels.items())}
    return dict(named[one] for one in sorted(found & named.keys()))


_LAST: list[tuple[Network, dict[str, list[tuple[str, int]]]]] = []
"""The last network that was asked about: it is planned several times."""


def _read(network: Network, name: str) -> list[tuple[str, int]]:
    operands = network.operands(name)
    if len(operands) != 1:
        # A node of several operands reads each of them.
        return operands
    readings = network.node(name).op.reads(*network.input_shapes(name))
    return [] if readings and all(0 in one.unread for one in readings) else operands


def nested(lines: Sequence[Line]) -> set[int]:
    """The `id`s of calls that are opened in the call of the same block that they stand in.

    It is a block that calls itself once, and not too deep: an hourglass.
    """
    found: set[int] = set()
    stack: list[tuple[Sequence[Line], dict[object, Call]]] = [(lines, {})]
    inner: dict[int, list[Call]] = {}
    outermost: list[Call] = []
    while stack:
        body, around = stack.pop()
        for item in walk(body, into_blocks=False):
            if isinstance(item, Call):
                name = identity(item.block)
                outer = around.get(name)
                inner.setdefault(id(outer), []).append(item)
                outermost += [] if outer else [item]
                stack.append((item.block.body, {**around, name: item}))
    for call in outermost:
        chain = [call]
        while len(inner.get(id(chain[-1]), ())) == 1:
            chain += inner[id(chain[-1])]
        if len(chain) <= DEEP and id(chain[-1]) not in inner:
            found |= {id(one) for one in chain[1:]}
    return found


def given(blocks: Sequence[Block]) -> list[dict[str, object]]:
    """By call of one block the values of the parameters that any of them gives."""
    names = dict.fromkeys(name for block in blocks for name in block.arguments)
    return [
        {name: block.arguments.get(name, block.names.get(name)) for name in names}
        for block in blocks
    ]


def varying(arguments: Sequence[dict[str, object]]) -> tuple[str, ...]:
    """The parameters of which the calls give different values."""
    columns = {
        name: [spell_argument(row.get(name)) for row in arguments] for name in arguments[0]
    }
    return tuple(name for name, column in columns.items() if len(set(column)) > 1)
