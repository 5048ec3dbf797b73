"""What a picture says is true and whole: every layer, every attribute, every block's values."""

from __future__ import annotations

import math

import pytest

from cnndsl.figures.blocks import arranged
from cnndsl.figures.blocks import blocks as drawn
from cnndsl.figures.layout.cards import Cards
from cnndsl.figures.layout.strides import node_strides, strides
from cnndsl.figures.mermaid import mermaid
from cnndsl.figures.plan import plan
from cnndsl.figures.scene import Box, Cluster, Frame, Item, Plan, Scene, boxes
from cnndsl.figures.svg import svg
from cnndsl.figures.table import rows
from cnndsl.figures.telling import Teller
from cnndsl.figures.terminal import terminal
from cnndsl.figures.text import label_text, shape_text
from cnndsl.figures.tikz import tikz
from cnndsl.figures.titles import Sayer
from cnndsl.figures.values import named_calls, values
from cnndsl.files import shipped
from cnndsl.graph import Network
from cnndsl.network import loads
from cnndsl.ops.base import Op
from cnndsl.ops.facts import Auto
from tests.figures.geometry import network

ZOO = sorted(shipped())
ROWS = {"unbatch", "rebatch", "input"}
"""Where the rows of `each row` join the batch, which its box says; inputs have names."""


def scenes(planned: Plan) -> list[tuple[Scene, Frame | None]]:
    frames = [(frame.scene, frame) for frame in planned.frames if frame.scene]
    return [(planned.main, None), *frames]


def flat(body: str) -> Network:
    return loads(f"model M: image[3, H=32, W=32] -> y {{\n{body}\n}}")


def repeats(items: list[Item]) -> list[Item]:
    """The sequences that stand for several."""
    clusters = [item for item in items if isinstance(item, Cluster)]
    inner = [found for item in clusters for found in repeats(item.children)]
    return [*(item for item in clusters if item.count > 1), *inner]


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize("folding", [None, False])
def test_every_layer_has_words_in_its_box(name: str, folding: bool | None) -> None:
    found = network(name)
    planned = plan(found, folding=folding)
    say = Sayer(found)
    for scene, frame in scenes(planned):
        cards = Cards(found, scene, frame)
        repeated = {box.key for box in boxes(repeats(scene.items))}
        for box in scene.boxes():
            if box.frame is not None or not box.nodes:
                continue
            card = cards[box]
            text = " ".join([*card.titles, *card.lines])
            assert "…" not in text or box.beside > 1, text
            said = say(box, frame)
            for word in (said.title, *said.small):
                asked = word.removeprefix("size ")  # said as that of the output
                assert all(part in text for part in asked.split()), (word, text)
            once = box.count == box.beside == 1 and box.key not in repeated
            silent = set(box.nodes) - set(box.parts) if once else set()
            assert {found.node(node).op.name for node in silent} <= ROWS


def computed(op: Op) -> Op:
    """An operation without what its weights begin with, which is no part of the result."""
    return op.with_values(dict.fromkeys(op.beginnings, Auto.AUTO))


@pytest.mark.parametrize("name", ZOO)
def test_boxes_of_unequal_steps_have_other_words(name: str) -> None:
    found = network(name)
    say = Sayer(found)
    shown: dict[str, tuple[object, ...]] = {}
    for box in plan(found, folding=False).main.boxes():
        if not box.parts:
            continue
        ops = tuple(computed(found.node(node).op.plain()) for node in box.parts)
        said = say(box)
        text = " · ".join([said.title, *said.small])
        assert shown.setdefault(text, ops) == ops, text


LAYERS = """
  conv(64, 3x3, dilation=2) -> conv(64, 3x3, groups=32) -> conv(64, 3x3)
  y: dwconv(3x3) -> conv(64, 3x3, groups=64) -> conv(64, 3x3, pad=valid)
"""
SAID = [
    "3×3, 64 · rate 2",
    "3×3, 64 · 32 groups",
    "3×3, 64",
    "dw 3×3",
    "3×3, 64 · 64 groups",
    "3×3, 64 · valid",
]


def test_the_same_words_are_in_every_style() -> None:
    found = flat(LAYERS)
    say = Sayer(found)
    boxes = [box for box in plan(found).main.boxes() if box.parts]
    texts = [" · ".join([say(box).title, *say(box).small]) for box in boxes]
    assert texts == SAID
    assert [row.layers[0] for row in rows(found) if row.count == 1][-6:] == SAID
    for made in (svg(drawn(found)), mermaid(found), terminal(found), tikz(drawn(found))):
        for word in ("rate 2", "32 groups", "64 groups", "valid"):
            assert made.count(word) >= 1, word
    summary = str(found.summary())
    assert all(text in summary for text in SAID)


BLOCK = """
block B(c: int, nl: op = relu, s: int = 1, drop: float = 0.0) {
  conv(c, 3x3, stride=s, act=nl) -> conv(c, 3x3, act=nl) -> droppath(drop)
  -> conv(c, 1x1) -> conv(c, 3x3)
}
"""


def calls(body: str) -> Plan:
    padding = " -> ".join(["conv(9, 3x3) -> maxpool(3x3, stride=1, pad=1)"] * 14)
    text = f"{BLOCK}model M: x[3, H=64, W=64] -> y {{\n {padding}\n{body}\n y: relu\n}}"
    return plan(loads(text))


def boxes_of(planned: Plan) -> list[Box]:
    return [box for box in planned.main.boxes() if box.frame is not None]


def test_a_block_says_its_arguments_and_its_frame_has_a_table_of_them() -> None:
    planned = calls("a: B(8)\nb: B(16, nl=hardswish)\nc: B(16, s=2)")
    say = Sayer(planned.network)
    assert [say(box).arguments for box in boxes_of(planned)] == [
        ("c 8", "nl relu", "s 1"),
        ("c 16", "nl hardswish", "s 1"),
        ("c 16", "nl relu", "s 2"),
    ]
    (frame,) = planned.frames
    table = values(planned, frame)
    assert table is not None
    assert table.header[:4] == ("", "c", "nl", "s")
    assert [row[:4] for row in table.rows] == [
        ("a", "8", "relu", "1"),
        ("b", "16", "hardswish", "1"),
        ("c", "16", "relu", "2"),
    ]
    assert frame.scene is not None
    first = next(box for box in frame.scene.boxes() if box.parts)
    assert (say(first, frame).title, say(first, frame).tags) == ("3×3, c /s", ("nl",))


def test_a_block_within_itself_is_opened_where_it_stands() -> None:
    network = loads("""
block Res { add { { conv(32, 1x1) -> conv(32, 3x3) -> conv(64, 1x1) }; skip } }
block Hourglass(depth: int) {
  add {
    Res
    { maxpool(2x2) -> Res
      Hourglass(depth - 1) when depth > 1
      Res -> upsample(2) }
  }
}
model M: image[64, H=64, W=64] -> y { y: conv(64, 7x7) -> Hourglass(3) * 2 }
""")
    (found,) = (frame for frame in plan(network, closed=True).frames if frame.name[0] == "H")
    assert found.scene is not None
    assert len(found.calls) == 2
    inside = [box for box in found.scene.boxes() if box.nodes]
    assert sum(box.count for box in inside if box.title == "Res") == 9
    assert not any(box.condition for box in inside)


def test_a_run_whose_rate_grows_is_one_box_with_its_range() -> None:
    planned = calls("a: for d in [0.0, 0.05, 0.1] { B(8, drop=d) }")
    (box,) = boxes_of(planned)
    assert box.count == 3
    assert Sayer(planned.network)(box).arguments == ("drop 0–0.1",)


def test_a_block_whose_numbers_differ_is_no_repeat() -> None:
    planned = calls("a:\nfor | c | nl |\n | 8 | relu |\n | 9 | gelu |\n { B(c, nl) }")
    assert [box.count for box in boxes_of(planned)] == [1, 1]


@pytest.mark.parametrize(
    ("step", "lane"),
    [
        ("conv(8, 3x3, stride=2)", 1),
        ("conv(8, 5x5, pad=valid)", 0),
        ("maxpool(2x2) -> reorg(2)", 2),
        ('rearrange("(a b c) h w -> c (h a) (w b)", a=2, b=2)', -1),
        ("avgpool(4x4) -> upsample(4)", 0),
        ("maxpool(8x8) -> conv(8, 3x3, pad=valid)", 3),
    ],
)
def test_a_lane_is_the_stride_that_explain_counts(step: str, lane: int) -> None:
    found = loads(f"model M: image[16, H=32, W=32] -> y {{\n y: {step}\n}}")
    last = next(reversed(list(found.graph)))
    assert node_strides(found)[last] == lane


@pytest.mark.parametrize(
    ("steps", "lanes"),
    [
        ("conv(9, 3x3) -> pixel_shuffle(3)", ["1/1", "3×"]),
        ("maxpool(8x8) -> conv(4, 3x3)", ["1/1", "1/8"]),
        ("maxpool(6x6) -> conv(4, 3x3, stride=2)", ["1/1", "1/6", "1/12"]),
        # 25 of 48 is what halves an odd size: no ratio to be read.
        ("resize([25, 25]) -> conv(4, 3x3)", ["1/1", "1/2"]),
        ("resize([72, 72]) -> conv(4, 3x3)", ["1/1", "3/2"]),
    ],
)
def test_a_lane_is_called_what_its_maps_measure(steps: str, lanes: list[str]) -> None:
    found = loads(f"model M: image[9, H=48, W=48] -> y {{\n y: {steps}\n}}")
    assert [band.text for band in arranged(found).main.bands] == lanes
    assert all(f"{lane} │" in terminal(found) for lane in lanes)


def test_pools_side_by_side_stay_in_their_lane() -> None:
    levels = "\n".join(
        f"x -> avgpool({n}x{n}) -> conv(4, 1x1) -> resize([8, 8])" for n in (2, 4, 8)
    )
    found = flat(f"x: maxpool(4x4)\n y: concat {{ x\n{levels} }}")
    scene = plan(found).main
    assert set(strides(found, scene).values()) == {0, 2}


@pytest.mark.parametrize("name", ["pointnet", "inception_v3", "pix2pix"])
def test_a_stride_is_said_of_blocks_that_have_one(name: str) -> None:
    # What makes a matrix of a map, here 3×3 of 1024 points, has none.
    planned = plan(network(name), closed=True)
    titles = {box.title for scene, _ in scenes(planned) for box in scene.boxes()}
    assert {title for title in titles if title.startswith(("TNet", "Reduction"))} == {
        "pointnet": {"TNet"},
        "inception_v3": {"ReductionA /2", "ReductionB /2"},
        "pix2pix": set(),
    }[name]


def test_one_anchor_is_one() -> None:
    found = network("fcos_resnet50_fpn")
    assert "5 × 1 anchor<" in svg(drawn(found, opened=("Boxes",)))
    closed = svg(drawn(found))
    assert "5 × 1 anchor<" not in closed
    assert ">1 anchor<" in closed


def test_what_makes_boxes_of_a_heads_numbers_is_closed_and_says_what_it_does() -> None:
    found = network("yolov5s")
    planned, say = plan(found), Sayer(found)
    (detect,) = (frame for frame in planned.frames if frame.name == "Detect")
    assert detect.scene is not None
    titles = [say(box, detect).title for box in detect.scene.boxes() if box.nodes]
    assert titles == ["1×1, 255", "Boxes"]
    assert [frame.quiet for frame in planned.frames if frame.name == "Boxes"] == [True]
    found = network("mask_rcnn_resnet50_fpn")
    (box,) = (b for b in plan(found, closed=True).main.boxes() if b.title == "Detect")
    assert box.frame is not None
    assert box.frame.quiet
    assert Sayer(found)(box).tags == ("decode rcnn", "NMS 0.5, 100")


def test_a_closed_box_tells_of_what_makes_boxes_in_it() -> None:
    found = network("yolov1")
    (box,) = (box for box in plan(found, folding=True).main.boxes() if box.title == "Boxes")
    assert {"wh 448×448", "form yolov1"} <= set(Teller(found).attributes(box))


def test_what_most_norms_share_is_said_once_and_the_others_say_theirs() -> None:
    norms = ["bn(eps=0.001)"] * 3 + ["bn", "bn(momentum=0.3)", "bn(eps=0.001, momentum=0.3)"]
    found = flat(
        "y: " + " -> ".join(f"conv(8, 3x3) -> {norm}" for norm in ["bn(eps=0.001)", *norms])
    )
    say = Sayer(found)
    assert say.notes == ["bn: eps 0.001 if not said otherwise"]
    tags = [say(box).tags[-1] for box in plan(found).main.boxes() if box.parts]
    assert tags == ["bn", "bn eps 1e-5", "bn momentum 0.3 eps 1e-5", "bn momentum 0.3"]


def test_a_small_backbone_is_opened_where_it_stands() -> None:
    planned = plan(network("faster_rcnn_resnet50_fpn"), closed=True)
    assert "Bottleneck" in {box.title for box in planned.main.boxes()}
    tighter = plan(network("faster_rcnn_resnet50_fpn"), closed=True, pyramids=())
    assert "FPN" in {box.title for box in tighter.main.boxes()}


def test_a_table_says_what_a_cell_of_two_numbers_means() -> None:
    made = svg(drawn(network("resnet50")))
    assert "2, 1: of the first, and of the others" in made


@pytest.mark.parametrize("name", ZOO)
def test_a_row_of_calls_of_several_sizes_says_the_ends(name: str) -> None:
    planned = plan(network(name), folding=True)
    for frame in planned.frames:
        table = values(planned, frame)
        if table is None:
            continue
        calls = named_calls(planned, frame)
        for row in table.rows:
            said = row[table.header.index("out")]
            shapes = [c.outputs[0].shape for c in frame.calls if calls.get(id(c)) == row[0]]
            alone = [row[0] for row in table.rows].count(row[0]) == 1
            if alone and len({shape[1:] for shape in shapes}) > 1 and said != "–":
                sizes = sorted((shape[1:] for shape in shapes), key=math.prod)
                large, small = said.split(" … ")
                assert large.endswith(shape_text((1, *sizes[-1])).removeprefix("1"))
                assert small.endswith(shape_text((1, *sizes[0])).removeprefix("1×"))


def test_a_row_of_several_sizes_says_the_largest_and_the_smallest() -> None:
    rows = {
        name: {row[0]: row[-3] for row in table.rows}
        for name, block in (("stacked_hourglass", "Residual"), ("efficientdet_d0", "Separable"))
        for planned in [plan(network(name), folding=True)]
        for frame in planned.frames
        if frame.name == block and (table := values(planned, frame))
    }
    assert rows["stacked_hourglass"]["x"] == "128×128² … 256×64²"
    assert rows["stacked_hourglass"]["stage"] == "256×64² … 4²"
    assert rows["efficientdet_d0"]["fpn"] == "64×64² … 4²"
    assert rows["efficientdet_d0"]["reg"] == "64×64² … 36×4²"


def test_a_block_within_itself_is_one_picture() -> None:
    (found,) = (f for f in plan(network("stacked_hourglass")).frames if f.name == "Hourglass")
    assert found.scene is not None
    pools = [box for box in found.scene.boxes() if "maxpool" in str(box.nodes)]
    assert len(pools) == 4
    assert len(found.calls) == 8


TWINS = """
block Tower(w: int) { conv(w, 7x7, stride=2, norm=bn) -> conv(w, 3x3) -> gap -> linear(64) }
model Twins: (a[3, H=64, W=64], b[3, H, W]) -> (score, one) {
  tower: Tower(32) each { a; b }
  one: tower[0]
  score: sub { tower[0]; tower[1] } -> abs -> linear(1)
}
"""


def test_the_members_of_a_family_have_the_same_kind_of_name() -> None:
    found = loads(TWINS)
    for folding in (True, False):
        items = plan(found, folding=folding).main.items
        named = [item.labels for item in items if item.labels and "tower" in item.labels[0]]
        assert named == [["tower[0]"], ["tower[1]"]], folding
    text = mermaid(found) + terminal(found)
    assert all(f"tower[{n}]" in text for n in (0, 1))
    assert {row.stage for row in rows(found) if row.layers[0] == "Tower:"} == {"tower"}


RES = """
block Res(c: int, s: int = 1) {
  add {
    { conv(c, 3x3, stride=s) -> conv(c, 3x3) }
    skip when s == 1 and in.c == c
    else conv(c, 1x1, stride=s)
  } -> relu
}
block Stage(c: int, n: int) { conv(c, 3x3, stride=2) -> conv(c, 3x3) * n }
model M: image[3, H=64, W=64] -> y[10] {
  stem: conv(16, 3x3)
  c1: Res(16) -> Res(16)
  c2: Res(32, 2) -> Res(32) -> Res(32)
  Stage(64, 2) -> Stage(64, 1)
  y: gap -> linear(10)
}
"""


def test_what_some_calls_have_is_said_as_what_all_have() -> None:
    found = loads(RES)
    frame = plan(found, folding=True).frames[0]
    assert frame.scene is not None
    cards = Cards(found, frame.scene, frame)
    shown = [(cards[box].title, cards[box].small) for box in frame.scene.boxes() if box.nodes]
    assert shown[:3] == [
        ("3×3, c /s", ""),
        ("3×3, c", ""),
        ("1×1, c /s", "unless s = 1 and c′ = c"),
    ]


def test_the_channels_that_a_block_is_given_are_named_at_its_input() -> None:
    for source, said in ((RES, ("c′",)), (RES.replace("and in.c == c", ""), ())):
        found = loads(source)
        frame = plan(found, folding=True).frames[0]
        assert frame.scene is not None
        cards = Cards(found, frame.scene, frame)
        ports = {box.title: cards[box].lines for box in frame.scene.boxes() if not box.nodes}
        assert ports == {"in": said, "out": ()}


def test_a_row_of_a_table_is_a_line_of_the_source() -> None:
    found = loads(RES)
    planned = plan(found, folding=True)
    table = values(planned, planned.frames[0])
    assert table is not None
    assert [row[:4] for row in table.rows] == [
        ("c1", "2", "16", "1"),
        ("c2", "3", "32", "2, 1"),
    ]


def test_only_an_argument_that_is_the_stride_of_all_calls_says_it() -> None:
    found = loads(RES)
    stages = [box for box in plan(found, folding=True).main.boxes() if box.frame]
    assert [box.title for box in stages if box.frame and box.frame.name == "Stage"] == [
        "Stage /2",
        "Stage /2",
    ]


def test_a_repeat_that_is_an_argument_is_said_by_its_name() -> None:
    found = loads(RES)
    frame = next(f for f in plan(found, folding=True).frames if f.name == "Stage")
    assert frame.scene is not None
    cards = Cards(found, frame.scene, frame)
    assert [cards[box].title for box in frame.scene.boxes() if box.nodes] == [
        "3×3, 64 /2",
        "3×3, 64 ×n",
    ]


def test_blocks_on_one_line_have_rows_of_their_own() -> None:
    found = loads(
        "block A(c: int) { conv(c, 3x3) -> conv(c, 1x1) -> relu }\n"
        "block B { A(8) -> A(16) -> conv(8, 1x1) -> conv(4, 5x5) }\n"
        "block C { A(8) -> conv(4, 3x3) -> A(32) -> conv(4, 5x5) }\n"
        "model M: x[4, H=32, W=32] -> y {\n  neck: B -> C -> B -> C\n  y: conv(1, 1x1)\n}"
    )
    planned = plan(found, folding=True)
    frame = next(frame for frame in planned.frames if frame.name == "A")
    table = values(planned, frame)
    assert table is not None
    assert [row[:2] for row in table.rows] == [("B", "8/16"), ("C", "8/32")]
    assert table.notes == ("each row: 4 blocks; 8/16: in turn",)


def test_padding_before_what_is_read_is_causal() -> None:
    found = loads(
        "block T(d: int) { conv(8, 3, dilation=d, pad=causal) -> conv(8, 1) -> relu }\n"
        "model M: x[8, L=64] -> y {\n  t: for d in [1, 2] { T(d) }\n"
        "  y: conv(1, 3, pad=causal) -> conv(1, 3, pad=[1, 0])\n}"
    )
    planned = plan(found, folding=True)
    frame = planned.frames[0]
    assert frame.scene is not None
    cards = Cards(found, frame.scene, frame)
    shown = [cards[box].small for box in frame.scene.boxes() if box.nodes]
    assert shown[0].startswith("causal · rate d")
    said = [Sayer(found)(box).small for box in planned.main.boxes() if box.labels == ["y"]]
    assert said == [("pad 1+0",)]
    assert "causal" in terminal(found)


def test_no_edge_leads_to_what_reads_nothing() -> None:
    found = loads("""
        model M: image[3, H=32, W=32] -> (y, bins) {
          x: conv(8, 3x3, stride=2) -> gap
          scale: x -> learned([8], init=ones)
          bins: x -> values([1, 2, 4])
          half: x -> full([8], 0.5)
          y: add { mul { x; scale }; half }
        }""")
    made = plan(found).main
    fed = {edge.head for edge in made.edges}
    say = Sayer(found)
    apart = [say(box, None).title for box in made.boxes() if box.key not in fed]
    assert apart == ["image", "learned 8", "values 1, 2, 4", "0.5, 8"]
    piece = arranged(found).main.piece
    assert set(piece.wires) == {(edge.tail, edge.head) for edge in made.edges}
    text = mermaid(found)
    assert text.count("-->") == len(made.edges)


def test_the_sizes_of_a_splits_parts_are_a_list() -> None:
    # Joined by `+` they read as a sum, and so does a size that is one: `c+c′ − c`.
    found = flat("a, b: split([1, 2])\n y: concat { b; a }")
    titles = [Sayer(found)(box).title for box in plan(found).main.boxes()]
    assert "split 1, 2" in titles
    assert "split 1, 2" in terminal(found)


DUAL = """
block Conv(c: int, k: size, s: int = 1, groups: int = 1) {
  bn -> relu -> conv(c, k, stride=s, groups=groups)
}
block Dual(r: int, c: int, s: int, odd: int) {
  Conv(r, 1x1, 1) -> Conv(r, 3x3, s, groups=2) -> relu -> Conv(c + 2 * r, 1x1)
  other: Conv(r if odd == 1 else 8, 3x3)
}
block Tap(d: int): x -> (next as x, tap) {
  next: conv(8, 3, dilation=d) -> add { skip; x }
  tap: conv(4, 1)
}
block Taps(n: int): x -> tap {
  taps: for i in 0..n { Tap(2 ** i) }
  tap: add { taps[*].tap }
}
"""
TWO = "model M: image[8, H=32, W=32] -> y {\n  a: Dual(16, 4, 1, 0)\n  y: Dual(32, 8, 2, 1)\n}"
ROW = "model M: x[8, L=256] -> y {\n  a: x -> Taps(6)\n  b: x -> Taps(6)\n  y: sub { a; b }\n}"


def called(found: Network, block: str) -> list[tuple[str, ...]]:
    """The arguments of the blocks that are called in another's frame."""
    planned, say = plan(found, folding=True), Sayer(found)
    frame = next(frame for frame in planned.frames if frame.name == block)
    assert frame.scene is not None
    return [say(box, frame).arguments for box in frame.scene.boxes() if box.frame]


def test_a_call_says_all_that_it_gives_but_defaults() -> None:
    assert called(loads(DUAL + TWO), "Dual")[:3] == [
        ("r", "k 1"),
        ("r", "k 3", "s", "groups 2"),
        ("c+2·r", "k 1"),
    ]


def test_no_argument_reads_as_an_equation_of_the_frames_own_names() -> None:
    source = """
block Conv(c: int, k: size, n: int = 1, groups: int = 1) {
  conv(c, k, groups=groups) -> conv(n, 1x1)
}
block Path(c: int, k: int, n: int) {
  Conv(c // 2, 3x3, 4) -> Conv(c + k + n, 1x1, 4, groups=2) -> Conv(c, 1x1, k)
}
model M: image[8, H=32, W=32] -> y {
  a: Path(16, 4, 2)
  y: Path(32, 8, 6)
}
"""
    found = loads(source)
    assert called(found, "Path") == [
        ("c/2", "3×3", "n 4"),
        ("c+k+n", "1×1", "its n 4", "groups 2"),
        ("c", "1×1", "its n = k"),
    ]
    frame = next(f for f in plan(found, folding=True).frames if f.name == "Conv")
    assert frame.scene is not None
    first, *_ = [box for box in frame.scene.boxes() if box.nodes]
    assert Sayer(found)(first, frame).attributes == ("1 or 2 groups",)


def test_what_is_a_name_in_some_calls_alone_is_not_said_to_be_one() -> None:
    assert called(loads(DUAL + TWO), "Dual")[3] == ("c 8|32", "k 3")


def test_an_argument_that_grows_from_call_to_call_is_said_by_its_ends() -> None:
    found = loads(DUAL + ROW)
    assert called(found, "Taps") == [("d 1–32",)]
    assert "d 1–32" in svg(drawn(found))
    assert "d 1–32" in tikz(drawn(found)).replace("{--}", "–")
    assert "d 1–32" in mermaid(found)


def test_two_parameters_that_are_equal_everywhere_are_both_said() -> None:
    # The block's boxes say both names, as `e1` and `e3` of SqueezeNet's.
    found = loads(
        "block Fire(s: int, e: int, f: int) {\n"
        "  squeeze: conv(s, 1x1)\n  concat { conv(e, 1x1); conv(f, 3x3) }\n}\n"
        "model M: image[3, H=32, W=32] -> y {\n  a: Fire(4, 8, 8)\n  y: Fire(6, 12, 12)\n}"
    )
    planned = plan(found, folding=True)
    table = values(planned, planned.frames[0])
    assert table is not None
    assert [row[1:4] for row in (table.header, *table.rows)] == [
        ("s", "e", "f"),
        ("4", "8", "8"),
        ("6", "12", "12"),
    ]
    said = [Sayer(found)(box).arguments for box in planned.main.boxes() if box.frame]
    assert said == [("s 4", "e 8", "f 8"), ("s 6", "e 12", "f 12")]


def test_a_box_says_once_what_size_it_is_asked_for() -> None:
    found = network("segnet")
    cards = Cards(found, plan(found).main, None)
    said = [card.small for card in cards.cards.values() if card.title.startswith("unpool")]
    assert len(said) == 5
    assert not any("size" in words for words in said)


def test_of_two_repeats_in_a_line_the_last_has_the_turns() -> None:
    lines = "y: { conv(8, 1x1) -> conv(9, 3x3) } * 2 -> conv(4, 3x3) -> { conv(4, 3x3) } * 2"
    (first, *_, last) = [item for item in plan(flat(lines)).main.items if item.count > 1]
    assert (label_text(first.labels), label_text(last.labels)) == ("", "y[0–1]")


def test_a_range_of_sizes_is_of_one_output() -> None:
    def lines(name: str, block: str | None, start: str) -> tuple[str, ...]:
        found = network(name)
        planned = plan(found, folding=True)
        frame = next((f for f in planned.frames if f.name == block), None)
        scene = planned.main if frame is None else frame.scene
        assert scene is not None
        cards = Cards(found, scene, frame).cards.values()
        return next(card.lines for card in cards if card.title.startswith(start))

    assert lines("yolov8n", None, "3 × Detect") == ("6400×4 … 400×4", "6400×80 … 400×80")
    heads = ("one set of weights", "10000×91 … 49×91", "10000×4 … 49×4", "10000×1 … 49×1")
    assert lines("fcos_resnet50_fpn", None, "5 × FCOSHead") == heads
    # A layer of a tower gives the five maps of a pyramid, not the first alone.
    assert "64×4²" in lines("efficientdet_d0", "Head", "Layer")[-1]
    # Outputs of equal sizes have one each under their names.
    sizes = lines("fcos_resnet50_fpn", None, "cls, reg, centre, anchors")
    assert ", ".join(text.strip(",") for text in sizes).count("13343×4") == 2


def test_the_size_of_a_row_is_said_as_its_channels_are() -> None:
    planned = plan(network("efficientnet_b0"), folding=True)
    frame = next(frame for frame in planned.frames if frame.name == "SqueezeExcite")
    table = values(planned, frame)
    assert table is not None
    rows = {row[0]: row[table.header.index("out")] for row in table.rows}
    assert (rows["stages[0]"], rows["stages[1]"]) == ("32×112²", "96, 144×56²")


def test_two_values_are_no_range() -> None:
    source = """
block Unit(c: int, t: size) { conv(c, t) -> conv(c, 1x1) }
block Stage(c: int, wide: bool) { Unit(c, 3x3 if wide else 1x1) -> relu }
model M: image[8, H=32, W=32] -> y { a: Stage(16, wide=true); y: Stage(16, wide=false) }
"""
    assert called(loads(source), "Stage") == [("t 1|3",)]


def test_the_notes_under_a_picture_are_on_what_it_shows() -> None:
    found = network("nonlocal_i3d_resnet50")
    opened, closed = (svg(drawn(found, detail=detail)) for detail in ("blocks", "stages"))
    assert "softmax: axis 1" in opened
    assert "softmax: axis 1" not in closed


def test_turns_of_unequal_number_have_no_range_in_their_label() -> None:
    found = network("yolov8n")
    frame = next(f for f in plan(found, folding=True).frames if f.name == "C2f")
    assert frame.scene is not None
    cards = Cards(found, frame.scene, frame).cards.values()
    assert [card.label for card in cards if card.title == "Unit ×n"] == ["units"]


def test_turns_of_unequal_number_have_no_range_in_their_outline() -> None:
    body = "b: for _ in 0..n { add { skip; conv(c, 3x3) } -> relu }"
    found = loads(
        f"block Stage(c: int, n: int) {{ conv(c, 3x3)\n{body} }}\n"
        "model M: x[4, H=16, W=16] -> y { y: Stage(4, 2) -> Stage(4, 3) }"
    )
    (frame,) = plan(found, folding=True).frames
    assert frame.scene is not None
    cards = Cards(found, frame.scene, frame)
    (turns,) = (item for item in frame.scene.items if isinstance(item, Cluster))
    assert (cards.times(turns), cards.label(turns)) == (" ×n", "b")
