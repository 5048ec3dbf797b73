"""Prisms to scale: their sides, what each stands for, and that nothing is left out."""

from __future__ import annotations

import math
from itertools import combinations

import pytest

from cnndsl.figures.heat import METRICS
from cnndsl.figures.paint import Group, Polygon, Text, leaves
from cnndsl.figures.plan import plan
from cnndsl.figures.scale.page import certificate, scaled
from cnndsl.figures.scale.prism import prism
from cnndsl.figures.scale.volumes import volumes
from cnndsl.figures.svg import svg
from cnndsl.files import shipped
from tests.figures.geometry import network

ZOO = sorted(shipped())


def shapes(name: str, *, stages: bool = True) -> list[tuple[int, ...]]:
    found, _ = volumes(plan(network(name), folding=True, repeats=False), stages=stages)
    return [tuple(map(int, volume.shape)) for volume in found.values()]


def test_sides_follow_the_law_of_the_legend() -> None:
    found = prism((64, 112, 81), "c1", 1, [], short=False)
    assert found.height == 7.5 * math.sqrt(112)
    assert found.depth == pytest.approx(0.3 * 7.5 * 9)
    assert found.width == 1.6 * 8
    vector = prism((4096,), "fc", 1, [], short=False)
    assert (vector.width, vector.height) == (7.5, 1.6 * 64)


def test_a_stage_of_resnet_is_one_prism_as_in_the_papers_table() -> None:
    assert shapes("resnet50") == [
        (3, 224, 224),
        (64, 112, 112),
        (256, 56, 56),
        (512, 28, 28),
        (1024, 14, 14),
        (2048, 7, 7),
        (2048,),
        (1000,),
    ]


def test_a_unet_goes_down_and_up_again() -> None:
    channels = [shape[0] for shape in shapes("unet")]
    assert channels == [1, 64, 128, 256, 512, 1024, 512, 256, 128, 64, 2]


def test_a_pyramid_keeps_what_its_laterals_read() -> None:
    found = shapes("fpn_resnet50")
    assert (2048, 7, 7) in found
    assert found.count((256, 56, 56)) == 3  # C2, the merged map, P2


def test_a_repeated_sequence_is_a_prism_each_time() -> None:
    sizes = [shape[1] for shape in shapes("vgg16") if len(shape) == 3]
    assert sizes == [224, 224, 112, 56, 28, 14, 7]


def test_blocks_in_a_row_that_make_the_same_are_one_prism_with_their_number() -> None:
    found = scaled(network("resnet50"), detail="blocks")
    words = {part.text for part in leaves(found.parts) if isinstance(part, Text)}
    assert {"Bottleneck ×3", "Bottleneck ×4", "Bottleneck ×6"} <= words


@pytest.mark.parametrize("name", ZOO)
def test_every_layer_is_in_one_prism(name: str) -> None:
    net = network(name)
    planned = plan(net, folding=True, repeats=False)
    for stages in (True, False):
        found, scene = volumes(planned, stages=stages)
        held = [node for volume in found.values() for node in volume.nodes]
        assert sorted(held) == sorted(net.graph)
        assert {box.key for box in scene.boxes()} == set(found)
        counted = certificate(net, found)
        assert counted["nodes"] == counted["drawn"] + counted["folded"]
        assert counted["left_out"] == 0


@pytest.mark.parametrize("name", ["resnet50", "unet", "fpn_resnet50", "yolov3", "unetpp"])
def test_prisms_stand_apart_and_are_said(name: str) -> None:
    found = scaled(network(name))
    groups = [part for part in found.parts if isinstance(part, Group) and part.kind == "node"]
    areas = []
    for group in groups:
        assert group.title
        assert group.desc
        points = [
            p for part in group.children if isinstance(part, Polygon) for p in part.points
        ]
        xs, ys = zip(*points, strict=True)
        areas.append((min(xs), min(ys), max(xs), max(ys)))
    for a, b in combinations(areas, 2):
        assert a[2] < b[0] or b[2] < a[0] or a[3] < b[1] or b[3] < a[1]
    assert all(area[2] <= found.width and area[3] <= found.height for area in areas)
    assert max(found.width / found.height, found.height / found.width) <= 3
    assert svg(found) == svg(scaled(network(name)))


@pytest.mark.parametrize("metric", METRICS)
def test_a_metric_colours_the_faces_and_says_what_it_counts(metric: str) -> None:
    found = scaled(network("lenet5"), metric=metric)
    roles = {part.role for part in leaves(found.parts) if isinstance(part, Polygon)}
    assert any(role.startswith("heat") and role.endswith("-side") for role in roles)
    words = " ".join(part.text for part in leaves(found.parts) if isinstance(part, Text))
    assert METRICS[metric][1].split(";")[0] in words
