"""Nested skips of one lane, as arcs over its boxes: the longer, the higher."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from cnndsl.figures.layout.piece import Ends, Line, Piece, Spot, bounds
from cnndsl.figures.layout.rails import bare, spot_of
from cnndsl.figures.layout.roles import Grid

OVER, ROOMY = 18.0, 26.0
"""From the boxes to the lowest arc; where they stand far apart, it is flat over the labels."""
RISE, APART = 13.0, 7.0
"""From an arc to the next higher one, and between their ends."""
PULL = 4 / 3
"""A curve is pulled so much higher than it gets: then it is half an ellipse, but for a hair."""

Levels = dict[Ends, int]
"""How high each skip is, from 1."""


def skips(
    edges: Sequence[Ends], owner: Mapping[str, str], grid: Grid, leaves: Mapping[str, Piece]
) -> Levels:
    """The edges that pass over boxes of their row, each above those that it spans.

    Nothing where none spans another: then they are led like any other, and so is an edge of
    what has an outline, which is not met from above.
    """
    rows: dict[tuple[int, int], set[int]] = defaultdict(set)
    for lane, row, column in grid.cells.values():
        rows[lane, row].add(column)
    spans: dict[Ends, tuple[tuple[int, int], int, int]] = {}
    for ends in edges:
        (one, row, first), (two, other, last) = (grid.cells[owner[key]] for key in ends)
        passed = any(first < column < last for column in rows[one, row])
        met = all(bare(leaves[owner[key]]) for key in ends)
        if (one, row) == (two, other) and passed and met:
            spans[ends] = ((one, row), 2 * first + 1, 2 * last)
    found: Levels = {}
    for ends, (at, first, last) in sorted(
        spans.items(), key=lambda item: (item[1][2] - item[1][1], item[1])
    ):
        under = [
            found[other]
            for other in found
            if spans[other][0] == at and first <= spans[other][1] and spans[other][2] <= last
        ]
        found[ends] = 1 + max(under, default=0)
    return found if max(found.values(), default=0) > 1 else {}


def room(
    levels: Levels, cells: Mapping[Ends, tuple[int, int, int]], narrow: int
) -> dict[tuple[int, int], float]:
    """How much higher the rows are in which skips begin, by their `cells`."""
    found: dict[tuple[int, int], float] = {}
    for ends, level in levels.items():
        lane, row, _ = cells[ends]
        high = height(level, narrow) + 4
        found[lane, row] = max(found.get((lane, row), 0.0), high)
    return found


def drawn(
    levels: Levels, leaves: Mapping[str, Piece], row: Sequence[Piece], narrow: int
) -> dict[Ends, Line]:
    """The arcs over the boxes of a row, as curves: none that leave or enter one box cross."""
    tops = [bounds(spot)[1] for piece in row for spot in piece.spots]
    top = min(tops + [scope.y for piece in row for scope in piece.scopes])
    found: dict[Ends, Line] = {}
    for ends, level in levels.items():
        tail, head = (spot_of(leaves[key], key) for key in ends)
        out = sorted(n for other, n in levels.items() if other[0] == ends[0])
        into = sorted(n for other, n in levels.items() if other[1] == ends[1])
        one, two = begin(tail, out.index(level)), end(head, into.index(level))
        y = top - PULL * height(level, narrow)
        found[ends] = ((one, bounds(tail)[1]), (one, y), (two, y), (two, bounds(head)[1]))
    return found


def height(level: int, narrow: int) -> float:
    """How far an arc rises over the boxes of its row."""
    return (OVER if narrow else ROOMY) + RISE * (level - 1)


def begin(tail: Spot, place: int) -> float:
    """Where a skip leaves a box, counted from the lowest of its own."""
    return max(bounds(tail)[2] - 6 - APART * place, tail.left + 2)


def end(head: Spot, place: int) -> float:
    """Where it comes in."""
    return min(head.left + 5 + APART * place, head.right - 2)
