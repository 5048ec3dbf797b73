"""A block in which every output is made of all inputs: a fan of lines beside a matrix.

A row for each level: what comes in up to where it forks, the lines of the fan, and the sum
with what follows it. Beside them stands what lies on each way, in the row of the output and
in the column of the input. Where other calls have fewer levels, dashed corners say how much
of the largest they are. It is the exchange of an HRNet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from math import hypot

from cnndsl.figures import font
from cnndsl.figures.layout.cards import LABEL, LEVELS, MINOR, OPTIONAL, Cards, behind
from cnndsl.figures.layout.piece import Fan, Line, Piece, Spot, bounds, named
from cnndsl.figures.paint import Part, Path, Point, Text
from cnndsl.figures.palette import role_of
from cnndsl.figures.scene import Box, Cluster, Frame, Scene
from cnndsl.figures.text import clean
from cnndsl.structure import Call

LEAST = 2
"""So many levels make a matrix."""
UNDER = 4.0
"""From a row to a corner."""


@dataclass(frozen=True, slots=True)
class Room:
    """Between rows, between columns, and from a box to what follows it.

    A `fan` is at least so wide for each row, and as wide as a share of its height.
    """

    apart: float = 18.0
    beside: float = 8.0
    bus: float = 14.0
    fan: float = 24.0
    steep: float = 0.3


USUAL, TIGHT = Room(), Room(14.0, 4.0, 8.0, 16.0, 0.36)
LABELLED = 9.0
"""Over a box that has a label."""
HEAD, FOOT = 18.0, 14.0
"""Over a matrix for what its columns are from, and under it for a corner's name."""
SPLIT = 2.0
"""Between the boxes of a cell."""
SAME = "identity"
"""On a way without any operation."""
Naming = Callable[[], dict[int, str]]
"""The names of a frame's calls in the main picture, by the `id` of each."""


@dataclass(slots=True)
class Mesh:
    """The boxes of each level up to where it forks, of each way, and of each sum on."""

    sources: list[list[str]]
    ways: dict[tuple[int, int], list[str]]
    """By the numbers of the source and of the sum."""
    sums: list[list[str]]

    @property
    def boxes(self) -> int:
        """How many there are."""
        return sum(map(len, (*self.sources, *self.ways.values(), *self.sums)))


def meshed(scene: Scene) -> Mesh | None:
    """A scene whose inputs are all summed up for each output; nothing for another."""
    before, after = scene.neighbours()
    boxes = [box.key for box in scene.boxes()]
    begins = [box.key for box in scene.boxes() if not box.nodes and not before[box.key]]
    joins = [key for key in boxes if len(before[key]) > 1]
    if min(len(begins), len(joins)) < LEAST or _repeats(scene):
        return None
    sources = [_chain(key, after, before) for key in begins]
    place = {chain[-1]: n for n, chain in enumerate(sources)}
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
    found = Mesh(sources, ways, sums)
    ended = all(not after[chain[-1]] for chain in sums)
    return found if found.boxes == len(boxes) and ended else None


def _repeats(scene: Scene) -> bool:
    """Whether some sequence is repeated as a whole: its outline says how often."""
    stack = [*scene.items]
    while stack:
        item = stack.pop()
        if isinstance(item, Cluster):
            stack += item.children
            if item.count > 1:
                return True
    return False


def _chain(key: str, after: dict[str, list[str]], before: dict[str, list[str]]) -> list[str]:
    """A box and what follows it alone."""
    found = [key]
    while len(after[found[-1]]) == 1 and len(before[after[found[-1]][0]]) == 1:
        found += after[found[-1]]
    return found


def woven(mesh: Mesh, scene: Scene, cards: Cards, naming: Naming) -> Piece:
    """The fan and its matrix in their places, with all edges."""
    box = {one.key: one for one in scene.boxes()}
    corners = _corners(mesh, box, cards.frame)
    for key in box if corners else ():
        cards.always(box[key])
    room = _room(cards)
    for key in box if room is TIGHT else ():
        cards.levelled(box[key])
    for key in (key for way in mesh.ways.values() for key in way):
        cards.celled(box[key])
    for (*_, level), (_, *then) in zip(mesh.sources, mesh.sums, strict=False):
        # A row says its size once.
        for key in then:
            if cards.shape(box[key]) == cards.shape(box[level]):
                cards.unlisted(box[key])
    for join, *then in mesh.sums:
        ends = {cards[box[key]].title for key in then}
        for key in (join, *(key for key in then if cards[box[key]].label in ends)):
            cards.hushed(box[key])
    rows = range(max(len(mesh.sources), len(mesh.sums)))
    middles = _middles(mesh, box, cards, rows)
    done = Piece(0, 0, 0, laned=True)
    x = _columns(done, [chain[::-1] for chain in mesh.sources], box, cards, middles, 0, -1)
    low = min(spot.left for spot in done.spots)
    done.spots = [replace(spot, x=spot.x - low) for spot in done.spots]
    fan = max(room.fan * (1 + len(rows)), room.steep * (middles[-1] - middles[0]))
    begin = max(bounds(spot)[2] for spot in done.spots)
    x = _columns(done, mesh.sums, box, cards, middles, begin + fan, 1)
    place = {spot.box.key: spot for spot in done.spots}
    for chain in (*mesh.sources, *mesh.sums):
        for one, two in pairwise(chain):
            y = place[one].y
            done.wires[one, two] = ((bounds(place[one])[2], y), (place[two].left, y))
    for (row, column), way in mesh.ways.items():
        tail, head = mesh.sources[row][-1], mesh.sums[column][0]
        line = _line(place[tail], place[head], cards[box[head]].round)
        families = [f for f in (box[key].family for key in way) if f not in MINOR]
        role = f"{role_of(families[-1])}-edge" if families else "wire"
        done.fans.append(Fan(tuple(pairwise((tail, *way, head))), line, role))
    _matrix(done, mesh, box, cards, middles, x, corners, naming)
    return done


def _room(cards: Cards) -> Room:
    return TIGHT if cards.narrow == LEVELS - 1 else USUAL


def _middles(mesh: Mesh, box: dict[str, Box], cards: Cards, rows: range) -> list[float]:
    """How far down the middle of each row is."""
    found: list[float] = []
    foot = HEAD
    for row in rows:
        chains = [one[row] for one in (mesh.sources, mesh.sums) if row < len(one)]
        whole = [box[key] for chain in chains for key in chain]
        over = max((cards[one].height / 2 + _head(one, cards) for one in whole), default=0.0)
        under = max((cards[one].height / 2 for one in whole), default=0.0)
        cells = [_tall(way, box, cards) / 2 for (_, to), way in mesh.ways.items() if to == row]
        found.append(foot + max(over, *cells, 0.0))
        foot = found[-1] + max(under, *cells, 0.0) + _room(cards).apart
    return found


def _columns(
    done: Piece,
    chains: list[list[str]],
    box: dict[str, Box],
    cards: Cards,
    middles: list[float],
    x: float,
    way: int,
) -> float:
    """Put chains in their rows; the n-th boxes of all chains stand in one column.

    `way` is 1 to the right, -1 to the left. Where that ends is returned.
    """
    bus = _room(cards).bus
    for number in range(max(map(len, chains))):
        held = [(n, chain[number]) for n, chain in enumerate(chains) if number < len(chain)]
        wide = max(cards[box[key]].width for _, key in held)
        spread = way * (wide + max(behind(box[key]) for _, key in held))
        for n, key in held:
            card = cards[box[key]]
            width = wide if card.sized else card.width
            # Words without an outline stand where the arrow ends, or begins.
            side = x if way > 0 else x + spread
            middle = side + (width if way > 0 or card.sized else 2 * wide - width) / 2
            spot = Spot(box[key], middle, middles[n], width, card.height)
            done.spots.append(
                spot
                if card.bare
                else named(spot, cards, width, width - 2 if cards.level else 0.0)
            )
        x += spread + way * bus
    return x - way * bus


def _line(tail: Spot, head: Spot, around: bool) -> Line:
    """From a level to a sum: straight, to the rim of a circle."""
    begin = (bounds(tail)[2], tail.y)
    if not around:
        return begin, (head.left, head.y)
    dx, dy = head.x - begin[0], head.y - begin[1]
    share = 1 - head.width / 2 / hypot(dx, dy)
    return begin, (begin[0] + share * dx, begin[1] + share * dy)


def _matrix(
    done: Piece,
    mesh: Mesh,
    box: dict[str, Box],
    cards: Cards,
    middles: list[float],
    x: float,
    corners: dict[int, list[Call]] | None,
    naming: Naming,
) -> None:
    """Beside the fan what lies on each way, and the corners of the calls with fewer levels."""
    small = cards.type.small
    foot = max(bounds(spot)[3] for spot in done.spots)
    room = _room(cards)
    left, sides = x + room.beside, list[float]()
    x = left
    for row, chain in enumerate(mesh.sources):
        words = f"from {cards[box[chain[0]]].title}"
        ways = {to: way for (at, to), way in mesh.ways.items() if at == row}
        wide = max(
            font.width(words, small, bold=True),
            font.width(SAME, small) if [] in ways.values() else 0.0,
            *(cards[box[key]].width for way in ways.values() for key in way),
        )
        middle = x + wide / 2
        done.marks.append(Text(middle, HEAD - 8, words, small, "grey", True, "middle"))
        for to, way in ways.items():
            y = middles[to] - _tall(way, box, cards) / 2
            for key in way:
                high = cards[box[key]].height
                done.spots.append(Spot(box[key], middle, y + high / 2, wide, high))
                y += high + SPLIT
            foot = max(foot, y)
            if not way:
                at = middles[to] + small / 3
                done.marks.append(Text(middle, at, SAME, small, "grey", anchor="middle"))
        x += wide + room.beside
        sides.append(x - room.beside / 2)
    done.height = foot
    if corners and len(corners) > 1:
        known, rows = naming(), range(len(mesh.sums))
        feet = [
            middles[row]
            + max(_tall(way, box, cards) / 2 for at, way in mesh.ways.items() if at[1] == row)
            + UNDER
            for row in rows
        ]
        for count, calls in sorted(corners.items()):
            names = dict.fromkeys(known.get(id(call), "") for call in calls)
            text = ", ".join(filter(None, names)) or f"{count} inputs"
            done.marks += _corner(
                count, text, left - room.beside / 2, sides, [*feet[:-1], foot]
            )
        done.height += FOOT
    done.right = x - room.beside


def _corner(
    count: int, text: str, left: float, sides: list[float], feet: list[float]
) -> list[Part]:
    """The part of the matrix that calls with fewer levels have, and their names."""
    right, foot = sides[count - 1], feet[count - 1]
    words = font.fitted(clean(text), LABEL, right - left - 4)
    whole = count == len(sides)
    label = Text(right - 4, foot + (10 if whole else 9), words, LABEL, "faint", anchor="end")
    if whole:
        return [label]
    points: tuple[Point, ...] = ((right, HEAD), (right, foot), (left, foot))
    return [Path(points, "scope", radius=4, stroke=1, dashed=True), label]


def _corners(
    mesh: Mesh, box: dict[str, Box], frame: Frame | None
) -> dict[int, list[Call]] | None:
    """The calls by how many levels they have, if each has all of so many: else nothing."""
    if frame is None or len(frame.calls) < 2 or len(mesh.sources) != len(mesh.sums):
        return {}
    place = {name: n for n, name in enumerate(frame.nodes[0])}
    levels = [(key, n) for n, c in enumerate(mesh.sources) for key in c if box[key].nodes]
    levels += [(key, n) for n, c in enumerate(mesh.sums) for key in c if box[key].nodes]
    levels += [(key, max(at)) for at, way in mesh.ways.items() for key in way]
    found: dict[int, list[Call]] = {}
    for call, nodes in zip(frame.calls, frame.nodes, strict=True):
        there = {key: any(nodes[place[n]] for n in box[key].nodes) for key, _ in levels}
        count = sum(there[chain[0]] for chain in mesh.sums)
        if any(there[key] != (level < count) for key, level in levels):
            return None
        found.setdefault(count, []).append(call)
    return found


def _head(box: Box, cards: Cards) -> float:
    """What stands over a box: its stack, its label, its outline."""
    more = OPTIONAL if cards[box].optional else 0.0
    return behind(box) + more + (LABELLED if cards[box].label else 0.0)


def _tall(way: list[str], box: dict[str, Box], cards: Cards) -> float:
    return sum(cards[box[key]].height for key in way) + SPLIT * max(len(way) - 1, 0)
