"""A prism: its sides by the law, its three faces, and the words below it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cnndsl.figures import font
from cnndsl.figures.paint import Part, Point, Polygon, Text
from cnndsl.figures.text import shape_text
from cnndsl.ops.base import Shape

HEIGHT, WIDTH, DEPTH = 7.5, 1.6, 0.3
"""Pixels a root of a pixel, pixels a root of a channel, and the depth's share of the height."""
LAW = (
    "To scale: height 7.5·√H, depth 0.3·7.5·√W, width 1.6·√C pixels; "
    "a vector is 1.6·√C high and stands on its end."
)
TIME = "Time is written, not drawn."
TITLE, SMALL, LINE = 9.0, 8.0, 10.5
MOST, LINES = 104.0, 4
"""Of the words below a prism: pixels of a line, and lines of what computes it."""


@dataclass(frozen=True, slots=True)
class Prism:
    """The size of a prism and its words; `depth` is how far the back is up and right."""

    width: float
    height: float
    depth: float
    words: tuple[str, ...]

    @property
    def label(self) -> float:
        """The height of the words."""
        return len(self.words) * LINE + 5

    @property
    def size(self) -> tuple[float, float]:
        """Of the rectangle around it, in whose middle the middle of its front stands."""
        wide = [font.width(word, TITLE, bold=n == 0) for n, word in enumerate(self.words)]
        above, below = self.height / 2 + self.depth, self.height / 2 + self.label
        return max(self.width + self.depth, *wide), 2 * max(above, below)

    def left(self, x: float) -> float:
        """The left side of the front, where `x` is the middle of all."""
        return x - (self.width + self.depth) / 2

    def right(self, x: float) -> float:
        """Where a level line through the middle of the front leaves the silhouette."""
        return self.left(x) + self.width + min(self.depth, self.height / 2)

    def top(self, x: float, y: float, aside: float = 0.0) -> float:
        """Where an upright line, so far beside the middle of all, meets the top."""
        past = x + aside - self.left(x)
        return y - self.height / 2 - max(min(self.depth, past), 0.0)


def prism(shape: Shape, name: str, count: int, said: list[str], *, short: bool) -> Prism:
    """The prism of a shape: channels, then a plane, a length, or nothing more.

    `short` writes what computes it in one line.
    """
    sizes = [int(size) for size in shape]
    plane = sizes[1:][-2:]
    if len(plane) == 1:
        plane.append(1)
    height, depth, width = HEIGHT, DEPTH * HEIGHT, WIDTH * math.sqrt(sizes[0])
    if plane:
        height, depth = HEIGHT * math.sqrt(plane[0]), DEPTH * HEIGHT * math.sqrt(plane[1])
    if len(sizes) == 1 or plane == [1, 1]:
        # H = W = 1: the same prism, on its end.
        width, height = height, width
    title = f"{name} ×{count}" if count > 1 and name else name
    if short:
        said = [", ".join(said)]
    shown = said if len(said) <= LINES else [*said[: LINES - 1], f"… {len(said)} kinds in all"]
    words = [shape_text(shape), title, *shown]
    fitted = [
        font.fitted(word, TITLE if n == 0 else SMALL, MOST, bold=n == 0)
        for n, word in enumerate(words)
        if word
    ]
    return Prism(width, height, depth, tuple(fitted))


def faces(found: Prism, x: float, y: float, role: str) -> list[Part]:
    """Its top, side and front, the middle of the front at the height `y`."""
    left, top = found.left(x), y - found.height / 2
    right, bottom, back = left + found.width, top + found.height, found.depth
    upper: tuple[Point, ...] = (
        (left, top),
        (left + back, top - back),
        (right + back, top - back),
        (right, top),
    )
    side: tuple[Point, ...] = (
        (right, top),
        (right + back, top - back),
        (right + back, bottom - back),
        (right, bottom),
    )
    front: tuple[Point, ...] = ((left, top), (right, top), (right, bottom), (left, bottom))
    return [
        Polygon(upper, f"{role}-top", stroke=1),
        Polygon(side, f"{role}-side", stroke=1),
        Polygon(front, role, stroke=1),
    ]


def words(found: Prism, x: float, y: float) -> list[Part]:
    """The shape in bold, the label, and what computes it."""
    parts: list[Part] = []
    baseline = y + found.height / 2 + 12
    for number, word in enumerate(found.words):
        bold = number == 0
        size, role = (TITLE, "ink") if bold else (SMALL, "grey")
        parts.append(Text(x, baseline, word, size, role, bold=bold, anchor="middle"))
        baseline += LINE
    return parts
