"""Orthogonal edges around boxes: the cheapest way over a grid of channels.

A way never enters a box. A bend, a crossing and a stretch beside another edge have their
price; edges that share an end may share their way.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from cnndsl.figures.layout.piece import Ends, Line, tidy
from cnndsl.figures.paint import Point

MARGIN = 7.0
STEPS = (8.0, 14.0, 20.0)
BEND, CROSSING, BESIDE = 14.0, 150.0, 400.0
NEAR = 4.0
EAGER, LARGE = 1.6, 2500
"""On a large grid a way is drawn to its end: faster, and now and then a bend longer."""
RIGHT, DOWN, LEFT, UP = range(4)
MOVES = ((1, 0), (0, 1), (-1, 0), (0, -1))

Rect = tuple[float, float, float, float]
"""Left, top, right, bottom."""


@dataclass(frozen=True, slots=True)
class Port:
    """A place where an edge may leave or enter, and the direction in which it goes there."""

    x: float
    y: float
    way: int
    price: float = 0.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """An edge to be led, from one of its tail's ports to one of its head's."""

    ends: Ends
    tails: tuple[Port, ...]
    heads: tuple[Port, ...]


class Router:
    """The grid and what runs on it."""

    def __init__(
        self,
        rects: Sequence[Rect],
        ports: Iterable[Port],
        tracks: Sequence[float] = (),
        levels: Sequence[float] = (),
    ) -> None:
        """`tracks` and `levels` are where edges may run; without them, beside the boxes."""
        xs, ys = set(tracks), set(levels)
        exact = [(port.x, port.y) for port in ports]
        for left, top, right, bottom in rects:
            for step in STEPS:
                xs |= set() if tracks else {left - step, right + step}
                ys |= set() if levels else {top - step, bottom + step}
            exact.append(((left + right) / 2, (top + bottom) / 2))
        self.xs = _sparse({x for x, _ in exact}, xs)
        self.ys = _sparse({y for _, y in exact}, ys)
        self.closed: set[tuple[int, int]] = set()
        for rect in rects:
            self._close(rect)
        self.runs: dict[tuple[int, int, int], list[Ends]] = {}
        self.nodes: dict[tuple[int, int], list[tuple[int, Ends]]] = {}

    def _close(self, rect: Rect) -> None:
        left, top, right, bottom = rect
        edge = MARGIN - 1
        first, last = bisect_left(self.xs, left - edge), bisect_left(self.xs, right + edge)
        high, low = bisect_left(self.ys, top - edge), bisect_left(self.ys, bottom + edge)
        self.closed |= {(i, j) for i in range(first, last) for j in range(high, low)}

    def all(self, wanted: Sequence[Wanted]) -> list[Line]:
        """Every edge's line, in order; straight ones are led first, then short ones."""
        found = {
            n: self._lead(wanted[n])
            for n in sorted(range(len(wanted)), key=lambda n: _reach(wanted[n]))
        }
        return [found[n] for n in range(len(wanted))]

    def _lead(self, want: Wanted) -> Line:
        goals: dict[tuple[int, int, int], Port] = {}
        for port in want.heads:
            goals.setdefault((*self._outside(port, -1), port.way), port)
        queue: list[tuple[float, float, int, int, int, int]] = []
        best: dict[tuple[int, int, int], float] = {}
        origin: dict[tuple[int, int, int], tuple[int, int, int]] = {}
        first: dict[tuple[int, int, int], Port] = {}
        targets = [(self.xs[i], self.ys[j]) for i, j, _ in goals]
        for port in want.tails:
            state = (*self._outside(port, 1), port.way)
            if port.price < best.get(state, 1e18):
                best[state] = port.price
                first[state] = port
                heapq.heappush(queue, (port.price, port.price, len(queue), *state))
        count = len(queue)
        eager = EAGER if len(self.xs) * len(self.ys) > LARGE else 1.0
        while queue:
            _, cost, _, i, j, way = heapq.heappop(queue)
            state = (i, j, way)
            if cost > best[state]:
                continue
            if state in goals:
                return self._trace(state, origin, first, goals[state], want.ends)
            for turn in (0, 1, 3):
                after = (way + turn) % 4
                step = self._step(i, j, way, after, want.ends)
                if step is None:
                    continue
                price, to = step
                if to in goals:
                    price += goals[to].price
                total = cost + price
                if total < best.get(to, 1e18):
                    best[to] = total
                    origin[to] = state
                    count += 1
                    x, y = self.xs[to[0]], self.ys[to[1]]
                    left = min(abs(x - a) + abs(y - b) for a, b in targets)
                    heapq.heappush(queue, (total + eager * left, total, count, *to))
        # Nothing is left but a straight line: boxes stand so close that no channel is.
        tail, head = want.tails[0], want.heads[0]
        return ((tail.x, tail.y), (head.x, head.y))

    def _outside(self, port: Port, sign: int) -> tuple[int, int]:
        """The grid point before a port that no box closes."""
        dx, dy = MOVES[port.way]
        i, j = bisect_left(self.xs, port.x - 0.3), bisect_left(self.ys, port.y - 0.3)
        while (i, j) in self.closed:
            near = (i + dx * sign, j + dy * sign)
            if not (0 <= near[0] < len(self.xs) and 0 <= near[1] < len(self.ys)):
                break
            i, j = near
        return i, j

    def _step(
        self, i: int, j: int, way: int, after: int, ends: Ends
    ) -> tuple[float, tuple[int, int, int]] | None:
        dx, dy = MOVES[after]
        a, b = i + dx, j + dy
        if not (0 <= a < len(self.xs) and 0 <= b < len(self.ys)) or (a, b) in self.closed:
            return None
        price = abs(self.xs[a] - self.xs[i]) + abs(self.ys[b] - self.ys[j])
        if after != way:
            price += BEND
        for other in self.runs.get(_run(i, j, a, b), ()):
            if not _kin(other, ends):
                price += BESIDE
        for across, other in self.nodes.get((a, b), ()):
            if across != after % 2 and not _kin(other, ends):
                price += CROSSING
        return price, (a, b, after)

    def _trace(
        self,
        state: tuple[int, int, int],
        origin: dict[tuple[int, int, int], tuple[int, int, int]],
        first: dict[tuple[int, int, int], Port],
        goal: Port,
        ends: Ends,
    ) -> Line:
        states = [state]
        while states[-1] in origin and states[-1] not in first:
            states.append(origin[states[-1]])
        states.reverse()
        start = first[states[0]]
        for one, two in pairwise(states):
            self.runs.setdefault(_run(one[0], one[1], two[0], two[1]), []).append(ends)
            for node in (one, two):
                self.nodes.setdefault((node[0], node[1]), []).append((two[2] % 2, ends))
        points: list[Point] = [(self.xs[i], self.ys[j]) for i, j, _ in states]
        return tidy(((start.x, start.y), *points, (goal.x, goal.y)))


def _run(i: int, j: int, a: int, b: int) -> tuple[int, int, int]:
    return (min(i, a), min(j, b), 0 if j == b else 1)


def _kin(one: Ends, two: Ends) -> bool:
    return one[0] == two[0] or one[1] == two[1]


def _reach(want: Wanted) -> tuple[int, float]:
    pairs = [(t, h) for t in want.tails for h in want.heads]
    straight = any(
        t.way == h.way and (abs(t.y - h.y) < 0.5 if t.way % 2 == 0 else abs(t.x - h.x) < 0.5)
        for t, h in pairs
    )
    return (0 if straight else 1, min(abs(t.x - h.x) + abs(t.y - h.y) for t, h in pairs))


def _sparse(exact: set[float], others: set[float]) -> list[float]:
    """Sorted, without values so near that they are one; those that are exact are kept."""
    kept: list[float] = []
    for value in sorted(exact):
        if not kept or value - kept[-1] > 0.05:
            kept.append(value)
    found = list(kept)
    for value in sorted(others):
        place = bisect_left(found, value)
        near = found[max(place - 1, 0) : place + 1]
        if all(abs(value - other) >= NEAR for other in near):
            found.insert(place, value)
    return found
