"""The table of a network: the tree of its blocks with shapes, parameters and multiply-adds.

Read off `Network.structure`. Terms of one kind that follow each other are one row with
×N. Every figure in a row counts all that the row stands for, so each column adds up.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

from cnndsl.analysis.costs import Cost, Total, costs, giga, total
from cnndsl.graph import (
    Block,
    Call,
    Each,
    Group,
    Line,
    Loop,
    Network,
    Repeat,
    Step,
    Tensor,
    Term,
    plain,
)
from cnndsl.language.modules import deep_recursion
from cnndsl.ops.base import Family, Op, Shape, spell, spell_shape
from cnndsl.records import Record, record
from cnndsl.symbolic import strip

if TYPE_CHECKING:
    from rich.console import RenderableType

SCHEMA = 1
"""The version of what `--json` prints."""

HEADER = ("name", "operation", "output", "parameters", "MACs", "share")


@record
class Row(Record):
    """One row with the rows below it; `count` is N in ×N."""

    name: str
    operation: str
    outputs: tuple[Shape, ...]
    cost: Cost
    below: tuple[Row, ...] = ()
    count: int = 1

    def times(self, count: int) -> Row:
        """The row and those below it, counted that many times."""
        cost = Cost(
            *(count * n for n in (self.cost.parameters, self.cost.buffers, self.cost.macs))
        )
        return replace(self, cost=cost, below=tuple(row.times(count) for row in self.below))

    def walk(self) -> Iterator[tuple[int, Row]]:
        """The row and those below it, each with its depth."""
        stack = [(0, self)]
        while stack:
            depth, row = stack.pop()
            yield depth, row
            stack += [(depth + 1, below) for below in reversed(row.below)]


@record
class Summary(Record):
    """What a network is and costs; printed, it is a table."""

    network: Network
    table: dict[str, Cost]
    lines: dict[str, int]
    """The line of the step that each node belongs to."""
    total: Total
    rows: tuple[Row, ...]

    def header(self) -> str:
        """Name, inputs and outputs, and the totals."""
        network, total = self.network, self.total
        first = [network.name]
        first += [f"{name}={_shown(value)}" for name, value in plain(network.arguments).items()]
        ports = [
            ", ".join(f"{name}{spell_shape(t.shape)}" for name, t in tensors.items())
            for tensors in (network.inputs, network.outputs)
        ]
        lines = [
            " ".join(first),
            *(str(citation) for citation in network.structure.definition.citations),
            " → ".join(ports),
            f"{total.parameters:,} parameters, {total.buffers:,} buffer elements",
            f"{giga(total.macs)} GMACs (= {giga(total.flops)} GFLOPs)",
        ]
        rows = {int(node.rows) for node in network} - {1}
        if rows:
            counts = " and ".join(str(n) for n in sorted(rows))
            lines.append(f"assuming {counts} rows where a module runs once a row")
        return "\n".join(lines)

    def cells(self, depth: int | None = None) -> Iterator[tuple[str, ...]]:
        """The text of each row down to a depth, in the columns of `HEADER`."""
        whole = self.total.macs
        for top in self.rows:
            for level, row in top.walk():
                if depth is not None and level >= depth:
                    continue
                times = f" ×{row.count}" if row.count > 1 else ""
                share = f"{100 * row.cost.macs / whole:.1f} %" if row.cost.macs else ""
                yield (
                    "  " * level + row.name,
                    row.operation + times,
                    _spell(row.outputs),
                    f"{row.cost.parameters:,}" if row.cost.parameters else "",
                    f"{row.cost.macs:,}" if row.cost.macs else "",
                    share,
                )

    def text(self, depth: int | None = None) -> str:
        """The whole table as plain text."""
        rows = [HEADER, *self.cells(depth)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
        lines = []
        for row in rows:
            left = [cell.ljust(width) for cell, width in zip(row[:3], widths, strict=False)]
            right = [c.rjust(w) for c, w in zip(row[3:], widths[3:], strict=True)]
            lines.append("  ".join(left + right).rstrip())
        rule = "─" * (sum(widths) + 2 * (len(widths) - 1))
        return "\n".join([self.header(), "", lines[0], rule, *lines[1:], rule, self.footer()])

    __str__ = text

    def footer(self) -> str:
        """Multiply-adds by operation."""
        parts = [f"{name} {macs:,}" for name, macs in self.total.macs_by_op.items()]
        return f"MACs by operation: {', '.join(parts)}" if parts else "no multiply-adds"

    def rich(self, depth: int | None = None) -> RenderableType:
        """The table for a terminal, cut to its width."""
        from rich import box
        from rich.console import Group as Lines
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, padding=0, pad_edge=False)
        for number, title in enumerate(HEADER):
            # What does not fit is taken from the operations: only they may shrink.
            side: Literal["left", "right"] = "left" if number < 3 else "right"
            table.add_column(title, justify=side, no_wrap=number != 1)
        for cells in self.cells(depth):
            texts = [Text(cell, no_wrap=True, overflow="ellipsis") for cell in cells]
            table.add_row(*texts, style="dim" if cells[0].startswith(" ") else "")
        title, *rest = self.header().splitlines()
        return Lines(
            Text(title, "bold"), Text("\n".join(rest)), table, Text(self.footer(), "dim")
        )

    def __rich__(self) -> RenderableType:
        """What `rich.print` shows."""
        return self.rich()

    def data(self) -> dict[str, Any]:
        """What `--json` prints: plain values, shapes without the batch."""
        network, total = self.network, self.total
        return {
            "schema": SCHEMA,
            "model": network.name,
            "parameters": total.parameters,
            "buffers": total.buffers,
            "macs": total.macs,
            "flops": total.flops,
            "macs_by_op": total.macs_by_op,
            "inputs": {name: list(strip(t.shape)) for name, t in network.inputs.items()},
            "outputs": {name: list(strip(t.shape)) for name, t in network.outputs.items()},
            "nodes": [self._node(node.name) for node in network],
        }

    def _node(self, name: str) -> dict[str, Any]:
        node, cost = self.network.node(name), self.table[name]
        shapes = [list(strip(shape)) for shape in self.network.shapes[name]]
        found = {
            "name": name,
            "op": node.op.name,
            "inputs": [
                producer if output == 0 else f"{producer}:{output}"
                for producer, output in self.network.operands(name)
            ],
            "shape": shapes[0],
            "parameters": cost.parameters,
            "macs": cost.macs,
            "line": self.lines.get(name, node.span.line),
        }
        # Few operations have several outputs; `producer:1` is the second of them.
        return {**found, "shapes": shapes} if len(shapes) > 1 else found

    def json(self) -> str:
        """`data()` as text, a node a line."""
        data = self.data()
        nodes = ",\n".join(f"    {_json(node)}" for node in data.pop("nodes"))
        head = "".join(f'  "{name}": {_json(value)},\n' for name, value in data.items())
        return f'{{\n{head}  "nodes": [\n{nodes}\n  ]\n}}'


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def summary(network: Network) -> Summary:
    """The table of a network."""
    reader = _Reader(network)
    inputs = tuple(
        Row(name, "input", (strip(tensor.shape),), Cost())
        for name, tensor in network.inputs.items()
    )
    with deep_recursion():
        rows = reader.lines_of(network.structure.body)
    whole = total(network, reader.table)
    return Summary(network, reader.table, reader.lines, whole, (*inputs, *rows))


class _Reader:
    """Rows from the structure; `lines` is the source line of each node's step."""

    def __init__(self, network: Network) -> None:
        """Work out the costs."""
        self.network = network
        self.table = costs(network)
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
        return [Row(name, "", _shapes(line.outputs), _sum(rows), tuple(rows))]

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
        return Row(name, " + ".join(titles) or step.name, shapes, cost, tuple(operands))

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
        note = " ".join(f"{name}={_shown(value)}" for name, value in pairs)
        outputs = next((line.outputs for line in reversed(body) if line.on), ())
        return _parent("", note, outputs, rows)


def _parent(name: str, operation: str, outputs: tuple[Tensor, ...], below: list[Row]) -> Row:
    return Row(name, operation, _shapes(outputs), _sum(below), tuple(below))


def _numbered(rows: list[Row]) -> list[Row]:
    """Rows named by their place: `[0]`, `[1]`."""
    return [replace(row, name=f"[{number}]") for number, row in enumerate(rows)]


def _fold(rows: list[Row]) -> list[Row]:
    """Numbered neighbours that differ in nothing else are one row, counted N times."""
    folded: list[Row] = []
    for (numbered, _), group in groupby(rows, _alike):
        alike = list(group)
        first, last = alike[0], alike[-1]
        if not numbered or len(alike) == 1 or first.count > 1:
            folded += alike
            continue
        name = f"{first.name[:-1]}…{last.name[1:]}"
        folded.append(replace(first.times(len(alike)), name=name, count=len(alike)))
    return folded


def _alike(row: Row) -> tuple[bool, Row]:
    numbered = row.name.startswith("[")
    return numbered, replace(row, name="") if numbered else row


def _title(op: Op) -> str:
    """The operation by its own name, with its figures: `dwconv 3×3 /2`."""
    figure = op.figure() if op.family is not Family.INPUT else op.name
    if not any(c.isalnum() for c in figure):
        return op.name
    word, _, rest = figure.partition(" ")
    if not word.rstrip(",").isalnum() or word[:1].isdigit():
        return f"{op.name} {figure}"
    # A figure says `up 2×2, 64` where the operation is called deconv.
    return f"{op.name} {rest}" if any(c.isdigit() for c in rest) else op.name


def _call(block: Block) -> str:
    """`Bottleneck(c=64)`, with what was given to it."""
    given = [f"{name}={_shown(value)}" for name, value in plain(block.arguments).items()]
    return f"{block.definition.name}({', '.join(given)})" if given else block.definition.name


def _shown(value: object) -> str:
    return spell(value)


def _shapes(tensors: tuple[Tensor, ...]) -> tuple[Shape, ...]:
    return tuple(strip(tensor.shape) for tensor in tensors)


def _spell(outputs: tuple[Shape, ...]) -> str:
    more = f" and {len(outputs) - 1} more" if len(outputs) > 1 else ""
    return f"{spell_shape(outputs[0])}{more}" if outputs else ""


def _sum(rows: list[Row]) -> Cost:
    return sum((row.cost for row in rows), Cost())
