"""A block in which every level hears every other, as a grid of what lies on each way.

A row for each level that comes in and a column for each that goes out: what is read from a
level runs along its row, what is summed up comes together in its column. A level and its sum
stand on the diagonal, one under the other: what goes down lies to the right of it, what goes
up to the left, and the fewest lines cross. It is the exchange of an HRNet.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

from cnndsl.figures.layout.cards import OPTIONAL, Cards, behind
from cnndsl.figures.layout.piece import Line, Piece, Spot, bounds, named, tidy
from cnndsl.figures.paint import Point
from cnndsl.figures.scene import Box, Scene

LEAST = 3
"""So many levels make a grid."""
GAP, LABELLED = 14.0, 9.0
"""Over a box, and more where it has a label."""
BUS, BESIDE = 14.0, 16.0
"""Between what follows a sum, and between what stands side by side in a row."""
RUN = 9.0
"""Between a line along a row and what stands under or over it."""
MERGE, INTO = 10.0, 20.0
"""From a level down to where what comes down to its sum joins it, and from there to the sum."""


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
class _Cell:
    """A level over its sum: how far each reaches from the level's axis, and up and down."""

    source: list[Spot]
    sum: list[Spot]
    over: float = 0.0
    """From the top of the first box to the middle of the last one of the level."""
    under: float = 0.0
    """From there to the foot of the sum."""
    into: float = 0.0
    """From there to where what comes down joins it."""
    left: float = 0.0
    right: float = 0.0
    bus: float = 0.0
    """What comes down passes it, and what leads there, so far to the right."""
    rise: float = 0.0
    """What comes up passes what leads there so far to the left."""


def woven(mesh: Mesh, scene: Scene, cards: Cards) -> Piece:
    """The grid in its place, with all its edges."""
    box = {one.key: one for one in scene.boxes()}
    count = len(mesh.sums)
    cells = [_cell(mesh, n, box, cards) for n in range(count)]
    wide = [
        max(cards[box[k]].width for at, way in mesh.ways.items() if at[1] == n for k in way)
        for n in range(count)
    ]
    for n, cell in enumerate(cells):
        cell.rise = wide[n] / 2 + OPTIONAL + RUN
        cell.bus = max(cell.bus, cell.rise)
    xs = [0.0]
    for n in range(1, count):
        before, cell = cells[n - 1], cells[n]
        # Beside each other in a row: a level with its sum, and what lies on a way.
        apart = max(
            before.bus + BESIDE + max(cell.rise, cell.left + RUN),
            before.right + BESIDE + cell.rise,
        )
        xs.append(xs[-1] + apart)
    spots: dict[str, Spot] = {}
    middles: list[float] = []
    feet: list[float] = []
    y = 0.0
    for row, cell in enumerate(cells):
        stacks = [
            (column, _tall(way, box, cards))
            for (at, column), way in mesh.ways.items()
            if at == row and column != row
        ]
        up = max((tall for column, tall in stacks if column < row), default=0.0)
        down = max((tall for column, tall in stacks if column > row), default=0.0)
        height = max(cell.over + max(cell.under + RUN, RUN + down), RUN + up + GAP)
        middles.append(y + cell.over)
        feet.append(y + height)
        for spot in (*cell.source, *cell.sum):
            spots[spot.box.key] = replace(spot, x=spot.x + xs[row], y=spot.y + middles[row])
        for column, tall in stacks:
            way = mesh.ways[row, column]
            at = feet[row] - GAP - tall if column < row else middles[row] + RUN
            for key in reversed(way) if column < row else way:
                at += _head(box[key], cards)
                high = cards[box[key]].height
                spot = Spot(box[key], xs[column], at + high / 2, wide[column], high)
                spots[key] = named(spot, cards, wide[column])
                at += high + GAP
        y += height + 2 * RUN
    done = Piece(4, 4, 0, [spots[key] for key in box], laned=True)
    for (row, column), way in mesh.ways.items():
        keys = [mesh.sources[row][-1], *way, mesh.sums[column][0]]
        lines = _lines([spots[key] for key in keys], row, column, xs, middles, feet, cells)
        done.wires |= {
            ends: tidy(line) for ends, line in zip(pairwise(keys), lines, strict=True)
        }
    for chain in mesh.sources:
        for one, two in pairwise(chain):
            x = spots[one].x
            done.wires[one, two] = ((x, spots[one].bottom), (x, bounds(spots[two])[1]))
    for chain in mesh.sums:
        for one, two in pairwise(chain):
            y = spots[one].y
            done.wires[one, two] = ((bounds(spots[one])[2], y), (spots[two].left, y))
    return _sided(done)


def _cell(mesh: Mesh, n: int, box: dict[str, Box], cards: Cards) -> _Cell:
    """A level downwards, and its sum to the right under it: 0, 0 is the last box's middle."""
    source: list[Spot] = []
    y = 0.0
    for key in mesh.sources[n]:
        y += (GAP if source else 0.0) + _head(box[key], cards)
        card = cards[box[key]]
        spot = Spot(box[key], 0.0, y + card.height / 2, card.width, card.height)
        source.append(named(spot, cards, card.width) if card.sized else spot)
        y += card.height
    last = source[-1]
    cell = _Cell([replace(spot, y=spot.y - last.y) for spot in source], [], last.y)
    high = max(cards[box[key]].height for key in mesh.sums[n])
    cell.into = last.height / 2 + MERGE
    middle = cell.into + INTO + high / 2
    x = -cards[box[mesh.sums[n][0]]].width / 2
    for key in mesh.sums[n]:
        card = cards[box[key]]
        spot = Spot(box[key], x + card.width / 2, middle, card.width, card.height)
        cell.sum.append(spot if card.round or card.bare else named(spot, cards, card.width))
        x += card.width + BUS
    cell.under = middle + high / 2
    cell.left = max(spot.width / 2 for spot in source)
    cell.right = max(x - BUS, *(bounds(spot)[2] for spot in source))
    cell.bus = max(bounds(spot)[2] for spot in source) + RUN
    return cell


def _head(box: Box, cards: Cards) -> float:
    """What stands over a box: its stack, its label, its outline."""
    more = OPTIONAL if box.condition else 0.0
    return behind(box) + more + (LABELLED if cards[box].label else 0.0)


def _tall(way: list[str], box: dict[str, Box], cards: Cards) -> float:
    heights = [_head(box[key], cards) + cards[box[key]].height for key in way]
    return sum(heights) + GAP * (len(way) - 1)


def _lines(
    spots: list[Spot],
    row: int,
    column: int,
    xs: list[float],
    middles: list[float],
    feet: list[float],
    cells: list[_Cell],
) -> list[Line]:
    """The lines of one way, from its level to its sum."""
    tail, *boxes, head = spots
    if row == column:
        return [((head.x, tail.bottom), (head.x, head.top))]
    middle, bus = middles[row], xs[column] + cells[column].bus
    up = row > column
    if up:
        turn = xs[row] - cells[row].left - RUN
        way = [(tail.left, middle), (turn, middle), (turn, feet[row])]
        near, bus = feet[column] + RUN, xs[column] - cells[column].rise
    else:
        way = [(bounds(tail)[2], middle)]
        near = middles[column] + cells[column].into
    level = way[-1][1]
    # All that comes into a sum from one side meets at its foot, or over its top.
    ends = ((bus, near), (head.x, near), (head.x, head.bottom if up else head.top))
    if not boxes:
        return [(*way, (bus, level), *ends)]
    x = xs[column]
    found: list[Line] = [(*way, (x, level), _ends(boxes[0], x, up)[0])]
    found += [(_ends(one, x, up)[1], _ends(two, x, up)[0]) for one, two in pairwise(boxes)]
    out = _ends(boxes[-1], x, up)[1]
    if up and row - column == 1:
        return [*found, (out, *ends[1:])]
    label = boxes[-1].label
    y = min(out[1], label[1] if label else out[1]) - RUN / 2 if up else out[1] + RUN
    return [*found, (out, (x, y), (bus, y), *ends)]


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
    low.left = 4 - min([*(spot.left for spot in low.spots), *(x for x, _ in ways)])
    low.right = 4 + max([*(bounds(s)[2] for s in low.spots), *(x for x, _ in ways)])
    low.height = max([*(s.bottom for s in low.spots), *(y - top for _, y in ways)])
    return low
