"""A placed scene as parts to paint: boxes by their family, wires, scopes."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import pairwise

from cnndsl.figures import font
from cnndsl.figures.layout.cards import (
    CARD,
    LABEL,
    NARROWED,
    OPTIONAL,
    TAP,
    TAPS,
    TITLE,
    Card,
    Cards,
    Type,
    behind,
)
from cnndsl.figures.layout.labels import fitted
from cnndsl.figures.layout.piece import Ends, Line, Piece, Rail, Scope, Spot
from cnndsl.figures.paint import Area, Group, Part, Path, Point, Polygon, Text
from cnndsl.figures.palette import role_of
from cnndsl.figures.scene import Box
from cnndsl.ops.facts import Family

SLANT, CLEAR = 7.0, 2.1
"""How far a side is aslant at most, and what is left between it and a word."""
CORNER = 6.0
"""The radius of a rounded box."""
THICK, THICKER, LINE = 3.4, 2.2, 1.2
"""A rail, an edge of several tensors, and one of one."""

Said = tuple[str, float, str, bool, float]
"""A line of words: its text, size, role, whether it is bold, and its foot."""


def scope(found: Scope) -> Part:
    """The outline of a block opened in place."""
    children: list[Part] = [
        Area(found.x, found.y, found.width, found.height, "scope", 8, dashed=not found.repeated)
    ]
    x = found.x + 8
    if found.title:
        children.append(Text(x, found.y + 13, found.title, TITLE - 1, bold=True))
        x += font.width(found.title, TITLE - 1, bold=True) + 5
    if found.small:
        children.append(Text(x, found.y + 13, found.small, LABEL, "faint"))
    return Group(tuple(children), title=found.title, kind="scope", span=found.span)


def wires(
    piece: Piece, cards: Cards, dashed: Collection[Ends] = (), several: Collection[Ends] = ()
) -> list[Part]:
    """All edges, nested skips first; arrows point at the boxes.

    One of `several` tensors is thicker.
    """
    parts: list[Part] = []
    more = [(ends, line) for ends, lines in piece.more.items() for line in lines]
    lines = sorted(piece.wires.items(), key=lambda item: item[0] not in piece.arcs)
    spots = {spot.box.key: spot for spot in piece.spots}
    for (tail, head), way in [*lines, *more]:
        line = _reached(way, spots.get(head), cards)
        line = _reached(line[::-1], spots.get(tail), cards)[::-1]
        data = (("from", tail), ("to", head))
        arc = piece.arcs.get((tail, head))
        wide = THICKER if (tail, head) in several and (tail, head) not in piece.more else LINE
        drawn = Path(
            arc or line,
            arrow=True,
            stroke=wide,
            dashed=(tail, head) in dashed,
            curved=arc is not None,
        )
        # Between what touches there is nothing to draw.
        touching = not arc and line[0] == line[-1]
        parts.append(Group(() if touching else (drawn,), data=data, kind="edge"))
    return [*parts, *(_rail(rail) for rail in piece.rails)]


def fans(piece: Piece, *, plain: bool = False) -> list[Part]:
    """The lines of a fan, and what stands beside it; `plain` in the colour of all edges."""
    parts: list[Part] = []
    for fan in piece.fans:
        drawn = Path(fan.line, "wire" if plain else fan.role, True, 0, LINE)
        data = (("from", fan.edges[0][0]), ("to", fan.edges[-1][1]))
        parts.append(Group((drawn,), data=data, kind="edge"))
    return [*parts, Group(tuple(piece.marks), kind="matrix")] if piece.marks else parts


def _rail(rail: Rail) -> Part:
    """A thick line, with a dot wherever a level comes in."""
    lines = [Path(rail.trunk, role="rail", radius=0, stroke=THICK)]
    # A way ends where its arrow begins.
    lines += [
        Path((*way[:-1], (way[-1][0] - 7, way[-1][1])), role="rail", stroke=THICK)
        for way in rail.ways
    ]
    dots = [Area(x - 2.2, y - 2.2, 4.4, 4.4, "arrow", 2.2, stroke=0) for x, y in rail.joints]
    words = [
        Text(right, foot - 2, rail.words, LABEL, "grey", True, "end")
        for _, _, right, foot in rail.labels
    ]
    return Group((*lines, *dots, *words), kind="rail")


def box(spot: Spot, cards: Cards, role: str = "", **said: str) -> Group:
    """A box with its words; `said` is its title and description for a reader's ears."""
    card = cards[spot.box]
    role = role or role_of(spot.box.family)
    slant = _slant(spot, cards)
    children: list[Part] = [] if card.bare else list(_outline(spot, card, role, slant))
    if card.taps:
        children += _taps(spot, *card.taps, role, cards.inset)
    face = cards.celltype if card.cell else cards.type
    children += _words(spot, card, face, (TAPS + cards.inset) / 2 if card.taps else 0.0)
    data: tuple[tuple[str, str], ...] = (
        ("count", str(spot.box.count)),
        ("layers", str(len(spot.box.nodes))),
    )
    if spot.box.frame is not None:
        data += (("opens", spot.box.frame.key),)
    return Group(
        tuple(children),
        title=said.get("title", card.title),
        desc=said.get("desc", ""),
        key=spot.box.key,
        data=data,
        span=spot.box.span,
    )


def _taps(spot: Spot, side: int, step: float, role: str, inset: float) -> list[Part]:
    """A dilated window at the left of a box."""
    left = spot.left + inset + (TAPS - TAP - (side - 1) * step) / 2
    top = spot.y - (TAP + (side - 1) * step) / 2
    return [
        Area(left + step * x, top + step * y, TAP, TAP, f"{role}-tap", 0, stroke=0)
        for y in range(side)
        for x in range(side)
    ]


def _words(spot: Spot, card: Card, face: Type, aside: float = 0.0) -> list[Part]:
    if card.round:
        sign = Text(spot.x, spot.y + 5, card.title, 14, anchor="middle")
        return [sign, *labelled(spot, card)]
    if card.strip:
        return [
            Text(spot.x, spot.y + 3, line, LABEL, "grey", anchor="middle")
            for line in card.lines
        ]
    words: list[Part] = [
        Text(spot.x + aside, y, line, size, role, bold, "middle")
        for line, size, role, bold, y in _lines(spot, card, face)
    ]
    return [*words, *labelled(spot, card)]


def _lines(spot: Spot, card: Card, face: Type) -> Iterator[Said]:
    """The titles and grey lines of a box."""
    high = face.bold * len(card.titles) + face.grey * len(card.lines)
    y = spot.y - high / 2 - 2.5
    for title in card.titles:
        y += face.bold
        yield title, face.title, "ink", True, y
    for line in card.lines:
        y += face.grey
        yield line, face.small, "grey", False, y


def _slant(spot: Spot, cards: Cards) -> float:
    """How far the sides of a box are aslant: less where they would come to its words."""
    if not spot.aside or spot.box.family not in NARROWED:
        return SLANT
    found, card = SLANT, cards[spot.box]
    for line, size, _, bold, y in _lines(spot, card, cards.type):
        share = 0.5 + font.width(line, size, bold=bold) / spot.width / 2
        free = min(y - 0.72 * size - spot.top, spot.bottom - y - 0.15 * size)
        found = min(found, (free - CLEAR) / share)
    return found


def labelled(spot: Spot, card: Card) -> list[Part]:
    """The label over a corner of a box, or beside a circle, as long as it has room."""
    if not spot.words:
        return []
    x, anchor = spot.left + 2, "start"
    outside = OPTIONAL if card.optional else 0.0
    y = spot.top - 3 - behind(spot.box) - outside
    if spot.low:
        y = spot.bottom + 8.5 + outside
    if spot.round:
        # Where edges come in from the left, it stands over the circle.
        x, y, anchor = spot.left - 2, spot.top + 3, "end"
        if spot.aside:
            x, y, anchor = spot.x, spot.top - 3, "middle"
    elif spot.late:
        x, anchor = spot.right + (0 if spot.low else behind(spot.box)) - 2, "end"
    text = fitted(card.label, LABEL, spot.words + 0.1)
    return [Text(x, y, text, LABEL, "faint", anchor=anchor)]


def _outline(spot: Spot, card: Card, role: str, slant: float) -> list[Part]:
    """Shape carries meaning: pools narrow, upsampling widens, joins are round."""
    found: list[Part] = []
    for step in (2, 1) if behind(spot.box) else ():
        shift = CARD * step
        found += _shape(spot, card, role, shift, slant)
    if card.optional and not card.cell:
        left, top, right, bottom = spot.left, spot.top, spot.right, spot.bottom
        size = (right - left + 2 * OPTIONAL, bottom - top + 2 * OPTIONAL)
        found.append(
            Area(left - OPTIONAL, top - OPTIONAL, *size, "scope", 7, dashed=True, stroke=0.9)
        )
    return found + _shape(spot, card, role, 0.0, slant)


def _shape(
    spot: Spot, card: Card, role: str, shift: float, slant: float, corner: float = CORNER
) -> list[Part]:
    left, right = spot.left + shift, spot.right + shift
    top, bottom = spot.top - shift, spot.bottom - shift
    area = (left, top, right - left, bottom - top)
    if card.round:
        return [Area(*area, role, (right - left) / 2)]
    if card.strip:
        return [Area(*area, role, 2)]
    if card.cell:
        return [Area(*area, role, 3, dashed=card.optional, stroke=0.9 * card.optional)]
    if corners := _corners(spot, shift, slant):
        return [Polygon(corners, role)]
    match spot.box.family:
        case Family.CONCAT:
            return [Area(*area, role, min(bottom - top, right - left) / 2)]
        case Family.LINEAR | Family.BOXES | Family.GIVEN:
            return [Area(*area, role, 0)]
        case _:
            return [Area(*area, role, corner)]


def _corners(spot: Spot, shift: float, slant: float) -> tuple[Point, ...]:
    """The corners of a box that is not a rectangle; empty for one that is."""
    left, right = spot.left + shift, spot.right + shift
    top, bottom = spot.top - shift, spot.bottom - shift
    middle = (top + bottom) / 2
    match spot.box.family:
        case Family.POOL if spot.aside:
            return (left, top), (right, top + slant), (right, bottom - slant), (left, bottom)
        case Family.UPSAMPLE if spot.aside:
            return (left, top + slant), (right, top), (right, bottom), (left, bottom - slant)
        case Family.POOL:
            return (left, top), (right, top), (right - slant, bottom), (left + slant, bottom)
        case Family.UPSAMPLE if not spot.up:
            return (left + slant, top), (right - slant, top), (right, bottom), (left, bottom)
        case Family.UPSAMPLE:
            return (left, top), (right, top), (right - slant, bottom), (left + slant, bottom)
        case Family.RESHAPE:
            return (left + slant, top), (right, top), (right - slant, bottom), (left, bottom)
        case Family.MATMUL:
            return (
                (left + slant, top),
                (right - slant, top),
                (right, middle),
                (right - slant, bottom),
                (left + slant, bottom),
                (left, middle),
            )
        case Family.DEPTHWISE:
            cut = slant
            return (
                (left + cut, top),
                (right - cut, top),
                (right, top + cut),
                (right, bottom - cut),
                (right - cut, bottom),
                (left + cut, bottom),
                (left, bottom - cut),
                (left, top + cut),
            )
        case _:
            return ()


def _reached(line: Line, spot: Spot | None, cards: Cards) -> Line:
    """A line extended to the slanted side of the box at which it ends."""
    if spot is None or not (corners := _corners(spot, 0.0, _slant(spot, cards))):
        return line
    (x0, y0), (x, y) = line[-2:]
    level = abs(y - y0) < abs(x - x0)
    at, end, sign = (y, x, x - x0) if level else (x, y, y - y0)
    found = []
    for one, two in pairwise((*corners, corners[0])):
        (a, b), (c, d) = (one, two) if level else (one[::-1], two[::-1])
        if min(b, d) <= at <= max(b, d) and b != d:
            found.append(a + (c - a) * (at - b) / (d - b))
    ahead = [place for place in found if 0 <= (place - end) * (1 if sign > 0 else -1) <= SLANT]
    if not ahead:
        return line
    place = min(ahead, key=lambda place: abs(place - end))
    return (*line[:-1], (place, y) if level else (x, place))


def swatch(x: float, y: float, role: str, family: Family | None) -> Part:
    """The shape of a family, small."""
    round_ = family is Family.ADD
    wide = 12.0 if round_ else 18.0
    card = Card((), (), "", wide, 12, round=round_)
    sample = Box("", "", family, [], None)
    shown = Spot(sample, x + 9, y + 6, wide, 12)
    return Group(tuple(_shape(shown, card, role, 0.0, 4.0, corner=3.0)), kind="swatch")
