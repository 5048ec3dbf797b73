"""Networks of blocks over several lanes, on a full page."""

from __future__ import annotations

from math import atan2, degrees
from pathlib import Path

import pytest

from cnndsl.figures.blocks import arranged, drawn
from cnndsl.figures.layout.panel import Panel
from cnndsl.figures.layout.strides import strides
from cnndsl.figures.paint import Area, leaves
from cnndsl.network import load, loads
from tests.figures.geometry import network, paged

FURTHER = Path(__file__).parents[1] / "further"


def exchange() -> Panel:
    """HRNet's, as its page opens it."""
    found = paged("hrnet_w18")
    (panel,) = (p for p in found.insets if p.frame and p.frame.title == "Exchange")
    return panel


def test_a_fan_that_a_full_page_opens_is_not_steep() -> None:
    lines = [fan.line for fan in exchange().piece.fans]
    assert max(degrees(atan2(abs(y2 - y1), x2 - x1)) for (x1, y1), (x2, y2) in lines) < 68


def test_a_row_of_a_fan_says_its_size_once() -> None:
    panel = exchange()
    words = [line for spot in panel.piece.spots for line in panel.cards[spot.box].lines]
    assert sum("18×56²" in line for line in words) == 1


def test_what_a_higher_lane_leads_to_stands_under_what_leads_there() -> None:
    main = paged("hrnet_w18").main
    steps = {
        s.box.key for s in main.piece.spots if main.cards[s.box].label in ("t2", "t3", "t4")
    }
    lines = [line for (_, head), line in main.piece.wires.items() if head in steps]
    assert len(lines) == 3
    assert all(abs(x - line[0][0]) < 0.1 for line in lines for x, _ in line)


def test_every_lane_of_a_full_page_has_its_name_in_a_free_corner() -> None:
    assert [band.text for band in paged("hrnet_w18").bands] == [f"1/{2**n}" for n in range(6)]


def test_no_lane_of_a_full_page_goes_on_to_what_stands_beside_all() -> None:
    found = paged("ssd300_vgg16")
    ((_, fold),) = found.main.piece.folds
    assert len(found.bands) > 3
    assert all(band.right <= fold for band in found.bands)


@pytest.mark.parametrize("name", ["hrnet_w18", "yolov8n", "ssdlite320_mobilenetv3"])
def test_what_leads_down_to_what_stands_under_a_box_is_straight(name: str) -> None:
    piece = paged(name).main.piece
    place = {spot.box.key: spot for spot in piece.spots}
    found = 0
    for (tail, head), line in piece.wires.items():
        one, two = place[tail], place[head]
        under = one.left + 11 <= two.x <= one.right - 11
        if under and line[0][1] == one.bottom and line[-1][1] == two.top:
            found += 1
            assert all(abs(x - two.x) < 0.1 for x, _ in line), (tail, head)
    assert found > 3


def test_what_stands_beside_lanes_is_as_near_as_its_rails_and_their_names_let_it() -> None:
    for name in ("mask_rcnn_resnet50_fpn", "ssdlite320_mobilenetv3", "retinanet_resnet50_fpn"):
        piece = paged(name).main.piece
        last = max(rail.trunk[0][0] for rail in piece.rails)
        beside = [spot for spot in piece.spots if spot.left > last]
        nearest = min([*(s.left for s in beside), *(s.x for s in piece.scopes if s.x > last)])
        wide = [rail.labels[0][2] - rail.labels[0][0] for rail in piece.rails]
        assert all(wide)
        assert nearest - last < max(*wide, 24) + 32


@pytest.mark.parametrize("name", ["rpn", "conv_kinds"])
def test_the_band_of_a_row_has_room_on_all_sides(name: str) -> None:
    found = network(name)
    made = drawn(found, arranged(found, widest=657, direction="right"))
    (band,) = (p for p in leaves(made.parts) if isinstance(p, Area) and p.role == "band")
    boxes = [
        p for p in leaves(made.parts) if isinstance(p, Area) and p.role in ("conv", "input")
    ]
    inside = [p for p in boxes if p.y < band.y + band.height]
    assert len(inside) > 1
    assert band.x >= 0
    assert band.y >= 0
    for box in inside:
        assert box.x >= band.x + 6
        assert box.x + box.width <= band.x + band.width - 6
        assert box.y + box.height <= band.y + band.height - 6


def test_a_lane_has_a_band_wherever_it_stands_or_nowhere() -> None:
    twin = "block Twin: x[1, H, W] -> e[64] { e: conv(8, 3x3) -> flatten -> linear(64) }"
    found = loads(
        f"{twin}\nmodel M: (a[1, H=16, W=16], b[1, H, W]) -> y[1] {{\n"
        "t: Twin each { a; b }\nd: add { t[0]; t[1] -> mul(-1) }\n"
        "y: add { d -> relu; d -> mul(-1) -> relu } -> linear(1)\n}"
    )
    for direction in ("down", "right", None):
        page = arranged(found, direction=direction)
        spots = {s.box.title: s for s in page.main.piece.spots}
        for band in page.bands:
            for name in ("a", "b"):
                spot = spots[name]
                assert band.left <= spot.left <= spot.right <= band.right
                assert band.top <= spot.top <= spot.bottom <= band.bottom
    assert "1/16" not in {band.text for band in arranged(network("yolov2")).bands}


def test_the_blocks_of_a_network_of_lanes_have_room_on_its_page() -> None:
    found = paged("hrnet_w18")
    assert {panel.heading for panel in found.insets} == {"Exchange", "BasicBlock"}
    assert {(panel.pad, panel.bar) for panel in found.insets} == {(10.0, 22.0)}
    assert {(panel.pad, panel.bar) for panel in paged("resnet18").insets} == {(14.0, 26.0)}


@pytest.mark.parametrize("name", ["seresnext50_32x4d", "darknet53", "starnet_s1", "vgg19_bn"])
def test_cards_at_the_end_of_a_row_leave_their_lane_its_band(name: str) -> None:
    found = load(FURTHER / f"{name}.arch")
    panel = arranged(found).main
    lanes = strides(found, panel.scene).values()
    assert {band.text for band in panel.bands} == {f"1/{2**lane}" for lane in lanes}
