"""A network's layers as a flat table, grouped by layer, operation, stage or block.

Every column that can be summed sums to the network's total; what `top` cuts off is one
row at the end.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from cnndsl.analysis import columns as named
from cnndsl.analysis.columns import SUMMED, TITLES, USUAL, Figures, aligned, figures, sights
from cnndsl.analysis.costs import costs
from cnndsl.graph import Network
from cnndsl.ops.facts import spell_shape
from cnndsl.structure import blocks, nodes_of
from cnndsl.symbolic import strip

By = Literal["layer", "op", "stage", "block"]
OF_ONE = ("shape", "rf", "stride")
"""The columns that a group has no one value of."""


@dataclass(frozen=True, slots=True)
class TableRow:
    """A group of layers: how many, their sums, and the words of the last of them."""

    name: str
    count: int
    figures: Figures
    words: dict[str, str]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows and columns; printed, it is text."""

    network: Network = field(repr=False)
    by: By
    columns: tuple[str, ...]
    items: tuple[TableRow, ...]

    @property
    def total(self) -> Figures:
        """What the rows sum to."""
        return named.total(item.figures for item in self.items)

    def rows(self) -> list[dict[str, object]]:
        """One row a group, for a data frame."""
        whole, seen = self.total.macs, 0
        found: list[dict[str, object]] = []
        for item in self.items:
            values = {**item.words, **item.figures.values(whole, seen)}
            found.append({self.by: item.name, **{c: values.get(c, "") for c in self.columns}})
            seen += item.figures.macs
        return found

    def data(self) -> dict[str, object]:
        """Plain values: the rows, and the totals that they sum to."""
        total = {name: getattr(self.total, name) for name in SUMMED}
        return {
            "schema": named.SCHEMA,
            "model": self.network.name,
            "by": self.by,
            "rows": self.rows(),
            "total": total,
        }

    def csv(self) -> str:
        """As comma-separated values, full numbers."""
        out = io.StringIO()
        writer = csv.DictWriter(out, [self.by, *self.columns], lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows())
        return out.getvalue()

    def __str__(self) -> str:
        """Aligned columns with a row of totals."""
        cells = [[self.by, *(TITLES[column] for column in self.columns)]]
        for row in self.rows():
            cells.append([named.spelt(key, value) for key, value in row.items()])
        total = self.total
        last = [f"{getattr(total, c):,}" if c in SUMMED else "" for c in self.columns]
        lines = aligned([*cells, ["total", *last]], self.columns)
        # The rule stands above the totals.
        return "\n".join([*lines[:-2], lines[-1], lines[-2]])


def table(
    network: Network,
    by: By = "layer",
    columns: Sequence[str] = USUAL,
    top: int | None = None,
) -> Table:
    """The table of a network; `top` keeps the rows with the most multiply-adds.

    Raises LookupError: a column that there is not, with the nearest.
    """
    left = () if by == "layer" else (*OF_ONE, by)
    chosen = tuple(c for c in named.known(columns) if c not in left)
    groups = _groups(network, by)
    order: dict[str, list[TableRow]] = {}
    for item in _layers(network, chosen):
        order.setdefault(groups[item.name], []).append(item)
    rows = [_sum(name, items) for name, items in order.items()]
    if top is not None and len(rows) > top:
        kept = sorted(rows, key=lambda row: -row.figures.macs)
        rest = kept[top:]
        rows = [*kept[:top], _sum(f"{len(rest)} others", rest, {})]
    return Table(network, by, chosen, tuple(rows))


def _sum(name: str, items: list[TableRow], words: dict[str, str] | None = None) -> TableRow:
    kinds = dict.fromkeys(item.words.get("op", "") for item in items)
    said = {**items[-1].words, "op": ", ".join(kinds)}
    return TableRow(
        name,
        sum(item.count for item in items),
        named.total(item.figures for item in items),
        said if words is None else words,
    )


def _layers(network: Network, columns: Sequence[str]) -> list[TableRow]:
    # The totals are of all that can be summed, whatever is shown.
    counted = figures(network, costs(network), SUMMED)
    seen = sights(network, columns)
    rows = []
    for node in network:
        shape = spell_shape(strip(network.shapes[node.name][0]))
        words = {"op": node.op.name, "shape": shape, **seen.get(node.name, {})}
        rows.append(TableRow(node.name, 1, counted[node.name], words))
    return rows


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
        found |= dict.fromkeys(nodes_of(block.body), block.definition.name)
    return found


def _stage(name: str) -> str:
    """The label at the top, with its index: `c2`, `blocks.3`."""
    parts = name.split(".")
    count = 2 if len(parts) > 2 and parts[1].isdigit() else 1
    return ".".join(parts[:count])
