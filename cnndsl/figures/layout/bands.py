"""Stride lanes behind the main picture: a faint band each, and `1/8` in the gutter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

from cnndsl.figures import font
from cnndsl.figures.layout.cards import LABEL
from cnndsl.figures.layout.piece import SAME, Piece, Scope, Spot, bounds
from cnndsl.figures.layout.strides import exact, kept, named, strides
from cnndsl.figures.scene import Scene
from cnndsl.graph import Network


@dataclass(frozen=True, slots=True)
class Band:
    """A lane's place, from the piece's axis and top; every second one is tinted.

    Where its name is `aside`, it stands in a corner: the upper right one, the `low`, or the
    `first`, at the left.
    """

    left: float
    right: float
    top: float
    bottom: float
    text: str
    tinted: bool
    aside: bool = False
    low: bool = False
    first: bool = False

    def begun(self, piece: Piece) -> bool:
        """Whether its upper left corner is free for its name."""
        right, foot = self.left + CORNER, self.top + 12
        return not any(
            left < right and top < foot and high > self.top
            for left, top, _, high in [*map(bounds, piece.spots), *piece.words]
        )

    def clear(self, piece: Piece) -> Band:
        """With its name in a free corner, at the right if possible, or without a name."""
        corners = [replace(self, low=low, first=first) for first, low in CORNERS]
        return next((b for b in (self, *corners) if b.free(piece)), replace(self, text=""))

    def free(self, piece: Piece) -> bool:
        """Whether its name would cover no box, word or line."""
        wide = max(CORNER, 5 + font.width(self.text, LABEL))
        left = self.left if self.first else self.right - wide
        foot = self.bottom - 2 if self.low else self.top + 12
        if any(
            bounds(s)[2] > left and s.left < left + wide and s.top - 10 < foot < s.bottom + 12
            for s in piece.spots
        ):
            return False
        lines = [*piece.wires.values(), *(one for more in piece.more.values() for one in more)]
        return not any(
            min(x1, x2) < left + wide
            and max(x1, x2) > left
            and min(y1, y2) < foot
            and max(y1, y2) > foot - 10
            for line in lines
            for (x1, y1), (x2, y2) in pairwise(line)
        )

    def turned(self, axis: float, under: float) -> Band:
        """The band of a picture that runs to the right, whose axis is so far down.

        It reaches as far as `under` below its boxes.
        """
        top, bottom = axis + self.left - WORDS, axis + self.right + under
        return Band(self.top + SEAM, self.bottom - SEAM, top, bottom, self.text, True, True)


CORNER = 28.0
"""The width of a name in a lane's corner."""
CORNERS = (False, False), (False, True), (True, False), (True, True)
"""In which of them, at the left or not and low or not, a name stands if it is free."""
WORDS, SEAM, EDGE, CLOSE = 6.0, 1.5, 12.0, 6.0
"""Room for a name in a band's corner, half of what parts two bands, and beside a box; the
last is less where a line returns along the band."""
OVER, UNDER, LOW = 21.0, 8.0, 11.0
"""From the sides of a lane to its boxes, where what leads to the next is between them; where
their labels stand under them."""
SIDE = 4.0
"""The least of the last, where it has no more room."""
INFINITE = float("inf")
NOWHERE = -99
"""Stands for the lane of boxes that have none."""
Run = tuple[int, float, float]
"""A lane with its upper and its lower side."""


def bands(network: Network, scene: Scene, piece: Piece) -> list[Band]:
    """The lanes of a placed scene, where each row stands in one lane."""
    lanes, ratios = strides(network, scene), exact(network, scene)
    planes, ends = kept(lanes, scene), {box.key for box in scene.boxes() if not box.nodes}
    if piece.laned:
        lanes = {key: lane for key, lane in planes.items() if key not in piece.between}
    hung = {
        planes[s.box.key]: s.bottom for s in piece.spots if s.box.key in piece.between & ends
    }
    found: list[tuple[int, Band]] = []
    banded: set[str] = set()
    number = 0
    for left, right, spots in columns(piece):
        within = [spot for spot in spots if spot.box.key not in piece.between]
        runs = [(n, *sides) for n, sides in piece.lanes.items()] or _runs(within, lanes)
        scopes = [scope for scope in piece.scopes if left <= scope.x < right]
        edges = EDGE, EDGE
        if not piece.laned and piece.folds:
            edges = CLOSE if spots[0].turning else EDGE, CLOSE
        lines = _levels(piece, left, right)
        known = {} if piece.laned else lanes
        seams = _seams(runs, spots, scopes, known, hung, edges, lines)
        sides = [*pairwise(seams)]
        if piece.stepped:
            under = LOW if any(spot.low and spot.words for spot in spots) else UNDER
            sides = _apart([(top - OVER, foot + under) for _, top, foot in runs])
        for (lane, _, _), (above, below) in zip(runs, sides, strict=True):
            if lane == NOWHERE:
                continue
            number += 1
            if above is None or below is None:
                continue
            here = [
                s.box.key
                for s in spots
                if lanes.get(s.box.key) == lane and (piece.laned or above <= s.y <= below)
            ]
            text = named(lane, (ratios[key] for key in here if key in ratios))
            tinted = piece.stepped or number % 2 == 1
            found.append((lane, Band(left, right, above, below, text, tinted)))
            banded.update(here)
    # A lane that has a band has one wherever its boxes stand: without it they would seem apart.
    bare = {lanes[key] for key in ends ^ lanes.keys() if key in lanes and key not in banded}
    return [band for lane, band in found if piece.laned or lane not in bare]


def _apart(sides: list[tuple[float, float]]) -> list[tuple[float | None, float | None]]:
    """Lanes with what is between them; where two would meet, a seam parts them."""
    found = [list(side) for side in sides]
    for above, below in pairwise(found):
        if above[1] > below[0] - 2 * SEAM:
            middle = (above[1] + below[0]) / 2
            above[1], below[0] = middle - SEAM, middle + SEAM
    return [(top, foot) for top, foot in found]


def _seams(
    runs: list[Run],
    spots: list[Spot],
    scopes: list[Scope],
    lanes: dict[str, int],
    hung: Mapping[int, float],
    edges: tuple[float, float],
    lines: list[float],
) -> list[float | None]:
    """Where each lane begins and the last one ends: nothing where that would cut a box.

    It cuts no outline either, but of what stands in both of the lanes that meet there. What
    holds boxes of a lane and goes on over its end is all in it. So are the words of an output
    that hang there: their foot is `hung`. The `edges` are over the first and under the last.
    No side runs along one of the `lines`, if it has the room.
    """
    ends = [(bounds(spot)[1], bounds(spot)[3]) for spot in spots]
    held = [(s, {lanes[key] for key in s.keys if key in lanes}) for s in scopes]
    found: list[float | None] = []
    for above, below in pairwise([None, *runs, None]):
        both = {run[0] for run in (above, below) if run is not None}
        inner = [(s.y, s.y + s.height) for s, of in held if both <= of]
        if above is None or below is None:
            low, high = (below[1],) * 2 if below else (above[2],) * 2 if above else (0.0, 0.0)
            over = [side for side in inner if side[0] < low < side[1]]
            first, last = edges
            wish = low - first if below else high + last
            low = min([low, *(top for top, _ in over)]) - first if below else low
            high = max([high, *(foot for _, foot in over)]) + last if above else high
            inner = []
        else:
            low, high = above[2], below[1]
            foot = hung.get(above[0], -INFINITE) + 2 * SEAM
            wish = min(max((low + high) / 2, foot), high)
        walls = [*ends, *((s.y, s.y + s.height) for s, _ in held)] if lanes else []
        walls = [wall for wall in walls if wall not in inner]
        near = [*walls, *((y, y) for y in lines)]
        asked = [wish, *(y for top, foot in near for y in (top - SIDE, foot + SIDE))]
        free = [
            y
            for y in asked
            if low <= y <= high and not any(t - SEAM < y < f + SEAM for t, f in walls)
        ]
        clear = [y for y in free if all(abs(y - line) >= SIDE for line in lines)]
        found.append(min(clear or free, key=lambda y: abs(y - wish), default=None))
    return found


def _levels(piece: Piece, left: float, right: float) -> list[float]:
    """How far down lines run to the side in a column."""
    every = [*piece.wires.values(), *(line for more in piece.more.values() for line in more)]
    return [
        y
        for line in every
        for (x, y), (to, foot) in pairwise(line)
        if abs(y - foot) < SAME and min(x, to) < right and max(x, to) > left
    ]


def columns(piece: Piece) -> list[tuple[float, float, list[Spot]]]:
    """The columns of a wrapped tower, or the whole piece: left, right, and what is there."""
    if not piece.folds:
        return [(-piece.left, piece.right, piece.spots)]
    found = []
    for left, right in piece.folds:
        found.append((left, right, [s for s in piece.spots if left <= s.x < right]))
    return found


def _runs(spots: list[Spot], lanes: dict[str, int]) -> list[Run]:
    """Lanes from the top, each with its upper and lower side; none where they overlap.

    Between two lanes, what has none is a run of its own: vectors have no band.
    """
    runs: list[Run] = []
    for spot in sorted(spots, key=lambda s: (s.top, s.bottom)):
        lane, foot = lanes.get(spot.box.key, NOWHERE), bounds(spot)[3]
        if lane == NOWHERE and (not runs or spot.top < runs[-1][2] - 0.5):
            continue
        vectors = lane != NOWHERE and runs and runs[-1][0] == NOWHERE
        if vectors and (runs[-2][0] == lane or spot.top < runs[-1][2] - 0.5):
            # They are in a lane that goes on, or beside one.
            runs.pop()
        if runs and runs[-1][0] == lane:
            runs[-1] = (lane, runs[-1][1], max(runs[-1][2], foot))
        elif runs and spot.top < runs[-1][2] - 0.5:
            return []
        else:
            runs.append((lane, spot.top, foot))
    return runs[:-1] if runs and runs[-1][0] == NOWHERE else runs
