"""The picture of what changes from one network to another."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest
from click.testing import CliRunner

from cnndsl import load, loads
from cnndsl.analysis.diff import diff
from cnndsl.cli import cli
from cnndsl.figures import font
from cnndsl.figures.compared.closing import LEVELS, union
from cnndsl.figures.compared.page import certificate, compared, signed
from cnndsl.figures.compared.union import ADDED, AFFECTED, CHANGED, REMOVED, SAME, Union
from cnndsl.figures.layout.piece import Spot
from cnndsl.figures.paint import Area, Group, Text, leaves
from cnndsl.figures.scene import Cluster
from cnndsl.figures.svg import svg
from cnndsl.graph import Network
from tests.figures.geometry import PAGE, faults, network, overlap

PAIRS = {
    "v1 to v1.5": lambda: (load("resnet50", stride_on="v1"), network("resnet50")),
    "resnet18 to resnet34": lambda: (network("resnet18"), network("resnet34")),
    "unet to unet_bn": lambda: (network("unet"), network("unet_bn")),
    "width 1.0 to 0.75": lambda: (network("mobilenetv2"), load("mobilenetv2", width=0.75)),
    "resnet50 to resnext50": lambda: (network("resnet50"), network("resnext50_32x4d")),
    "nothing in common": lambda: (network("lenet5"), network("squeezenet1_0")),
}
SMALL = "model Net: image[3, H=8, W=8] -> y {{\n  a: conv(4, 3x3)\n{}  y: relu\n}}"


def kinds(found: Union) -> dict[str, list[str]]:
    """The titles of the boxes of each kind."""
    made: dict[str, list[str]] = {}
    for box in found.scene.boxes():
        part = found.parts[box.key]
        made.setdefault(part.kind, []).append(part.title or box.title or box.nodes[0])
    return made


def texts(before: Network, after: Network) -> set[str]:
    return {p.text for p in leaves(compared(before, after).parts) if isinstance(p, Text)}


@pytest.mark.parametrize("pair", PAIRS)
def test_every_layer_of_both_is_in_one_box_and_the_deltas_sum(pair: str) -> None:
    before, after = PAIRS[pair]()
    found = union(before, after)
    for side, net in enumerate((before, after)):
        held = [name for part in found.parts.values() for name in part.nodes[side]]
        assert sorted(held) == sorted(net.graph)
    told = diff(before, after)
    counted = certificate(found)
    assert (counted["parameters"], counted["macs"]) == (told.parameters, told.macs)
    changed = {c.node for c in told.changes if c.kind != "affected"}
    same = {n for part in found.parts.values() if part.kind == SAME for n in part.nodes[1]}
    # What is fed by another layer differs in its edges, which are drawn.
    for name in changed & same:
        assert before.node(name).op == after.node(name).op
    place = {box.key: n for n, box in enumerate(found.scene.boxes())}
    assert all(place[edge.tail] < place[edge.head] for edge in found.scene.edges)
    made = compared(before, after)
    assert svg(made) == svg(compared(before, after))
    boxes = [g for g in made.parts if isinstance(g, Group) and g.kind == "node"]
    assert all(box.title and box.desc for box in boxes)
    outlines = [next(p for p in leaves(box.children) if isinstance(p, Area)) for box in boxes]
    spots = [
        Spot(None, a.x + a.width / 2, a.y + a.height / 2, a.width, a.height) for a in outlines
    ]
    assert not any(overlap(a, b) for a, b in combinations(spots, 2))


def test_nothing_changed_is_said() -> None:
    net = network("unet")
    assert set(kinds(union(net, net))) == {SAME}
    assert "nothing changed" in texts(net, net)


def test_an_added_layer_is_added_and_its_bypass_is_gone() -> None:
    before, after = loads(SMALL.format("")), loads(SMALL.format("  b: conv(4, 1x1)\n"))
    found = union(before, after)
    assert set(kinds(found)) == {SAME, ADDED}
    assert sorted(found.edges.values()).count(REMOVED) == 1
    assert sorted(found.edges.values()).count(ADDED) == 2
    assert set(kinds(union(after, before))) == {SAME, REMOVED}


def test_a_deeper_network_shows_only_the_blocks_that_came() -> None:
    before, after = PAIRS["resnet18 to resnet34"]()
    found = union(before, after)
    assert kinds(found)[ADDED] == ["BasicBlock"] * 4
    assert CHANGED not in kinds(found)
    added = [box.count for box in found.scene.boxes() if found.parts[box.key].kind == ADDED]
    assert added == [1, 2, 4, 1]  # 3-4-6-3 blocks instead of 2-2-2-2


def test_a_stride_that_moves_is_two_changes_a_stage() -> None:
    before, after = PAIRS["v1 to v1.5"]()
    found = kinds(union(before, after))
    assert len(found[CHANGED]) == 6
    assert AFFECTED not in found


def test_blocks_that_change_alike_are_folded_and_their_attributes_said() -> None:
    before, after = PAIRS["resnet50 to resnext50"]()
    open_ = union(before, after)
    counts = [cluster.count for cluster in open_.scene.items if isinstance(cluster, Cluster)]
    assert counts == [1, 2, 1, 3, 1, 5, 1, 2]
    # A page has no room for what is in them: they are closed, and say what changes.
    made = compared(before, after)
    words = {p.text for p in leaves(made.parts) if isinstance(p, Text)}
    assert {"Bottleneck ×3", "Bottleneck ×4", "Bottleneck ×6"} <= words
    assert "3×3, 64 → 3×3, 128 · 32 groups" in words
    assert (made.width <= PAGE[0], made.height <= PAGE[1]) == (True, True)


@pytest.mark.parametrize(
    "pair",
    [
        ("resnet50", "mobilenetv2"),
        ("vgg16", "alexnet"),
        ("densenet121", "resnet50"),
        ("googlenet", "googlenet_bn"),
    ],
)
def test_what_changes_in_many_places_is_closed_until_a_page_holds_it(
    pair: tuple[str, str],
) -> None:
    before, after = map(network, pair)
    made = compared(before, after)
    assert made.width <= PAGE[0] + 1
    assert made.height <= PAGE[1] + 1
    for level in range(LEVELS):
        found = union(before, after, level)
        held = [part.nodes for part in found.parts.values()]
        assert [sum(len(names) for names in side) for side in zip(*held, strict=True)] == [
            len(before.wires),
            len(after.wires),
        ]


def test_what_is_larger_than_a_page_says_so(tmp_path: Path) -> None:
    def said(*options: str) -> str:
        path = str(tmp_path / f"x.{'html' if 'html' in options else 'svg'}")
        arguments = [option for option in options if option != "html"]
        return CliRunner().invoke(cli, [*arguments, "-o", path]).stderr

    large = ("draw", "retinanet_resnet50_fpn", "--model", "RetinaNet", "--detail", "full")
    words = "larger than a page of 174 × 230 mm; --width-mm 174 --height-mm 230 shows what fits"
    assert words in said(*large)
    assert not said(*large, "html")
    assert not said("draw", "lenet5")
    assert "larger than a page" in said("diff", "unet", "unetpp")


def test_the_total_is_exact_and_a_boxs_delta_is_signed() -> None:
    before, after = PAIRS["width 1.0 to 0.75"]()
    words = texts(before, after)
    assert f"−868,448 parameters ({before.parameters:,} → {after.parameters:,})" in words
    assert signed(-1234567) == "−1.23M"
    assert signed(0) == "+0"


def test_kinds_are_told_apart_without_colour() -> None:
    made = compared(*PAIRS["unet to unet_bn"]())
    dashes, signs = {}, {}
    for group in (g for g in made.parts if isinstance(g, Group) and g.kind == "node"):
        kind = dict(group.data)["kind"]
        areas = [p for p in leaves(group.children) if isinstance(p, Area)]
        dashes.setdefault(kind, set()).add(areas[0].dashed)
        marks = [c for c in group.children if isinstance(c, Group) and c.kind == "sign"]
        signs.setdefault(kind, set()).update(
            part.text for mark in marks for part in mark.children if isinstance(part, Text)
        )
    assert dashes.pop(REMOVED) == {True}
    assert set.union(*dashes.values()) == {False}
    for one, two in combinations(signs, 2):
        assert not signs[one] & signs[two]


@pytest.mark.parametrize(
    ("ending", "theme"),
    [("svg", "dark"), ("html", "light"), ("png", "paper"), ("pdf", "light")],
)
def test_the_command_draws(ending: str, theme: str, tmp_path: Path) -> None:
    path = tmp_path / f"x.{ending}"
    command = ["diff", "lenet5", "--set", "classes=3", "-o", str(path), "--theme", theme]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 0, done.output
    assert path.stat().st_size > 500


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--theme", "dark"], "name its file with -o"),
        (["-o", "x.svg", "--json"], "choose one of"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: list[str], words: str) -> None:
    done = CliRunner().invoke(cli, ["diff", "lenet5", "--set", "classes=3", *options])
    assert done.exit_code == 2
    assert words in done.output


def test_a_picture_of_changes_goes_to_standard_output() -> None:
    done = CliRunner().invoke(cli, ["diff", "lenet5", "--set", "classes=3", "-o", "-"])
    assert done.output.startswith("<svg")


def test_an_ending_that_is_no_picture_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.md"
    done = CliRunner().invoke(cli, ["diff", "resnet18", "resnet34", "-o", str(path)])
    assert done.exit_code != 0
    assert "E611" in str(done.output) or "E611" in str(done.exception)


@pytest.mark.parametrize(
    "pair",
    [
        ("resnet18", "resnet34"),
        ("vit_tiny", "vit_tiny"),
        ("retinanet_resnet50_fpn", "fcos_resnet50_fpn"),
        ("yolov3", "yolov4"),
    ],
)
def test_what_changes_in_a_few_places_stands_on_a_page(pair: tuple[str, str]) -> None:
    made = compared(*map(network, pair))
    assert made.width <= PAGE[0] + 1
    assert made.height <= PAGE[1] + 1
    assert min(part.size for part in leaves(made.parts) if isinstance(part, Text)) >= 8


@pytest.mark.parametrize(
    "pair",
    [
        ("unet", "unetpp"),
        ("googlenet", "googlenet_bn"),
        ("densenet121", "dpn68"),
        ("mobilenetv3_small", "mobilenetv3_large"),
        ("retinanet_resnet50_fpn", "fcos_resnet50_fpn"),
    ],
)
def test_nothing_in_a_picture_of_changes_is_painted_over_a_word(pair: tuple[str, str]) -> None:
    assert not faults(compared(*map(network, pair)))


def test_many_outputs_in_one_list_of_words_are_each_found() -> None:
    text = """
model Net: image[3, H=8, W=8] -> (a, b, c, d) {
  y: conv(8, %s)
  a, b, c, d: y -> split(4)
}
"""
    one, two = (loads(text % kernel) for kernel in ("3x3", "5x5"))
    assert ">a, b, c, d<" in svg(compared(one, two))


@pytest.mark.parametrize(
    "pair",
    [
        ("attention_unet", "unet"),
        ("yolov8n", "yolov5s"),
        ("fcn8s", "segnet"),
        ("mobilenetv1", "mobilenetv2"),
        ("lenet5", "unet"),
    ],
    ids=" to ".join,
)
def test_unlike_networks_are_one_picture_without_a_fault(pair: tuple[str, str]) -> None:
    assert faults(compared(*map(network, pair))) == []


def test_boxes_that_read_and_feed_the_same_are_one() -> None:
    pair = network("retinanet_resnet50_fpn"), network("fcos_resnet50_fpn")
    assert kinds(union(*pair))[REMOVED] == ["RetinaHead"] * 5
    assert kinds(union(*pair, 2))[REMOVED] == ["5 × RetinaHead"]
    assert {"5 × RetinaHead", "90000×4 … 441×4"} <= texts(*pair)


@pytest.mark.parametrize("pair", [("yolov3", "yolov4"), ("unet", "unetpp")])
def test_a_sign_is_clear_of_the_words_of_its_box(pair: tuple[str, str]) -> None:
    for box in compared(*map(network, pair)).parts:
        inside = box.children if isinstance(box, Group) and box.kind == "node" else ()
        for mark in (
            part for part in inside if isinstance(part, Group) and part.kind == "sign"
        ):
            area = mark.children[0]
            assert isinstance(area, Area)
            for word in (part for part in inside if isinstance(part, Text)):
                high = word.y - 0.72 * word.size
                left = word.x - font.width(word.text, word.size, bold=word.bold) / 2
                under = high >= area.y + area.height or word.y <= area.y
                assert under or left >= area.x + area.width or word.anchor != "middle"
