"""Where the insets stand: beside the main picture, and below it where room is left."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import inf

Size = tuple[float, float]
"""Width and height."""
APART, GAP = 22.0, 14.0
"""Between the main picture and its insets, and between insets."""
STEPS = 12


@dataclass(frozen=True, slots=True)
class Hole:
    """A part of the main picture where nothing stands: its upper left corner and its sides."""

    left: float
    top: float
    width: float
    height: float
    banded: bool = False
    """Lanes pass it, which end beside what it holds."""

    @property
    def bottom(self) -> float:
        """The lower side."""
        return self.top + self.height

    @property
    def right(self) -> float:
        """The right side."""
        return self.left + self.width

    def within(self, other: Hole) -> bool:
        """Whether it is a part of another."""
        across = other.left <= self.left and self.right <= other.right
        return across and other.top <= self.top and self.bottom <= other.bottom

    def inside(self, other: Hole) -> Hole:
        """What it has in common with another that it meets."""
        left, top = max(self.left, other.left), max(self.top, other.top)
        right, foot = min(self.right, other.right), min(self.bottom, other.bottom)
        return replace(self, left=left, top=top, width=right - left, height=foot - top)

    def grown(self, by: float) -> Hole:
        """With so much around it."""
        return Hole(self.left - by, self.top - by, self.width + 2 * by, self.height + 2 * by)

    def moved(self, x: float, y: float) -> Hole:
        """The same, elsewhere."""
        return replace(self, left=self.left + x, top=self.top + y)


@dataclass(frozen=True, slots=True)
class Packed:
    """The upper left corner of each inset, and the size of all, the main picture at 0, 0."""

    places: tuple[tuple[float, float], ...]
    width: float
    height: float
    hole: int | None = None
    """Which of the holes holds some of them."""


def packed(
    main: Size, insets: Sequence[Size], holes: Sequence[Hole], room: tuple[float, float]
) -> Packed:
    """Some insets in columns beside the main picture, in order, and the rest below it.

    Some of them in one of its holes, if that makes the page lower. The page is as low as
    can be in a width, and within a height if it can be.
    """
    found = [_around(main, insets, *room)]
    for number, hole in enumerate(holes):
        inside: list[int] = []
        for n in range(len(insets)):
            tried = columns([insets[k] for k in (*inside, n)], hole.height)
            if tried.width <= hole.width and tried.height <= hole.height:
                inside.append(n)
        if not inside:
            continue
        held = columns([insets[n] for n in inside], hole.height)
        rest = [n for n in range(len(insets)) if n not in inside]
        filled = (
            max(main[0], hole.left + held.width),
            max(main[1], hole.top + held.height),
        )
        others = _around(filled, [insets[n] for n in rest], *room)
        places = dict(zip(rest, others.places, strict=True))
        places |= {
            n: (hole.left + x, hole.top + y)
            for n, (x, y) in zip(inside, held.places, strict=True)
        }
        wide = max(others.width, hole.left + held.width)
        ordered = tuple(places[n] for n in range(len(insets)))
        found.append(Packed(ordered, wide, others.height, number))
    return min(found, key=lambda page: _badness(page, *room))


def _around(main: Size, insets: Sequence[Size], widest: float, tallest: float) -> Packed:
    """All of them beside and below the main picture."""
    if not insets:
        return Packed((), *main)
    found: list[Packed] = []
    for beside in range(len(insets) + 1):
        high = max(main[1], *(height for _, height in insets[:beside]), 0.0)
        steps = range(STEPS + 1 if beside == len(insets) else 1)
        every = _growing(insets[:beside], (high * (1 + step / 8) for step in steps))
        found += [_page(main, one, insets[beside:], widest) for one in every]
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


def _growing(insets: Sequence[Size], heights: Iterable[float]) -> Iterator[Packed]:
    """Their columns in each of some growing heights, without those that are the same again."""
    least = 0.0
    for height in heights:
        if height >= least:
            found = columns(insets, height)
            yield found
            both = pairwise(zip(insets, found.places, strict=True))
            feet = [
                y + high + GAP + then
                for ((_, high), (_, y)), ((_, then), (_, top)) in both
                if not top
            ]
            least = min(feet, default=inf)


def _page(main: Size, right: Packed, rest: Sequence[Size], widest: float) -> Packed:
    """The main picture with columns beside it, and the rest below it, or below both."""
    wide = main[0] + (APART + right.width if right.places else 0.0)
    places = [(main[0] + APART + x, y) for x, y in right.places]
    high = max(main[1], right.height)
    # Put what fits under the main picture, down to where the column beside it ends.
    under, room = Packed((), 0.0, 0.0), right.height - main[1] - APART
    for count in range(1, len(rest) + 1):
        tried = columns(rest[:count], max(room, 0.0))
        if tried.width > main[0] or tried.height > room:
            break
        under = tried
    places += [(x, main[1] + APART + y) for x, y in under.places]
    rest = rest[len(under.places) :]
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
    heights = (tall + (whole - tall) * n / (4 * STEPS) for n in range(4 * STEPS + 1))
    found = (one for one in _growing(insets, heights) if one.width <= room)
    return next(found, columns(insets, whole))
