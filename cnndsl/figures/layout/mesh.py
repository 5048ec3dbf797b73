"""A block in which every level hears every other, as a grid of what lies on each way.

A row for each level that comes in and a column for each that goes out: what is read from a
level runs along its row, what is summed up comes together in its column, and the sums stand
on the diagonal. It is the exchange of an HRNet.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

from cnndsl.figures.layout.cards import OPTIONAL, Cards, behind
from cnndsl.figures.layout.piece import Line, Piece, Spot, bounds, named, tidy
from cnndsl.figures.paint import Point
from cnndsl.figures.scene import Box, Scene

LEAST = 3
"""So many levels make a grid."""
GAP, LABELLED = 14.0, 9.0
"""Over a box, and more where it has a label."""
BUS, BESIDE = 14.0, 22.0
"""Between what follows a level or a sum, and between columns."""
RUN = 9.0
"""Between a line along a row and what stands under or over it."""


@dataclass(slots=True)
class Mesh:
    """The boxes of each level up to where it forks, of each way, and of each sum on."""

    sources: list[list[str]]
    ways: dict[tuple[int, int], list[str]]
    sums: list[list[str]]


def meshed(scene: Scene, begins: list[str]) -> Mesh | None:
    """A scene whose inputs are all summed up for each output; nothing for another."""
    after: dict[str, list[str]] = {box.key: [] for box in scene.boxes()}
    before: dict[str, list[str]] = {box.key: [] for box in scene.boxes()}
    for edge in scene.edges:
        after[edge.tail].append(edge.head)
        before[edge.head].append(edge.tail)
    count = len(begins)
    sources = [_chain(key, after, before) for key in begins]
    place = {chain[-1]: n for n, chain in enumerate(sources)}
    joins = [key for key in before if len(before[key]) > 1]
    if count < LEAST or len(joins) != count or len(place) != count:
        return None
    ways: dict[tuple[int, int], list[str]] = {}
    for column, join in enumerate(joins):
        for tail in before[join]:
            way = [tail]
            while way[-1] not in place and len(before[way[-1]]) == len(after[way[-1]]) == 1:
                way += before[way[-1]]
            source = place.get(way.pop())
            if source is None or (source, column) in ways:
                return None
            ways[source, column] = way[::-1]
    sums = [_chain(join, after, before) for join in joins]
    held = sum(map(len, (*sources, *ways.values(), *sums)))
    level = all(not ways.get((n, n), ()) for n in range(count))
    if held != len(before) or len(ways) != count**2 or not level:
        return None
    return Mesh(sources, ways, sums)


def _chain(key: str, after: dict[str, list[str]], before: dict[str, list[str]]) -> list[str]:
    """A box and what follows it alone."""
    found = [key]
    while len(after[found[-1]]) == 1 and len(before[after[found[-1]][0]]) == 1:
        found += after[found[-1]]
    return found


@dataclass(slots=True)
class _Grid:
    """Where the lines run: over, through and under each row, and beside each column."""

    over: list[float] = field(default_factory=list)
    middle: list[float] = field(default_factory=list)
    under: list[float] = field(default_factory=list)
    left: list[float] = field(default_factory=list)
    centre: list[float] = field(default_factory=list)
    bus: list[float] = field(default_factory=list)
    right: list[float] = field(default_factory=list)


def woven(mesh: Mesh, scene: Scene, cards: Cards) -> Piece:
    """The grid in its place, with all its edges."""
    box = {one.key: one for one in scene.boxes()}
    spots: dict[str, Spot] = {}
    grid = _Grid()
    begin = _sources(mesh, box, cards, spots)
    _columns(mesh, box, cards, grid, begin + BESIDE)
    _rows(mesh, box, cards, grid)
    for row, chain in enumerate(mesh.sources):
        for key in chain:
            spots[key] = _at(spots[key], grid.middle[row])
    for column, chain in enumerate(mesh.sums):
        x = grid.left[column]
        for key in chain:
            card = cards[box[key]]
            spot = Spot(box[key], x + card.width / 2, grid.middle[column], card.width, 0.0)
            spots[key] = _sized(spot, cards)
            x += card.width + BUS
    wide = [
        max((cards[box[k]].width for at, way in mesh.ways.items() if at[1] == n for k in way))
        for n in range(len(mesh.sums))
    ]
    for (row, column), way in mesh.ways.items():
        up = row > column
        y = grid.middle[row] - _tall(way, box, cards) / 2
        for key in reversed(way) if up else way:
            y += _head(box[key], cards)
            height = cards[box[key]].height
            spot = Spot(box[key], grid.centre[column], y + height / 2, wide[column], height)
            spots[key] = named(spot, cards, wide[column])
            y += height + GAP
    done = Piece(4, 4, 0, [spots[key] for key in box], laned=True)
    for (row, column), way in mesh.ways.items():
        lines = _lines(mesh, grid, begin + RUN, row, column, spots)
        keys = [mesh.sources[row][-1], *way, mesh.sums[column][0]]
        done.wires |= {
            ends: tidy(line) for ends, line in zip(pairwise(keys), lines, strict=True)
        }
    for chain in (*mesh.sources, *mesh.sums):
        for one, two in pairwise(chain):
            y = spots[one].y
            done.wires[one, two] = ((bounds(spots[one])[2], y), (spots[two].left, y))
    return _sided(done)


def _sized(spot: Spot, cards: Cards) -> Spot:
    card = cards[spot.box]
    tall = Spot(spot.box, spot.x, spot.y, card.width, card.height)
    return tall if card.round else named(tall, cards, card.width)


def _at(spot: Spot, y: float) -> Spot:
    return Spot(spot.box, spot.x, y, spot.width, spot.height, words=spot.words)


def _sources(mesh: Mesh, box: dict[str, Box], cards: Cards, spots: dict[str, Spot]) -> float:
    """The levels that come in, in columns of their own; where these end."""
    x = 0.0
    for n in range(max(map(len, mesh.sources))):
        keys = [chain[n] for chain in mesh.sources if n < len(chain)]
        wide = max(cards[box[key]].width for key in keys)
        for key in keys:
            card = cards[box[key]]
            width = wide if card.sized else card.width
            spot = Spot(box[key], x + wide / 2, 0.0, width, card.height)
            spots[key] = named(spot, cards, width) if card.sized else spot
        x += wide + max(behind(box[key]) for key in keys) + BUS
    return x - BUS


def _columns(mesh: Mesh, box: dict[str, Box], cards: Cards, grid: _Grid, x: float) -> None:
    for column, chain in enumerate(mesh.sums):
        keys = [k for (_, at), way in mesh.ways.items() if at == column for k in way]
        wide = max(cards[box[key]].width for key in keys)
        along = sum(cards[box[key]].width for key in chain) + BUS * (len(chain) - 1)
        grid.left.append(x)
        grid.centre.append(x + wide / 2)
        grid.bus.append(x + wide + max(behind(box[key]) for key in keys) + RUN)
        grid.right.append(max(x + along, grid.bus[-1]))
        x = grid.right[-1] + BESIDE


def _rows(mesh: Mesh, box: dict[str, Box], cards: Cards, grid: _Grid) -> None:
    y, last = 0.0, len(mesh.sums) - 1
    for row, (source, chain) in enumerate(zip(mesh.sources, mesh.sums, strict=True)):
        stacks = [_tall(way, box, cards) for (at, _), way in mesh.ways.items() if at == row]
        stacks += [_tall([key], box, cards) for key in (*source, *chain)]
        grid.over.append(y)
        y += RUN if row < last else 0.0
        grid.middle.append(y + max(stacks) / 2)
        y += max(stacks) + RUN + (GAP if row else 0.0)
        grid.under.append(y)
        y += RUN


def _head(box: Box, cards: Cards) -> float:
    """What stands over a box: its stack, its label, its outline."""
    more = OPTIONAL if box.condition else 0.0
    return behind(box) + more + (LABELLED if cards[box].label else 0.0)


def _tall(way: list[str], box: dict[str, Box], cards: Cards) -> float:
    heights = [_head(box[key], cards) + cards[box[key]].height for key in way]
    return sum(heights) + GAP * (len(way) - 1)


def _lines(
    mesh: Mesh, grid: _Grid, first: float, row: int, column: int, spots: dict[str, Spot]
) -> list[Line]:
    """The lines of one way, from its level to its sum; the first turn is at `first`."""
    tail, head = spots[mesh.sources[row][-1]], spots[mesh.sums[column][0]]
    start, middle = (bounds(tail)[2], grid.middle[row]), grid.middle[row]
    before = grid.left[row] - RUN
    low = [start, (first, middle), (first, grid.under[row])]
    if row == column:
        end = (head.left, middle)
        if not row:
            return [(start, end)]
        return [(*low, (before, grid.under[row]), (before, middle), end)]
    boxes = [spots[key] for key in mesh.ways[row, column]]
    x, up = grid.centre[column], row > column
    if up:
        way, level = low, grid.under[row]
    else:
        # Past its own sum on the side on which fewer come in.
        turn = before if 2 * row < len(mesh.sums) else grid.right[row] + RUN
        level = grid.over[row]
        way = [*low, (turn, grid.under[row]), (turn, level)]
        way = way if row else [start, (first, middle), (first, level)]
    # All that comes into a sum from one side meets just before its row.
    near = grid.under[column] + RUN / 2 if up else grid.over[column] - RUN / 2
    ends = ((head.x, near), (head.x, head.bottom if up else head.top))
    if not boxes:
        return [(*way, (grid.bus[column], level), (grid.bus[column], near), *ends)]
    found: list[Line] = [(*way, (x, level), _ends(boxes[0], x, up)[0])]
    found += [(_ends(one, x, up)[1], _ends(two, x, up)[0]) for one, two in pairwise(boxes)]
    out = _ends(boxes[-1], x, up)[1]
    if abs(row - column) == 1:
        return [*found, (out, (x, near), *ends)]
    label = boxes[-1].label
    y = min(out[1], label[1] if label else out[1]) - RUN / 2 if up else out[1] + RUN
    bus = grid.bus[column]
    return [*found, (out, (x, y), (bus, y), (bus, near), *ends)]


def _ends(spot: Spot, x: float, up: bool) -> tuple[Point, Point]:
    """Where what runs down through a box enters and leaves it, or up through it."""
    top, foot = (x, bounds(spot)[1]), (x, spot.bottom)
    return (foot, top) if up else (top, foot)


def _sided(done: Piece) -> Piece:
    """A piece with its sides and its height, from 0 down."""
    ways = [point for line in done.wires.values() for point in line]
    top = min([*(bounds(spot)[1] for spot in done.spots), *(y for _, y in ways)])
    low = done.moved(0, -top)
    low.laned = True
    low.left = 4 - min(spot.left for spot in low.spots)
    low.right = 4 + max([*(bounds(s)[2] for s in low.spots), *(x for x, _ in ways)])
    low.height = max([*(s.bottom for s in low.spots), *(y - top for _, y in ways)])
    return low
