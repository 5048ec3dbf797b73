"""What a test measures of a placed picture, and of Graphviz's."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import combinations, pairwise

from cnndsl.figures import dot, font, plan
from cnndsl.figures.blocks import arranged
from cnndsl.figures.layout.page import Page, page
from cnndsl.figures.layout.piece import Ends, Line, Piece, Rail, Rect, Spot
from cnndsl.figures.paint import (
    Area,
    Group,
    Part,
    Path,
    Picture,
    Polygon,
    Text,
    leaves,
    sampled,
    traced,
)
from cnndsl.figures.scene import Plan
from cnndsl.figures.write import MILLIMETRES
from cnndsl.graph import Network
from tests.small_zoo import full

NEAR = 0.5
PIECES = 64
PAGE = (174 / MILLIMETRES, 230 / MILLIMETRES)
Segment = tuple[tuple[float, float], tuple[float, float]]


def network(name: str) -> Network:
    return full(name)


@cache
def planned(name: str) -> Plan:
    return plan(network(name))


@cache
def placed(name: str, detail: str = "blocks") -> Page:
    """The page with no more closed than is folded: the one that is drawn, if that is so."""
    found = shown(name, detail)
    same = not found.closed and len(found.plan.frames) == len(planned(name).frames)
    if detail == "full" or same:
        return found
    return page(planned(name), insets=detail != "stages")


@cache
def shown(name: str, detail: str = "blocks") -> Page:
    """The page that is drawn: blocks that are called once are closed where that is better."""
    return arranged(network(name), detail=detail)


@cache
def paged(name: str) -> Page:
    """The page of a figure printed at 174 by 230 mm, with as much opened as it holds."""
    return arranged(network(name), widest=PAGE[0], tallest=PAGE[1])


def shared(piece: Piece) -> list[tuple[Ends, Ends]]:
    """Pairs of edges of other boxes that run on one line for more than 6 pixels.

    A rail is no such line: all that comes into it leads to all that it goes on to.
    """
    lines = [(ends, line) for ends, line in piece.wires.items()]
    lines += [(ends, line) for ends, more in piece.more.items() for line in more]
    found = []
    for (one, first), (two, second) in combinations(lines, 2):
        if one[0] == two[0] or one[1] == two[1]:
            continue
        if (one[0], two[1]) in piece.wires and (two[0], one[1]) in piece.wires and piece.rails:
            continue
        along = sum(_along(a, b) for a in pairwise(first) for b in pairwise(second))
        if along > 6:
            found.append((one, two))
    return found


def _along(a: Segment, b: Segment) -> float:
    """How far two upright or level segments run on one line."""
    for across, along in ((0, 1), (1, 0)):
        at = {round(point[across], 1) for point in (*a, *b)}
        if max(at) - min(at) <= 1:
            (low, high), (left, right) = (sorted(p[along] for p in one) for one in (a, b))
            return max(min(high, right) - max(low, left), 0.0)
    return 0.0


def overlap(a: Spot, b: Spot) -> bool:
    apart_x = a.right <= b.left + NEAR or b.right <= a.left + NEAR
    apart_y = a.bottom <= b.top + NEAR or b.bottom <= a.top + NEAR
    return not (apart_x or apart_y)


def enters(line: Line, spot: Spot) -> bool:
    """Whether a line of upright and level pieces runs inside a box."""
    for (x1, y1), (x2, y2) in pairwise(line):
        low_x, high_x = min(x1, x2), max(x1, x2)
        low_y, high_y = min(y1, y2), max(y1, y2)
        inside_x = high_x > spot.left + NEAR and low_x < spot.right - NEAR
        inside_y = high_y > spot.top + NEAR and low_y < spot.bottom - NEAR
        if inside_x and inside_y:
            return True
    return False


def crossings(lines: dict[Ends, Line], rails: Sequence[Rail] = ()) -> int:
    """Pairs of edges without a common end that cross, but where a level joins a rail.

    There is a dot: what comes in there runs on with what runs there already.
    """
    joints = {point for rail in rails for point in rail.joints}
    items = list(lines.items())
    count = 0
    for n, (ends, line) in enumerate(items):
        for other, second in items[n + 1 :]:
            if ends[0] == other[0] or ends[1] == other[1]:
                continue
            if {ends[0], ends[1]} & {other[0], other[1]}:
                continue
            count += any(
                _cross(a, b) and not any(_on(at, a) and _on(at, b) for at in joints)
                for a in pairwise(line)
                for b in pairwise(second)
            )
    return count


def _on(point: tuple[float, float], segment: Segment) -> bool:
    """Whether a point lies on an upright or level segment."""
    within = (sorted(side) for side in zip(*segment, strict=True))
    return all(
        low - NEAR < at < high + NEAR for at, (low, high) in zip(point, within, strict=True)
    )


def _cross(a: Segment, b: Segment) -> bool:
    (ax, ay), (bx, by) = a
    (cx, cy), (dx, dy) = b

    def side(px: float, py: float, qx: float, qy: float, rx: float, ry: float) -> float:
        return (qx - px) * (ry - py) - (qy - py) * (rx - px)

    one = side(ax, ay, bx, by, cx, cy), side(ax, ay, bx, by, dx, dy)
    two = side(cx, cy, dx, dy, ax, ay), side(cx, cy, dx, dy, bx, by)
    return one[0] * one[1] < -1e-9 and two[0] * two[1] < -1e-9


def graphviz_crossings(name: str) -> int:
    """The same of Graphviz's picture: its splines as lines through their samples."""
    import pygraphviz

    made = pygraphviz.AGraph(string=dot(network(name))).draw(format="plain", prog="dot")
    lines: dict[Ends, Line] = {}
    joined = made.decode().replace("\\\n", "")
    for number, row in enumerate(joined.splitlines()):
        if not row.startswith("edge "):
            continue
        parts = shlex.split(row)
        if "invis" in parts:
            continue
        count = int(parts[3])
        values = list(map(float, parts[4 : 4 + 2 * count]))
        points = list(zip(values[::2], values[1::2], strict=True))
        tail, head = parts[1], parts[2]
        key = (tail, head) if (tail, head) not in lines else (f"{tail}#{number}", head)
        lines[key] = tuple(
            p for n in range(0, count - 1, 3) for p in sampled(tuple(points[n : n + 4]))
        )
    return crossings(lines)


def faults(picture: Picture) -> list[tuple[str, str, str]]:
    """What is painted over something else: boxes, words and lines of a page of boxes.

    A word is no wider or higher than its letters; a line may run close by.
    """
    groups = list(_groups(picture.parts))
    nodes = [group for group in groups if group.kind == "node"]
    boxes = [(node, _around(map(_bounds, _solid(node)))) for node in nodes]
    owner = {id(part): node for node in nodes for part in leaves(node.children)}
    words = [
        (part, _bounds(part))
        for part in leaves(picture.parts)
        if isinstance(part, Text) and part.text.strip()
    ]
    found = []
    for (one, first), (two, second) in combinations(boxes, 2):
        if _meet(first, second):
            found.append(("a box on a box", one.title, two.title))
    for word, at in words:
        for node, around in boxes:
            if owner.get(id(word)) is not node and _meet(at, around):
                found.append(("a word on a box", word.text, node.title))
            for rim in _rims(node):
                if _meet(rim, (at[0] - 1, at[1] - 1, at[2] + 1, at[3] + 1)):
                    found.append(("a rim through a word", word.text, node.title))
        if at[0] < -1 or at[1] < -1 or at[2] > picture.width + 1 or at[3] > picture.height + 1:
            found.append(("a word off the page", word.text, ""))
    for (one, first), (two, second) in combinations(words, 2):
        if _meet(first, second):
            found.append(("a word on a word", one.text, two.text))
    for group in groups:
        ends = {value for _, value in group.data}
        lines = [part for part in leaves(group.children) if isinstance(part, Path)]
        for segment in (s for line in lines if line.role != "scope" for s in _legs(line)):
            if group.kind == "node":
                continue
            for word, at in words:
                if _meet(segment, at):
                    found.append(("a line through a word", word.text, str(group.data)))
            for node, around in boxes:
                if node.key not in ends and _meet(segment, around):
                    found.append(("a line through a box", node.title, str(group.data)))
    return found


def beside(picture: Picture) -> Iterator[tuple[float, str]]:
    """How far each word in a box with slanted sides is from these."""
    for node in (group for group in _groups(picture.parts) if group.kind == "node"):
        shapes = [part for part in leaves(node.children) if isinstance(part, Polygon)]
        for word in _solid(node) if shapes else ():
            if isinstance(word, Text):
                left, top, right, foot = _bounds(word)
                corners = shapes[-1].points
                yield (
                    min(
                        math.hypot(max(left - x, x - right, 0), max(top - y, y - foot, 0))
                        for sides in pairwise((*corners, corners[0]))
                        for x, y in _along_line(*sides)
                    ),
                    word.text,
                )


def _along_line(
    one: tuple[float, float], two: tuple[float, float]
) -> Iterator[tuple[float, float]]:
    (x, y), (x2, y2) = one, two
    return ((x + (x2 - x) * n / PIECES, y + (y2 - y) * n / PIECES) for n in range(PIECES + 1))


def _groups(parts: Sequence[Part]) -> Iterator[Group]:
    """The boxes, edges and rails of a picture."""
    for part in parts:
        if isinstance(part, Group):
            yield from (
                [part] if part.kind in ("node", "edge", "rail") else _groups(part.children)
            )


def _solid(node: Group) -> list[Part]:
    """A box without the label over it."""
    parts = list(leaves(node.children))
    return [p for p in parts if not (isinstance(p, Text) and p.role == "faint")] or parts


def _rims(node: Group) -> Iterator[Rect]:
    """The dashed lines around a box that not every call has."""
    for part in leaves(node.children):
        if isinstance(part, Area) and part.role == "scope":
            left, top, right, foot = _bounds(part)
            yield from ((left, y, right, y) for y in (top, foot))
            yield from ((x, top, x, foot) for x in (left, right))


def _legs(line: Path) -> list[Rect]:
    """What a line passes through: of what is aslant, many short pieces."""
    found = []
    for (x1, y1), (x2, y2) in pairwise(traced(line)):
        count = 1 if x1 == x2 or y1 == y2 else PIECES
        points = [
            (x1 + (x2 - x1) * n / count, y1 + (y2 - y1) * n / count) for n in range(count + 1)
        ]
        found += [_around([(*one, *one), (*two, *two)]) for one, two in pairwise(points)]
    return found


def _bounds(part: Part) -> Rect:
    match part:
        case Area():
            return (part.x, part.y, part.x + part.width, part.y + part.height)
        case Text():
            wide = font.width(part.text, part.size, bold=part.bold)
            left = part.x - {"start": 0.0, "middle": 0.5, "end": 1.0}[part.anchor] * wide
            high, low = 0.72 * part.size, 0.15 * part.size
            return (left, part.y - high, left + wide, part.y + low)
    return _around((x, y, x, y) for x, y in part.points)


def _around(rects: Iterable[Rect]) -> Rect:
    lefts, tops, rights, feet = zip(*rects, strict=True)
    return (min(lefts), min(tops), max(rights), max(feet))


def _meet(one: Rect, two: Rect) -> bool:
    """Whether two rectangles overlap, or a line runs into one."""
    return (
        one[0] < two[2] - NEAR
        and two[0] + NEAR < one[2] + (one[0] == one[2]) * NEAR
        and one[1] < two[3] - NEAR
        and two[1] + NEAR < one[3] + (one[1] == one[3]) * NEAR
    )
