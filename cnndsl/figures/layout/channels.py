"""The grid of channels in which edges run, what is closed, and what runs there already.

A place is a number: column + row · width. An edge of the grid is twice its left or upper
place, and one more if it is upright. A closed rim stands around all.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from cnndsl.figures.layout.piece import Ends, Line, Rect
from cnndsl.figures.paint import Point

MARGIN = 5.5
STEPS = (8.0, 14.0, 20.0)
FINE = (6.0, 10.0, 14.0, 18.0, 22.0, 26.0)
"""From a box to the channels beside it, and where these are too few."""
NEAR, TIGHT = 4.0, 1.0
RIM = 1e4
APART = 3.0
"""Two lines that run beside each other nearer than this look like one."""
SAME = 0.008
"""Coordinates that differ by no more are one."""

INSIDE = 0.4
"""What is nearer to a box's side than this is not inside it."""


class Channels:
    """Where edges may run."""

    def __init__(
        self,
        rects: Sequence[Rect],
        points: Iterable[Point],
        tracks: Sequence[float] = (),
        levels: Sequence[float] = (),
        words: Sequence[Rect] = (),
        steps: Sequence[float] = STEPS,
    ) -> None:
        """`points` are exactly on it; the rest is as `Router` says."""
        self.rects, self.words = rects, words
        xs, ys = set(tracks), set(levels)
        exact = list(points)
        for left, top, right, bottom in rects:
            for step in steps:
                xs |= set() if tracks else {left - step, right + step}
                ys |= set() if levels else {top - step, bottom + step}
            exact.append(((left + right) / 2, (top + bottom) / 2))
        self.xs = _rimmed(_sparse({x for x, _ in exact}, xs))
        self.ys = _rimmed(_sparse({y for _, y in exact}, ys))
        self.width = len(self.xs)
        self.wide = [two - one for one, two in pairwise(self.xs)]
        self.high = [two - one for one, two in pairwise(self.ys)]
        self.closed = self._closed([(rect, MARGIN) for rect in rects], words)
        near = [(rect, TIGHT) for rect in rects]
        self.tight = self._closed(near, words)
        """The same where no other way is: an edge may run close to a box."""
        self.over = self._closed(near, ())
        """At worst it runs over words."""
        self.twins = _twins(self.xs), _twins(self.ys)
        """By column and by row: the others that are so near that they look like one line."""
        self.runs: dict[int, list[Ends]] = {}
        """By edge of the grid: what runs along it, or along one that looks the same."""
        self.level: dict[int, list[Ends]] = {}
        self.upright: dict[int, list[Ends]] = {}
        """By place: what runs through it, to the side and up or down."""
        self.bends: dict[int, list[Ends]] = {}
        """By place: what turns there."""
        self.fences: dict[int, list[Ends]] = {}
        """By edge of the grid: what is crossed there."""
        self.walls = {edge for rect in words for edge in self._crossing(rect)}
        """Edges of the grid that run over words between two places beside them."""

    def place(self, x: float, y: float) -> int:
        """The place of a point that is on the grid."""
        return bisect_left(self.xs, x - SAME) + self.width * bisect_left(self.ys, y - SAME)

    def point(self, place: int) -> Point:
        """Where a place is."""
        return self.xs[place % self.width], self.ys[place // self.width]

    def blocked(self, one: Point, two: Point, *, words: bool = False) -> bool:
        """Whether a straight line runs through a box, or through `words` over one."""
        left, right = sorted((one[0], two[0]))
        top, foot = sorted((one[1], two[1]))
        return any(
            left < r[2] - INSIDE
            and right > r[0] + INSIDE
            and top < r[3] - INSIDE
            and foot > r[1] + INSIDE
            for r in (*self.rects, *(self.words if words else ()))
        )

    def _closed(self, rects: Iterable[tuple[Rect, float]], words: Iterable[Rect]) -> bytearray:
        """The places in some rectangles, in words and on the rim."""
        closed = bytearray(self.width * len(self.ys))
        for rect, edge in rects:
            self._close(closed, rect, edge)
        for rect in words:
            self._close(closed, rect, 1.0)
        width, last = self.width, len(closed) - self.width
        closed[:width] = closed[last:] = b"\1" * width
        closed[::width] = closed[width - 1 :: width] = b"\1" * len(self.ys)
        return closed

    def _close(self, closed: bytearray, rect: Rect, edge: float) -> None:
        left, top, right, bottom = rect
        first, last = bisect_left(self.xs, left - edge), bisect_left(self.xs, right + edge)
        high, low = bisect_left(self.ys, top - edge), bisect_left(self.ys, bottom + edge)
        for row in range(high, low):
            start = row * self.width
            closed[start + first : start + last] = b"\1" * (last - first)

    def _crossing(self, rect: Rect) -> Iterator[int]:
        left, top, right, bottom = rect
        columns = range(bisect_left(self.xs, left), bisect_left(self.xs, right))
        rows = range(bisect_left(self.ys, top), bisect_left(self.ys, bottom))
        for row in rows if not columns else ():
            yield 2 * (columns.start - 1 + self.width * row)
        for column in columns if not rows else ():
            yield 2 * (column + self.width * (rows.start - 1)) + 1

    def fence(self, ends: Ends, line: Line) -> None:
        """A line that is drawn already, on the grid or off it."""
        for (x1, y1), (x2, y2) in pairwise(line):
            level = abs(y2 - y1) < abs(x2 - x1)
            along, across = (self.xs, self.ys) if level else (self.ys, self.xs)
            low, high = sorted((x1, x2) if level else (y1, y2))
            at = max(bisect_left(across, (y1 if level else x1) + 0.01) - 1, 0)
            for n in range(bisect_left(along, low), bisect_left(along, high)):
                edge = 2 * (n + self.width * at) + 1 if level else 2 * (at + self.width * n)
                self.fences.setdefault(edge, []).append(ends)
            where = y1 if level else x1
            # Nothing else may run there, or so near that it would look like the same line.
            first = bisect_left(across, where - APART)
            for line_at in range(first, bisect_left(across, where + APART)):
                for n in range(max(bisect_left(along, low) - 1, 0), bisect_left(along, high)):
                    place = n + self.width * line_at if level else line_at + self.width * n
                    self.runs.setdefault(2 * place + (not level), []).append(ends)

    def take(self, ends: Ends, places: Sequence[int]) -> None:
        """What runs through some places, one beside the other."""
        for one, two, three in zip(places, places[1:], places[2:], strict=False):
            if two - one != three - two:
                self.bends.setdefault(two, []).append(ends)
        for one, two in pairwise(places):
            upright = abs(two - one) != 1
            edge = 2 * min(one, two) + upright
            self.runs.setdefault(edge, []).append(ends)
            column, row = one % self.width, one // self.width
            for twin in self.twins[0][column] if upright else self.twins[1][row]:
                step = twin - column if upright else (twin - row) * self.width
                self.runs.setdefault(edge + 2 * step, []).append(ends)
            through = self.upright if upright else self.level
            for place in (one, two):
                through.setdefault(place, []).append(ends)


def _rimmed(values: list[float]) -> list[float]:
    return [values[0] - RIM, *values, values[-1] + RIM]


def _twins(values: list[float]) -> list[tuple[int, ...]]:
    """Of each of some sorted values, the places of the others that are nearer than `APART`."""
    found: list[tuple[int, ...]] = []
    for n, value in enumerate(values):
        first, last = bisect_left(values, value - APART), bisect_left(values, value + APART)
        found.append(tuple(m for m in range(first, last) if m != n))
    return found


def _sparse(exact: set[float], others: set[float]) -> list[float]:
    """Sorted, without values so near that they are one; those that are exact are kept."""
    kept: list[float] = []
    for value in sorted(exact):
        if not kept or value - kept[-1] > SAME:
            kept.append(value)
    found = list(kept)
    for value in sorted(others):
        place = bisect_left(found, value)
        near = found[max(place - 1, 0) : place + 1]
        if all(abs(value - other) >= NEAR for other in near):
            found.insert(place, value)
    return found
