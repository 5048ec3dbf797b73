"""Where the insets stand: beside the main picture, and below it where room is left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Size = tuple[float, float]
"""Width and height."""
APART, GAP = 22.0, 14.0
"""Between the main picture and its insets, and between insets."""
STEPS = 12


@dataclass(frozen=True, slots=True)
class Packed:
    """The upper left corner of each inset, and the size of all, the main picture at 0, 0."""

    places: tuple[tuple[float, float], ...]
    width: float
    height: float


def packed(main: Size, insets: Sequence[Size], *, widest: float, tallest: float) -> Packed:
    """Some insets in columns beside the main picture, in order, and the rest below it.

    The page is as low as can be in that width, and within that height if it can be.
    """
    if not insets:
        return Packed((), *main)
    found: list[Packed] = []
    for beside in range(len(insets) + 1):
        high = max(main[1], *(height for _, height in insets[:beside]), 0.0)
        for step in range(STEPS + 1 if beside == len(insets) else 1):
            right = columns(insets[:beside], high * (1 + step / 8))
            found.append(_page(main, right, insets[beside:], widest))
    return min(found, key=lambda page: _badness(page, widest, tallest))


def _badness(page: Packed, widest: float, tallest: float) -> tuple[float, ...]:
    over = max(page.width / widest, page.height / tallest, 1.0)
    return (over, page.height, page.width)


def columns(insets: Sequence[Size], height: float) -> Packed:
    """Insets under each other, in a new column where the height is used up."""
    x, y, wide, used = 0.0, 0.0, 0.0, 0.0
    places = []
    for width, high in insets:
        if y and y + high > height:
            x, y, wide = x + wide + GAP, 0.0, 0.0
        places.append((x, y))
        wide = max(wide, width)
        used = max(used, y + high)
        y += high + GAP
    return Packed(tuple(places), x + wide, used)


def _page(main: Size, right: Packed, rest: Sequence[Size], widest: float) -> Packed:
    """The main picture with columns beside it, and the rest below both."""
    wide = main[0] + (APART + right.width if right.places else 0.0)
    places = [(main[0] + APART + x, y) for x, y in right.places]
    high = max(main[1], right.height)
    if not rest:
        return Packed(tuple(places), wide, high)
    room = max(wide, widest, *(width for width, _ in rest))
    below = _below(rest, room)
    places += [(x, high + APART + y) for x, y in below.places]
    return Packed(tuple(places), max(wide, below.width), high + APART + below.height)


def _below(insets: Sequence[Size], room: float) -> Packed:
    """Columns in some width, as low as can be."""
    tall = max(height for _, height in insets)
    whole = sum(height + GAP for _, height in insets)
    for step in range(4 * STEPS + 1):
        found = columns(insets, tall + (whole - tall) * step / (4 * STEPS))
        if found.width <= room:
            return found
    return columns(insets, whole)
