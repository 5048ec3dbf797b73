"""How the rows of boxes came about, and where two tensors' rows do not agree.

Shapes accept anchors `(a h w)` beside scores `(h w a)`, and levels in another order: the
sizes are the same. Each operation says how the axes of its outputs are composed, and which
axes of its inputs belong together; checked are these, and the outputs of a block that share
a named size.
"""

from __future__ import annotations

from collections.abc import Iterator

from cnndsl.diagnostics import ArchError, Diagnostic
from cnndsl.graph import Network, Node
from cnndsl.ops.base import Op
from cnndsl.ops.composition import CHANNELS, UNKNOWN, Axes, Axis, Part, size_of, unknown
from cnndsl.ops.facts import Family, Place
from cnndsl.structure import Block, Tensor, blocks
from cnndsl.symbolic import strip


def check_rows(network: Network) -> None:
    """Raises ArchError (E406): tensors whose rows are paired, and run in other orders."""
    if not any(node.op.family is Family.BOXES for node in network):
        return
    faults: list[Diagnostic] = []
    table = compositions(network, faults)
    for block in (network.structure, *blocks(network.structure)):
        faults += _faults_of_ports(block, table)
    if faults:
        raise ArchError(list(dict.fromkeys(faults)))


def compositions(network: Network, faults: list[Diagnostic]) -> dict[tuple[str, int], Axes]:
    """The composition of every axis of each node's outputs; unknown after a fault."""
    table: dict[tuple[str, int], Axes] = {}
    for node in network:
        shapes = network.shapes[node.name]
        operands = [table[operand] for operand in network.operands(node.name)]
        wrong = list(_faults_of_node(network, node, operands))
        faults += wrong
        found = node.op.plain().composition(node.name, *operands)
        if wrong:
            found = tuple(tuple(map(unknown, strip(shape))) for shape in shapes)
        for number, (axes, shape) in enumerate(zip(found, shapes, strict=True)):
            assert tuple(map(size_of, axes)) == tuple(map(int, shape)), node.name
            table[node.name, number] = axes
    return table


def _plain(axis: Axis) -> Axis:
    """Without factors of 1, which order nothing."""
    return tuple(tuple(factor for factor in part if factor.size != 1) for part in axis)


def _disagreement(one: Axis, other: Axis) -> tuple[str, str] | None:
    """Where two axes of one size differ for certain: the two parts, as text."""
    one, other = _plain(one), _plain(other)
    if _vague(one) or _vague(other):
        return None
    if len(one) != len(other):
        return _spelt(one), _spelt(other)
    for number, (left, right) in enumerate(zip(one, other, strict=True), 1):
        if left != right:
            which = f" in part {number} of {len(one)}" if len(one) > 1 else ""
            return f"{_product(left)}{which}", _product(right)
    return None


def _vague(axis: Axis) -> bool:
    return any(factor.kind == UNKNOWN for part in axis for factor in part)


def _is_rows(axis: Axis) -> bool:
    """Whether an axis was composed of places or of a selection's rows."""
    composed = len(axis) > 1 or len(axis[0]) > 1
    kinds = {factor.kind for part in axis for factor in part}
    return composed and bool(kinds - {CHANNELS, UNKNOWN})


def _product(part: Part) -> str:
    """`(h=100 w=100 9)`."""
    names = {CHANNELS: ""}
    shown = [f"{names.get(f.kind, f.kind + '=')}{f.size}" for f in part]
    return f"({' '.join(shown)})"


def _spelt(axis: Axis) -> str:
    return " + ".join(map(_product, axis))


# Faults


def _faults_of_node(network: Network, node: Node, axes: list[Axes]) -> Iterator[Diagnostic]:
    operands = network.operands(node.name)
    for (first, number), (second, other) in _pairs(node.op, axes):
        differing = _disagreement(axes[first][number], axes[second][other])
        if differing is None:
            continue
        what = "rows" if number == 0 else f"entries of axis {number}"
        ours, theirs = differing
        message = f"`{node.op.name}` pairs {what} that run in different orders"
        note = f"{ours} of input {first + 1}, {theirs} of input {second + 1}"
        related = tuple(
            (network.node(operands[n][0]).span, f"input {n + 1} comes from here")
            for n in (first, second)
            if network.node(operands[n][0]).span != node.span
        )
        yield Diagnostic(
            "E406", message, node.span, note, related=related, stack=node.stack, help=HELP
        )


HELP = "use the same `rearrange` and the same order in `concat` for everything about a box"


def _pairs(op: Op, axes: list[Axes]) -> Iterator[tuple[Place, Place]]:
    """The axes of inputs that an operation takes to agree: of boxes any, of others rows."""
    for first, second in op.plain().pairs(*(tuple(map(size_of, one)) for one in axes)):
        both = (axes[number][axis] for number, axis in (first, second))
        if op.family is Family.BOXES or all(map(_is_rows, both)):
            yield first, second


def _faults_of_ports(block: Block, table: dict[tuple[str, int], Axes]) -> Iterator[Diagnostic]:
    """Outputs of a block that share a named size, and whose rows do not agree."""
    named: dict[str, list[tuple[str, Tensor, int]]] = {}
    for port, dimensions in block.definition.dimensions:
        tensor = block.outputs.get(port)
        for number, name in enumerate(dimensions if tensor is not None else ()):
            if name and tensor is not None:
                named.setdefault(name, []).append((port, tensor, number))
    for name, ((port, tensor, axis), *others) in named.items():
        one = table[tensor.node, tensor.output][axis]
        for other_port, other_tensor, other_axis in others:
            other = table[other_tensor.node, other_tensor.output][other_axis]
            rows = _is_rows(one) and _is_rows(other)
            differing = _disagreement(one, other) if rows else None
            if differing is not None:
                message = (
                    f"`{port}` and `{other_port}` share `{name}`, and run in different orders"
                )
                note = f"{differing[0]} of `{port}`, {differing[1]} of `{other_port}`"
                yield Diagnostic(
                    "E406",
                    message,
                    block.definition.span,
                    note,
                    stack=block.stack,
                    help=HELP,
                )
