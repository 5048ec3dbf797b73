"""Where two lines cross, the lower one is broken beside the upper: the eye follows each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import dist, hypot

from cnndsl.figures.paint import Area, Group, Part, Path, Point, Polygon, leaves, traced

Ground = Callable[[Point], str]
"""The role of what is painted at a point under the lines."""

BARE = 2.0
"""The gap in pixels on each side of the upper line."""
LONGEST = 14.0
"""A patch reaches no further along the upper line, however aslant the lower one crosses."""
FORK = 0.5
"""Lines of one box that meet nearer to an end than this fork; they do not cross."""
CELL = 64
"""The side in pixels of the squares by which lines are found."""


@dataclass(frozen=True, slots=True)
class Leg:
    """A straight piece of a line from the box `tail`."""

    tail: str
    one: Point
    two: Point
    stroke: float

    def cells(self) -> Iterator[tuple[int, int]]:
        """The squares that it may pass through."""
        (left, right), (top, foot) = (
            sorted(side) for side in zip(self.one, self.two, strict=True)
        )
        for x in range(int(left // CELL), int(right // CELL) + 1):
            for y in range(int(top // CELL), int(foot // CELL) + 1):
                yield x, y

    def holds(self, point: Point) -> bool:
        """Whether a point of an upright or level leg is on it."""
        sides = zip(self.one, self.two, point, strict=True)
        return all(min(a, b) - 0.5 <= at <= max(a, b) + 0.5 for a, b, at in sides)


def cased(parts: Sequence[Part], ground: Ground) -> list[Part]:
    """Edges, fans and rails in order, each over a patch of ground where it crosses another.

    An edge gets no patch where it runs in a rail, which is painted over it and has its own.
    Lines that meet at a rail's dot do not cross.
    """
    under: dict[tuple[int, int], list[Leg]] = defaultdict(list)
    thick = [part for part in parts if isinstance(part, Group) and part.kind == "rail"]
    rails = [leg for rail in thick for leg in _legs(rail)]
    joints = [
        (dot.x + dot.width / 2, dot.y + dot.height / 2)
        for dot in leaves(tuple(thick))
        if isinstance(dot, Area)
    ]
    found: list[Part] = []
    for part in parts:
        if not isinstance(part, Group) or part.kind not in ("edge", "rail"):
            found.append(part)
            continue
        legs = _legs(part)
        patches: dict[tuple[int, int], Part] = {}
        for leg in legs:
            near = {id(other): other for cell in leg.cells() for other in under[cell]}
            for other in near.values():
                at = _meeting(leg, other)
                if at is None or any(dist(at, joint) < 1 for joint in joints):
                    continue
                if part.kind == "edge" and any(rail.holds(at) for rail in rails):
                    continue
                place = (round(at[0]), round(at[1]))
                patches.setdefault(place, _patch(leg, other, at, ground(at)))
        for leg in legs:
            for cell in leg.cells():
                under[cell].append(leg)
        found.append(replace(part, children=(*patches.values(), *part.children)))
    return found


def _legs(group: Group) -> list[Leg]:
    tail = dict(group.data).get("from", "")
    return [
        Leg(tail, one, two, line.stroke)
        for line in leaves([group])
        if isinstance(line, Path)
        for one, two in pairwise(traced(line))
    ]


def _meeting(a: Leg, b: Leg) -> Point | None:
    """Where two legs cross; not where one ends on the other, as lines of one box fork."""
    (x, y), (u, v) = a.one, b.one
    dx, dy, du, dv = a.two[0] - x, a.two[1] - y, b.two[0] - u, b.two[1] - v
    turn = dx * dv - dy * du
    if abs(turn) < 1e-9:
        return None
    along = ((u - x) * dv - (v - y) * du) / turn
    other = ((u - x) * dy - (v - y) * dx) / turn
    fork = FORK if a.tail == b.tail else 1e-9
    near = hypot(dx, dy) * min(along, 1 - along), hypot(du, dv) * min(other, 1 - other)
    inside = min(near) > fork
    return (x + along * dx, y + along * dy) if inside else None


def _patch(upper: Leg, lower: Leg, at: Point, role: str) -> Polygon:
    """A piece of ground along the upper line, which breaks the lower one beside it."""
    (dx, dy), (du, dv) = _way(upper), _way(lower)
    wide = upper.stroke / 2 + BARE
    sine = abs(dx * dv - dy * du)
    far = (wide * abs(dx * du + dy * dv) + lower.stroke / 2 + 0.4) / max(sine, 0.01)
    reach = min(far, LONGEST)
    corners = ((-reach, -wide), (reach, -wide), (reach, wide), (-reach, wide))
    points = tuple((at[0] + s * dx - t * dy, at[1] + s * dy + t * dx) for s, t in corners)
    return Polygon(points, role, stroke=0)


def _way(leg: Leg) -> Point:
    dx, dy = leg.two[0] - leg.one[0], leg.two[1] - leg.one[1]
    far = hypot(dx, dy) or 1.0
    return dx / far, dy / far
