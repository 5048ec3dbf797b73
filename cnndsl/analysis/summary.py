"""The table of a network: the tree of its blocks with shapes, parameters and multiply-adds.

Read off `Network.structure`. Terms of one kind that follow each other are one row with
×N. Every figure in a row counts all that the row stands for, so each column adds up; what
it sees is what its last layer does.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

from cnndsl.analysis.columns import (
    LEFT,
    SCHEMA,
    TITLES,
    USUAL,
    aligned,
    figures,
    known,
    sights,
    spelt,
)
from cnndsl.analysis.columns import total as total_of
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
from cnndsl.ops.base import Family, Op, Shape, spell_shape
from cnndsl.ops.values import spell
from cnndsl.records import Record, record
from cnndsl.symbolic import strip

if TYPE_CHECKING:
    from rich.console import RenderableType


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


@record
class Summary(Record):
    """What a network is and costs; printed, it is a table."""

    network: Network
    table: dict[str, Cost]
    lines: dict[str, int]
    """The line of the step that each node belongs to."""
    total: Total
    tree: tuple[Row, ...]

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

    def rows(
        self, depth: int | None = None, columns: Sequence[str] = USUAL
    ) -> list[dict[str, object]]:
        """The tree down to a depth, one row a row of it, for a data frame.

        Raises LookupError: a column that there is not, with the nearest.
        """
        columns = known(columns)
        counted = figures(self.network, self.table, columns)
        seen = sights(self.network, columns)
        found: list[dict[str, object]] = []
        done = 0
        for top in self.tree:
            starts = [done]
            for level, row in top.walk():
                # Below a row they begin where it does, beside it where that has ended.
                del starts[level + 1 :]
                sums = total_of(counted[name] for name in row.nodes)
                values: dict[str, object] = {
                    "op": row.operation + (f" ×{row.count}" if row.count > 1 else ""),
                    "shape": _spell(row.outputs),
                    **(seen.get(row.nodes[-1], {}) if row.nodes else {}),
                    **sums.values(self.total.macs, starts[level]),
                }
                if depth is None or level < depth:
                    chosen = {column: values.get(column, "") for column in columns}
                    found.append({"name": row.name, "depth": level, **chosen})
                starts += [starts[level]]
                starts[level] += sums.macs
            done += sum(self.table[name].macs for name in top.nodes)
        return found

    def cells(
        self, depth: int | None = None, columns: Sequence[str] = USUAL
    ) -> Iterator[tuple[str, ...]]:
        """The text of each row down to a depth."""
        for row in self.rows(depth, columns):
            name, level = row.pop("name"), row.pop("depth")
            assert isinstance(level, int)
            # What is nothing is not said.
            cells = (spelt(column, value) if value else "" for column, value in row.items())
            yield ("  " * level + str(name), *cells)

    def text(self, depth: int | None = None, columns: Sequence[str] = USUAL) -> str:
        """The whole table as plain text."""
        titles = ("name", *(TITLES[column] for column in known(columns)))
        lines = aligned([titles, *self.cells(depth, columns)], known(columns))
        return "\n".join([self.header(), "", *lines, self.footer()])

    def __str__(self) -> str:
        """The whole table."""
        return self.text()

    def footer(self) -> str:
        """Multiply-adds by operation."""
        parts = [f"{name} {macs:,}" for name, macs in self.total.macs_by_op.items()]
        return f"MACs by operation: {', '.join(parts)}" if parts else "no multiply-adds"

    def rich(self, depth: int | None = None, columns: Sequence[str] = USUAL) -> RenderableType:
        """The table for a terminal, cut to its width."""
        from rich import box
        from rich.console import Group as Lines
        from rich.table import Table
        from rich.text import Text

        columns = known(columns)
        table = Table(box=box.SIMPLE_HEAD, padding=0, pad_edge=False)
        # What does not fit is taken from the operations, or else from the names.
        shrinks = "op" if "op" in columns else "name"
        for column in ("name", *columns):
            side: Literal["left", "right"] = "left" if column in ("name", *LEFT) else "right"
            title = TITLES.get(column, column)
            table.add_column(title, justify=side, no_wrap=column != shrinks)
        for cells in self.cells(depth, columns):
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
        Row(name, "input", (strip(tensor.shape),), Cost(), nodes=(name,))
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
        note = " ".join(f"{name}={_shown(value)}" for name, value in pairs)
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


def _sum(rows: Iterable[Row]) -> Cost:
    return sum((row.cost for row in rows), Cost())
