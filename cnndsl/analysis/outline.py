"""A network as it is written, in rows: blocks, repeats and steps with what they cost.

Read off `Network.structure`. Terms of one kind that follow each other are one row with
×N. Every figure in a row counts all that the row stands for, so the rows add up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from cnndsl.analysis.costs import Cost
from cnndsl.graph import Network, plain
from cnndsl.ops.base import Op
from cnndsl.ops.facts import Family, Shape
from cnndsl.ops.values import spell
from cnndsl.ops.words import number
from cnndsl.records import Record, record
from cnndsl.structure import (
    Block,
    Call,
    Each,
    Group,
    Line,
    Loop,
    Repeat,
    Step,
    Tensor,
    Term,
    deep_recursion,
)
from cnndsl.symbolic import strip


@record
class Row(Record):
    """One row with the rows below it; `count` is N in ×N.

    `nodes` are all that the row stands for, in order; rows are alike whatever these are.
    """

    name: str
    operation: str
    outputs: tuple[Shape, ...]
    cost: Cost
    below: tuple[Row, ...] = ()
    count: int = 1
    nodes: tuple[str, ...] = ()

    @property
    def said(self) -> tuple[object, ...]:
        """All that is printed of it but its name."""
        return self.operation, self.outputs, self.cost, self.below, self.count

    def __eq__(self, other: object) -> bool:
        """Equal in all that is printed."""
        same = isinstance(other, Row) and self.name == other.name
        return same and isinstance(other, Row) and self.said == other.said

    __hash__ = None  # type: ignore[assignment]

    def walk(self) -> Iterator[tuple[int, Row]]:
        """The row and those below it, each with its depth."""
        stack = [(0, self)]
        while stack:
            depth, row = stack.pop()
            yield depth, row
            stack += [(depth + 1, below) for below in reversed(row.below)]


def outline(network: Network, table: dict[str, Cost]) -> tuple[tuple[Row, ...], dict[str, int]]:
    """The rows, inputs first, and the line of the step that each node belongs to.

    `table` is `costs(network)`.
    """
    reader = _Reader(network, table)
    inputs = tuple(
        Row(name, "input", (strip(tensor.shape),), Cost(), nodes=(name,))
        for name, tensor in network.inputs.items()
    )
    with deep_recursion():
        rows = reader.lines_of(network.structure.body)
    return (*inputs, *rows), reader.lines


class _Reader:
    """Rows from the structure; `lines` is the source line of each node's step."""

    def __init__(self, network: Network, table: dict[str, Cost]) -> None:
        self.network = network
        self.table = table
        self.lines: dict[str, int] = {}

    def lines_of(self, lines: Iterable[Line]) -> list[Row]:
        """The rows of a sequence of lines."""
        return _fold([row for line in lines for row in self.line(line)])

    def line(self, line: Line) -> list[Row]:
        """The rows of a line: its terms, below its label if there are several."""
        rows = _fold([row for term in line.terms for row in self.term(term)])
        if not line.labels or not rows:
            return rows
        index = f"[{', '.join(map(str, line.index))}]" if line.index else ""
        name = ", ".join(label + index for label in line.labels)
        if len(rows) == 1 and not rows[0].name.startswith("["):
            return [replace(rows[0], name=name)]
        return [_parent(name, "", line.outputs, rows)]

    def term(self, term: Term) -> list[Row]:
        """The rows of one step."""
        match term:
            case Step():
                return [self.step(term)]
            case Call(block=block, lines=lines):
                below = [*self.operands(lines), *self.lines_of(block.body)]
                name = next((s for s in reversed(block.path) if isinstance(s, str)), "")
                return [_parent(name, _call(block), term.outputs, below)]
            case Group(body=body):
                return self.lines_of(body)
            case Repeat(items=items):
                return _fold(_numbered([self.one(item) for item in items]))
            case Loop(bodies=bodies):
                pairs = zip(term.rows, bodies, strict=True)
                rows = [self.iteration(term.names, values, body) for values, body in pairs]
                return _fold(_numbered(rows))
            case Each(calls=calls, lines=lines, row=row):
                each = " each row" if row else " each"
                rows = [self.one(call) for call in calls]
                rows = [replace(r, operation=r.operation + each) for r in rows]
                numbered = _numbered(rows) if len(rows) > 1 else rows
                return [*self.operands(lines), *_fold(numbered)]

    def step(self, step: Step) -> Row:
        """An operation with what is fused to it, and its operands below."""
        if step.span is not None:
            self.lines |= dict.fromkeys(step.nodes, step.span.line)
        operands = self.operands(step.lines)
        titles = [_title(self.network.node(name).op) for name in step.nodes]
        cost = sum((self.table[name] for name in step.nodes), _sum(operands))
        name = step.slots[0] if step.slots else step.name
        shapes = _shapes(step.outputs)
        nodes = (*_nodes(operands), *step.nodes)
        title = " + ".join(titles) or step.name
        return Row(name, title, shapes, cost, tuple(operands), nodes=nodes)

    def operands(self, lines: list[Line] | None) -> list[Row]:
        """The operand lines of a join; where several have several steps, a row each."""
        branches = [(line, self.line(line)) for line in lines or []]
        if sum(len(rows) > 1 for _, rows in branches) < 2:
            return _fold([row for _, rows in branches for row in rows])
        return _fold(
            [
                row
                for line, rows in branches
                for row in (rows if len(rows) < 2 else [_parent("{ }", "", line.outputs, rows)])
            ]
        )

    def one(self, term: Term) -> Row:
        """One row for a term, whatever it is made of."""
        rows = self.term(term)
        return rows[0] if len(rows) == 1 else _parent("", "sequence", term.outputs, rows)

    def iteration(
        self, names: tuple[str, ...], values: tuple[object, ...], body: list[Line]
    ) -> Row:
        """One row for an iteration of a `for`, with the values of its names."""
        rows = self.lines_of(body)
        if len(rows) == 1:
            return rows[0]
        pairs = zip(names, values, strict=False)
        note = " ".join(f"{name}={_given(value)}" for name, value in pairs)
        outputs = next((line.outputs for line in reversed(body) if line.on), ())
        return _parent("", note, outputs, rows)


def _parent(name: str, operation: str, outputs: tuple[Tensor, ...], below: list[Row]) -> Row:
    nodes = _nodes(below)
    return Row(name, operation, _shapes(outputs), _sum(below), tuple(below), nodes=nodes)


def _nodes(rows: Iterable[Row]) -> tuple[str, ...]:
    return tuple(name for row in rows for name in row.nodes)


def _numbered(rows: list[Row]) -> list[Row]:
    """Rows named by their place: `[0]`, `[1]`."""
    return [replace(row, name=f"[{number}]") for number, row in enumerate(rows)]


def _fold(rows: list[Row]) -> list[Row]:
    """Numbered neighbours that differ in nothing else are one row, counted N times."""
    folded: list[Row] = []
    for (numbered, *_), group in groupby(rows, _alike):
        alike = list(group)
        first, last = alike[0], alike[-1]
        if not numbered or len(alike) == 1 or first.count > 1:
            folded += alike
            continue
        name = f"{first.name[:-1]}…{last.name[1:]}"
        folded.append(replace(_together(alike), name=name, count=len(alike)))
    return folded


def _alike(row: Row) -> tuple[object, ...]:
    numbered = row.name.startswith("[")
    return numbered, "" if numbered else row.name, *row.said


def _together(rows: Sequence[Row]) -> Row:
    """One row for rows that are alike, and so below it."""
    below = tuple(map(_together, zip(*(row.below for row in rows), strict=True)))
    return replace(rows[0], cost=_sum(rows), below=below, nodes=_nodes(rows))


def _title(op: Op) -> str:
    """The operation as figures say it, with its own name before bare numbers and signs."""
    if op.family is Family.INPUT:
        return op.name
    said = str(op.said())
    return f"{op.name} {said}" if not said[:1].isalpha() else said


def _call(block: Block) -> str:
    """`Bottleneck(c=64)`, with what was given to it."""
    given = [f"{name}={_given(value)}" for name, value in plain(block.arguments).items()]
    return f"{block.definition.name}({', '.join(given)})" if given else block.definition.name


def _given(value: object) -> str:
    """An argument; a fraction that does not end is rounded, as in figures."""
    return number(value) if isinstance(value, float) else spell(value)


def _shapes(tensors: tuple[Tensor, ...]) -> tuple[Shape, ...]:
    return tuple(strip(tensor.shape) for tensor in tensors)


def _sum(rows: Iterable[Row]) -> Cost:
    return sum((row.cost for row in rows), Cost())
