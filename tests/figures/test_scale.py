"""Volumes to scale: their sides, what each stands for, and that nothing is left out."""

from __future__ import annotations

import math
from functools import cache
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest

from cnndsl.diagnostics import ArchError
from cnndsl.figures import Options, picture
from cnndsl.figures.blocks import blocks
from cnndsl.figures.heat import METRICS
from cnndsl.figures.paint import Group, Picture, Polygon, Text, leaves
from cnndsl.figures.paint import Path as Line
from cnndsl.figures.plan import plan
from cnndsl.figures.scale.page import PAGE, Look, scaled
from cnndsl.figures.scale.slabs import rows_of
from cnndsl.figures.scale.solid import Law
from cnndsl.figures.scale.stage import stage
from cnndsl.figures.scale.volumes import Volume, volumes
from cnndsl.figures.svg import svg
from cnndsl.figures.terminal import terminal
from cnndsl.figures.write import MILLIMETRES
from cnndsl.files import shipped
from cnndsl.network import loads
from tests.figures.geometry import network

ZOO = sorted(shipped())


@cache
def drawn(name: str) -> Picture:
    return scaled(network(name))


def stages(name: str, *, apart: bool = False) -> list[Volume]:
    found, _ = volumes(plan(network(name), folding=True, repeats=False), stages=not apart)
    return list(found.values())


def shapes(name: str) -> list[tuple[int, ...]]:
    return [tuple(map(int, volume.shape)) for volume in stages(name)]


def words(found: Picture) -> list[str]:
    return [part.text for part in leaves(found.parts) if isinstance(part, Text)]


def nodes(found: Picture) -> list[Group]:
    return [part for part in found.parts if isinstance(part, Group) and part.kind == "node"]


def test_sides_follow_the_law_of_the_legend() -> None:
    law = Law(height=10)
    found = law.solid((64, 112, 81))
    assert found.height == 10 * math.sqrt(112)
    assert found.depth == 10 * 9
    assert found.width == 6 + 0.95 * 8
    vector = law.solid((4096,))
    assert (vector.width, vector.height) == (6, 6)
    assert vector.depth == pytest.approx(2 * 64)
    assert "Height 10·√H, depth 10·√W, width 6 + 0.95·√C px" in law.words


ROWS = """
model M: x[3, H=16, W=16] -> (y, z) {
  rows: x -> conv(12, 3x3) -> rearrange("(a k) h w -> (h w a) k", a=3)
  few: x -> conv(8, 4x4, stride=4, pad=valid) -> rearrange("c h w -> (h w) c")
  y: few -> linear(5)
  z: rows -> linear(7)
}
"""


def test_rows_have_their_features_as_width_and_lie_where_they_are_many() -> None:
    every = volumes(plan(loads(ROWS), repeats=False), stages=True)[0].values()
    slabs = [slab for volume in every for slab in volume.slabs if slab.rows]
    assert {tuple(map(int, slab.shape)) for slab in slabs} >= {(5, 16), (7, 768)}
    stands = Law(height=10).solid((7, 16), rows=True)
    lies = Law(height=10, lying=True).solid((7, 768), rows=True)
    assert (stands.height, stands.width) == (40, lies.width)
    assert lies.height == 6
    assert lies.depth == pytest.approx(2 * math.sqrt(768))
    assert "vectors and rows lie along the depth" in " ".join(words(scaled(loads(ROWS))))
    assert not stages("wavenet")[1].slabs[0].rows


def test_a_map_flattened_behind_its_channels_is_no_rows() -> None:
    network = loads("""
model M: x[3, H=16, W=16] -> y {
  y: x -> conv(12, 3x3) -> rearrange("c h w -> c (h w)") -> softmax(1)
}
""")
    assert not rows_of(network)


def test_an_arrow_ends_on_what_lies_along_the_depth() -> None:
    found = next(v for v in stages("vgg16") if v.name == "fc6")
    made = stage(found, Law(), [])
    first, (right, rise) = made.slabs[0].solid, made.law.slant
    (x, _), back = made.entry, first.height / 2 / rise
    assert x == pytest.approx(-back * right - 0.5)
    assert back < first.depth / 2


def test_a_stage_of_resnet_is_as_in_the_papers_table() -> None:
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
    assert [len(stage.slabs) for stage in stages("resnet50")] == [1, 1, 3, 4, 6, 3, 1, 1]


def test_convolutions_of_a_stage_stand_side_by_side_with_the_pool_on_the_last() -> None:
    found = {stage.name: stage for stage in stages("vgg16")}
    assert [*found] == [
        "image", *(f"features[{n}]" for n in range(5)), "fc6", "fc7", "logits",
    ]  # fmt: skip
    assert [slab.words for slab in found["features[2]"].slabs] == ["3×3, 256"] * 3
    assert all(slab.activation == "relu" for slab in found["features[2]"].slabs)
    assert [slab.words for slab in found["features[2]"].pools] == ["max 2×2 /2"]
    assert found["logits"].slabs[0].activation == ""


def test_a_decoder_begins_with_the_pale_copy_and_says_what_becomes_of_it() -> None:
    found = {stage.name: stage for stage in stages("unet")}
    copied, up, *convs = found["e1"].slabs
    assert copied.copied == next(stage.key for stage in found.values() if stage.name == "d1")
    assert (up.words, len(convs)) == ("up 2×2, 128 ↑2", 2)
    assert list(found["e1"].carried.values()) == ["crop 200²"]
    assert {"crop 56²", "crop 104²", "crop 200²", "crop 392²"} <= set(words(drawn("unet")))


JOINED = """
model Joined: image[4, H=16, W=16] -> out {
  a: image -> conv(ONE, 3x3) -> relu
  b: image -> conv(TWO, 3x3) -> relu
  c: JOIN { a; b }
  out: c -> conv(8, 3x3) -> relu
}
"""


@pytest.mark.parametrize(
    ("one", "two", "join", "said"),
    [
        (8, 8, "concat", ["16", "8"]),
        (8, 24, "concat", ["32", "8"]),
        (8, 8, "concat(axis=1)", ["8", "8", "8"]),
        (8, 8, "add", ["8", "8"]),
    ],
)
def test_under_a_concat_stands_what_it_makes(
    one: int, two: int, join: str, said: list[str]
) -> None:
    text = JOINED.replace("ONE", str(one)).replace("TWO", str(two)).replace("JOIN", join)
    found = scaled(loads(text))
    channels = [part for part in leaves(found.parts) if isinstance(part, Text)]
    counts = [part.text for part in channels if part.anchor == "middle" and not part.turn]
    assert [text for text in counts if text.isdigit()][1:] == said


def test_the_pale_copy_and_what_is_made_here_have_one_number() -> None:
    found = [text for text in words(drawn("unet")) if text.isdigit()]
    assert {"1024 512", "512 256", "256 128", "128 64"} <= {
        f"{one} {two}" for one, two in pairwise(found)
    }


def test_a_unet_goes_down_and_up_again() -> None:
    channels = [shape[0] for shape in shapes("unet")]
    assert channels == [1, 64, 128, 256, 512, 1024, 512, 256, 128, 64, 2]


def test_a_pyramid_keeps_what_its_laterals_read() -> None:
    found = shapes("fpn_resnet50")
    assert (2048, 7, 7) in found
    assert found.count((256, 56, 56)) == 3  # C2, the merged map, P2


def test_what_several_join_is_a_stage_of_its_own() -> None:
    names = {stage.name for stage in stages("unetpp")}
    assert {"x[0][0]", "x[0][1]", "x[0][2]", "x[1][2]", "x[2][1]"} <= names


def test_a_block_looks_the_same_wherever_it_is_called() -> None:
    slabs = [slab for stage in stages("mobilenetv2") for slab in stage.slabs]
    assert sum(slab.words.startswith("InvertedResidual") for slab in slabs) == 17


def test_many_equal_blocks_are_one_slab_with_their_number() -> None:
    assert "1024 ×35" in words(drawn("resnet152"))


def test_a_first_layers_kernel_is_drawn_on_what_it_reads() -> None:
    def pyramids(name: str) -> int:
        parts = [part for part in drawn(name).parts if isinstance(part, Group)]
        return sum(
            isinstance(c, Polygon) for p in parts if p.kind == "kernel" for c in p.children
        )

    assert [pyramids(name) for name in ("lenet5", "alexnet", "vgg16")] == [3, 3, 0]


@pytest.mark.parametrize("name", ZOO)
def test_every_layer_stands_in_one_stage_and_the_page_holds_them(name: str) -> None:
    found = drawn(name)
    counted = found.metadata
    assert counted["nodes"] == counted["drawn"] + counted["folded"]  # type: ignore[operator]
    assert counted["left_out"] == 0
    held = [node for prism in counted["prisms"] for node in prism["nodes"]]  # type: ignore[attr-defined]
    assert sorted(held) == sorted(network(name).graph)
    assert found.width <= PAGE[0] + 1
    assert found.height <= PAGE[1] + 1
    assert min(part.size for part in leaves(found.parts) if isinstance(part, Text)) >= 8


@pytest.mark.parametrize(
    "name", ["retinanet_resnet50_fpn", "ssdlite320_mobilenetv3", "yolov5s"]
)
def test_where_all_blocks_are_open_a_page_leaves_out_words_before_it_grows(name: str) -> None:
    found = scaled(network(name), detail="full")
    assert found.width <= PAGE[0] + 1
    assert found.height <= PAGE[1] + 1


@pytest.mark.parametrize("name", ["resnet50", "unet", "fpn_resnet50", "yolov3", "unetpp"])
def test_stages_stand_apart_and_are_said(name: str) -> None:
    found = drawn(name)
    areas = []
    for group in nodes(found):
        assert group.title
        assert group.desc
        drawn_ = leaves(group.children)
        points = [p for part in drawn_ if isinstance(part, Polygon) for p in part.points]
        xs, ys = zip(*points, strict=True)
        areas.append((min(xs), min(ys), max(xs), max(ys)))
    for a, b in combinations(areas, 2):
        assert a[2] < b[0] or b[2] < a[0] or a[3] < b[1] or b[3] < a[1]
    assert all(area[2] <= found.width and area[3] <= found.height for area in areas)
    assert svg(found) == svg(scaled(network(name)))


@pytest.mark.parametrize("metric", METRICS)
def test_a_metric_colours_the_faces_and_says_what_it_counts(metric: str) -> None:
    found = scaled(network("lenet5"), metric=metric)
    roles = {part.role for part in leaves(found.parts) if isinstance(part, Polygon)}
    assert any(role.startswith("heat") and role.endswith("-side") for role in roles)
    assert METRICS[metric][1].split(";")[0] in " ".join(words(found))


def test_a_unit_and_an_angle_are_kept_to() -> None:
    found = scaled(network("vgg16"), look=Look(unit=4.0, angle=60.0))
    assert any(text.startswith("Height 4·√H") for text in words(found))
    turns = {part.turn for part in leaves(found.parts) if isinstance(part, Text)}
    assert turns == {0.0, -60.0}


def test_a_figure_without_a_caption_has_no_name() -> None:
    assert "VGG-16" in words(drawn("vgg16"))
    assert "VGG-16" not in words(scaled(network("vgg16"), captioned=False))


@pytest.mark.parametrize("format", ["svg", "pdf", "tikz"])
def test_a_photo_stands_on_the_first_plane(format: str, tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    path = tmp_path / "photo.png"
    image.fromarray(np.full((40, 40, 3), (255, 0, 0), np.uint8)).save(path)
    plain = picture(network("lenet5"), format, options=Options(style="scale"))
    made = tmp_path / f"made.{format}"
    network("lenet5").draw(made, style="scale", photo=path)
    assert made.stat().st_size > len(plain)
    if format == "svg":
        assert made.read_text().count('fill="#4a4a4a"') == 32 * 32
    with pytest.raises(ArchError, match="a photo has 1 or 3 channels"):
        network("wavenet").draw(made, style="scale", photo=path)


def test_lines_of_a_branching_network_never_cross_a_stage() -> None:
    found = drawn("mask_rcnn_resnet50_fpn")
    fronts = []
    for group in nodes(found):
        points = [
            p
            for part in leaves(group.children)
            if isinstance(part, Polygon)
            for p in part.points
        ]
        xs, ys = zip(*points, strict=True)
        fronts.append((group.key, min(xs), min(ys), max(xs), max(ys)))
    edges = [part for part in found.parts if isinstance(part, Group) and part.kind == "edge"]
    assert len(edges) > 30
    for edge in edges:
        ends = dict(edge.data).values()
        (line,) = (part for part in edge.children if isinstance(part, Line))
        for (x1, y1), (x2, y2) in zip(line.points, line.points[1:], strict=False):
            for key, left, top, right, low in fronts:
                across = max(x1, x2) > left + 1 and min(x1, x2) < right - 1
                along = max(y1, y2) > top + 1 and min(y1, y2) < low - 1
                assert key in ends or not (across and along)


def test_shapes_of_every_rank_have_a_volume() -> None:
    text = """
model M: x[4, L=12] -> (a, b, y) {
  a: x -> conv(8, 3, pad=same) -> softmax(0)
  b: x -> gap
  y: a -> flatten -> linear(3) -> softmax(0)
}
"""
    found = scaled(loads(text))
    assert any("softmax" in text for text in words(found))


TITLED = """
@title("FPN, ResNet-50")
model Net: x[3, H=8, W=8] -> y { y: conv(4, 3x3) -> relu }
"""


def test_a_title_is_what_every_figure_calls_the_network() -> None:
    found = loads(TITLED)
    for made in (scaled(found), blocks(found)):
        assert made.title == "FPN, ResNet-50"
        assert "FPN, ResNet-50" in words(made)
    assert terminal(found).startswith("FPN, ResNet-50\n")
    assert found.name == "Net"
    for text in ("@title", "@title()", "@title(3)", '@title("a", "b")', '@title(x="a")'):
        with pytest.raises(ArchError, match="`@title` takes one text"):
            loads(TITLED.replace('@title("FPN, ResNet-50")', text))


@pytest.mark.parametrize("name", ["vgg16", "resnet50", "unet"])
def test_a_column_of_a_journal_holds_it_in_more_rows(name: str) -> None:
    found = scaled(network(name), look=Look(widest=84 / MILLIMETRES))
    assert found.width <= 84 / MILLIMETRES + 1
    assert found.height <= PAGE[1] + 1
    assert name != "unet" or {"crop 56²", "crop 392²"} <= set(words(found))
