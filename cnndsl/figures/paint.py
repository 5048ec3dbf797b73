"""What a picture is made of, before it is written as SVG, PDF or TikZ.

A `role` names the colours: the theme says which. Coordinates are pixels, y downwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from cnndsl.diagnostics import Span
from cnndsl.figures import font

Point = tuple[float, float]
PIECES = 31
"""So many straight pieces stand for a curve where it is measured."""


@dataclass(frozen=True, slots=True)
class Area:
    """A filled outline: a rectangle with rounded corners."""

    x: float
    y: float
    width: float
    height: float
    role: str
    radius: float = 6
    dashed: bool = False
    stroke: float = 1.3


@dataclass(frozen=True, slots=True)
class Polygon:
    """A filled outline through points."""

    points: tuple[Point, ...]
    role: str
    stroke: float = 1.3


@dataclass(frozen=True, slots=True)
class Path:
    """A line through points, its corners rounded, with an arrow at its end.

    One that is `curved` has four: from the first to the last, two pull it (a Bézier curve).
    """

    points: tuple[Point, ...]
    role: str = "wire"
    arrow: bool = False
    radius: float = 5
    stroke: float = 1.2
    dashed: bool = False
    curved: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    """A line of text; `y` is its baseline, `anchor` one of start, middle, end.

    It is turned about that point, by so many degrees clockwise.
    """

    x: float
    y: float
    text: str
    size: float
    role: str = "ink"
    bold: bool = False
    anchor: str = "start"
    turn: float = 0.0


@dataclass(frozen=True, slots=True)
class Group:
    """Parts that are one thing, with what is said of it."""

    children: tuple[Part, ...]
    title: str = ""
    desc: str = ""
    key: str = ""
    data: tuple[tuple[str, str], ...] = ()
    kind: str = "node"
    span: Span | None = None
    """Where it is written."""
    facts: tuple[str, ...] = ()
    """Its attributes, arguments and weights, one per line."""


Part = Area | Polygon | Path | Text | Group


@dataclass(slots=True)
class Picture:
    """A whole picture, and what is said of it."""

    width: float
    height: float
    parts: list[Part]
    title: str
    desc: str
    metadata: dict[str, object] = field(default_factory=dict)
    closed: tuple[str, ...] = ()
    """The blocks that its page had no room to open."""

    def roles(self) -> set[str]:
        """The roles that occur."""
        return {part.role for part in leaves(self.parts)}


Leaf = Area | Polygon | Path | Text


def leaves(parts: list[Part] | tuple[Part, ...]) -> Iterator[Leaf]:
    """All parts that are drawn, groups opened."""
    for part in parts:
        if isinstance(part, Group):
            yield from leaves(part.children)
        else:
            yield part


def extent(parts: list[Part]) -> Point:
    """How far the parts reach to the right and down."""
    right = bottom = 0.0
    for part in leaves(parts):
        match part:
            case Area():
                right, bottom = (
                    max(right, part.x + part.width),
                    max(bottom, part.y + part.height),
                )
            case Text():
                wide = font.width(part.text, part.size, bold=part.bold)
                share = {"start": 1.0, "middle": 0.5, "end": 0.0}[part.anchor]
                right, bottom = max(right, part.x + share * wide), max(bottom, part.y + 3)
            case Polygon() | Path():
                right = max([right, *(x for x, _ in part.points)])
                bottom = max([bottom, *(y for _, y in part.points)])
    return right, bottom


def shifted(part: Part, dx: float, dy: float) -> Part:
    """A part, elsewhere."""
    match part:
        case Area() | Text():
            return replace(part, x=part.x + dx, y=part.y + dy)
        case Polygon() | Path():
            return replace(part, points=tuple((x + dx, y + dy) for x, y in part.points))
        case Group():
            return replace(part, children=tuple(shifted(c, dx, dy) for c in part.children))


def commands(path: Path) -> list[tuple[str, tuple[Point, ...]]]:
    """A line as commands `M`, `L` and `Q`, with its corners rounded; a curve as `M` and `C`."""
    points = path.points
    found: list[tuple[str, tuple[Point, ...]]] = [("M", (points[0],))]
    if path.curved:
        return [*found, ("C", points[1:])]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        reach = min(path.radius, _distance(before, corner) / 2, _distance(corner, after) / 2)
        if reach < 0.5:
            found.append(("L", (corner,)))
            continue
        found.append(("L", (_toward(corner, before, reach),)))
        found.append(("Q", (corner, _toward(corner, after, reach))))
    return [*found, ("L", (points[-1],))]


def sampled(points: tuple[Point, ...]) -> tuple[Point, ...]:
    """A curve as a line through many of its points; none is its highest."""
    found = []
    for n in range(PIECES + 1):
        t, back = n / PIECES, 1 - n / PIECES
        shares = (back**3, 3 * t * back**2, 3 * t**2 * back, t**3)
        x, y = (
            sum(s * at for s, at in zip(shares, side, strict=True))
            for side in zip(*points, strict=True)
        )
        found.append((x, y))
    return tuple(found)


def traced(path: Path) -> tuple[Point, ...]:
    """The straight pieces that a path follows, its corners not rounded."""
    return sampled(path.points) if path.curved else path.points


def head(points: tuple[Point, ...], size: float = 6.5) -> tuple[Point, Point, Point]:
    """The arrowhead at the end of a line."""
    tip = points[-1]
    base = _toward(tip, points[-2], size)
    length = _distance(tip, base) or 1.0
    dx, dy = (tip[0] - base[0]) / length, (tip[1] - base[1]) / length
    half = size * 0.42
    return (
        tip,
        (base[0] - dy * half, base[1] + dx * half),
        (base[0] + dy * half, base[1] - dx * half),
    )


def _distance(a: Point, b: Point) -> float:
    return abs(a[0] - b[0]) + abs(a[1] - b[1])


def _toward(start: Point, end: Point, reach: float) -> Point:
    far = _distance(start, end) or 1.0
    return (
        start[0] + (end[0] - start[0]) * reach / far,
        start[1] + (end[1] - start[1]) * reach / far,
    )
