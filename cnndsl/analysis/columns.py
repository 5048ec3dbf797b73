"""The columns of summaries: what they are called, how their figures are spelt and summed."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cnndsl.analysis.buffers import layout
from cnndsl.analysis.costs import Cost
from cnndsl.diagnostics import did_you_mean
from cnndsl.graph import Network
from cnndsl.ops.facts import BYTES
from cnndsl.ops.words import shape_text
from cnndsl.symbolic import strip

SCHEMA = 1
"""The version of what `--json` prints."""
TITLES = {
    "op": "operation", "shape": "output", "parameters": "parameters", "macs": "MACs",
    "share": "share", "cumulative": "cumulative", "bytes": "bytes", "rf": "sees",
    "stride": "stride", "intensity": "FLOP/byte",
}  # fmt: skip
"""What can be asked for, and how a table titles it; `bytes` are the activations written."""
COLUMNS = tuple(TITLES)
USUAL = ("op", "shape", "parameters", "macs", "share")
SUMMED = ("parameters", "macs", "bytes")
LEFT = ("op", "shape", "rf")
"""The columns of words, which begin at the left."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What a row counts; all of it can be summed."""

    parameters: int = 0
    macs: int = 0
    bytes: int = 0
    moved: int = 0
    """Bytes read and written, weights among them."""

    def values(self, whole: int, before: int) -> dict[str, int | float]:
        """The columns that are figures, of `whole` multiply-adds, `before` of them earlier."""
        return {
            "parameters": self.parameters,
            "macs": self.macs,
            "share": self.macs / whole if whole else 0.0,
            "cumulative": (before + self.macs) / whole if whole else 0.0,
            "bytes": self.bytes,
            "intensity": 2 * self.macs / self.moved if self.moved else 0.0,
        }


def total(parts: Iterable[Figures]) -> Figures:
    """The sum."""
    found = [(p.parameters, p.macs, p.bytes, p.moved) for p in parts]
    return Figures(*map(sum, zip(*found, strict=True))) if found else Figures()


def figures(
    network: Network, costed: dict[str, Cost], columns: Sequence[str]
) -> dict[str, Figures]:
    """What each node counts; inputs are the caller's, and a view writes nothing.

    Bytes are worked out where a column asks for them.
    """
    if not {"bytes", "intensity"} & set(columns):
        return {name: Figures(cost.parameters, cost.macs) for name, cost in costed.items()}
    found, views = {}, layout(network).views
    for node in network:
        cost = costed[node.name]
        if node.name in network.inputs or node.name in views:
            found[node.name] = Figures(cost.parameters, cost.macs)
            continue
        rows = int(node.rows)
        written, read = (
            BYTES * rows * sum(math.prod(strip(shape)) for shape in shapes)
            for shapes in (network.shapes[node.name], network.input_shapes(node.name))
        )
        weights = BYTES * (cost.parameters + cost.buffers)
        found[node.name] = Figures(
            cost.parameters, cost.macs, written, written + read + weights
        )
    return found


def sights(network: Network, columns: Sequence[str]) -> dict[str, dict[str, str]]:
    """What each node sees and its stride, where a column asks for it."""
    if not {"rf", "stride"} & set(columns):
        return {}
    from cnndsl.analysis.receptive import receptive

    fields = receptive(network)
    return {n.name: {"rf": str(f := fields[n.name]), "stride": f.stride} for n in network}


def known(columns: Sequence[str]) -> tuple[str, ...]:
    """The columns, all of which there are.  Raises LookupError: with the nearest."""
    for name in columns:
        if name not in COLUMNS:
            help = did_you_mean(name, COLUMNS) or f"there are {', '.join(COLUMNS)}"
            raise LookupError(f"unknown column `{name}`; {help}")
    return tuple(dict.fromkeys(columns))


def spelt(column: str, value: object) -> str:
    """A cell.  Nothing is no figure."""
    if isinstance(value, float):
        return f"{100 * value:.1f} %" if column != "intensity" else f"{value:.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def aligned(rows: Sequence[Sequence[str]], columns: Sequence[str]) -> list[str]:
    """The rows as lines, a title first; names and words at the left, figures at the right."""
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    left = [True, *(column in LEFT for column in columns)]
    lines = [
        "  ".join(
            cell.ljust(width) if side else cell.rjust(width)
            for cell, width, side in zip(row, widths, left, strict=True)
        ).rstrip()
        for row in rows
    ]
    rule = "─" * (sum(widths) + 2 * (len(widths) - 1))
    return [lines[0], rule, *lines[1:], rule]


NARROWEST = {"name": 10, "op": 10}
"""To what the columns of words may be cut; figures and shapes never are."""
LEAVE = (
    "share", "cumulative", "stride", "intensity", "bytes", "rf", "op", "parameters",
    "shape",
)  # fmt: skip
"""What is left out first where there is no room."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """The cells that there is room for, titles first."""

    rows: list[list[str]]
    columns: tuple[str, ...]
    left_out: tuple[str, ...]


def titles(columns: Sequence[str]) -> list[str]:
    """What stands above the columns."""
    return ["name", *(TITLES[column] for column in columns)]


def fit(rows: Sequence[Sequence[str]], columns: tuple[str, ...], width: int) -> Fitted:
    """Cells within a width: sizes are said in short, words cut, then columns left out.

    Of the words, operations are cut before names.
    """
    left_out: tuple[str, ...] = ()
    if "shape" in columns and _wide([titles(columns), *rows]) > width:
        place = columns.index("shape") + 1
        rows = [[*row[:place], short(row[place]), *row[place + 1 :]] for row in rows]
    while True:
        shown = ["name", *(c for c in columns if c not in left_out)]
        places = [number for number, c in enumerate(["name", *columns]) if c in shown]
        cells = [[row[n] for n in places] for row in [titles(columns), *rows]]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        over = sum(widths) + 2 * (len(widths) - 1) - width
        for word in ("op", "name"):
            if word in shown and over > 0:
                place = shown.index(word)
                taken = min(over, max(widths[place] - NARROWEST[word], 0))
                widths[place] -= taken
                over -= taken
        spare = next((c for c in LEAVE if c in shown), None)
        if over <= 0 or spare is None:
            cut = [[_cut(c, w) for c, w in zip(row, widths, strict=True)] for row in cells]
            return Fitted(cut, tuple(shown[1:]), left_out)
        left_out = (*left_out, spare)


def _wide(rows: Sequence[Sequence[str]]) -> int:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return sum(widths) + 2 * (len(widths) - 1)


def short(cell: str) -> str:
    """`480×14²` for `[480, 14, 14]`."""
    return re.sub(
        r"\[(\d+(?:, \d+)*)\]",
        lambda found: shape_text([*map(int, found[1].split(", "))]),
        cell,
    )


def _cut(cell: str, width: int) -> str:
    return cell if len(cell) <= width else f"{cell[: width - 1]}…"
