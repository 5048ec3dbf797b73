"""The table of the source beside a column of boxes: each row level with its box."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import accumulate

from cnndsl.figures import font
from cnndsl.figures.layout.cards import Cards
from cnndsl.figures.layout.piece import SAME, Piece, Spot, bounds
from cnndsl.figures.paint import Part, Path, Text
from cnndsl.figures.scene import Cluster
from cnndsl.figures.values import NOTE, SIZE, Table
from cnndsl.ops.facts import Family

LEAST = 5
"""A table of fewer rows stays under its block."""
CLEAR, WITHIN = 8.0, 6.0
"""From a box to its leader, from the leader to a row, and how far it runs over the rules."""
GAPS, LEADERS = (15.0, 12.0), (22.0, 16.0)
"""Between columns, and how long the shortest leader is: with room, and with little."""
HEAD, OVER, FOOT = 17.0, 5.0, 7.0
"""The height of the header, from it to the first box, and from the last to the rule below."""


def ledgers(piece: Piece, cards: Cards, table: Table) -> list[Table]:
    """What may stand beside a picture: the whole table, or the table without costs.

    Empty unless the picture is one column of boxes, most of these have a row, and no other
    box stands between them.
    """
    layers = [
        item
        for item in cards.scene.items
        if isinstance(item, Cluster) or item.family is not Family.INPUT
    ]
    most = len(table.keys) >= LEAST and 2 * len(table.keys) > len(layers)
    straight = all(abs(spot.x) < SAME for spot in piece.spots)
    if piece.laned or piece.folds or not straight or not most:
        return []
    spots = _spots(piece, table)
    among = [s for s in piece.spots if spots[0].y <= s.y <= spots[-1].y]
    if bounds(spots[0])[1] < HEAD + OVER or spots != sorted(among, key=lambda spot: spot.y):
        return []
    last = table.parameters[1]
    header, rows = table.header, table.rows
    if table.read:
        # The box already says its output.
        header = (*header[:last], "in", *header[last + 1 :])
        pairs = zip(rows, table.read, strict=True)
        rows = tuple((*row[:last], read, *row[last + 1 :]) for row, read in pairs)
    places = (table.parameters[0] - 1, last - 1)
    whole = replace(
        table, header=header[1:], rows=tuple(r[1:] for r in rows), parameters=places
    )
    return [whole, without_costs(whole)]


def without_costs(table: Table) -> Table:
    """The same without its last columns."""
    kept = table.parameters[1] + 1
    return replace(table, header=table.header[:kept], rows=tuple(r[:kept] for r in table.rows))


def _spots(piece: Piece, table: Table) -> list[Spot]:
    found = {spot.box.key: spot for spot in piece.spots}
    return [found[key] for key in table.keys]


def beside(piece: Piece, cards: Cards, table: Table) -> Piece:
    """A column of boxes with such a table at its right."""
    close = cards.fine
    begin = piece.right + CLEAR + LEADERS[close] - WITHIN
    rows = (table.header, *table.rows)
    widths = [
        max(font.width(row[n], SIZE, bold=row is rows[0]) for row in rows)
        for n in range(len(table.header))
    ]
    ends = accumulate([begin + WITHIN + CLEAR, *widths], lambda x, wide: x + GAPS[close] + wide)
    rights = [end - GAPS[close] for end in ends][1:]
    marks = list(_marks(_spots(piece, table), table, begin, rights))
    right = max(rights[-1], *(begin + font.width(note, NOTE) for note in table.notes), 0.0)
    return replace(piece, right=right + WITHIN, marks=[*piece.marks, *marks])


def _marks(
    spots: list[Spot], table: Table, begin: float, rights: list[float]
) -> Iterator[Part]:
    head, foot = bounds(spots[0])[1] - OVER, spots[-1].bottom + FOOT
    for y, stroke in ((head - HEAD, 1.1), (head, 0.6), (foot, 1.1)):
        yield Path(((begin, y), (rights[-1], y)), radius=0, stroke=stroke)
    for right, name in zip(rights, table.header, strict=True):
        yield Text(right, head - 5, name, SIZE, bold=True, anchor="end")
    for spot, row in zip(spots, table.rows, strict=True):
        line = ((bounds(spot)[2] + CLEAR, spot.y), (begin + WITHIN, spot.y))
        yield Path(line, "scope", radius=0, stroke=0.7, dashed=True)
        for n, (cell, right) in enumerate(zip(row, rights, strict=True)):
            role = "ink" if n < table.parameters[1] else "grey"
            yield Text(right, spot.y + 3, cell, SIZE, role, anchor="end")
    for number, note in enumerate(table.notes):
        yield Text(begin, foot + 11 + 12 * number, note, NOTE, "faint")
