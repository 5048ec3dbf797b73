"""A volume's sides at the figure's scale, and its three faces in projection."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cnndsl.figures.paint import Part, Path, Point, Polygon
from cnndsl.figures.text import count_text
from cnndsl.ops.facts import Shape

UNIT, TALLEST = 18.0, 158.0
"""Pixels of height per √H, and the greatest height."""
LEAST, CHANNEL, THIN = 6.0, 0.95, 4.4
"""Pixels of width: of no channel, a root of a channel, and of what has no weights."""
BAND = 0.34
"""The share of the width that is darker where an activation follows."""
FORESHORTENED = 0.39
"""How long the depth is drawn, of its length."""
ANGLE = 40.0


@dataclass(frozen=True, slots=True)
class Law:
    """The scale of the volumes: pixels per root, and the angle of the depth axis in degrees."""

    height: float = UNIT
    width: float = 1.0
    angle: float = ANGLE
    lying: bool = False
    """Whether rows lie along the depth: there are more than the largest map is high."""

    @property
    def slant(self) -> Point:
        """How far right and up one pixel of depth goes."""
        turn = math.radians(self.angle)
        return FORESHORTENED * math.cos(turn), FORESHORTENED * math.sin(turn)

    @property
    def words(self) -> str:
        """The scale as the legend states it."""
        root, least, channel = (
            f"{n:.2g}" if n < 10 else f"{n:.3g}"
            for n in (self.height, LEAST * self.width, CHANNEL * self.width)
        )
        return (
            f"Height {root}·√H, depth {root}·√W, width {least} + {channel}·√C px; "
            f"vectors{' and rows' if self.lying else ''} lie along the depth. "
            "Layers without weights are thin."
        )

    def solid(self, shape: Shape, *, thin: bool = False, rows: bool = False) -> Solid:
        """The volume of a shape: channels, then a plane, a length, or nothing more.

        `rows` may lie, as vectors do.
        """
        sizes = [int(size) for size in shape] or [1]
        plane = sizes[1:][-2:]
        if len(plane) == 1:
            plane.append(1)
        wide = (LEAST + CHANNEL * math.sqrt(sizes[0])) * self.width
        if thin:
            wide = THIN * self.width
        lies = rows and self.lying
        if lies or not plane or plane == [1, 1]:
            side = LEAST * max(self.width, 0.6)
            long = 0.2 * min(self.height, 10.6) * math.sqrt(plane[0] if lies else sizes[0])
            return Solid(max(wide, side) if lies else side, side, max(long, side))
        high, deep = (self.height * math.sqrt(size) for size in plane)
        return Solid(max(wide, 1.5), max(high, 2.5), max(deep, 2.5))


@dataclass(frozen=True, slots=True)
class Solid:
    """A volume's sides in pixels; its left face's middle is where it stands."""

    width: float
    height: float
    depth: float

    def point(self, x: float, y: float, over: float, up: float, back: float, law: Law) -> Point:
        """A point of it, by shares of its sides: 0 is left, -½ is the bottom and the front."""
        right, rise = law.slant
        deep = back * self.depth
        return (
            x + over * self.width + deep * right,
            y - up * self.height - deep * rise,
        )


def faces(solid: Solid, x: float, y: float, role: str, law: Law, *, band: bool) -> list[Part]:
    """Its front, top and side, where the middle of its left face is at x, y."""

    def face(role: str, corners: tuple[tuple[float, float, float], ...]) -> Part:
        points = tuple(solid.point(x, y, *corner, law) for corner in corners)
        return Polygon(points, role, stroke=0.8)

    front = ((0, -0.5, -0.5), (1, -0.5, -0.5), (1, 0.5, -0.5), (0, 0.5, -0.5))
    top = ((0, 0.5, -0.5), (1, 0.5, -0.5), (1, 0.5, 0.5), (0, 0.5, 0.5))
    side = ((1, -0.5, -0.5), (1, -0.5, 0.5), (1, 0.5, 0.5), (1, 0.5, -0.5))
    parts = [face(role, front), face(f"{role}-top", top)]
    if band:
        after = 1 - BAND
        darker = tuple((max(over, after), up, back) for over, up, back in front)
        above = tuple((max(over, after), up, back) for over, up, back in top)
        parts += [face(f"{role}-band", darker), face(f"{role}-bandtop", above)]
        parts += [_edges(solid, x, y, role, law)]
    return [*parts, face(f"{role}-side", side)]


def _edges(solid: Solid, x: float, y: float, role: str, law: Law) -> Part:
    """The outline again, over the darker band."""
    corners = (
        (0, -0.5, -0.5), (1, -0.5, -0.5), (1, 0.5, -0.5), (0, 0.5, -0.5), (0, -0.5, -0.5),
        (0, 0.5, -0.5), (0, 0.5, 0.5), (1, 0.5, 0.5), (1, 0.5, -0.5),
    )  # fmt: skip
    points = tuple(solid.point(x, y, *corner, law) for corner in corners)
    return Path(points, f"{role}-edge", stroke=0.8, radius=0)


def plane_text(shape: Shape) -> str:
    """The sizes but the channels, as the slanted edge says them: `112`, `112×96`, `16×112`."""
    sizes = [int(n) for n in shape[1:]]
    if not sizes:
        return ""
    if len(sizes) > 1 and len(set(sizes[-2:])) == 1:
        sizes = sizes[:-1]
    return "×".join(str(n) if n < 10_000 else count_text(n) for n in sizes)
