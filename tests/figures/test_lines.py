"""What lines keep clear of: the edge of the picture, rims that they run along, each other."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, pairwise
from math import dist

import pytest

from cnndsl.figures import font
from cnndsl.figures.blocks import arranged, drawn
from cnndsl.figures.layout.page import Page
from cnndsl.figures.layout.panel import Panel
from cnndsl.figures.layout.piece import Ends, Line, Piece, Rect
from cnndsl.figures.layout.ports import spread
from cnndsl.figures.paint import Area, Path, Point, Text, leaves, traced
from cnndsl.files import shipped
from cnndsl.network import loads
from tests.figures.geometry import Segment, network, paged, shown

ZOO = sorted(shipped())
EDGE, RIM, KINK = 2.0, 3.0, 12.0
"""How near a line may come to the edge of a picture and to a rim that it runs along, and by
how little it never turns aside."""


def pages(name: str) -> list[Page]:
    return [shown(name), paged(name)]


def lines_of(piece: Piece) -> list[tuple[Ends, Line]]:
    """Every line that is no arc, and has a length."""
    found = [(ends, line) for ends, line in piece.wires.items() if ends not in piece.arcs]
    found += [(ends, line) for ends, lines in piece.more.items() for line in lines]
    return [(ends, line) for ends, line in found if line[0] != line[-1]]


@pytest.mark.parametrize("name", ZOO)
def test_nothing_is_painted_at_the_very_edge(name: str) -> None:
    for page in pages(name):
        made = drawn(network(name), page)
        for part in leaves(made.parts):
            if isinstance(part, Text):
                wide = font.width(part.text, part.size, bold=part.bold)
                left = part.x - {"start": 0.0, "middle": 0.5, "end": 1.0}[part.anchor] * wide
                at = (left, part.y - 0.72 * part.size, left + wide, part.y)
            elif isinstance(part, Area):
                at = (part.x, part.y, part.x + part.width, part.y + part.height)
            else:
                xs, ys = zip(
                    *(traced(part) if isinstance(part, Path) else part.points), strict=True
                )
                at = (min(xs), min(ys), max(xs), max(ys))
            more = EDGE + (0.0 if isinstance(part, Text) else part.stroke / 2)
            room = min(*at[:2], made.width - at[2], made.height - at[3])
            assert room >= more, part


@pytest.mark.parametrize("name", ZOO)
def test_no_line_runs_along_a_rim(name: str) -> None:
    for page in pages(name):
        for panel in (page.main, *page.insets):
            rims = [side for rect in _outlines(page, panel) for side in _sides(rect)]
            for ends, line in lines_of(panel.piece):
                for leg in pairwise(line):
                    assert not any(beside(leg, rim, RIM) > 8 for rim in rims), ends


def _outlines(page: Page, panel: Panel) -> Iterator[Rect]:
    """Bands, outlines of opened blocks, and the frame, from the axis of a piece."""
    piece = panel.piece
    for scope in piece.scopes:
        yield (scope.x, scope.y, scope.x + scope.width, scope.y + scope.height)
    if panel is page.main:
        for band in page.bands:
            if band.tinted:
                yield (band.left - page.gutter, band.top, band.right, band.bottom)
        return
    left = -piece.left - panel.side
    yield (left, -panel.bar, left + panel.width, panel.height - panel.bar)


def _sides(rect: Rect) -> list[Segment]:
    left, top, right, foot = rect
    corners = ((left, top), (right, top), (right, foot), (left, foot), (left, top))
    return list(pairwise(corners))


def beside(a: Segment, b: Segment, near: float) -> float:
    """How far two upright or level segments run nearer to each other than that."""
    for across, along in ((0, 1), (1, 0)):
        flat = all(abs(one[0][across] - one[1][across]) < 0.02 for one in (a, b))
        if flat and abs(a[0][across] - b[0][across]) < near:
            (low, high), (left, right) = (sorted(p[along] for p in one) for one in (a, b))
            return max(min(high, right) - max(low, left), 0.0)
    return 0.0


@pytest.mark.parametrize("name", ZOO)
def test_every_tensor_leaves_its_box_at_its_own_place(name: str) -> None:
    for page in pages(name):
        for panel in (page.main, *page.insets):
            given: dict[str, dict[Point, set[frozenset[str]]]] = {}
            read = {
                (edge.tail, edge.head): frozenset(f"{t.node}.{t.output}" for t in edge.tensors)
                for edge in panel.scene.edges
            }
            for ends, line in lines_of(panel.piece):
                given.setdefault(ends[0], {}).setdefault(line[0], set()).add(read[ends])
            for places in given.values():
                for kinds in places.values():
                    # What one reader gets with another tensor is on the line of both.
                    assert (
                        sum(map(len, kinds)) > len(frozenset().union(*kinds)) or len(kinds) < 2
                    )


def test_places_on_a_side_are_straight_or_even() -> None:
    assert spread([-68, 0, 70], 65) == [-32.5, 0, 32.5]
    assert spread([-20, 20], 50) == [-20, 20]
    assert spread([-80, 90], 30) == [-10, 10]
    assert spread([90, -80, 1, 2], 30) == [18, -18, -6, 6]


@pytest.mark.parametrize("name", ZOO)
def test_no_line_turns_or_ends_on_that_of_other_boxes(name: str) -> None:
    for page in pages(name):
        for panel in (page.main, *page.insets):
            for (one, first), (two, second) in combinations(lines_of(panel.piece), 2):
                if one[0] != two[0] and one[1] != two[1] and not _railed(panel.piece, one, two):
                    assert not _touches(first, second), (one, two)
                    assert not _touches(second, first), (one, two)


def _railed(piece: Piece, one: Ends, two: Ends) -> bool:
    """Whether two edges run in one rail."""
    return bool(piece.rails) and {(one[0], two[1]), (two[0], one[1])} <= {*piece.wires}


def _touches(line: Line, other: Line) -> bool:
    """Whether a corner or an end of a line is on another, or nearly so."""
    for x, y in line:
        for (x1, y1), (x2, y2) in pairwise(other):
            near = min(max(x, min(x1, x2)), max(x1, x2)), min(max(y, min(y1, y2)), max(y1, y2))
            if dist((x, y), near) < RIM:
                return True
    return False


@pytest.mark.parametrize("name", ["retinanet_resnet50_fpn", "mask_rcnn_resnet50_fpn"])
def test_the_top_of_a_pyramid_leads_straight_up(name: str) -> None:
    for page in pages(name):
        labels = {spot.box.key: spot.box.labels for spot in page.main.piece.spots}
        risen = [
            line
            for (tail, head), line in page.main.piece.wires.items()
            if labels[tail] == ["m5"] and line[-1][1] < line[0][1]
        ]
        assert risen
        assert all(len(line) <= 3 and line[-1][0] == line[-2][0] for line in risen)


@pytest.mark.parametrize("name", ZOO)
def test_no_line_turns_aside_by_a_little(name: str) -> None:
    for page in (*pages(name), shown(name, "stages")):
        for panel in (page.main, *page.insets):
            for ends, line in lines_of(panel.piece):
                for (a, b), (c, d) in zip(pairwise(line), [*pairwise(line)][2:], strict=False):
                    ahead = (b[0] - a[0]) * (d[0] - c[0]) + (b[1] - a[1]) * (d[1] - c[1]) > 0
                    assert not (ahead and 0.01 < dist(b, c) < KINK), (ends, line)


def test_the_name_of_a_level_that_leads_on_stands_under_its_box() -> None:
    text = """
    use "lib/yolo.arch" (YOLODecode)
    model Levels: image[3, H=64, W=64] -> (y3, y2, boxes[N, 4]) {
      c2: conv(8, 3x3, stride=4)
      c3: conv(8, 3x3, stride=2)
      y3: conv(16, 3x3) -> conv(18, 1x1)
      y2: concat { c3 -> conv(8, 1x1) -> upsample(2); c2 } -> conv(8, 3x3) -> conv(18, 1x1)
      d3: YOLODecode(1, wh=[[8, 8], [13, 16], [34, 31]]) { image; y3 }
      d2: YOLODecode(1, wh=[[4, 4], [6, 8], [17, 16]]) { image; y2 }
      boxes: concat { d3.boxes; d2.boxes }
    }
    """
    piece = arranged(loads(text)).main.piece
    ends = {spot.box.key for spot in piece.spots if not spot.box.nodes}
    leading = [line for (_, head), line in piece.wires.items() if head in ends]
    assert len(leading) == 3
    assert all(len(line) == 2 for line in leading)


@pytest.mark.parametrize(("name", "label"), [("wavenet", "gated"), ("res2net50", "y[0]")])
def test_what_leaves_one_box_turns_at_one_place(name: str, label: str) -> None:
    for panel in shown(name).insets:
        labels = {spot.box.key: spot.box.labels for spot in panel.piece.spots}
        lines = [line for ends, line in lines_of(panel.piece) if labels[ends[0]] == [label]]
        assert len({line[1] for line in lines}) <= 1
