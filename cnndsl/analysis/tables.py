"""A network's layers as a table: any columns, grouped by layer, operation, stage or block.

Every column that can be summed sums to the network's total; what `top` cuts off is one
row at the end.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from cnndsl.analysis.buffers import BYTES
from cnndsl.analysis.costs import costs
from cnndsl.diagnostics import did_you_mean
from cnndsl.graph import Block, Network, blocks
from cnndsl.ops.base import spell_shape

By = Literal["layer", "op", "stage", "block"]
COLUMNS = (
    "op", "shape", "parameters", "macs", "share", "cumulative", "bytes", "rf", "stride",
    "intensity",
)  # fmt: skip
"""What can be asked for; `bytes` are those of the activations that a layer writes."""
USUAL = ("op", "shape", "parameters", "macs", "share")
LAYER_ONLY = ("shape", "rf", "stride")
SUMMED = ("parameters", "macs", "bytes")


@dataclass(frozen=True, slots=True)
class TableRow:
    """A group of layers; the words are those of its last layer."""

    name: str
    count: int
    parameters: int
    macs: int
    bytes: int
    moved: int
    """Bytes read and written, weights among them."""
    words: dict[str, str]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows and columns; printed, it is text."""

    network: Network = field(repr=False)
    by: By
    columns: tuple[str, ...]
    items: tuple[TableRow, ...]

    def rows(self) -> list[dict[str, object]]:
        """One row a group, for a data frame."""
        whole = sum(item.macs for item in self.items)
        found: list[dict[str, object]] = []
        seen = 0
        for item in self.items:
            seen += item.macs
            values: dict[str, object] = {
                **item.words,
                "parameters": item.parameters,
                "macs": item.macs,
                "bytes": item.bytes,
                "share": item.macs / whole if whole else 0.0,
                "cumulative": seen / whole if whole else 0.0,
                "intensity": 2 * item.macs / item.moved if item.moved else 0.0,
            }
            found.append({self.by: item.name, **{c: values.get(c, "") for c in self.columns}})
        return found

    def csv(self) -> str:
        """As comma-separated values, full numbers."""
        out = io.StringIO()
        writer = csv.DictWriter(out, [self.by, *self.columns], lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows())
        return out.getvalue()

    def __str__(self) -> str:
        """Aligned columns with a row of totals."""
        cells = [[self.by, *self.columns]]
        cells += [[_cell(key, value) for key, value in row.items()] for row in self.rows()]
        total = {c: sum(int(getattr(item, c)) for item in self.items) for c in SUMMED}
        last = [f"{total[c]:,}" if c in total else "" for c in self.columns]
        cells.append(["total", *last])
        left = [n for n, c in enumerate(cells[0]) if n == 0 or c in ("op", "shape", "rf")]
        widths = [max(len(row[n]) for row in cells) for n in range(len(cells[0]))]
        lines = [
            "  ".join(
                cell.ljust(widths[n]) if n in left else cell.rjust(widths[n])
                for n, cell in enumerate(row)
            ).rstrip()
            for row in cells
        ]
        rule = "─" * (sum(widths) + 2 * (len(widths) - 1))
        return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def _cell(key: str, value: object) -> str:
    if key in ("share", "cumulative"):
        return f"{100 * float(str(value)):.1f} %"
    if key == "intensity":
        return f"{float(str(value)):.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def table(
    network: Network,
    by: By = "layer",
    columns: Sequence[str] = USUAL,
    top: int | None = None,
) -> Table:
    """The table of a network; `top` keeps the rows with the most multiply-adds.

    Raises LookupError: a column that there is not, with the nearest.
    """
    for name in columns:
        if name not in COLUMNS:
            help = did_you_mean(name, COLUMNS) or f"there are {', '.join(COLUMNS)}"
            raise LookupError(f"`{name}` is no column; {help}")
    chosen = tuple(c for c in columns if by == "layer" or c not in LAYER_ONLY)
    groups = _groups(network, by)
    layers = _layers(network, chosen)
    order: dict[str, list[TableRow]] = {}
    for item in layers:
        order.setdefault(groups[item.name], []).append(item)
    rows = [_sum(name, items) for name, items in order.items()]
    if top is not None and len(rows) > top:
        kept = sorted(rows, key=lambda row: -row.macs)
        rest = kept[top:]
        rows = [*kept[:top], _sum(f"{len(rest)} others", rest, {})]
    return Table(network, by, chosen, tuple(rows))


def _sum(name: str, items: list[TableRow], words: dict[str, str] | None = None) -> TableRow:
    kinds = dict.fromkeys(item.words.get("op", "") for item in items)
    said = {**items[-1].words, "op": ", ".join(kinds)}
    return TableRow(
        name,
        sum(item.count for item in items),
        sum(item.parameters for item in items),
        sum(item.macs for item in items),
        sum(item.bytes for item in items),
        sum(item.moved for item in items),
        said if words is None else words,
    )


def _layers(network: Network, columns: Sequence[str]) -> list[TableRow]:
    costed = costs(network)
    fields = None
    if "rf" in columns or "stride" in columns:
        from cnndsl.analysis.receptive import receptive

        fields = receptive(network)
    found = []
    for node in network:
        shapes = [tuple(map(int, shape)) for shape in network.shapes[node.name]]
        given = [tuple(map(int, shape)) for shape in network.input_shapes(node.name)]
        rows = int(node.rows)
        written = BYTES * rows * sum(map(math.prod, shapes))
        read = BYTES * rows * sum(map(math.prod, given))
        cost = costed[node.name]
        words = {"op": node.op.name, "shape": spell_shape(shapes[0])}
        if fields is not None:
            words |= {"rf": str(fields[node.name]), "stride": fields[node.name].stride}
        outside = node.name in network.inputs
        weights = BYTES * (cost.parameters + cost.buffers)
        found.append(
            TableRow(
                node.name,
                1,
                cost.parameters,
                cost.macs,
                0 if outside else written,
                0 if outside else written + read + weights,
                words,
            )
        )
    return found


def _groups(network: Network, by: By) -> dict[str, str]:
    """The group of each node."""
    names = [node.name for node in network]
    match by:
        case "layer":
            return {name: name for name in names}
        case "op":
            return {name: network.node(name).op.name for name in names}
        case "stage":
            return {name: _stage(name) for name in names}
    found = dict.fromkeys(names, network.name)
    for block in blocks(network.structure):
        # Inner blocks come after those around them, and take their nodes over.
        found |= dict.fromkeys(_inside(block), block.definition.name)
    return found


def _stage(name: str) -> str:
    """The label at the top, with its index: `c2`, `blocks.3`."""
    parts = name.split(".")
    count = 2 if len(parts) > 2 and parts[1].isdigit() else 1
    return ".".join(parts[:count])


def _inside(block: Block) -> list[str]:
    from cnndsl.analysis.buffers import nodes_below

    return list(nodes_below(block))
