"""Where the name of a picture stands: in a place at its side that the layout leaves free."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cnndsl.figures import font
from cnndsl.figures.caption import HEAD, LINE, TITLE, broken, caption
from cnndsl.figures.layout.labels import OUTLINES, Rect, bounds, painted
from cnndsl.figures.layout.packing import Hole
from cnndsl.figures.layout.stowing import freed
from cnndsl.figures.paint import Area, Part, leaves, shifted

CLEAR = 11.0
"""From the words to whatever is painted."""
LEAST, FOOT = 170.0, 3.0
"""The least width of the words, and what hangs below the last of their lines."""
MOST = 6
"""More lines of words stand under the picture."""
MANY = 2000
"""In a picture of more parts than a page holds no place is looked for: that takes minutes."""


def within(parts: Sequence[Part], page: Hole, name: str, words: Sequence[str]) -> list[Part]:
    """The name of a picture and the words under it, in a free place; empty where none is.

    The place is at a side of the page: of several, that with the fewest lines, then the lowest.
    No edge of a lane runs through it.
    """
    least = font.width(name, TITLE, bold=True), HEAD + LINE + FOOT
    free = [page.grown(CLEAR)]
    found = [*_taken(parts)]
    if len(found) > MANY:
        return []
    for left, top, right, foot in sorted(found, key=_larger):
        taken = Hole(left, top, right - left, foot - top).grown(CLEAR)
        free = freed(free, taken, (max(LEAST, least[0]), least[1]))
    places: list[tuple[tuple[float, ...], Hole, list[str]]] = []
    for hole in (one.inside(page) for one in free):
        lines = broken(words, hole.width)
        height = HEAD + LINE * len(lines) + FOOT
        outer = hole.width >= least[0] and not hole.grown(2 * CLEAR).within(page)
        if outer and len(lines) <= MOST and height <= hole.height:
            places.append(((len(lines), -hole.bottom, hole.left), hole, lines))
    if not places:
        return []
    _, hole, lines = min(places, key=lambda place: place[0])
    made, width, foot = caption(name, lines, 0, 0, hole.width)
    left = hole.right - width if hole.right + 2 * CLEAR > page.right else hole.left
    slack = hole.height - foot - FOOT
    return [shifted(part, left, hole.top + slack - min(slack / 2, CLEAR)) for part in made]


def _larger(rect: Rect) -> float:
    return -(rect[2] - rect[0]) * (rect[3] - rect[1])


def _taken(parts: Sequence[Part]) -> Iterator[Rect]:
    """What is painted, opened blocks whole, and the sides of lanes."""
    for part in parts:
        yield from painted(part)
        for leaf in leaves((part,)):
            if isinstance(leaf, Area) and leaf.role in OUTLINES:
                yield bounds(leaf)
            elif isinstance(leaf, Area) and leaf.role == "band":
                left, top, right, foot = bounds(leaf)
                yield from ((x, top, x, foot) for x in (left, right))
                yield from ((left, y, right, y) for y in (top, foot))
