"""What a page of a journal opens, and what it leaves closed, where no size is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from cnndsl import loads
from cnndsl.cli import cli
from cnndsl.figures.blocks import arranged
from cnndsl.figures.layout.cards import Way
from cnndsl.figures.layout.page import NEAR, page
from cnndsl.figures.layout.panel import WHOLE, Panel
from cnndsl.figures.plan import plan
from cnndsl.graph import Network
from cnndsl.ops.facts import Family
from tests.figures.geometry import PAGE, network, placed, shown
from tests.figures.test_layout import ZOO

CONV = Family.CONV


@pytest.mark.parametrize("detail", ["stages", "blocks"])
@pytest.mark.parametrize("name", ZOO)
def test_a_picture_keeps_to_a_page_that_nobody_asked_for(name: str, detail: str) -> None:
    found = shown(name, detail)
    assert found.over == 0
    assert found.height <= PAGE[1]


def test_only_all_blocks_in_their_places_may_exceed_a_page() -> None:
    assert shown("yolov3", "full").over > 0
    assert placed("lenet5").closed == 0


def test_a_backbone_is_opened_beside_the_neck_that_stands_on_the_lanes() -> None:
    found = shown("yolov3")
    assert found.closed == 0
    assert "Darknet53" in [panel.frame.name for panel in found.insets if panel.frame]
    assert "Five" in [box.title for box in found.main.scene.boxes()]


def test_what_a_backbone_gives_stands_right_under_the_row_that_it_leaves() -> None:
    found = shown("ssd300_vgg16")
    assert found.closed == 0
    (body,) = (panel for panel in found.insets if panel.frame and panel.frame.name == "SSDBody")
    places = {spot.box.title: spot.y for spot in body.piece.spots if not spot.box.nodes}
    assert places["fc7"] == places["conv8_2"]
    assert places["conv9_2"] == places["conv10_2"]
    assert body.height < PAGE[1] / 1.7


def test_a_main_picture_that_no_page_holds_is_not_given_insets() -> None:
    small = page(plan(network("yolov3")), closing=True)
    assert small.over > 0
    assert not small.insets
    assert not any(panel.cards.way.drawn for panel in (small.main, *small.insets))


def test_a_block_that_is_asked_for_is_open_before_all_others() -> None:
    found = network("hrnet_w18")
    assert "Bottleneck" in arranged(found).shut
    for detail in ("stages", "blocks"):
        for name in ("Bottleneck", "Exchange"):
            opened = arranged(found, detail=detail, opened=(name,))
            assert name in [panel.frame.name for panel in opened.insets if panel.frame]
    # No page holds this one: the picture is as large as it has to be.
    assert arranged(network("yolov4"), opened=("PAN",)).over > 0


def test_what_a_paper_brings_is_opened_before_what_it_takes_from_others() -> None:
    found = network("deeplabv3_resnet50")
    assert arranged(found, widest=PAGE[0], tallest=550).shut == ("Bottleneck",)
    # All blocks of this one are of its paper: the larger are worth more.
    assert arranged(network("inception_v3")).shut == ("ReductionA", "ReductionB")


def test_no_block_is_opened_that_nothing_shows() -> None:
    for name in ("yolov3", "yolov4"):
        found = shown(name)
        scenes = [found.main.scene, *(panel.scene for panel in found.insets)]
        seen = {id(box.frame) for scene in scenes for box in scene.boxes()}
        assert all(id(panel.frame) in seen for panel in found.insets)


def high(more: str) -> Network:
    """Six lanes of three boxes, with `more` in the last, and a step up."""
    lane = "maxpool(2) -> conv(16, 3x3) -> conv(16, 3x3)"
    lanes = "\n".join(f"  c{n}: {lane}" for n in range(1, 6))
    return loads(f"""
model M: x[3, H=1024, W=1024] -> y {{
  c0: x -> conv(8, 3x3)
{lanes}
  d: conv(16, 3x3){more}
  u: upsample(2)
  y: concat {{ u; c4 }} -> conv(4, 3x3)
}}
""")


def test_what_a_page_nearly_holds_is_as_small_as_can_be() -> None:
    steps = [f" -> relu -> conv({16 + n}, 5x5)" for n in range(8)]
    near, far = (arranged(high("".join(some))) for some in (steps[:2], steps))
    assert 0 < near.over < NEAR - 1 < far.over
    assert near.main.cards.way.narrow > 0 == far.main.cards.way.narrow


def test_where_room_is_shortest_boxes_are_lower_and_rows_of_a_mesh_closer() -> None:
    scene = plan(network("nonlocal_resnet50"), closed=True)
    frame = next(frame for frame in scene.frames if frame.name == "NonLocal")
    assert frame.scene

    def panel(narrow: int) -> Panel:
        assert frame.scene
        return Panel.of(scene, frame.scene, frame, None, Way(narrow), WHOLE)

    some = [panel(narrow) for narrow in (0, 3, 4)]
    lows = [min(s.height for s in one.piece.spots if s.box.family is CONV) for one in some]
    assert lows == sorted(lows, reverse=True)
    assert len({*lows}) == 3
    assert some[2].piece.width < 0.9 * some[0].piece.width


def test_an_inset_has_one_row_wherever_all_its_width_holds_that() -> None:
    for name in ("shufflenetv1", "shufflenetv2", "vit_tiny"):
        found = shown(name)
        assert found.over == 0
        assert not any(panel.piece.folds for panel in found.insets)
    assert len(shown("vit_tiny").main.piece.folds) == 2


def test_insets_stand_in_the_order_of_their_boxes_where_there_is_room() -> None:
    for name, blocks in (
        ("pointnet", ["Align", "TNet"]),
        ("vit_tiny", ["Encoder", "SelfAttention"]),
    ):
        insets = sorted(shown(name).insets, key=lambda inset: inset.y)
        assert [inset.frame.name for inset in insets if inset.frame] == blocks


def test_what_stays_closed_is_said_with_what_opens_it(tmp_path: Path) -> None:
    def said(*options: str) -> str:
        arguments = ["draw", "yolov4", *options, "-o", str(tmp_path / "x.svg")]
        return CliRunner().invoke(cli, arguments).stderr

    shut = shown("yolov4").shut
    assert f"closed, as the page has no room; --open {shut[0]} or --width-mm 600" in said()
    assert "closed" not in said("--width-mm", "600", "--height-mm", "600")
