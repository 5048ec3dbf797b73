"""How the rows of boxes came about, and where two tensors' rows do not agree.

Shapes accept anchors `(a h w)` beside scores `(h w a)`, and levels in another order: the
sizes are the same. So each axis carries its composition: the axes that a `rearrange`
merged, and the parts that a `concat` put one after another. It is a side table; where an
operation mixes or hides axes, what comes out is of unknown composition, and agrees with
any. Checked is what pairs rows: `decode`, `topk`, `nms`, `add`, `mul`, `concat`, and the
outputs of a block that share a named size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import singledispatch

from cnndsl.diagnostics import ArchError, Diagnostic
from cnndsl.graph import Network, Node
from cnndsl.ops.anchors import AnchorGrid, Decode
from cnndsl.ops.base import Family, Op, Shape
from cnndsl.ops.join import Add, Concat, Einsum, Mul
from cnndsl.ops.pattern import Contraction, Rearrangement
from cnndsl.ops.regions import Gather, RoIAlign
from cnndsl.ops.reshape import Flatten, Input, Rearrange, Rebatch, Reshape, Unbatch
from cnndsl.ops.selection import NonMaximumSuppression, TopK
from cnndsl.records import Record, record
from cnndsl.structure import Block, Tensor, blocks

UNKNOWN = "?"
CHANNELS = "channels"


@record
class Factor(Record):
    """One axis as it was: `h`, `w`, a part of the channels, the rows of a selection."""

    kind: str
    size: int


Part = tuple[Factor, ...]
"""Axes merged in one, the outermost first."""
Axis = tuple[Part, ...]
"""Parts one after another."""
Axes = tuple[Axis, ...]


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
        found = composed(node.op, node, operands, shapes)
        if wrong:
            found = [tuple(map(_unknown, shape)) for shape in shapes]
        for number, (axes, shape) in enumerate(zip(found, shapes, strict=True)):
            assert tuple(map(_size, axes)) == tuple(map(int, shape)), node.name
            table[node.name, number] = axes
    return table


# What operations do to axes


@singledispatch
def composed(op: Op, node: Node, operands: list[Axes], shapes: tuple[Shape, ...]) -> list[Axes]:
    """The axes of an operation's outputs; by default those of its first input, resized."""
    if not operands:
        return [tuple(map(_unknown, shape)) for shape in shapes]
    return [_resized(operands[0], shape) for shape in shapes]


@composed.register
def _input(
    op: Input, node: Node, operands: list[Axes], shapes: tuple[Shape, ...]
) -> list[Axes]:
    """A map has channels and places; what else a user gives is unknown."""
    (shape,) = shapes
    if len(shape) < 3:
        return [tuple(map(_unknown, shape))]
    names = {2: "hw", 3: "dhw"}.get(len(shape) - 1, "")
    kinds = [CHANNELS, *(names or map(str, range(1, len(shape))))]
    return [tuple(_axis(kind, size) for kind, size in zip(kinds, shape, strict=True))]


@composed.register(Flatten)
@composed.register(Reshape)
def _hidden(op: Op, node: Node, operands: list[Axes], shapes: tuple[Shape, ...]) -> list[Axes]:
    return [tuple(map(_unknown, shape)) for shape in shapes]


@composed.register
def _rearrange(
    op: Rearrange, node: Node, operands: list[Axes], shapes: tuple[Shape, ...]
) -> list[Axes]:
    (axes,) = operands
    sizes = tuple(map(_size, axes))
    plan = Rearrangement.parse(op.pattern, len(sizes))
    named = plan.sizes(sizes, op.axes)
    found: dict[str, Axis] = {}
    for group, axis in zip(plan.left, axes, strict=True):
        found.update(_split(group, axis, named))
    return [tuple(_merged([found[name] for name in group]) for group in plan.right)]


@composed.register
def _einsum(
    op: Einsum, node: Node, operands: list[Axes], shapes: tuple[Shape, ...]
) -> list[Axes]:
    contraction = Contraction.parse(op.pattern)
    found: dict[str, Axis] = {}
    for names, axes in zip(contraction.operands, operands, strict=True):
        for name, axis in zip(names, axes, strict=True):
            found.setdefault(name, axis)
    return [tuple(found[name] for name in contraction.output)]


@composed.register
def _concat(
    op: Concat, node: Node, operands: list[Axes], shapes: tuple[Shape, ...]
) -> list[Axes]:
    first, at = operands[0], op.axis
    joined = tuple(part for axes in operands for part in axes[at])
    return [(*first[:at], joined, *first[at + 1 :])]


@composed.register(Add)
@composed.register(Mul)
def _broadcast(
    op: Op, node: Node, operands: list[Axes], shapes: tuple[Shape, ...]
) -> list[Axes]:
    """Each axis from the first operand that has it in full."""
    (shape,) = shapes
    found = []
    for number, size in enumerate(shape):
        known = [axes[number] for axes in operands if number < len(axes)]
        fits = [axis for axis in known if _size(axis) == size]
        found.append(fits[0] if fits else _unknown(size))
    return [tuple(found)]


@composed.register
def _grid(
    op: AnchorGrid, node: Node, operands: list[Axes], shapes: tuple[Shape, ...]
) -> list[Axes]:
    """Rows (h w a)."""
    _, height, width = operands[0]
    anchors = _axis(CHANNELS, len(op.shapes_of_anchors))
    return [(_merged([height, width, anchors]), _unknown(4))]


@composed.register(TopK)
@composed.register(NonMaximumSuppression)
def _selected(
    op: Op, node: Node, operands: list[Axes], shapes: tuple[Shape, ...]
) -> list[Axes]:
    """Rows of their own."""
    return [
        (_axis(node.name, shape[0]), *(_unknown(size) for size in shape[1:]))
        for shape in shapes
    ]


@composed.register
def _aligned(
    op: RoIAlign, node: Node, operands: list[Axes], shapes: tuple[Shape, ...]
) -> list[Axes]:
    (shape,) = shapes
    places = (_axis(kind, size) for kind, size in zip("hw", shape[2:], strict=True))
    return [(operands[0][0], operands[1][0], *places)]


@composed.register
def _gathered(
    op: Gather, node: Node, operands: list[Axes], shapes: tuple[Shape, ...]
) -> list[Axes]:
    x, index = operands
    return [(*index, *x[op.axis + 1 :])]


@composed.register
def _unbatched(
    op: Unbatch, node: Node, operands: list[Axes], shapes: tuple[Shape, ...]
) -> list[Axes]:
    return [operands[0][1:]]


@composed.register
def _rebatched(
    op: Rebatch, node: Node, operands: list[Axes], shapes: tuple[Shape, ...]
) -> list[Axes]:
    return [(_unknown(shapes[0][0]), *operands[0])]


# Compositions


def _axis(kind: str, size: int) -> Axis:
    return ((Factor(kind, int(size)),),)


def _unknown(size: int) -> Axis:
    return _axis(UNKNOWN, size)


def _size(axis: Axis) -> int:
    return sum(math.prod(factor.size for factor in part) for part in axis)


def _resized(axes: Axes, shape: Shape) -> Axes:
    """The same axes at other sizes; a merged one that changes is known no more."""
    if len(axes) != len(shape):
        return tuple(map(_unknown, shape))
    found = []
    for axis, size in zip(axes, shape, strict=True):
        simple = len(axis) == 1 and len(axis[0]) == 1
        kind = axis[0][0].kind if simple else UNKNOWN
        found.append(axis if _size(axis) == size else _axis(kind, size))
    return tuple(found)


def _split(group: Sequence[str], axis: Axis, sizes: dict[str, int]) -> dict[str, Axis]:
    """An axis taken apart by names: along its factors where they fit, else each unknown."""
    if len(group) == 1:
        return {group[0]: axis}
    factors = axis[0] if len(axis) == 1 else ()
    if [factor.size for factor in factors] == [sizes[name] for name in group]:
        return {name: ((factor,),) for name, factor in zip(group, factors, strict=True)}
    kind = CHANNELS if [f.kind for f in factors] == [CHANNELS] else UNKNOWN
    return {name: _axis(kind, sizes[name]) for name in group}


def _merged(axes: list[Axis]) -> Axis:
    """Axes merged in one, the outermost first."""
    if len(axes) == 1:
        return axes[0]
    if any(len(axis) > 1 for axis in axes):
        return _unknown(math.prod(map(_size, axes)))
    return (tuple(factor for (part,) in axes for factor in part),)


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
    for first, second, number in _pairs(node.op, axes):
        differing = _disagreement(axes[first][number], axes[second][number])
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


def _pairs(op: Op, axes: list[Axes]) -> Iterator[tuple[int, int, int]]:
    """The inputs, and the axis of both, that an operation takes to agree."""
    for number in range(1, len(axes)):
        match op:
            case Decode():
                yield 0, number, 0
            case TopK() | NonMaximumSuppression():
                yield 0, number, 0
                if number == 1 and len(axes[0]) == 3:
                    yield 0, 1, 1
            case Add() | Mul() | Concat():
                at = op.axis if isinstance(op, Concat) else None
                for axis, (one, other) in enumerate(zip(axes[0], axes[number], strict=False)):
                    rows = _is_rows(one) and _is_rows(other) and _size(one) == _size(other)
                    if axis != at and rows:
                        yield 0, number, axis


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
