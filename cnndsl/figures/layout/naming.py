"""Where the label of a box on lanes stands: where the edges at its side leave the most room."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from cnndsl.figures.layout.arcs import begin, end
from cnndsl.figures.layout.cards import Cards
from cnndsl.figures.layout.piece import Piece, Spot, named
from cnndsl.figures.layout.roles import Grid, Roles
from cnndsl.figures.layout.steps import SIDE


def called(
    key: str,
    leaf: Piece,
    roles: Roles,
    grid: Grid,
    place: Mapping[str, float],
    cards: Cards,
) -> Spot:
    """A box with its label over it; under it in a U that steps, with arcs over its boxes."""
    (spot,) = leaf.spots
    free = _free(key, spot, roles, grid, place)
    over = _labelled(spot, cards, free, late=key not in grid.spine)
    if not (grid.arcs and grid.stepped) or spot.round:
        return over
    free = _free(key, spot, roles, grid, place, low=True)
    under = replace(_labelled(spot, cards, free, late=False), low=True)
    return under if under.words >= over.words else over


def upright(tail: str, head: str, grid: Grid) -> str:
    """The box in whose middle an edge runs that leads straight down."""
    return tail if tail in grid.between else head


def leaving(spot: Spot, x: float) -> float:
    """Where an edge leaves the upper side of a box to rise to what stands at `x`."""
    inner = min(spot.width / 2, SIDE)
    return min(max(x, spot.left + inner), spot.right - inner)


def _free(
    key: str,
    spot: Spot,
    roles: Roles,
    grid: Grid,
    place: Mapping[str, float],
    *,
    low: bool = False,
) -> list[float]:
    """Where edges leave the upper or `low` side of a box or come in there, and its ends."""
    cell = grid.cells[key]

    def passed(other: str) -> bool:
        at = grid.cells[other]
        if grid.stepped and not spot.left < place[other] < spot.right:
            return False
        there = at[:2] > cell[:2] if low else at[:2] < cell[:2]
        return there and (at[2] == cell[2] or not roles.level(key, other))

    xs = [spot.left, spot.right]
    heads = [head for head in roles.below[key] if passed(head)]
    tails = [tail for tail in roles.above[key] if passed(tail)]
    if low:
        xs += [place[upright(key, head, grid)] for head in heads] + [spot.x] * bool(tails)
        return sorted(xs)
    xs += [leaving(spot, place[head]) for head in heads]
    xs += [place[upright(tail, key, grid)] for tail in tails]
    out = [n for ends, n in grid.arcs.items() if ends[0] == key]
    into = [n for ends, n in grid.arcs.items() if ends[1] == key]
    xs += [begin(spot, n) for n in range(len(out))] + [end(spot, n) for n in range(len(into))]
    return sorted(xs)


def _labelled(spot: Spot, cards: Cards, free: list[float], *, late: bool) -> Spot:
    """A box with its label where its upper side has more room: at the left, or the right.

    One that is not to be `late` has it at the left where there is some.
    """
    left, right = free[1] - free[0] - 6, free[-1] - free[-2] - 6
    if spot.box.key in cards.spans or cards[spot.box].round:
        return replace(spot, late=right >= left)
    found = named(spot, cards, spot.width, max(left, right, 1.0))
    return replace(found, late=right >= left and (late or found.words > left))
