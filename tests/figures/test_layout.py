"""Where everything stands, checked on every shipped network."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations, pairwise
from math import dist

import pytest

from cnndsl.diagnostics import ArchError
from cnndsl.figures import Options, font
from cnndsl.figures.blocks import arranged, blocks
from cnndsl.figures.layout import cards as measures
from cnndsl.figures.layout import scene as scenes
from cnndsl.figures.layout.cards import LEVELS, behind
from cnndsl.figures.layout.casing import cased
from cnndsl.figures.layout.packing import packed
from cnndsl.figures.layout.page import Page, page
from cnndsl.figures.layout.panel import Panel
from cnndsl.figures.layout.picture import picture
from cnndsl.figures.layout.piece import Ends, Line, Piece, Spot, bounds
from cnndsl.figures.layout.strides import strides
from cnndsl.figures.paint import (
    Area,
    Group,
    Path,
    Picture,
    Point,
    Polygon,
    Text,
    leaves,
    shifted,
)
from cnndsl.figures.plan import plan
from cnndsl.figures.scene import Box
from cnndsl.figures.svg import svg
from cnndsl.figures.write import written
from cnndsl.files import shipped, zoo
from cnndsl.graph import Network
from cnndsl.network import loads
from cnndsl.ops.facts import Family
from tests.figures.geometry import (
    PAGE,
    crossings,
    enters,
    faults,
    graphviz_crossings,
    network,
    overlap,
    paged,
    placed,
    shared,
    shown,
)
from tests.programs.generate import generate

ZOO = sorted(shipped())
FEW = {
    *("alexnet", "convnext_tiny", "densenet121", "fpn_resnet50", "googlenet", "lenet5"),
    *("mobilenetv2", "pointnet", "resnet50", "ssdlite320_mobilenetv3", "unet", "unetpp"),
    *("vit_tiny", "wavenet", "yolov3"),
}
"""One of each kind; the others are drawn with the slow tests where that takes a second."""
COSTLY = [n if n in FEW else pytest.param(n, marks=pytest.mark.slow) for n in ZOO]
FOLDED = ("stages", "blocks")
CUT = re.compile(r"\S…|…\S")


def panels(name: str, detail: str = "blocks"):  # noqa: ANN201 - the panels of a page
    found = placed(name, detail)
    return [found.main, *found.insets]


def led(piece: Piece) -> set[Ends]:
    """The edges that are drawn, by lines of their own or in a fan."""
    return {*piece.wires, *(ends for fan in piece.fans for ends in fan.edges)}


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize("detail", FOLDED)
def test_every_box_and_edge_is_placed_once(name: str, detail: str) -> None:
    for panel in panels(name, detail):
        keys = [spot.box.key for spot in panel.piece.spots]
        assert sorted(keys) == sorted(box.key for box in panel.scene.boxes())
        assert led(panel.piece) == {(e.tail, e.head) for e in panel.scene.edges}


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize("detail", FOLDED)
def test_no_two_boxes_overlap(name: str, detail: str) -> None:
    for panel in panels(name, detail):
        for one, two in combinations(panel.piece.spots, 2):
            assert not overlap(one, two), (one.box.title, two.box.title)


def outline(panel: Panel, page: Page) -> Spot:
    """The frame of an inset, where the main picture has its axis."""
    left = panel.x - panel.piece.left - panel.side - page.main.x
    top = panel.y - panel.bar - page.main.y
    middle = left + panel.width / 2, top + panel.height / 2
    return Spot(page.main.piece.spots[0].box, *middle, panel.width, panel.height)


def stand_apart(found: Page) -> None:
    piece, frames = found.main.piece, [outline(panel, found) for panel in found.insets]
    for one, two in combinations(frames, 2):
        assert not overlap(one, two)
    for frame in frames:
        assert frame.right + found.main.x <= found.width + 1
        assert not any(overlap(frame, spot) for spot in piece.spots)
        assert not any(enters(line, frame) for line in piece.wires.values())
        for scope in piece.scopes:
            x, y = scope.x + scope.width / 2, scope.y + scope.height / 2
            around = replace(frame, x=x, y=y, width=scope.width, height=scope.height)
            assert not overlap(frame, around)


@pytest.mark.parametrize("name", ZOO)
def test_insets_stand_apart(name: str) -> None:
    stand_apart(placed(name))
    stand_apart(paged(name))


def test_an_inset_stands_where_no_lane_has_anything() -> None:
    found = placed("ssd300_vgg16")
    inside = [panel for panel in found.insets if panel.y < found.main.piece.height / 2]
    assert inside
    assert found.main.bands[0].right > found.bands[0].right


@pytest.mark.parametrize(
    ("seed", "detail", "direction"),
    [
        (7000027, "full", "down"),
        (7000032, "full", "right"),
        (7000036, "blocks", None),
        (61300008, "blocks", None),
        (61300028, "blocks", "right"),
    ],
)
def test_a_random_program_is_drawn_as_cleanly(
    seed: int, detail: str, direction: str | None
) -> None:
    found = arranged(loads(generate(seed)), detail=detail, direction=direction)
    for panel in (found.main, *found.insets):
        assert not shared(panel.piece)
        assert not any(overlap(*pair) for pair in combinations(panel.piece.spots, 2))
        for line in panel.piece.wires.values():
            assert not any(enters(line, spot) for spot in panel.piece.spots)


def test_a_block_that_forks_at_its_edge_is_entered_upright_or_level() -> None:
    found = loads("""
        block Dual(c: int, inc: int) {
          body: in -> bn -> relu -> conv(c + inc, 3x3)
          residual, dense: in -> split([c, in.c - c])
          update, grown: body -> split([c, inc])
          concat { add { residual; update }; dense; grown }
        }
        model M: image[3, H=32, W=32] -> y { conv(64, 3x3) -> Dual(32, 8) * 3
          y: gap -> linear(10)
        }""")
    for direction in ("down", "right"):
        for line in arranged(
            found, detail="full", direction=direction
        ).main.piece.wires.values():
            for (x1, y1), (x2, y2) in pairwise(line):
                assert abs(x1 - x2) < 0.01 or abs(y1 - y2) < 0.01


def test_names_of_any_length_and_script_keep_to_the_page() -> None:
    name = "a_very_long_name_" * 6
    text = f"""
        block Имя({name}: int) {{ conv({name}, 3x3) -> relu }}
        model 名: {name}image[3, H=8, W=8] -> {name}y {{
          {name}a: Имя(4)
          {name}b: Имя(8)
          {name}y: concat {{ {name}a; {name}b }}
        }}"""
    made = blocks(loads(text))
    assert made.width <= PAGE[0]
    assert font.width("名", 10) == 10
    assert not font.knows("名")
    assert font.width("и", 10) < 8


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize("detail", FOLDED)
def test_no_edge_runs_through_a_box(name: str, detail: str) -> None:
    for panel in panels(name, detail):
        for ends, line in panel.piece.wires.items():
            for spot in panel.piece.spots:
                assert not enters(line, spot), (ends, spot.box.key, line)


@pytest.mark.parametrize("name", ZOO)
def test_nothing_is_painted_over_anything_else_and_no_word_is_cut(name: str) -> None:
    for made in (picture(one) for one in (shown(name, "stages"), shown(name), paged(name))):
        assert not faults(made)
        words = [part.text for part in leaves(made.parts) if isinstance(part, Text)]
        assert not [text for text in words if CUT.search(text)]


@pytest.mark.parametrize("name", ["yolov3", "yolov5s", "wavenet"])
def test_no_line_runs_under_a_label(name: str) -> None:
    # Heads that split what they predict, in boxes with wide labels; circles with labels.
    assert not faults(picture(shown(name, "full")))


def test_a_block_with_an_outline_is_met_at_its_way_in() -> None:
    # Its long skips are no arcs: these would come in through its title.
    found = shown("hrnet_w18", "full")
    assert not faults(picture(found))


def test_a_rail_is_shared_with_no_other_edge() -> None:
    found = shown("faster_rcnn_resnet50_fpn", "full")
    assert found.main.piece.rails
    assert not shared(found.main.piece)
    assert not faults(picture(found))


def test_a_fault_on_the_page_is_seen() -> None:
    made = picture(shown("fpn_resnet50"))
    boxes = [part for part in made.parts if isinstance(part, Group) and part.kind == "node"]
    made.parts.append(shifted(boxes[3], 0, 20))
    seen = {kind for kind, _, _ in faults(made)}
    assert {"a box on a box", "a word on a box", "a word on a word"} <= seen


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize("detail", FOLDED)
def test_edges_are_upright_or_level(name: str, detail: str) -> None:
    for panel in panels(name, detail):
        for ends, line in panel.piece.wires.items():
            for (x1, y1), (x2, y2) in pairwise(line):
                straight = abs(x1 - x2) < 0.01 or abs(y1 - y2) < 0.01
                assert straight or ends in panel.piece.arcs


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize("detail", FOLDED)
def test_no_text_leaves_its_box(name: str, detail: str) -> None:
    for panel in panels(name, detail):
        for spot in panel.piece.spots:
            card = panel.cards[spot.box]
            face = panel.cards.celltype if card.cell else panel.cards.type
            words = [
                font.width(title, face.title, bold=True)
                # A strip says its count alone: its title is for a reader's ears.
                for title in (() if card.strip else card.titles)
            ]
            words += [font.width(line, face.small) for line in card.lines]
            # The middle of a slanted side is half its slant from the box's.
            slanted = spot.box.family in measures.SLANTED and not card.cell
            room = spot.width - (7 if slanted else 0)
            assert card.round or max(words) <= max(room, 0) or card.bare
            whole = spot.aside or spot.late or spot.low or not _over(spot, panel.piece)
            room = spot.width - 2 if whole else spot.width / 2 - 8
            assert spot.words <= (measures.NAMED if spot.round else max(room, 0))


def _over(spot: Spot, piece: Piece) -> bool:
    """Whether a line passes through the label over a box."""
    left, top, right, foot = spot.label or (0.0,) * 4
    middle = ((left + right) / 2, (top + foot) / 2)
    words = replace(spot, x=middle[0], y=middle[1], width=right - left, height=foot - top)
    return any(enters(line, words) for line in piece.wires.values())


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize("detail", FOLDED)
def test_no_picture_is_a_strip(name: str, detail: str) -> None:
    found = picture(shown(name, detail))
    assert max(found.width / found.height, found.height / found.width) <= 3


@pytest.mark.parametrize("name", COSTLY)
def test_the_same_network_gives_the_same_bytes(name: str) -> None:
    found = network(name)
    assert svg(blocks(found)) == svg(blocks(found))


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize("detail", FOLDED)
def test_every_layer_is_drawn_or_folded(name: str, detail: str) -> None:
    found = network(name)
    cost = found.summary().total
    counted = picture(placed(name, detail)).metadata
    assert counted["nodes"] == found.graph.number_of_nodes()
    assert counted["nodes"] == counted["drawn"] + counted["folded"] + counted["left_out"]
    assert (counted["parameters"], counted["macs"]) == (cost.parameters, cost.macs)


@pytest.mark.parametrize("name", COSTLY)
def test_the_same_holds_with_nothing_folded(name: str) -> None:
    # In one test: the largest of these pictures takes seconds, and is made once.
    test_every_box_and_edge_is_placed_once(name, "full")
    test_no_two_boxes_overlap(name, "full")
    test_no_edge_runs_through_a_box(name, "full")
    test_edges_are_upright_or_level(name, "full")
    test_no_text_leaves_its_box(name, "full")
    test_every_layer_is_drawn_or_folded(name, "full")
    test_no_line_is_of_two_tensors(name, "full")
    assert not faults(picture(shown(name, "full")))


@pytest.mark.parametrize("name", ["fpn_resnet50", "retinanet_resnet50_fpn"])
def test_laterals_of_pyramids_are_level(name: str) -> None:
    piece = placed(name).main.piece
    joins = [s for s in piece.spots if s.box.family is Family.ADD]
    assert joins
    places = {s.box.key: s for s in piece.spots}
    for join in joins:
        lateral = next(
            line
            for (tail, head), line in piece.wires.items()
            if head == join.box.key and places[tail].box.family is Family.CONV
        )
        assert len(lateral) == 2
        assert lateral[0][1] == lateral[1][1] == join.y


@pytest.mark.parametrize("name", ["unet", "unet_bn"])
def test_copies_of_a_unet_are_level_and_what_goes_up_goes_straight(name: str) -> None:
    piece = placed(name).main.piece
    places = {s.box.key: s for s in piece.spots}
    joins = [s for s in piece.spots if s.box.family is Family.CONCAT]
    assert len(joins) == 4
    for join in joins:
        lines = [line for (_, head), line in piece.wires.items() if head == join.box.key]
        assert any(len(line) == 2 and line[0][1] == line[1][1] == join.y for line in lines)
        (up,) = (
            places[tail]
            for tail, head in piece.wires
            if head == join.box.key and places[tail].box.family is Family.UPSAMPLE
        )
        assert up.x == pytest.approx(join.x)
        (below,) = (line for (_, head), line in piece.wires.items() if head == up.box.key)
        assert len(below) == 2 or join.y == max(other.y for other in joins)


@pytest.mark.parametrize("name", ["unet", "unet_bn", "attention_unet"])
def test_the_way_down_of_a_unet_steps_with_its_pools_between_the_lanes(name: str) -> None:
    main = shown(name).main
    places = {s.box.key: s for s in main.piece.spots}
    pools = [s for s in places.values() if s.box.family is Family.POOL]
    assert len(pools) == 4
    for pool in pools:
        lines = [line for ends, line in main.piece.wires.items() if pool.box.key in ends]
        assert all(len(line) == 2 and line[0][0] == line[1][0] == pool.x for line in lines)
        assert not any(band.top < pool.y < band.bottom for band in main.bands)
        (above,) = (places[t] for t, head in main.piece.wires if head == pool.box.key)
        (below,) = (places[h] for tail, h in main.piece.wires if tail == pool.box.key)
        assert above.x < below.x
        # The last may stand further right, under what it leads up to.
        assert below.x < above.right or below.y == max(s.y for s in places.values())
        assert max(above.left, below.left) < pool.x < min(above.right, below.right)


@pytest.mark.parametrize("name", ["unet", "unet_bn"])
def test_a_unet_is_wider_than_high_between_its_input_and_its_output(name: str) -> None:
    found = placed(name)
    spots = found.main.piece.spots
    first = min((s for s in spots if s.box.family is Family.INPUT), key=lambda s: s.x)
    assert found.main.cards[first.box].bare
    assert first.x == min(s.x for s in spots)
    assert first.y == min(s.y for s in spots if s.box.family is Family.CONV)
    assert found.height < found.width


def test_what_hangs_at_the_bottom_of_a_unet_stands_in_its_last_lane() -> None:
    piece = placed("unet").main.piece
    (hangs,) = (s for s in piece.spots if s.box.family is Family.REGULARIZE)
    assert hangs.y == max(s.y for s in piece.spots if s.box.family is Family.CONV)
    (up,) = (line for (tail, _), line in piece.wires.items() if tail == hangs.box.key)
    assert len(up) == 2
    assert up[0][0] == up[1][0]


def test_a_u_with_opened_blocks_goes_straight_down() -> None:
    assert not placed("unet3d").main.piece.stepped
    closed = page(plan(network("unet3d"), closed=True)).main.piece
    assert closed.stepped


def test_each_lane_of_a_nested_unet_begins_a_column_later() -> None:
    piece = placed("unetpp").main.piece
    places = {s.box.key: s for s in piece.spots}
    ups = [s for s in piece.spots if s.box.family is Family.UPSAMPLE]
    joins = {s.y: [] for s in piece.spots if s.box.family is Family.CONCAT}
    for spot in piece.spots:
        if spot.box.family is Family.CONCAT:
            joins[spot.y].append(spot.x)
    assert [len(joins[y]) for y in sorted(joins)] == [4, 3, 2, 1]
    firsts = [min(joins[y]) for y in sorted(joins)]
    assert firsts == sorted(set(firsts))
    for up in ups:
        (tail,) = (t for t, head in piece.wires if head == up.box.key)
        (join,) = (h for t, h in piece.wires if t == up.box.key)
        assert places[join].x == up.x
        # All comes straight up, from the encoder too: that steps to the right.
        below = places[tail]
        assert below.left < up.x < below.right
        line = piece.wires[tail, up.box.key]
        assert [x for x, _ in line] == pytest.approx([up.x, up.x])


def test_a_concat_under_nested_skips_is_a_strip_on_the_box_that_reads_it() -> None:
    main = placed("unetpp").main
    places = {s.box.key: s for s in main.piece.spots}
    joins = [s for s in places.values() if s.box.family is Family.CONCAT]
    assert len(joins) == 10
    for join in joins:
        ((reader, line),) = (
            (places[head], line)
            for (tail, head), line in main.piece.wires.items()
            if tail == join.box.key
        )
        assert join.right == pytest.approx(reader.left)
        assert (join.y, join.height) == (reader.y, reader.height)
        assert line[0] == line[-1]
        assert main.cards[join.box].lines == (str(int(join.box.shapes[0][0])),)
    # What comes up says its channels in its size alone.
    ups = [s for s in places.values() if s.box.family is Family.UPSAMPLE]
    assert {main.cards[up.box].title for up in ups} == {"up 2×2 ↑2"}
    groups = [p for p in picture(placed("unetpp")).parts if isinstance(p, Group)]
    # One more is in the frame of the largest.
    assert sum(group.title == "concat" for group in groups) == 10 + 1
    # Between a strip and its box nothing is drawn, and the edge is there.
    assert sum(group.kind == "edge" and not group.children for group in groups) == 10
    plain = placed("unet").main
    assert not any(plain.cards[s.box].strip for s in plain.piece.spots)


def test_boxes_under_nested_skips_are_named_at_their_lower_side() -> None:
    main = placed("unetpp").main
    named = [s for s in main.piece.spots if s.label and s.box.family is Family.CONV]
    under = [s for s in named if s.low]
    assert len(under) == 15
    for spot in under:
        assert spot.label is not None
        assert spot.label[1] == spot.bottom
        assert spot.words >= font.width(main.cards[spot.box].label, measures.LABEL)


@pytest.mark.parametrize("name", ["yolov3", "yolov4", "fcn8s"])
def test_what_comes_across_from_the_spine_is_level(name: str) -> None:
    piece = placed(name).main.piece
    places = {s.box.key: s for s in piece.spots}
    spine = places[next(s.box.key for s in piece.spots)].x
    across: dict[str, list[tuple[float, Line]]] = {}
    for (tail, head), line in piece.wires.items():
        one, two = places[tail], places[head]
        if one.x == spine < two.x and one.y == two.y:
            across.setdefault(tail, []).append((two.x, line))
    assert len(across) > 1
    for found in across.values():
        nearest = min(found)[1]
        assert len(nearest) == 2
        assert nearest[0][1] == nearest[1][1]


@pytest.mark.parametrize("name", ["googlenet", "googlenet_bn", "inception_v3"])
@pytest.mark.parametrize("detail", ["blocks", "full"])
def test_branches_stand_in_declared_order(name: str, detail: str) -> None:
    for panel in panels(name, detail):
        places = {s.box.key: s.y if s.aside else s.x for s in panel.piece.spots}
        joins = [s.box for s in panel.piece.spots if s.box.family is Family.CONCAT]
        for join in joins:
            tails = [places[e.tail] for e in panel.scene.edges if e.head == join.key]
            assert tails == sorted(tails)


def test_the_last_layers_of_an_inception_module_stand_in_one_row() -> None:
    (inset,) = placed("googlenet").insets
    join = next(s.box for s in inset.piece.spots if s.box.family is Family.CONCAT)
    tails = {e.tail for e in inset.scene.edges if e.head == join.key}
    spots = [s for s in inset.piece.spots if s.box.key in tails]
    ends = {round(s.right if s.aside else s.y, 6) for s in spots}
    assert len(ends) == 1


def test_the_legend_lists_only_families_that_occur() -> None:
    found = blocks(network("vgg16"))
    words = {part.text for part in found.parts if isinstance(part, Text)}
    assert "pooling" in words
    assert not {"upsampling", "resampling"} & words


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ("y: add { x; x -> relu }", "sum"),
        ("y: mul { x; x -> relu }", "product"),
        ("z: add { x; x -> relu }\n  y: mul { x; z }", "sum, product"),
        ("z: add { x; x -> relu }\n  y: z -> exp", "arithmetic"),
        ("y: upsample(2)", "upsampling"),
        ("y: resize([8, 8])", "resampling"),
    ],
)
def test_the_legend_says_what_its_boxes_do(steps: str, said: str) -> None:
    found = blocks(loads(f"model M: x[3, H=16, W=16] -> y {{\n  {steps}\n}}"))
    words = {part.text for part in leaves(found.parts) if isinstance(part, Text)}
    family = {"sum", "product", "sum, product", "arithmetic", "upsampling", "resampling"}
    assert words & family == {said}


@pytest.mark.parametrize("call", ["learned([8])", "values([1, 2, 3, 4])", "full([8], 0.5)"])
def test_the_legend_says_that_a_tensor_is_given(call: str) -> None:
    found = blocks(loads(f"model M: x[1] -> y {{\n  y: add {{ x; x -> {call} }}\n}}"))
    words = {part.text for part in leaves(found.parts) if isinstance(part, Text)}
    assert "learned or constant" in words
    assert "linear" not in words


def test_every_box_has_a_title_and_a_description() -> None:
    found = blocks(network("resnet50"))
    boxes = [p for p in found.parts if isinstance(p, Group) and p.kind == "node"]
    assert boxes
    assert all(box.title and box.desc for box in boxes)


def test_a_chain_of_a_thousand_boxes_is_placed() -> None:
    steps = "\n".join(f"  conv({8 + n % 7}, {1 + 2 * (n % 2)}x1)" for n in range(999))
    found = loads(f"model Long: image[3, H=32, W=32] -> y {{\n{steps}\n  y: relu\n}}")
    assert svg(blocks(found, detail="full"))


ARCS = pytest.mark.xfail(strict=True, reason="as its paper draws it, rises cross the arcs")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=ARCS) if n == "unetpp" else n for n in ZOO]
)
def test_edges_cross_no_more_often_than_graphviz_makes_them(name: str) -> None:
    pytest.importorskip("pygraphviz")
    found = shown(name)
    pieces = [panel.piece for panel in (found.main, *found.insets)]
    ours = sum(crossings(piece.wires, piece.rails) for piece in pieces)
    assert ours <= graphviz_crossings(name)


def test_hostile_labels_are_text() -> None:
    found = network("lenet5")
    made = blocks(found)
    made.title = "<script>alert(1)</script>\"'"
    text = svg(made)
    assert "<script" not in text


def test_long_and_right_to_left_words_stay_in_their_box() -> None:
    text = font.fitted("x" * 200, 11, 100, bold=True)
    assert font.width(text, 11, bold=True) <= 100
    assert "…" in text
    box = Box("b1", "", None, [], None)
    assert measures.behind(box) == 0


@pytest.mark.parametrize("format", ["svg", "png", "pdf", "html", "md", "tex", "txt"])
def test_every_format_is_written_and_the_same_twice(format: str) -> None:
    found = network("lenet5")
    made = written(found, format, Options())
    assert made == written(found, format, Options())
    assert len(made) > 200


def test_a_page_is_as_wide_as_it_may_be_and_as_low_as_it_can() -> None:
    planned = plan(network("resnet50"))
    wide, narrow = page(planned, widest=657), page(planned, widest=400)
    assert narrow.width <= 400 - 12
    assert wide.height < narrow.height
    assert page(planned, widest=657, direction="down").height >= wide.height


def test_a_direction_is_kept() -> None:
    for direction, across in (("down", False), ("right", True)):
        found = page(plan(network("vgg16")), direction=direction)
        first, second = found.main.piece.spots[:2]
        assert (first.y == second.y) == across


@pytest.mark.parametrize("name", ZOO)
def test_a_figure_stands_on_a_page_with_its_text_at_6_points(name: str) -> None:
    found = picture(paged(name))
    assert found.width <= PAGE[0] + 1
    assert found.height <= PAGE[1] + 1
    sizes = [part.size for part in leaves(found.parts) if isinstance(part, Text)]
    assert min(sizes) >= 8


@pytest.mark.parametrize("name", ZOO)
def test_on_a_page_too_boxes_stand_apart_and_edges_run_between_them(name: str) -> None:
    found = paged(name)
    for panel in (found.main, *found.insets):
        for one, two in combinations(panel.piece.spots, 2):
            assert not overlap(one, two), (one.box.title, two.box.title)
        for line in (*panel.piece.wires.values(), *panel.piece.arcs.values()):
            assert not any(enters(line, spot) for spot in panel.piece.spots)
        assert not shared(panel.piece)


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize("detail", FOLDED)
def test_no_line_is_of_two_tensors(name: str, detail: str) -> None:
    found = shown(name, detail)
    for panel in (found.main, *found.insets):
        assert not shared(panel.piece)


def test_nested_skips_are_curves_the_longer_the_higher() -> None:
    piece = paged("unetpp").main.piece
    assert len(piece.arcs) == 10
    for (one, first), (two, second) in combinations(piece.arcs.items(), 2):
        wide, other = (line[-1][0] - line[0][0] for line in (first, second))
        if one[0] == two[0]:
            assert (wide < other) == (first[1][1] > second[1][1])
            # The longer of two that leave a box leaves it further from its end.
            assert (wide < other) == (first[0][0] > second[0][0])
        if {*one} & {*two}:
            bare = {("a", "b"): piece.wires[one], ("c", "d"): piece.wires[two]}
            assert not crossings(bare)
    drawn = leaves(picture(paged("unetpp")).parts)
    assert sum(isinstance(part, Path) and part.curved for part in drawn) == 10
    # Of its skips none spans another: they are led as all edges are.
    assert not shown("faster_rcnn_resnet50_fpn", "full").main.piece.arcs


def test_nested_skips_of_six_levels_pass_over_the_labels() -> None:
    text = (zoo() / "unetpp.arch").read_text()
    kept = [line for line in text.splitlines() if not line.startswith("@expect")]
    deeper = loads("\n".join(kept).replace("256, 512]", "256, 512, 512]", 1))
    for size in ((0.0, 0.0), PAGE):
        found = arranged(deeper, widest=size[0], tallest=size[1])
        assert len(found.main.piece.arcs) == 20
        assert not faults(picture(found))


def test_the_lower_of_two_lines_that_cross_is_broken_and_no_other() -> None:
    for name, detail in (("unetpp", "blocks"), ("hrnet_w18", "full"), ("resnet50", "full")):
        found = shown(name, detail)
        led = [p for p in picture(found).parts if isinstance(p, Group) and p.kind == "edge"]
        patches = [part for p in led for part in p.children if isinstance(part, Polygon)]
        pieces = [panel.piece for panel in (found.main, *found.insets)]
        crossed = sum(crossings(piece.wires, piece.rails) for piece in pieces)
        assert bool(patches) == bool(crossed)
        bands = [
            a for a in leaves(picture(found).parts) if isinstance(a, Area) and a.role == "band"
        ]
        for patch in patches:
            x, y = (sum(side) / 4 for side in zip(*patch.points, strict=True))
            across = [a for a in bands if a.x <= x <= a.x + a.width]
            on = any(a.y - 0.01 < y < a.y + a.height + 0.01 for a in across)
            assert patch.role == ("band" if on else "page")
            assert not patch.stroke


def test_lines_are_broken_where_they_cross_and_not_where_they_meet() -> None:
    def edge(tail: str, *points: Point) -> Group:
        return Group((Path(points),), data=(("from", tail), ("to", "z")), kind="edge")

    level, fork = edge("a", (0, 50), (100, 50)), edge("a", (0, 50), (40, 50), (40, 90))
    over, onto = edge("b", (50, 0), (50, 100)), edge("c", (20, 0), (20, 50))
    aslant = edge("d", (60, 40), (90, 60))
    done = cased([level, fork, over, onto, aslant], lambda at: "page")
    broken = [part.children[:-1] for part in done if isinstance(part, Group)]
    assert [len(patches) for patches in broken] == [0, 0, 1, 0, 1]
    (square,), (long,) = broken[2], broken[4]
    assert isinstance(square, Polygon)
    assert isinstance(long, Polygon)
    assert {round(x) for x, _ in square.points} == {47, 53}
    assert all(49 <= y <= 51 for _, y in square.points)
    # The more aslant, the longer the way over the other line.
    assert dist(*long.points[:2]) > dist(*square.points[:2])


def test_a_curve_through_a_word_is_seen() -> None:
    word = Text(50, 22, "high", 9, anchor="middle")
    for pull, through in ((0, True), (-12, False)):
        ends = ((0.0, 80.0), (0.0, pull), (100.0, pull), (100.0, 80.0))
        edge = Group((Path(ends, curved=True),), kind="edge")
        assert bool(faults(Picture(100, 100, [word, edge], "", ""))) == through


def test_a_block_of_several_levels_stands_over_their_lanes() -> None:
    piece = paged("hrnet_w18").main.piece
    tall = [spot for spot in piece.spots if spot.box.title == "Exchange"]
    assert len(tall) == 3
    assert [len(piece.lanes) > 3, *(spot.height > 100 for spot in tall)] == [True] * 4


@pytest.mark.parametrize(
    ("name", "named", "count"), [("efficientdet_d0", True, 5), ("hrnet_w18", False, 9)]
)
def test_each_size_of_a_tall_box_stands_on_its_line(name: str, named: bool, count: int) -> None:
    panel = placed(name).main
    tall = [spot for spot in panel.piece.spots if spot.box.key in panel.cards.spans]
    words = [mark for mark in panel.piece.marks if isinstance(mark, Text)]
    sizes = [word for word in words if "×" in word.text]
    assert (len(sizes), len(words)) == (count, count * (1 + named))
    every = [(tail, line) for (tail, _), line in panel.piece.wires.items()]
    every += [(t, line) for (t, _), more in panel.piece.more.items() for line in more]
    for spot in tall:
        lines = {line[0] for tail, line in every if tail == spot.box.key}
        assert not any("²" in line for line in panel.cards[spot.box].lines)
        beside = [word for word in words if 0 < word.x - spot.right < 40]
        # A name stands over its line and the size under it, or the size alone over it.
        assert {round(word.y) for word in beside} == {
            round(y + shift)
            for x, y in lines
            if abs(x - bounds(spot)[2]) < 1
            for shift in ((-3, 9.5) if named else (-3,))
        }


def test_a_tall_box_says_its_sizes_itself_where_the_page_is_narrow() -> None:
    panel = arranged(network("hrnet_w18"), widest=PAGE[0]).main
    (tall,) = (s for s in panel.piece.spots if len(panel.cards.spans.get(s.box.key, ())) == 4)
    assert ("144×7²" in panel.cards[tall.box].lines) == (not panel.piece.marks)
    assert panel.width <= PAGE[0]


def test_a_row_leads_to_tall_boxes_and_what_ends_all_stands_under_the_last_join() -> None:
    found, scene = network("hrnet_w18"), plan(network("hrnet_w18")).main
    cards = measures.Cards(found, scene, None, measures.Way(LEVELS - 1, flat=True, close=True))
    piece = scenes.placed(found, scene, cards, main=True)
    named = {label: spot for spot in piece.spots for label in spot.box.labels}
    assert named["stem[1]"].y == named["stage1[0]"].y == named["t1"].y
    assert named["final"].x == named["head[3]"].x
    assert named["final"].top > named["head[3]"].bottom
    # Its sizes have room on the lines of a page, as its tall boxes are no wider than a word.
    panel = paged("hrnet_w18").main
    assert len(panel.piece.marks) == 9
    tall = [s.box for s in panel.piece.spots if s.box.key in panel.cards.spans]
    assert [panel.cards[box].titles for box in tall] == [
        ("Exchange",),
        ("Exchange", "×4"),
        ("Exchange", "×3"),
    ]


def test_the_levels_of_a_pyramid_are_led_to_their_readers_in_one_line() -> None:
    # Where anchors stand follows from the sizes alone: no level is led there.
    for name, readers in (("retinanet_resnet50_fpn", 1), ("efficientdet_d0", 2)):
        (rail,) = paged(name).main.piece.rails
        assert len(rail.joints) == 5
        assert len(rail.ways) == readers


def test_each_tensor_of_a_lane_joins_the_rail_by_itself() -> None:
    # The last three of SSD's six maps are of one lane, and its body is closed on a page.
    (rail,) = paged("ssd300_vgg16").main.piece.rails
    assert len({y for _, y in rail.joints}) == 6


@pytest.mark.parametrize("name", ["retinanet_resnet50_fpn", "fcos_resnet50_fpn"])
def test_what_only_leads_down_stands_under_the_level_that_is_given_out(name: str) -> None:
    piece = shown(name).main.piece
    (relu,) = (s for s in piece.spots if s.box.family is Family.ACTIVATION)
    places = {spot.box.key: spot for spot in piece.spots}
    (above,) = (tail for tail, head in piece.wires if head == relu.box.key)
    (below,) = (head for tail, head in piece.wires if tail == relu.box.key)
    assert places[above].x == relu.x == places[below].x
    assert places[above].y < relu.y < places[below].y


def test_heads_that_give_out_planes_stand_over_their_lanes() -> None:
    piece = shown("yolov5s").main.piece
    (heads,) = (spot for spot in piece.spots if spot.box.beside == 3)
    places = {spot.box.key: spot for spot in piece.spots}
    levels = [line for ends, line in piece.wires.items() if heads.box.key in ends]
    lanes = {line[0][1] for line in levels if line[0][1] == line[-1][1]}
    named = {s.y for s in places.values() if s.box.title in ("y3", "y4", "y5")}
    assert named <= lanes
    assert heads.top < min(named) < max(named) < heads.bottom


def test_postprocessing_is_one_box_until_it_is_opened() -> None:
    planned = plan(network("ssd300_vgg16"))
    (boxes,) = (box for box in planned.main.boxes() if box.title == "Boxes")
    assert boxes.frame is not None
    inside = {network("ssd300_vgg16").node(name).op.name for name in boxes.nodes}
    assert inside == {"anchor_grid", "concat"}


def test_what_all_of_an_outline_shares_is_said_by_it_alone() -> None:
    panel = shown("mask_rcnn_resnet50_fpn").main
    (head,) = (scope for scope in panel.piece.scopes if scope.title == "MaskHead")
    assert head.small == "each row · masks"
    inside = [panel.cards[s.box].lines for s in panel.piece.spots if s.box.key in head.keys]
    assert len(inside) == 3
    assert not any("each row" in line for lines in inside for line in lines)


def test_a_rail_says_which_levels_it_leads() -> None:
    words = [rail.words for rail in shown("mask_rcnn_resnet50_fpn").main.piece.rails]
    assert words == ["p2–p6", "p2–p5"]
    (rail,) = shown("efficientdet_d0").main.piece.rails
    assert rail.words == "p3–p7"


def test_a_chain_that_is_summed_up_is_one_card() -> None:
    planned = plan(network("wavenet"))
    (stack,) = (frame for frame in planned.frames if frame.title == "Stack")
    assert stack.scene is not None
    assert [box.count for box in stack.scene.boxes() if box.frame] == [10]


def test_what_has_no_room_is_told_how_large_it_would_be() -> None:
    with pytest.raises(ArchError, match="at 60 × 40 mm its text would be smaller") as caught:
        written(network("resnet50"), "svg", Options(width_mm=60, height_mm=40))
    assert "mm wide and" in str(caught.value)


def test_where_there_is_least_room_boxes_are_as_low_as_their_words() -> None:
    found = paged("efficientdet_d0").main
    assert found.cards.narrow >= LEVELS - 3
    face = found.cards.type
    for spot in found.piece.spots:
        card = found.cards[spot.box]
        words = face.bold * len(card.titles) + face.grey * len(card.lines)
        assert (
            card.bare or card.round or words < spot.height < words + 10 or len(card.lines) == 0
        )


def test_of_nested_joins_the_largest_is_opened_for_all() -> None:
    found = paged("unetpp")
    (panel,) = found.insets
    assert (panel.heading, panel.said) == ("x[0][4]", "×10")
    assert panel.notes == ["of these 10, it joins the most"]
    words = {spot.box.key: panel.cards[spot.box].title for spot in panel.piece.spots}
    assert sorted((words[tail], words[head]) for tail, head in panel.piece.wires) == [
        ("3×3, 32", "3×3, 32"),
        ("3×3, 32", "x[0][4]"),
        ("concat", "3×3, 32"),
        ("up 2×2, 32 ↑2", "concat"),
        ("x[0][0–3]", "concat"),
        ("x[1][3]", "up 2×2, 32 ↑2"),
    ]
    # What repeats says so, and is no stack.
    repeats = [spot.box for spot in found.main.piece.spots if spot.box.count > 1]
    assert len(repeats) == 15
    assert not any(map(behind, repeats))


@pytest.mark.parametrize("join", ["concat { a; b }", "concat { a; b; a -> conv(8, 1x1) }"])
def test_joins_that_are_not_nested_are_not_opened(join: str) -> None:
    text = f"""
block Two(c: int) {{ conv(c, 3x3) * 2 }}
model M: x[3, H=64, W=64] -> y {{
  a: Two(8)
  b: Two(8)
  c: {join} -> Two(8)
  d: concat {{ b; c }} -> Two(8)
  e: concat {{ b; c; d }} -> Two(8)
  y: conv(1, 1x1)
}}
"""
    assert not plan(loads(text), folding=True).frames


def test_a_caption_may_be_left_out() -> None:
    with_it, without = (blocks(network("lenet5"), captioned=c) for c in (True, False))
    assert without.height < with_it.height
    assert "LeNet-5" not in {part.text for part in without.parts if isinstance(part, Text)}


def said_in(piece: Piece) -> list[str]:
    """The words beside a fan that are in no box."""
    return [part.text for part in leaves(piece.marks) if isinstance(part, Text)]


def test_what_every_level_hears_of_every_other_is_a_fan_beside_a_matrix() -> None:
    found = shown("hrnet_w18")
    (panel,) = (p for p in found.insets if p.frame and p.frame.title == "Exchange")
    piece = panel.piece
    sums = [spot for spot in piece.spots if spot.box.family is Family.ADD]
    assert len({spot.x for spot in sums}) == 1
    assert len(piece.fans) == 16
    assert not crossings(piece.wires)
    words = said_in(piece)
    assert words[:8:2] == [f"from x[{n}]" for n in range(4)]
    assert words.count("identity") == 4
    # Calls with fewer levels are a corner of the largest, and nothing says a condition.
    assert words[-3:] == ["stage2", "stage3", "stage4"]
    corners = [part for part in leaves(piece.marks) if isinstance(part, Path)]
    assert [part.dashed for part in corners] == [True, True]
    assert not any("if " in line for s in piece.spots for line in panel.cards[s.box].lines)


def mixing(lanes: int, gone: set[tuple[int, int]], twice: str = "", chain: int = 0) -> Network:
    """A network whose block sums up all levels for each, but for ways that are `gone`.

    Its levels are joined, or summed up from the finest on by a `chain` of convolutions.
    """
    lines = [f"  b{n}: x[{n}] -> conv(8, 3x3) -> relu" for n in range(lanes)]
    for to in range(lanes):
        ways = []
        for at in range(lanes):
            down = ["maxpool(2x2)"] * (to - at)
            up = ["conv(8, 1x1)", f"upsample({2 ** (at - to)})"] if at > to else []
            if (at, to) not in gone:
                ways.append(" -> ".join([f"b{at}", *down, *up]))
        ways += filter(None, [twice if to == lanes - 1 else ""])
        lines.append(f"  y[{to}]: add {{ {'; '.join(ways)} }} -> relu")
    body = "\n".join(lines)
    levels = [f"  p{n}: conv(8, 3x3, stride={1 + (n > 0)})" for n in range(lanes)]
    every = "; ".join(f"p{n}" for n in range(lanes))
    ends = "; ".join(f"k[{n}] -> gap" for n in range(lanes))
    last = f"  z: concat {{ {ends} }}"
    if chain:
        down = "conv(8, 3x3, stride=2)" + " -> conv(8, 3x3)" * (chain - 1)
        sums = [
            f"add {{ h{n - 1} -> {down}; k[{n}] -> conv(8, 1x1) }}" for n in range(1, lanes)
        ]
        heads = [f"  h{n}: {made}\n" for n, made in enumerate(["k[0] -> conv(8, 1x1)", *sums])]
        last = "".join(heads) + f"  z: h{lanes - 1} -> gap"
    return loads(
        f"block Mix: *x[_, _, _] -> *y {{\n{body}\n}}\n"
        "model M: image[3, H=64, W=64] -> z {\n" + "\n".join(levels) + "\n"
        f"  m: Mix {{ {every} }}\n  k: Mix {{ m[*] }}\n{last}\n}}"
    )


@pytest.mark.parametrize(
    ("lanes", "gone"),
    [
        *((lanes, set[tuple[int, int]]()) for lanes in (2, 3, 4, 5)),
        *((lanes, gone) for lanes in (3, 5) for gone in ({(1, 0)}, {(0, 1)}, {(2, 0), (0, 2)})),
    ],
)
def test_a_matrix_says_what_lies_on_each_way(lanes: int, gone: set[tuple[int, int]]) -> None:
    found = page(plan(mixing(lanes, gone), folding=True))
    (panel,) = (p for p in found.insets if p.frame and p.frame.title == "Mix")
    piece = panel.piece
    assert not faults(picture(found))
    assert led(piece) == {(e.tail, e.head) for e in panel.scene.edges}
    assert len(piece.fans) == lanes**2 - len(gone)
    assert said_in(piece).count("identity") == lanes
    columns = sorted({s.x for s in piece.spots if panel.cards[s.box].cell})
    rows = sorted({fan.line[0][1] for fan in piece.fans})
    for fan in piece.fans:
        inside = [s for s in piece.spots if s.box.key in {tail for tail, _ in fan.edges[1:]}]
        at = rows.index(fan.line[0][1])
        assert all(spot.x == columns[at] for spot in inside)


@pytest.mark.parametrize(("lanes", "wide", "tall"), [(3, 500, 1000), (4, *PAGE)])
def test_a_matrix_has_narrow_gaps_and_boxes_where_room_is_short(
    lanes: int, wide: float, tall: float
) -> None:
    found = page(plan(mixing(lanes, set()), folding=True), widest=wide, tallest=tall)
    assert found.over == 0
    (panel,) = (p for p in found.insets if p.frame and p.frame.title == "Mix")
    assert len(panel.piece.fans) == lanes**2
    assert not faults(picture(found))


@pytest.mark.parametrize("lanes", [2, 3, 5])
@pytest.mark.parametrize("chain", [1, 2])
def test_what_leads_down_to_a_join_stands_between_its_lanes(lanes: int, chain: int) -> None:
    network = mixing(lanes, set(), chain=chain)
    found = page(plan(network, folding=True), widest=400, tallest=900)
    assert not faults(picture(found))
    piece = found.main.piece
    assert led(piece) == {(edge.tail, edge.head) for edge in found.main.scene.edges}
    assert not crossings(piece.wires)
    assert len(piece.between) == (lanes - 1) * chain
    place = {spot.box.key: spot for spot in piece.spots}
    straight = [ends for ends in piece.wires if {*ends} & piece.between]
    assert all(place[one].x == place[two].x for one, two in straight)
    apart = [place[two].top - place[one].bottom for one, two in straight]
    assert min(apart) >= 12 - 1e-6
    assert sum(apart) < 24 * len(apart)


@pytest.mark.parametrize("gone", [set(), {(1, 0)}, {(4, 0), (0, 4)}])
def test_no_line_runs_through_the_name_of_a_lane(gone: set[tuple[int, int]]) -> None:
    found = page(plan(mixing(5, gone), folding=True), widest=500, tallest=1000)
    assert any(band.aside for band in found.bands)
    assert not faults(picture(found))


@pytest.mark.parametrize("lanes", [2, 3, 4])
def test_an_inset_under_the_end_of_a_lane_leaves_its_name_beside_its_boxes(lanes: int) -> None:
    found = page(plan(mixing(lanes, set(), chain=1), folding=True), widest=900, tallest=900)
    assert found.insets
    assert not faults(picture(found))


SOME = """
block Mix(far: bool): *x[_, _, _] -> *y {
  for i in 0..len(x) { b[i]: x[i] -> conv(8, 3x3) -> relu }
  for i in 0..len(x) {
    y[i]: add {
      for j in 0..len(x) {
        down[j]: b[j] -> maxpool(2x2) * (i - j) when j < i and (far or i - j == 1)
        b[j] when j == i
        up[j]: b[j] -> conv(8, 1x1) -> upsample(2 ** (j - i)) when j > i and (far or j - i == 1)
      }
    } -> relu
  }
}
model M: image[3, H=64, W=64] -> z {
  p0: image -> conv(8, 3x3)
  p1: conv(8, 3x3, stride=2)
  p2: conv(8, 3x3, stride=2)
  m: Mix(false) { p0; p1; p2 }
  k: Mix(true) { m[*] }
  l: Mix(true) { k[0]; k[1] }
  z: concat { l[0] -> gap; l[1] -> gap; k[2] -> gap }
}
"""


def test_ways_that_only_some_calls_have_say_when() -> None:
    found = page(plan(loads(SOME), folding=True))
    (panel,) = (p for p in found.insets if p.frame and p.frame.title == "Mix")
    cells = [card for s in panel.piece.spots if (card := panel.cards[s.box]).cell]
    assert not any(isinstance(part, Path) for part in leaves(panel.piece.marks))
    assert not faults(picture(found))
    said = {" ".join(card.lines) for card in cells if card.optional}
    # In a cell i and j are known.
    assert said == {"if len(x) > 2", "if far"}


def test_a_level_that_is_summed_up_twice_is_no_fan() -> None:
    found = page(plan(mixing(3, set(), "b2 -> conv(8, 3x3)"), folding=True))
    assert not any(panel.piece.fans for panel in found.insets)


def test_a_level_that_is_read_twice_has_two_names() -> None:
    found = arranged(network("efficientdet_d0"), widest=3 * PAGE[0], tallest=3 * PAGE[1])
    (piece,) = (p.piece for p in found.insets if p.frame and p.frame.title == "BiFPN")
    ports = [s.box for s in piece.spots if s.box.signature == ("in", "p4")]
    assert len(ports) == 2
    assert not crossings(piece.wires)


ZONES = {
    "towers": """
block Tower(w: int) { conv(w, 7x7, stride=2) -> conv(w, 3x3) -> gap -> linear(64) }
model M: (a[3, H=64, W=64], b[20, H, W]) -> y {
  one: a -> Tower(32)
  two: b -> Tower(32)
  y: concat { one; two } -> linear(10)
}
""",
    "heads": """
block Head(k: int) { conv(64, 3x3) -> gap -> linear(k) }
model M: image[3, H=64, W=64] -> (age[1], ids[100], mask[1, 32, 32]) {
  x: conv(32, 3x3, stride=2)
  age: x -> Head(1)
  ids: x -> Head(100)
  mask: x -> conv(32, 3x3) -> conv(1, 1x1)
}
""",
}


@pytest.mark.parametrize("name", [*sorted(FEW), *ZONES])
@pytest.mark.parametrize("direction", ["down", "right"])
def test_a_zone_cuts_no_box(name: str, direction: str) -> None:
    found = loads(ZONES[name]) if name in ZONES else network(name)
    main = arranged(found, direction=direction).main
    piece = main.piece
    turned = main.cards.way.turning
    lanes = strides(found, main.scene)
    for band in main.bands if not piece.laned else ():
        sides = (band.left, band.right) if turned else (band.top, band.bottom)
        across = (band.top, band.bottom) if turned else (band.left, band.right)
        for spot in piece.spots:
            ends = (spot.left, spot.right) if turned else (spot.top, spot.bottom)
            at = spot.y if turned else spot.x
            here = across[0] < at < across[1]
            assert not here or not any(ends[0] + 2 < side < ends[1] - 2 for side in sides)
        for scope in piece.scopes:
            low, long = (scope.x, scope.width) if turned else (scope.y, scope.height)
            at = scope.y if turned else scope.x
            held = {lanes[key] for key in scope.keys if key in lanes}
            if len(held) < 2 and across[0] < at < across[1]:
                assert not any(low + 2 < side < low + long - 2 for side in sides)


@pytest.mark.parametrize("name", ["fcn8s", "unet", "unet3d", "segnet"])
@pytest.mark.parametrize("found", [shown, paged])
def test_the_edge_of_a_lane_runs_through_no_words_of_an_output(
    name: str, found: Callable[[str], Page]
) -> None:
    main = found(name).main
    ends = [spot for spot in main.piece.spots if not spot.box.nodes]
    for band in main.bands:
        for side in (band.top, band.bottom):
            assert not any(spot.top + 1 < side < spot.bottom - 1 for spot in ends)


def test_a_vector_between_two_lanes_stands_in_none() -> None:
    main = arranged(network("spatial_transformer")).main
    lanes = strides(network("spatial_transformer"), main.scene)
    vectors = [spot for spot in main.piece.spots if spot.box.key not in lanes]
    assert len(vectors) == 9
    for band in main.bands:
        inside = [s for s in vectors if band.left < s.x < band.right]
        assert not any(band.top < spot.y < band.bottom for spot in inside)
    # In a lane that goes on below they stand in it.
    text = "block B { mul { { gap -> linear(8) -> reshape(8, 1, 1) }\n skip } }\n"
    found = loads(
        f"{text}model M: x[8, H=16, W=16] -> y {{ y: maxpool(2) -> B -> conv(4, 3x3) }}"
    )
    main = arranged(found, detail="full", direction="down").main
    lanes = strides(found, main.scene)
    vectors = [spot for spot in main.piece.spots if spot.box.key not in lanes]
    assert len(vectors) == 3
    for spot in vectors:
        assert any(b.left < spot.x < b.right and b.top < spot.y < b.bottom for b in main.bands)


def test_a_column_is_added_only_where_it_saves_a_quarter() -> None:
    towers = loads(ZONES["towers"])
    assert not arranged(towers, direction="down").main.piece.folds
    long = loads(
        "model M: x[8, H=32, W=32] -> y {\n"
        + "\n".join(f"  conv(8, {3 + 2 * (n % 2)}x{3 + 2 * (n % 2)})" for n in range(16))
        + "\n  y: conv(4, 1x1)\n}"
    )
    assert arranged(long, direction="down").main.piece.folds


PAIR = """
block Tower(w: int) { conv(w, 7x7, stride=2) -> conv(w, 3x3) -> gap -> linear(64) }
model M: (a[3, H=64, W=64], b[3, H, W], noise[64]) -> (score, one) {
  tower: Tower(32) each { a; b }
  one: tower[0]
  late: sub { tower[0]; tower[1] } -> abs -> linear(64)
  score: add { late; noise } -> linear(1)
}
"""


@pytest.mark.parametrize("direction", ["down", "right"])
def test_twins_and_their_inputs_stand_beside_each_other(direction: str) -> None:
    piece = page(plan(loads(PAIR), closed=True), direction=direction).main.piece
    spots = {spot.box.title: spot for spot in piece.spots if not spot.box.parts}
    towers = [spot for spot in piece.spots if spot.box.title == "Tower"]

    def along(spot: Spot) -> float:
        return round(spot.x if direction == "right" else spot.y, 2)

    assert along(towers[0]) == along(towers[1])
    assert along(spots["a"]) == along(spots["b"])
    if not piece.folds:
        # Another input stands before what reads it, an output beside what goes on.
        assert along(spots["noise"]) > along(towers[0])
        assert along(spots["one"]) < along(spots["score"])
    (line,) = (line for ends, line in piece.wires.items() if ends[1] == spots["one"].box.key)
    assert len(line) <= 4


def test_no_edge_leaves_the_page() -> None:
    names = "abcdef"
    inputs = ", ".join(f"{n}[3, H=64, W=64]" if n == "a" else f"{n}[3, H, W]" for n in names)
    convs = "\n".join(f"  {n}1: {n} -> conv(8, 3x3)" for n in names)
    found = loads(
        "block Fuse: (a, b, c, d, e, f) -> y {\n"
        "  y: concat { a; b; c; d; e; f } -> conv(8, 1x1)\n}\n"
        f"model M: ({inputs}) -> y {{\n{convs}\n"
        "  one: Fuse { a1; b1; c1; d1; e1; f1 }\n  y: Fuse { one; a1; b1; c1; d1; e1 }\n}"
    )
    for direction in ("down", "right"):
        main = page(plan(found, closed=True), direction=direction).main
        if not main.piece.folds:
            for x, y in (point for line in main.piece.wires.values() for point in line):
                assert -main.piece.left <= x <= main.piece.right
                assert 0 <= y <= main.piece.height


CHAIN = "\n".join(
    f"  maxpool(2x2)\n  conv({32 * 2**n}, 3x3)\n  conv({32 * 2**n}, 5x5)\n  conv({n + 8}, 3x3)"
    for n in range(5)
)
CHAINS = {
    "pools": f"model M: x[3, H=256, W=256] -> y {{\n{CHAIN}\n  y: conv(10, 1x1)\n}}",
    "wide": "block Mixed(a: int, b: int, c: int, d: int) {\n"
    "  concat { conv(a, 1x1); conv(b, 3x3); conv(c, 5x5); conv(d, 7x7) }\n}\n"
    "model M: x[3, H=64, W=64] -> y {\n  conv(64, 3x3, stride=2)\n  maxpool(2x2)\n"
    + "\n".join(f"  Mixed({96 + n}, {192 + n}, {112 + n}, {64 + n})" for n in range(4))
    + "\n  maxpool(2x2)\n  Mixed(256, 320, 128, 384)\n  y: gap -> linear(100)\n}",
}


@pytest.mark.parametrize("name", ["googlenet", "vgg16", "resnet34", *CHAINS])
def test_a_row_begins_where_a_resolution_does(name: str) -> None:
    found = loads(CHAINS[name]) if name in CHAINS else network(name)
    main = arranged(found).main
    lanes = strides(found, main.scene)
    rows: dict[float, list[Spot]] = {}
    for spot in main.piece.spots:
        rows.setdefault(round(spot.y, 2), []).append(spot)
    assert main.cards.way.turning
    assert len(rows) > 1
    of = [
        {lanes[s.box.key] for s in row if s.box.key in lanes} for _, row in sorted(rows.items())
    ]
    assert all(not one & two for one, two in combinations(of, 2))
    # What leads on leaves below and comes in at the left; rows share columns with room for it.
    columns: list[list[Spot]] = []
    for row in rows.values():
        for n, spot in enumerate(sorted(row, key=lambda s: s.x)):
            columns[n : n + 1] = [[*(columns[n] if n < len(columns) else ()), spot]]
    for one, two in pairwise(columns if name in ("googlenet", "pools") else ()):
        assert max(spot.right for spot in one) < min(spot.left for spot in two)
    spots = {spot.box.key: spot for spot in main.piece.spots}
    for (tail, head), line in main.piece.wires.items():
        if spots[tail].y < spots[head].y - 1:
            assert line[0][0] == pytest.approx(spots[tail].x)
            assert line[0][1] == pytest.approx(spots[tail].bottom)
            assert line[-1][0] == pytest.approx(spots[head].left)


@pytest.mark.parametrize("name", ["googlenet", "wide"])
def test_columns_of_a_table_stand_under_the_branches_that_say_them(name: str) -> None:
    found = arranged(loads(CHAINS[name]) if name in CHAINS else network(name))
    (panel,) = found.insets
    if name == "wide":
        # Whether it stands so or not is the page's affair; here it has to.
        way = replace(panel.cards.way, turning=False)
        panel = Panel.of(found.plan, panel.scene, panel.frame, panel.table, way, panel.cut)
    table = panel.table
    assert table is not None
    assert table.rights
    last = {}
    for spot in sorted(panel.piece.spots, key=lambda s: s.y):
        for word in panel.cards[spot.box].title.replace(",", "").split():
            last[word] = spot
    for n in range(1, len(table.header) - 3):
        spot = last[table.header[n]]
        assert spot.left < table.rights[n] < spot.right
    for n, (one, two) in enumerate(pairwise(table.rights), 1):
        assert two - table.widths[n] > one
    # A rule for each branch, as wide as its boxes.
    sides = {(spot.left, spot.right) for spot in last.values()}
    assert {(left, right) for left, right, _ in table.rules} <= sides


def test_a_dilated_window_is_drawn_as_wide_as_its_rate() -> None:
    found = loads(
        "model M: x[3, H=65, W=65] -> y {\n"
        "  y: concat {\n    a: for r in [3, 6, 12] { conv(8, 3x3, dilation=r) }\n"
        "    conv(8, 3x3)\n  }\n}"
    )
    page = arranged(found)
    pitches = {}
    for group in nodes_of(picture(page)):
        taps = [part for part in group.children if isinstance(part, Area) and part.width < 3]
        xs = sorted({round(tap.x, 2) for tap in taps})
        if xs:
            assert len(taps) == 9
            assert len(xs) == 3
            (word,) = (
                t.text for t in group.children if isinstance(t, Text) and "rate" in t.text
            )
            pitches[int(word.split()[1])] = xs[1] - xs[0]
            words = [t for t in group.children if isinstance(t, Text) and t.anchor == "middle"]
            for text in words:
                wide = font.width(text.text, text.size, bold=text.bold)
                assert text.x - wide / 2 > xs[-1] + taps[0].width
    assert sorted(pitches) == [3, 6, 12]
    assert pitches[6] == pytest.approx(pitches[12] / 2, abs=0.02)
    assert pitches[3] < pitches[6]


def test_an_inset_stands_under_the_picture_beside_a_higher_one() -> None:
    found = packed((100.0, 100.0), [(90.0, 300.0), (80.0, 150.0)], [], (220.0, 320.0))
    assert found.places == ((122.0, 0.0), (0.0, 122.0))
    assert found.height == 300


def nodes_of(found: Picture) -> list[Group]:
    """The boxes of a picture."""
    return [part for part in found.parts if isinstance(part, Group) and part.kind == "node"]


@pytest.mark.parametrize("direction", ["down", "right"])
def test_what_leads_to_branches_leads_to_their_middle(direction: str) -> None:
    found = loads(
        "model M: x[16, H=64, W=64] -> y {\n  conv(16, 3x3)\n  concat {\n    conv(8, 1x1)\n"
        "    a: for r in [2, 4, 6] { conv(8, 3x3, dilation=r) }\n"
        "    gap(keep=true) -> conv(8, 1x1) -> relu -> conv(8, 1x1) -> resize(x.size)\n  }\n"
        "  y: conv(4, 1x1)\n}"
    )
    piece = arranged(found, direction=direction).main.piece
    branches = [spot for spot in piece.spots if "a[" in "".join(spot.box.labels)]
    (join,) = (spot for spot in piece.spots if spot.box.family is Family.CONCAT)
    across = [spot.y if direction == "right" else spot.x for spot in [*branches, join]]
    assert across[1] == pytest.approx(across[-1])


def test_lines_end_at_the_slanted_side_of_a_box() -> None:
    for name in ("vgg16", "unet", "shufflenetv2"):
        made = picture(shown(name))
        nodes = [part for part in made.parts if isinstance(part, Group) and part.kind == "node"]
        slanted = {
            node.key: leaf
            for node in nodes
            for leaf in leaves(node.children)
            if isinstance(leaf, Polygon)
        }
        ends = 0
        for edge in made.parts:
            if not isinstance(edge, Group) or edge.kind != "edge":
                continue
            known = dict(edge.data)
            points = next(
                leaf for leaf in leaves(edge.children) if isinstance(leaf, Path)
            ).points
            for key, point in ((known["from"], points[0]), (known["to"], points[-1])):
                if key in slanted:
                    ends += 1
                    assert min(_off(point, side) for side in _sides(slanted[key])) < 0.01
        assert ends


def _sides(shape: Polygon) -> list[tuple[Point, Point]]:
    return [*pairwise((*shape.points, shape.points[0]))]


def _off(point: Point, side: tuple[Point, Point]) -> float:
    """How far a point is from the straight between two."""
    (x, y), ((a, b), (c, d)) = point, side
    along = ((x - a) * (c - a) + (y - b) * (d - b)) / ((c - a) ** 2 + (d - b) ** 2)
    along = min(max(along, 0.0), 1.0)
    return float(((x - a - along * (c - a)) ** 2 + (y - b - along * (d - b)) ** 2) ** 0.5)


@pytest.mark.parametrize("name", ["i3d_resnet50", "yolov8n", "yolov5s"])
def test_what_a_closed_block_reads_sometimes_is_not_dashed_around_it(name: str) -> None:
    for frame in plan(network(name)).frames:
        closed = {box.key for box in frame.scene.boxes() if box.frame} if frame.scene else set()
        for edge in frame.scene.edges if frame.scene else ():
            assert not (edge.dashed and edge.head in closed)
        assert frame.name not in ("VideoStage", "C2f", "C3") or not frame.notes


def test_a_box_between_two_lanes_takes_no_band_away() -> None:
    assert [band.text for band in shown("fcn8s").bands] == [
        "1/1", "1/2", "1/4", "1/8", "1/16", "1/32"
    ]  # fmt: skip


@pytest.mark.parametrize("name", shipped())
def test_a_legend_takes_no_picture_over_its_page(name: str) -> None:
    found = shown(name)
    made = picture(found)
    assert found.over > 0 or (made.width <= PAGE[0] + 1 and made.height <= PAGE[1] + 1)


def test_a_skip_out_of_an_outline_runs_level_into_the_side_of_its_join() -> None:
    made = placed("unet3d").main.piece
    joins = [s for s in made.spots if s.box.family is Family.CONCAT]
    assert len(joins) == 3
    for join in joins:
        lines = [line for (_, head), line in made.wires.items() if head == join.box.key]
        assert sorted(len(line) for line in lines) == [2, 2]
        assert {line[-1] for line in lines} == {(join.left, join.y), (join.x, join.bottom)}


def test_the_outputs_of_a_tall_box_drop_alike_from_the_lines_that_go_on() -> None:
    made = paged("yolov4").main.piece
    places = {spot.box.key: spot for spot in made.spots}
    (tall,) = {tail for tail, head in made.wires if places[head].box.title == "y4"}
    drops = [
        line
        for (tail, head), line in made.wires.items()
        if tail == tall and places[head].box.title in ("y3", "y4", "y5")
    ]
    assert len(drops) == 3
    for (x, y), (to, level), (down, foot) in drops:
        assert (x, y, to) == (places[tall].right, level, down)
        assert foot > level
    assert len({(line[1][0], line[2][1] - line[0][1]) for line in drops}) == 1


def test_branches_of_one_family_are_equally_wide_whatever_their_labels_are() -> None:
    net = loads("""
        model M: x[8, H=16, W=16] -> y {
          a: x -> conv(8, 3x3)
          branch: for _ in 0..4 { a -> conv(8, 1x1) }
          y: add { branch[0]; branch[1]; branch[2]; branch[3] }
        }
        """)
    made = arranged(net, direction="right").main.piece
    spots = [spot for spot in made.spots if str(spot.box.labels).count("branch")]
    assert len(spots) == 4
    assert len({(spot.left, spot.right) for spot in spots}) == 1


def test_no_pool_stands_beside_the_words_of_an_output_in_another_lane() -> None:
    made = shown("fcn8s").main
    (first,) = [s for s in made.piece.spots if s.box.labels and "pool1" in str(s.box.labels)]
    assert first.box.family is Family.POOL
    assert first.box.key not in made.piece.between
