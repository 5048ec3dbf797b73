"""Where prisms stand: in rows, on a main path with arcs over it, or as boxes would."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from cnndsl.figures.layout import scene as boxes
from cnndsl.figures.layout.cards import Card, Cards
from cnndsl.figures.layout.piece import Spot
from cnndsl.figures.layout.wrapping import TALLEST, wrapped
from cnndsl.figures.paint import Point
from cnndsl.figures.scale.prism import Prism
from cnndsl.figures.scene import Box, Scene
from cnndsl.graph import Network

GAP, ROW = 22.0, 30.0
ARC, TRACK = 14.0, 9.0
"""Over the highest prism, and between arcs."""
WIDEST = 2.6
"""A row is broken where the picture would be wider than so many times its height."""
ABOVE = 90.0
"""About what the words over and under a picture need."""

Ends = tuple[str, str]


@dataclass(slots=True)
class Shelf:
    """Prisms in their places, the middle of each front at x, y, and the lines between."""

    spots: dict[str, Point] = field(default_factory=dict)
    wires: dict[Ends, tuple[Point, ...]] = field(default_factory=dict)
    width: float = 0.0
    height: float = 0.0


def in_rows(scene: Scene, prisms: dict[str, Prism]) -> Shelf | None:
    """A chain stands in rows; a path with arcs over it, and leaves, in one; else nothing."""
    edges = [(edge.tail, edge.head) for edge in scene.edges]
    path = _longest([box.key for box in scene.boxes()], edges)
    if len(path) == len(prisms) and len(edges) == len(path) - 1:
        return _rows(path, prisms)
    hung = _hung(path, edges, list(prisms))
    return None if hung is None else _spanned(path, hung, edges, prisms)


def _longest(keys: Sequence[str], edges: Sequence[Ends]) -> list[str]:
    """The longest path; of equally long ones, that which was written first."""
    before: dict[str, list[str]] = {}
    for tail, head in edges:
        before.setdefault(head, []).append(tail)
    ways: dict[str, list[str]] = {}

    def way(key: str) -> list[str]:
        if key not in ways:
            best = max((way(tail) for tail in before.get(key, ())), key=len, default=[])
            ways[key] = [*best, key]
        return ways[key]

    return max((way(key) for key in keys), key=len)


# Rows


def _rows(chain: list[str], prisms: dict[str, Prism]) -> Shelf:
    """In rows from the left, as few as keep the picture from being a strip."""
    count = 1
    while True:
        shelf = _shelved(_broken(chain, prisms, count), prisms)
        if count == len(chain) or shelf.width <= WIDEST * (shelf.height + 2 * ABOVE):
            return shelf
        count += 1


def _broken(chain: list[str], prisms: dict[str, Prism], count: int) -> list[list[str]]:
    """The chain in so many rows, about equally wide."""
    whole = sum(prisms[key].size[0] + GAP for key in chain)
    rows: list[list[str]] = [[]]
    reached = 0.0
    for key in chain:
        wide = prisms[key].size[0] + GAP
        if rows[-1] and len(rows) < count and reached + wide / 2 > whole / count * len(rows):
            rows.append([])
        rows[-1].append(key)
        reached += wide
    return rows


def _shelved(rows: Sequence[Sequence[str]], prisms: dict[str, Prism]) -> Shelf:
    shelf = Shelf()
    y, last = 0.0, ""
    for row in rows:
        above = max(prisms[key].height / 2 + prisms[key].depth for key in row)
        below = max(prisms[key].height / 2 + prisms[key].label for key in row)
        x, middle = GAP if len(rows) > 1 else 0.0, y + above
        for key in row:
            wide = prisms[key].size[0]
            shelf.spots[key] = (x + wide / 2, middle)
            if last:
                shelf.wires[last, key] = _wire(shelf, prisms, last, key, y - ROW / 2)
            x, last = x + wide + GAP, key
        shelf.width = max(shelf.width, x)
        y = middle + below + ROW
    shelf.height = y - ROW
    return shelf


def _wire(
    shelf: Shelf, prisms: dict[str, Prism], tail: str, head: str, between: float
) -> tuple[Point, ...]:
    """From a prism to the next: level, or around to the row below."""
    (x1, y1), (x2, y2) = shelf.spots[tail], shelf.spots[head]
    begin, end = (prisms[tail].right(x1) + 1, y1), (prisms[head].left(x2) - 1, y2)
    if y1 == y2:
        return begin, end
    out = x1 + prisms[tail].size[0] / 2 + GAP / 2
    return begin, (out, y1), (out, between), (GAP / 2, between), (GAP / 2, y2), end


# A main path


def _hung(
    path: list[str], edges: Sequence[Ends], keys: Sequence[str]
) -> dict[str, list[str]] | None:
    """What hangs below each prism of the path; None where it leads back to the path."""
    main = set(path)
    before: dict[str, list[str]] = {}
    for tail, head in edges:
        before.setdefault(head, []).append(tail)
    hung: dict[str, list[str]] = {key: [] for key in path}
    under: dict[str, str] = {}
    for key in keys:
        if key in main:
            if any(tail not in main for tail in before.get(key, ())):
                return None
            continue
        tails = before.get(key, [])
        # Each is fed by the prism that it stands below, or there is no room for its line.
        top = under.get(tails[0], tails[0]) if tails else ""
        last = [top, *hung.get(top, [])][-1]
        if len(tails) != 1 or top not in main or tails[0] != last:
            return None
        hung[top].append(key)
        under[key] = top
    return hung


def _spanned(
    path: list[str], hung: dict[str, list[str]], edges: Sequence[Ends], prisms: dict[str, Prism]
) -> Shelf:
    """One row; what skips a part of it spans it, and leaves hang below."""
    shelf = _shelved([path], prisms)
    x = 0.0
    for key in path:
        wide = max(prisms[one].size[0] for one in (key, *hung[key]))
        shelf.spots[key] = (x + wide / 2, shelf.spots[key][1])
        x += wide + GAP
    shelf.width = x
    _skips(shelf, path, edges, prisms)
    for key in path:
        middle, y = shelf.spots[key]
        last = key
        for one in hung[key]:
            foot = y + prisms[last].height / 2 + prisms[last].label
            y = foot + ROW + prisms[one].height / 2 + prisms[one].depth
            shelf.spots[one] = (middle, y)
            shelf.wires[last, one] = ((middle, foot), (middle, prisms[one].top(middle, y) - 1))
            last = one
    shelf.height = max(
        y + prisms[key].height / 2 + prisms[key].label for key, (_, y) in shelf.spots.items()
    )
    return shelf


def _skips(
    shelf: Shelf, path: list[str], edges: Sequence[Ends], prisms: dict[str, Prism]
) -> None:
    """Lines along the path, and arcs over it: the shorter below the longer."""
    place = {key: number for number, key in enumerate(path)}
    on_path = [(tail, head) for tail, head in edges if tail in place and head in place]
    arcs = sorted(
        (ends for ends in on_path if place[ends[1]] - place[ends[0]] > 1),
        key=lambda ends: (place[ends[1]] - place[ends[0]], place[ends[0]]),
    )
    levels: dict[Ends, int] = {}
    for ends in arcs:
        shared = [
            levels[other]
            for other in levels
            if place[other[0]] < place[ends[1]] and place[ends[0]] < place[other[1]]
        ]
        levels[ends] = max(shared, default=-1) + 1
    rise = max(levels.values(), default=-1) + 1
    shift = ARC + TRACK * rise if rise else 0.0
    top = min(
        y - prisms[key].height / 2 - prisms[key].depth for key, (_, y) in shelf.spots.items()
    )
    shelf.spots = {key: (x, y + shift) for key, (x, y) in shelf.spots.items()}
    shelf.wires = {}
    for tail, head in on_path:
        if (tail, head) not in levels:
            shelf.wires[tail, head] = _wire(shelf, prisms, tail, head, 0.0)
    ends_at: dict[str, list[Ends]] = {}
    for ends in arcs:
        for key in ends:
            ends_at.setdefault(key, []).append(ends)
    for ends, level in levels.items():
        height = top + shift - ARC - TRACK * level
        points = []
        for key in ends:
            x, y = shelf.spots[key]
            # Arcs that end at one prism stand apart there.
            aside = 6.0 * _beside(ends, key, ends_at[key], place)
            points.append((x + aside, prisms[key].top(x, y, aside) - 1))
        (x1, y1), (x2, y2) = points
        shelf.wires[ends] = ((x1, y1), (x1, height), (x2, height), (x2, y2))


def _beside(ends: Ends, key: str, others: list[Ends], place: dict[str, int]) -> float:
    """How far from the middle an arc ends, in steps: so that arcs at a prism do not cross."""

    def far(one: Ends) -> tuple[bool, int]:
        leaves = one[0] == key
        return leaves, -place[one[1]] if leaves else -place[one[0]]

    ordered = sorted(others, key=far)
    return ordered.index(ends) - (len(ordered) - 1) / 2


# As boxes


class _Cards(Cards):
    """Prisms as the boxes of a layout."""

    def __init__(self, network: Network, scene: Scene, prisms: dict[str, Prism]) -> None:
        self.prisms = prisms
        super().__init__(network, scene, None)
        # A prism has the height of its map, and stands in one lane.
        self.spans = {}

    def size(self, box: Box) -> tuple[float, float]:
        """The rectangle of its prism."""
        return self.prisms[box.key].size

    def _card(self, box: Box) -> Card:
        width, height = self.prisms[box.key].size
        return Card((), (), "", width, height)


def as_boxes(network: Network, scene: Scene, prisms: dict[str, Prism]) -> Shelf:
    """By the layout of boxes, with the lines led on to the prisms."""
    piece = boxes.placed(network, scene, _Cards(network, scene, prisms), main=True)
    piece = wrapped(piece, TALLEST, {})
    moved = piece.moved(piece.left, 0)
    spots = {spot.box.key: spot for spot in moved.spots}
    shelf = Shelf({key: (spot.x, spot.y) for key, spot in spots.items()})
    for (tail, head), line in moved.wires.items():
        begin = _reached(line[0], spots[tail], prisms[tail])
        end = _reached(line[-1], spots[head], prisms[head])
        shelf.wires[tail, head] = (begin, *line[1:-1], end)
    shelf.width, shelf.height = piece.width, piece.height
    return shelf


def _reached(point: Point, spot: Spot, found: Prism) -> Point:
    """A line's end on the rectangle around a prism, led on to the prism itself."""
    x, y = point
    level = abs(y - spot.y) < found.height / 2
    if level and abs(x - spot.left) < 1:
        return found.left(spot.x) - 1, y
    if level and abs(x - spot.right) < 1:
        return found.right(spot.x) + 1, y
    if abs(y - spot.top) < 1 and abs(x - spot.x) < 1:
        return x, found.top(spot.x, spot.y) - 1
    return point
