"""A placed part of a picture, with the ends of edges that lead out of it."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from itertools import combinations, pairwise
from operator import attrgetter

from cnndsl.diagnostics import Span
from cnndsl.figures import font
from cnndsl.figures.layout.cards import BESIDE, LABEL, NAMED, TITLE, Cards, behind
from cnndsl.figures.paint import Part, Point, shifted
from cnndsl.figures.scene import Box

Ends = tuple[str, str]
"""An edge, as the keys of its boxes; `@in` and `@out` stand for what is outside."""
Line = tuple[Point, ...]
Rect = tuple[float, float, float, float]
"""Left, top, right, bottom."""
ASIDE = 10.0
"""From the words over a rail to the box that it leads to."""
SAME = 0.01
"""Coordinates that differ by no more are one."""


@dataclass(frozen=True, slots=True)
class Spot:
    """A box in its place: `x`, `y` are its centre.

    A picture that runs to the right is laid out downwards and then turned: until then what
    is over a box stands at its left (`turning`), and after that it is `aside`.
    """

    box: Box
    x: float
    y: float
    width: float
    height: float
    up: bool = False
    words: float = 0.0
    """How wide the label over its left corner is, or that beside a circle."""
    turning: bool = False
    aside: bool = False
    late: bool = False
    """Its label stands over its right corner."""
    low: bool = False
    """Its label stands under it."""
    round: bool = False

    @property
    def label(self) -> Rect | None:
        """Left, top, right and bottom of the label over its corner, if it has one."""
        if not self.words:
            return None
        if self.round and self.turning:
            half = self.words / 2
            return (self.left - 10, self.y - half, self.left - 2, self.y + half)
        if self.round:
            return (self.left - 2 - self.words, self.top - 4, self.left - 2, self.top + 5)
        if self.turning:
            side = self.left - behind(self.box)
            return (side - 10, self.top, side, self.top + 2 + self.words)
        foot = self.bottom + 10 if self.low else self.top - behind(self.box)
        if self.late:
            right = self.right + (0 if self.low else behind(self.box))
            return (right - 2 - self.words, foot - 10, right, foot)
        return (self.left, foot - 10, self.left + 2 + self.words, foot)

    @property
    def left(self) -> float:
        """The left side."""
        return self.x - self.width / 2

    @property
    def right(self) -> float:
        """The right side."""
        return self.x + self.width / 2

    @property
    def top(self) -> float:
        """The upper side."""
        return self.y - self.height / 2

    @property
    def bottom(self) -> float:
        """The lower side."""
        return self.y + self.height / 2

    def moved(self, dx: float, dy: float) -> Spot:
        """The same, elsewhere: much quicker than `replace`, and most of what a layout does."""
        box, x, y, *others = _SPOT(self)
        return Spot(box, x + dx, y + dy, *others)


_SPOT = attrgetter(*(field.name for field in fields(Spot)))


def bounds(spot: Spot) -> Rect:
    """Left, top, right and bottom of a box with the cards behind it."""
    more = behind(spot.box)
    if spot.turning:
        return spot.left - more, spot.top, spot.right, spot.bottom + more
    return spot.left, spot.top - more, spot.right + more, spot.bottom


def named(spot: Spot, cards: Cards, width: float, room: float = 0.0) -> Spot:
    """A box of a width, with its label; without `room`, it ends before the middle.

    That of a circle stands beside it, as wide as it may be.
    """
    card = cards[spot.box]
    # No edge comes in beside the label of a box over several lanes.
    room = room or (width - 2 if spot.box.key in cards.spans else width / 2 - BESIDE)
    if card.round:
        room = NAMED
    words = font.width(font.fitted(card.label, LABEL, room), LABEL) if card.label else 0.0
    return replace(spot, width=width, words=words, round=card.round)


@dataclass(frozen=True, slots=True)
class Scope:
    """The outline of a block that is opened in place, or of a repeated sequence."""

    x: float
    y: float
    width: float
    height: float
    title: str
    small: str
    repeated: bool
    keys: frozenset[str]
    span: Span | None = None
    turning: bool = False
    """As of a spot."""

    @property
    def label(self) -> Rect:
        """Left, top, right and bottom of its title."""
        wide = font.width(self.title, TITLE - 1, bold=True) + font.width(self.small, LABEL)
        if self.turning:
            return (self.x + 2, self.y + 8, self.x + 16, self.y + 13 + wide)
        return (self.x + 8, self.y + 2, self.x + 13 + wide, self.y + 16)


@dataclass(frozen=True, slots=True)
class Rail:
    """One thick line for several edges with the same readers.

    The edges come in at the `joints` of its `trunk`, and all lead on by each of its `ways`.
    """

    trunk: Line
    ways: tuple[Line, ...]
    joints: tuple[Point, ...]
    words: str = ""
    """What it leads: `p2–p5`, said over each way."""

    @property
    def labels(self) -> list[Rect]:
        """Left, top, right and bottom of the words over each way."""
        wide = font.width(self.words, LABEL, bold=True) if self.words else 0.0
        ends = [way[-1] for way in self.ways] if wide else []
        return [(x - ASIDE - wide, y - 12, x - ASIDE, y - 3) for x, y in ends]

    def moved(self, dx: float, dy: float) -> Rail:
        """The same, elsewhere."""

        def line(points: Line) -> Line:
            return tuple((x + dx, y + dy) for x, y in points)

        ways = tuple(map(line, self.ways))
        return Rail(line(self.trunk), ways, line(self.joints), self.words)


@dataclass(frozen=True, slots=True)
class Fan:
    """One straight line for the edges of a way whose boxes stand in a matrix beside it."""

    edges: tuple[Ends, ...]
    line: Line
    role: str
    """Its colour is that of what lies on it."""

    def moved(self, dx: float, dy: float) -> Fan:
        """The same, elsewhere."""
        return Fan(self.edges, tuple((x + dx, y + dy) for x, y in self.line), self.role)


@dataclass(slots=True)
class Piece:
    """Boxes around the vertical axis x = 0, from y = 0 down to `height`.

    `opening` are lines from the top of the axis to a box, `closing` from a box to its
    foot, `through` from top to foot; `wires` have both their ends inside.
    """

    left: float
    right: float
    height: float
    spots: list[Spot] = field(default_factory=list)
    scopes: list[Scope] = field(default_factory=list)
    wires: dict[Ends, Line] = field(default_factory=dict)
    opening: dict[Ends, Line] = field(default_factory=dict)
    closing: dict[Ends, Line] = field(default_factory=dict)
    through: dict[Ends, Line] = field(default_factory=dict)
    laned: bool = False
    """It stands on stride lanes: it is not broken into columns."""
    between: set[str] = field(default_factory=set)
    """Of its boxes, by key, those that stand between lanes."""
    stepped: bool = False
    """Whether it is a U whose way down steps to the right."""
    lanes: dict[int, tuple[float, float]] = field(default_factory=dict)
    """The upper and the lower side of each lane, where boxes stand over several."""
    folds: list[tuple[float, float]] = field(default_factory=list)
    """The sides of the columns of a wrapped tower."""
    torn: bool = False
    """Whether a chain in one lane goes on from one of these to the next."""
    arcs: dict[Ends, Line] = field(default_factory=dict)
    """Of its wires, nested skips: the points of their curves."""
    more: dict[Ends, list[Line]] = field(default_factory=dict)
    """The lines of an edge's other tensors, where each has its own."""
    rails: list[Rail] = field(default_factory=list)
    """What is led in one line: the levels of a pyramid."""
    fans: list[Fan] = field(default_factory=list)
    """Lines that lead aslant, from each level to each sum."""
    marks: list[Part] = field(default_factory=list)
    """Words and lines of a matrix."""
    gives: dict[str, int] = field(default_factory=dict)
    """Of a single box: which of its tensors leads to each of its readers."""
    exits: dict[Ends, Line] = field(default_factory=dict)
    """While it is built: lines from the last node's boxes to its foot."""

    @property
    def width(self) -> float:
        """From the left to the right side."""
        return self.left + self.right

    @property
    def taken(self) -> list[Rect]:
        """Where boxes, outlines and lines are: left, upper, right and lower side."""
        rects = [bounds(spot) for spot in self.spots]
        rects += [(c.x, c.y, c.x + c.width, c.y + c.height) for c in self.scopes]
        lines = [*self.wires.values(), *(line for more in self.more.values() for line in more)]
        for (x1, y1), (x2, y2) in (ends for line in lines for ends in pairwise(line)):
            rects.append((min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)))
        return rects

    @property
    def words(self) -> list[Rect]:
        """Where labels and titles stand over boxes and outlines."""
        found = [spot.label for spot in self.spots if spot.label]
        return found + [scope.label for scope in self.scopes if scope.title or scope.small]

    @property
    def full(self) -> bool:
        """Whether no column but the last is shorter than half of the longest."""
        feet = [
            max((spot.bottom for spot in self.spots if left <= spot.x < right), default=0.0)
            for left, right in self.folds[:-1]
        ]
        return all(foot > self.height / 2 for foot in feet)

    def moved(self, dx: float, dy: float) -> Piece:
        """The same, elsewhere; `left` and `right` are still of its own axis."""
        return Piece(
            self.left,
            self.right,
            self.height,
            [spot.moved(dx, dy) for spot in self.spots],
            [replace(c, x=c.x + dx, y=c.y + dy) for c in self.scopes],
            _moved(self.wires, dx, dy),
            _moved(self.opening, dx, dy),
            _moved(self.closing, dx, dy),
            _moved(self.through, dx, dy),
            arcs=_moved(self.arcs, dx, dy),
            more={
                ends: [tuple((x + dx, y + dy) for x, y in line) for line in lines]
                for ends, lines in self.more.items()
            },
            rails=[rail.moved(dx, dy) for rail in self.rails],
            fans=[fan.moved(dx, dy) for fan in self.fans],
            marks=[shifted(mark, dx, dy) for mark in self.marks],
        )

    def turned(self) -> Piece:
        """The same to the right: what was down its axis stands side by side."""
        spots = [
            replace(s, x=s.y, y=s.x, width=s.height, height=s.width, turning=False, aside=True)
            for s in self.spots
        ]
        scopes = [
            replace(c, x=c.y, y=c.x, width=c.height, height=c.width, turning=False)
            for c in self.scopes
        ]
        made = Piece(0, self.height, self.width, spots, scopes, _turned(self.wires))
        made = made.moved(0, self.left)
        made.folds, made.torn = self.folds, self.torn
        return made

    def take(self, other: Piece) -> None:
        """Add what another piece has drawn; its open ends are the caller's."""
        self.spots += other.spots
        self.scopes += other.scopes
        self.wires |= other.wires
        self.arcs |= other.arcs
        self.more |= other.more
        self.rails += other.rails

    def draw(self, ends: Ends, line: Line) -> None:
        """Add the line of a tensor of an edge; of several, each has its own."""
        if ends in self.wires:
            self.more.setdefault(ends, []).append(line)
        else:
            self.wires[ends] = line


def crossings(lines: dict[Ends, Line]) -> int:
    """How many pairs of edges without a common box cross."""
    legs = [(ends, list(pairwise(line))) for ends, line in lines.items()]
    return sum(
        not {*one} & {*two} and any(_cross(a, b) for a in first for b in second)
        for (one, first), (two, second) in combinations(legs, 2)
    )


def _cross(a: tuple[Point, Point], b: tuple[Point, Point]) -> bool:
    """Whether an upright and a level segment cross."""
    level, upright = (a, b) if abs(a[0][1] - a[1][1]) < SAME else (b, a)
    (x1, y), (x2, _) = level
    (x, y1), (_, y2) = upright
    return (
        min(x1, x2) < x - SAME
        and x + SAME < max(x1, x2)
        and (min(y1, y2) < y - SAME and y + SAME < max(y1, y2))
    )


def _moved(lines: dict[Ends, Line], dx: float, dy: float) -> dict[Ends, Line]:
    return {ends: tuple((x + dx, y + dy) for x, y in line) for ends, line in lines.items()}


def _turned(lines: dict[Ends, Line]) -> dict[Ends, Line]:
    return {ends: tuple((y, x) for x, y in line) for ends, line in lines.items()}


def tidy(line: Line) -> Line:
    """Without points that repeat or that lie between two others on one straight line."""
    kept: list[Point] = []
    for point in line:
        if kept and abs(kept[-1][0] - point[0]) < 0.01 and abs(kept[-1][1] - point[1]) < 0.01:
            continue
        if len(kept) > 1 and _straight(kept[-2], kept[-1], point):
            kept.pop()
        kept.append(point)
    return tuple(kept)


def _straight(a: Point, b: Point, c: Point) -> bool:
    level = abs(a[1] - b[1]) < 0.01 and abs(b[1] - c[1]) < 0.01
    upright = abs(a[0] - b[0]) < 0.01 and abs(b[0] - c[0]) < 0.01
    return level or upright
