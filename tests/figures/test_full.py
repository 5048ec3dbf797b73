"""A page that is full: which blocks it opens, and where their insets stand."""

from __future__ import annotations

from itertools import combinations

import pytest

from cnndsl.figures.layout.bands import Band
from cnndsl.figures.layout.packing import Hole
from cnndsl.figures.layout.page import Page
from cnndsl.figures.layout.piece import Piece
from cnndsl.figures.layout.spaces import trimmed
from cnndsl.figures.layout.stowing import freed, stowed
from tests.figures.geometry import paged


def opened(page: Page) -> set[str]:
    """The names of the blocks that have an inset."""
    return {inset.frame.name for inset in page.insets if inset.frame}


@pytest.mark.parametrize(
    ("name", "blocks"),
    [
        ("efficientdet_d0", {"MBConv", "Separable", "SqueezeExcite", "Head"}),
        ("faster_rcnn_resnet50_fpn", {"Bottleneck", "RPN", "RPNHead", "BoxHead"}),
        ("retinanet_resnet50_fpn", {"Bottleneck", "RetinaHead"}),
        ("mask_rcnn_resnet50_fpn", {"Bottleneck", "RPN"}),
        ("deeplabv3plus_resnet50", {"Bottleneck", "ASPP"}),
        ("inception_v3", {"InceptionA", "InceptionB", "InceptionC"}),
        ("nonlocal_resnet50", {"Bottleneck", "NonLocal"}),
        ("nonlocal_i3d_resnet50", {"VideoBottleneck", "VideoStage", "NonLocal", "Compare"}),
        ("ssdlite320_mobilenetv3", {"Bneck", "SqueezeExcite", "Extra", "Predict"}),
        ("lraspp_mobilenetv3", {"Bneck", "SqueezeExcite"}),
        ("yolov8n", {"C2f", "Detect"}),
    ],
)
def test_a_full_page_opens_what_is_called_most(name: str, blocks: set[str]) -> None:
    page = paged(name)
    assert page.over == 0
    assert opened(page) >= blocks


def test_insets_of_a_full_page_stand_apart() -> None:
    for name in ("efficientdet_d0", "mobilenetv3_large", "yolov5s"):
        page = paged(name)
        sides = [
            Hole(p.x - p.piece.left, p.y, p.piece.width, p.height - 26) for p in page.insets
        ]
        for one, two in combinations(sides, 2):
            assert freed([one], two) == [one]


def test_what_is_free_is_in_the_largest_rectangles() -> None:
    left = freed([Hole(0, 0, 100, 100)], Hole(40, 0, 20, 50))
    assert set(left) == {Hole(0, 0, 40, 100), Hole(60, 0, 40, 100), Hole(0, 50, 100, 50)}


def test_an_inset_stands_in_the_way_that_fits_its_hole() -> None:
    hole = Hole(60.0, 0.0, 140.0, 40.0)
    found = stowed((200.0, 100.0), [[(50.0, 90.0), (130.0, 40.0)]], [hole], (200.0, 110.0))
    assert found is not None
    assert found.sizes == (1,)
    assert found.packed.places == ((60.0, 0.0),)
    assert stowed((200.0, 100.0), [[(50.0, 90.0)]], [hole], (200.0, 110.0)) is None


def test_of_two_sizes_as_high_an_inset_has_the_narrower() -> None:
    sizes = [[(300.0, 200.0), (150.0, 200.0)], [(140.0, 90.0)]]
    found = stowed((100.0, 200.0), sizes, [], (414.0, 200.0))
    assert found is not None
    assert found.sizes == (1, 0)


def test_any_inset_may_be_placed_first() -> None:
    # The largest and highest would take the place beside the picture, and the widest below.
    sizes = [[(110.0, 150.0)], [(150.0, 80.0)], [(50.0, 100.0)]]
    assert stowed((100.0, 100.0), sizes, [], (320.0, 200.0)) is not None


@pytest.mark.parametrize("name", ["hrnet_w18", "ssdlite320_mobilenetv3", "yolov8n"])
def test_every_inset_stands_within_the_margins(name: str) -> None:
    page = paged(name)
    for panel in page.insets:
        assert panel.x - panel.piece.left - panel.side >= -0.01
        assert panel.x - panel.piece.left - panel.side + panel.width <= page.width + 0.01


def test_a_lane_ends_beside_the_nearest_of_two_holes_in_both_orders() -> None:
    lane, piece = Band(0, 500, 0, 50, "1/2", tinted=True), Piece(0, 500, 50)
    near, far = Hole(100, -10, 50, 200, banded=True), Hole(300, -10, 100, 200, banded=True)
    one = trimmed(trimmed(lane, near, piece, 0.0), far, piece, 0.0)
    assert one == trimmed(trimmed(lane, far, piece, 0.0), near, piece, 0.0)
    assert one.right < near.left
