"""The table of a network: the tree of its blocks with shapes, parameters and multiply-adds.

Every figure in a row counts all that the row stands for, so each column adds up; what it
sees is what its last layer does.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from cnndsl.analysis import columns as named
from cnndsl.analysis.columns import SCHEMA, USUAL, aligned, figures, known, sights, spelt
from cnndsl.analysis.costs import Cost, Total, costs, giga, total
from cnndsl.analysis.outline import Row, outline
from cnndsl.graph import Network, plain
from cnndsl.ops.facts import Shape, spell_shape
from cnndsl.ops.values import spell
from cnndsl.records import Record, record
from cnndsl.symbolic import strip

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType


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
        first += [f"{name}={spell(value)}" for name, value in plain(network.arguments).items()]
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
                sums = named.total(counted[name] for name in row.nodes)
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
        lines = aligned(
            [named.titles(known(columns)), *self.cells(depth, columns)], known(columns)
        )
        return "\n".join([self.header(), "", *lines, self.footer()])

    def __str__(self) -> str:
        """The whole table."""
        return self.text()

    def footer(self) -> str:
        """Multiply-adds by operation."""
        parts = [f"{name} {macs:,}" for name, macs in self.total.macs_by_op.items()]
        return f"MACs by operation: {', '.join(parts)}" if parts else "no multiply-adds"

    def rich(self, depth: int | None = None, columns: Sequence[str] = USUAL) -> RenderableType:
        """The table for a terminal, fitted to its width."""
        return _Screen(self, depth, known(columns))

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


@record
class _Screen(Record):
    """A summary as a terminal shows it."""

    summary: Summary
    depth: int | None
    columns: tuple[str, ...]

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        """The lines, none longer than the terminal is wide; rows below others are dim."""
        from rich.text import Text

        title, *rest = self.summary.header().splitlines()
        cells = list(self.summary.cells(self.depth, self.columns))
        fitted = named.fit(cells, self.columns, options.max_width)
        names, rule, *rows, _ = aligned(fitted.rows, fitted.columns)
        yield Text(title, "bold")
        yield Text("\n".join(rest))
        yield Text(f"\n{names}", "bold", no_wrap=True)
        yield Text(rule, no_wrap=True)
        for row in rows:
            yield Text(row, "dim" if row.startswith(" ") else "", no_wrap=True)
        yield Text(rule, no_wrap=True)
        if fitted.left_out:
            yield Text(f"no room for {', '.join(fitted.left_out)}", "dim")
        yield Text(self.summary.footer(), "dim")


def _spell(outputs: tuple[Shape, ...]) -> str:
    more = f" and {len(outputs) - 1} more" if len(outputs) > 1 else ""
    return f"{spell_shape(outputs[0])}{more}" if outputs else ""


def summary(network: Network) -> Summary:
    """The table of a network."""
    table = costs(network)
    rows, lines = outline(network, table)
    return Summary(network, table, lines, total(network, table), rows)
