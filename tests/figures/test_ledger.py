"""The table of the source beside its boxes: each row level with the box that it is of."""

from __future__ import annotations

from itertools import pairwise

import pytest

from cnndsl.figures import font
from cnndsl.figures.blocks import arranged
from cnndsl.figures.layout.page import Page
from cnndsl.figures.layout.picture import picture
from cnndsl.figures.layout.piece import bounds
from cnndsl.figures.paint import Path, Text, leaves
from cnndsl.figures.values import values
from cnndsl.network import loads
from tests.figures.geometry import PAGE, faults, network, paged

CHAIN = """
block Wide(t: int, c: int, s: int = 1) {
  add { { conv(t * in.c, 1x1) -> dwconv(3x3, stride=s) -> conv(c, 1x1) }
        conv(c, 1x1, stride=s) }
}
model M: x[3, H=64, W=64] -> y[10] {
  stem: conv(16, 3x3)
  stages:
  for | t | c | n | s |
      | 1 | 16 | 1 | 1 |
      | 6 | 24 | 2 | 2 |
      | 6 | 32 | 3 | 2 |
      | 4 | 48 | 4 | 1 |
      | 6 | 64 | 3 | 2 |
  { Wide(t, c, s=s then 1) * n }
  y: gap -> linear(10)
}
"""


def check(found: Page) -> None:
    """The table of a block is beside the column, whole, and nowhere else."""
    main, table = found.main, found.main.table
    assert table is not None
    (frame,) = {s.box.frame.key: s.box.frame for s in main.piece.spots if s.box.frame}.values()
    told = values(found.plan, frame)
    assert told is not None
    last = told.header.index("out")
    assert table.header[: last - 1] == told.header[1:last]
    assert [row[: last - 1] for row in table.rows] == [row[1:last] for row in told.rows]
    (inset,) = (panel for panel in found.insets if panel.frame is frame)
    assert inset.table is None
    spots = {spot.box.key: spot for spot in main.piece.spots}
    marks = list(leaves(main.piece.marks))
    words = [part for part in marks if isinstance(part, Text)]
    head = [text for text in words if text.bold]
    lines = [part for part in marks if isinstance(part, Path)]
    leaders = [line for line in lines if line.dashed]
    assert len(leaders) == len(table.rows)
    for key, row, leader in zip(table.keys, table.rows, leaders, strict=True):
        spot, (start, end) = spots[key], leader.points
        level = [text for text in words if abs(text.y - 3 - spot.y) < 1]
        assert [text.text for text in level] == list(row)
        assert start[1] == end[1] == spot.y
        assert bounds(spot)[2] < start[0] < end[0]
        assert [(text.x, text.anchor) for text in level] == [(t.x, t.anchor) for t in head]
        assert end[0] < level[0].x - font.width(level[0].text, level[0].size) - 2
        card = main.cards[spot.box]
        assert not {"c", "s", "t"} & {word.split()[0] for word in card.small.split(" · ")}
    # The header is over the first row, and a lane holds the rows of its boxes.
    assert [text.text for text in head] == list(table.header)
    assert {text.y for text in head} == {head[0].y}
    assert head[0].y < bounds(spots[table.keys[0]])[1]
    for band in main.bands:
        assert band.right >= max(text.x for text in words)
    assert not faults(picture(found))


@pytest.mark.parametrize("name", ["mobilenetv2", "mnasnet"])
def test_a_table_of_most_boxes_stands_beside_them(name: str) -> None:
    check(arranged(network(name)))
    check(paged(name))


def test_boxes_beside_a_table_are_low() -> None:
    found = paged("mobilenetv2").main
    spots = [spot for spot in found.piece.spots if not found.cards[spot.box].bare]
    assert all(spot.height < 34 for spot in spots)
    assert all(bounds(b)[1] - a.bottom < 16 for a, b in pairwise(spots))


def test_a_table_of_a_loop_stands_beside_its_boxes() -> None:
    check(arranged(loads(CHAIN)))


def test_a_table_of_fewer_boxes_or_with_others_between_stands_under_its_block() -> None:
    for name in ("resnet50", "googlenet", "squeezenet1_0"):
        found = arranged(network(name))
        assert found.main.table is None
        assert any(panel.table for panel in found.insets)


def test_a_picture_to_the_right_has_no_table_beside_it() -> None:
    found = arranged(network("mobilenetv2"), direction="right")
    assert found.main.table is None
    assert found.insets[0].table is not None


def test_a_page_that_has_no_room_for_it_has_the_table_under_the_block() -> None:
    found = arranged(network("mobilenetv2"), widest=PAGE[0], tallest=PAGE[1] * 0.7)
    assert found.main.table is None
    assert not found.over
