"""Where a page's main picture stands, and what is free in it: its holes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cnndsl.figures.layout.bands import CORNER, EDGE, WORDS, Band
from cnndsl.figures.layout.cards import LEVELS
from cnndsl.figures.layout.packing import GAP, Hole, Size
from cnndsl.figures.layout.panel import Panel
from cnndsl.figures.layout.piece import Piece
from cnndsl.figures.layout.stowing import APART, freed
from cnndsl.figures.layout.wrapping import LIFT

GUTTER = 28.0
"""The width of the lines over a picture."""
NEAR = 6.0
"""How far below a hole a lane may reach that ends beside it."""
SLACK = 2.0
"""So far a lane or a line may reach into the upper margin, where room is shortest."""
SLIGHT = 60.0
"""A hole that is smaller holds no inset."""


def gutter_of(bands: Sequence[Band]) -> float:
    """The room for the names of lanes at their left."""
    return GUTTER if any(not band.aside for band in bands) else 0.0


def space(main: Panel) -> Size:
    """Place the main picture on the page; returns its size."""
    gutter = gutter_of(main.bands)
    edge = EDGE if gutter else WORDS
    aside = main.cards.way.turning and main.piece.folds
    main.x = gutter + main.piece.left + (LIFT + 1 if aside else 0)
    main.x = max([main.x, *(gutter - band.left for band in main.bands)])
    tops = [*(band.top for band in main.bands), *(top for _, top, _, _ in main.piece.taken)]
    slack = SLACK if main.cards.narrow == LEVELS - 1 else 0.0
    main.y = max([edge, *(-top - slack for top in tops)])
    row = main.bands if main.cards.way.turning and not aside else ()
    right = main.x + max([main.piece.right, *(band.right for band in row)])
    right += 4 if gutter or not main.piece.lanes else 0
    return (right, main.y + main.piece.height + edge)


def holes_in(main: Panel, room: tuple[float, float]) -> list[Hole]:
    """The holes of a main picture in its place, found once: many insets try them."""
    if main.holes is None:
        found = _holes(main, *room, gutter_of(main.bands))
        main.holes = [hole.moved(main.x, main.y) for hole in found]
    return main.holes


def trimmed(band: Band, hole: Hole, piece: Piece, gutter: float) -> Band:
    """A lane cut short beside an inset in a hole, with its name where it can be seen."""
    if hole.top < 0 and band.bottom <= hole.bottom + NEAR:
        return replace(band, right=min(band.right, hole.left - APART + WORDS))
    if hole.top < 0 and band.aside and not band.first and band.top < hole.bottom:
        return replace(band, low=True).clear(piece)
    if hole.top > 0 and band.bottom > hole.top:
        beside = any(s.left < hole.right and s.bottom > band.top for s in piece.spots)
        if beside and band.top < hole.top - GAP:
            return replace(band, bottom=min(band.bottom, hole.top - GAP))
        band = replace(band, left=max(band.left, hole.right + APART - WORDS + gutter))
        return band.clear(piece) if band.first else band
    return band


def _holes(main: Panel, widest: float, tallest: float, gutter: float) -> list[Hole]:
    """The free rectangles at the upper right, at the lower left, and those outside all lanes.

    Beside them is room for the names of lanes: in their corners, or in the gutter.
    """
    piece = main.piece
    rects, found = piece.taken, _ends(main, widest, tallest, gutter)
    if not piece.laned or len(main.bands) < 2:
        return found
    # A hole ends where something reaches further to the right: each is lower and narrower.
    named = any(band.aside and not band.first for band in main.bands)
    corner = CORNER - WORDS if named else 0.0
    reach = 0.0
    for _, top, right, _ in sorted(rects, key=lambda rect: rect[1]):
        if right > reach:
            left, foot = reach + corner + APART, top - GAP - EDGE
            over = min(EDGE, main.y)
            found.append(Hole(left, -over, widest - main.x - left, foot + over, True))
            reach = right
    reach, edge = piece.right, -main.x
    for left, _, _, foot in sorted(rects, key=lambda rect: -rect[3]):
        if left < reach:
            top = foot + GAP + EDGE
            for height in (piece.height + EDGE - top, tallest - main.y - top):
                found.append(Hole(edge, top, reach - gutter - APART - edge, height, True))
            reach = left
    return [hole for hole in found if hole.width > SLIGHT and hole.height > SLIGHT]


def _ends(main: Panel, widest: float, tallest: float, gutter: float) -> list[Hole]:
    """The free rectangles at the right or lower side of the page, outside all lanes."""
    page = Hole(-main.x, -main.y, widest, tallest)
    rects = [
        *main.piece.taken,
        *((b.left - gutter, b.top, b.right, b.bottom) for b in main.bands),
    ]
    free = [page]
    for left, top, right, foot in rects:
        taken = Hole(left, top, right - left, foot - top).grown(GAP)
        # What ends within the page, all its parts do.
        free = [
            hole
            for hole in freed(free, taken, (SLIGHT, SLIGHT))
            if hole.right == page.right or hole.bottom == page.bottom
        ]
    right, foot = main.piece.right + GAP, main.piece.height + GAP
    return [hole for hole in free if hole.left < right and hole.top < foot]
