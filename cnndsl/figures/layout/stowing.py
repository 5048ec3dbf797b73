"""Insets of a full page: into whatever is free beside, below and in its main picture."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from cnndsl.figures.layout.packing import Hole, Packed, Size

APART = GAP = 10.0
"""Between the main picture and its insets, and between insets: a full page has less room."""
Order = Callable[[Size], float]
ORDERS: tuple[Order, ...] = (
    lambda size: 0.0,
    lambda size: -size[0] * size[1],
    lambda size: -size[1],
    lambda size: -size[0],
)
"""The orders in which insets are placed: as written, or the largest, highest, widest first.

So is each, before the others by their size."""


@dataclass(frozen=True, slots=True)
class Stowed:
    """Where each inset stands, and in which of its sizes."""

    packed: Packed
    sizes: tuple[int, ...]


def freed(free: Iterable[Hole], taken: Hole, least: Size = (0.0, 0.0)) -> list[Hole]:
    """The largest free rectangles that are left when one is `taken`, without smaller ones."""
    kept: list[Hole] = []
    parts: list[Hole] = []
    right, bottom = taken.right, taken.bottom
    for hole in free:
        x, y, width, height = hole.left, hole.top, hole.width, hole.height
        if taken.left >= x + width or right <= x or taken.top >= y + height or bottom <= y:
            kept.append(hole)
            continue
        parts += [
            Hole(x, y, taken.left - x, height),
            Hole(right, y, x + width - right, height),
            Hole(x, y, width, taken.top - y),
            Hole(x, bottom, width, y + height - bottom),
        ]
    parts = [hole for hole in parts if hole.width > least[0] and hole.height > least[1]]
    # None of what was free is within a part of another.
    sides = [(one.left, one.top, one.right, one.bottom) for one in kept]
    for hole in sorted(parts, key=lambda hole: -hole.width * hole.height):
        x, y, right, bottom = hole.left, hole.top, hole.right, hole.bottom
        if not any(a <= x and b <= y and right <= c and bottom <= d for a, b, c, d in sides):
            kept.append(hole)
            sides.append((x, y, right, bottom))
    return kept


def stowed(
    main: Size, insets: Sequence[Sequence[Size]], holes: Sequence[Hole], room: Size
) -> Stowed | None:
    """A free place for every inset in one of its sizes, or None."""
    wide, tall = room
    if main[0] > wide or main[1] > tall:
        return None
    beside = Hole(main[0] + APART, 0.0, wide - main[0] - APART, tall)
    below = Hole(0.0, main[1] + APART, wide, tall - main[1] - APART)
    free = [hole for hole in (beside, below, *holes) if hole.width > 0 and hole.height > 0]
    least = sum(min(w * h for w, h in sizes) for sizes in insets)
    if least > wide * tall - main[0] * main[1] + sum(h.width * h.height for h in holes):
        return None
    fits = [any(_fits(size, hole) for size in sizes for hole in free) for sizes in insets]
    tries = _tries(main, insets, free) if all(fits) else ()
    found = [one for one in tries if one.packed.height <= tall]
    return min(found, key=lambda one: (one.packed.height, one.packed.width), default=None)


def _tries(
    main: Size, insets: Sequence[Sequence[Size]], free: Sequence[Hole]
) -> Iterator[Stowed]:
    done = set[tuple[int, ...]]()
    numbers = range(len(insets))
    orders = [sorted(numbers, key=lambda n: min(map(order, insets[n]))) for order in ORDERS]
    largest = orders[1]
    orders += [[one, *(n for n in largest if n != one)] for one in largest[1:]]
    for turns in orders:
        if tuple(turns) in done:
            continue
        done.add(tuple(turns))
        for rank in (_lowest, _tightest):
            found = _stow(main, insets, free, turns, rank)
            if found is not None:
                yield found


def _fits(size: Size, hole: Hole) -> bool:
    return size[0] <= hole.width and size[1] <= hole.height


def _lowest(hole: Hole, size: Size) -> tuple[float, ...]:
    """Prefers where the inset's foot is highest, then the narrowest."""
    return (hole.top + size[1], hole.left, size[0])


def _tightest(hole: Hole, size: Size) -> tuple[float, ...]:
    """Prefers where the least is left beside or under the inset."""
    return (min(hole.width - size[0], hole.height - size[1]), hole.top)


Rank = Callable[[Hole, Size], tuple[float, ...]]


def _stow(
    main: Size,
    insets: Sequence[Sequence[Size]],
    free: Sequence[Hole],
    turns: Sequence[int],
    rank: Rank,
) -> Stowed | None:
    places: dict[int, tuple[float, float]] = {}
    chosen: dict[int, int] = {}
    wide, high = main
    for n in turns:
        fits = [
            (rank(hole, size), hole, which)
            for which, size in enumerate(insets[n])
            for hole in free
            if _fits(size, hole)
        ]
        if not fits:
            return None
        _, hole, which = min(fits, key=lambda fit: fit[0])
        width, height = insets[n][which]
        places[n], chosen[n] = (hole.left, hole.top), which
        wide, high = max(wide, hole.left + width), max(high, hole.top + height)
        taken = Hole(hole.left, hole.top, width, height).grown(GAP)
        free = freed(free, taken)
    order = range(len(insets))
    packed = Packed(tuple(places[n] for n in order), wide, high)
    return Stowed(packed, tuple(chosen[n] for n in order))
