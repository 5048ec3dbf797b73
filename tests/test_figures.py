"""What a picture shows, and that it can always be drawn."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from cnndsl.diagnostics import ArchError
from cnndsl.figures import dot, draw, picture, plan, render
from cnndsl.figures.blocks import drawn
from cnndsl.figures.folding import Runs
from cnndsl.figures.lanes import lanes
from cnndsl.figures.scene import Box, Cluster, Frame, Item, Plan, boxes
from cnndsl.figures.svg import svg
from cnndsl.figures.text import clean, elide, label_text, shape_text
from cnndsl.figures.titles import Sayer, sayer, title_of, together
from cnndsl.figures.walk import read
from cnndsl.files import shipped
from cnndsl.graph import Network
from cnndsl.network import loads
from cnndsl.ops.facts import Family
from cnndsl.structure import Citation
from tests.figures.geometry import planned, shown

ZOO = sorted(shipped())
SVG = "{http://www.w3.org/2000/svg}"

RESIDUAL = """
default conv(norm=bn, act=relu)
block Unit(c: int, s: int = 1) {
  add {
    conv(c, 1x1) -> conv(c, 3x3, stride=s) -> conv(4 * c, 1x1, act=none)
    skip when s == 1 and in.c == 4 * c
    else projection: conv(4 * c, 1x1, stride=s, act=none)
  } -> relu
}
model Net: image[3, H=64, W=64] -> logits[10] {
  stem: conv(64, 7x7, stride=2)
  c2: Unit(32) * 4
  c3: Unit(64, s=2 then 1) * 4
  c4: Unit(128, s=2 then 1) * 3
  c5: Unit(256, s=2 then 1) * 3
  logits: gap -> linear(10)
}
"""


@pytest.fixture
def no_dot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")


def zoo(name: str) -> Plan:
    """A shipped network's plan: several tests look at each."""
    return planned(name)


def times(items: Sequence[Item], around: int = 1) -> dict[str, int]:
    """How many repeats each box stands for, those of its clusters included."""
    found: dict[str, int] = {}
    for item in items:
        if isinstance(item, Box):
            found[item.key] = around * item.count * item.beside
        else:
            found |= times(item.children, around * item.count)
    return found


def net(text: str) -> Network:
    return loads(text)


def flat(body: str, output: str = "y") -> Network:
    return net(f"model Net: image[3, H=32, W=32] -> {output} {{\n{body}\n}}")


def titles(planned: Plan) -> list[str]:
    """The words of the main picture's boxes, as `title ×count`."""
    found = []
    for box in planned.main.boxes():
        more = f" ×{box.count}" if box.count > 1 else ""
        found.append(title_of(planned.network, box) + more)
    return found


def clusters(items: list[Item]) -> list[Cluster]:
    inner = [item for item in items if isinstance(item, Cluster)]
    return [c for item in inner for c in (item, *clusters(item.children))]


# Coverage


@pytest.mark.parametrize("name", ZOO)
def test_every_node_of_the_zoo_has_one_box(name: str) -> None:
    planned = zoo(name)
    network = planned.network
    owned = Counter(node for box in planned.main.boxes() for node in box.nodes)
    assert owned == Counter(dict.fromkeys(network.graph, 1))
    assert planned.drawn | planned.folded == set(network.graph)
    assert not planned.drawn & planned.folded
    comment = dot(network).splitlines()[0]
    counts = list(map(int, re.findall(r"\d+", comment)))
    assert counts == [len(network.graph), len(planned.drawn), len(planned.folded)]


@pytest.mark.parametrize("name", ZOO)
def test_a_folded_block_is_opened_in_a_frame_with_as_many_layers(name: str) -> None:
    planned = zoo(name)
    scenes = [planned.main, *(f.scene for f in planned.frames if f.scene)]
    counts = {key: n for scene in scenes for key, n in times(scene.items).items()}
    for box in (box for scene in scenes for box in scene.boxes()):
        if box.frame is None:
            continue
        assert box.frame.scene is not None
        inside = [node for inner in box.frame.scene.boxes() for node in inner.nodes]
        held = set(box.nodes)
        calls = [{*filter(None, nodes)} for nodes in box.frame.nodes]
        mine = [layers for layers in calls if layers <= held]
        assert len(mine) == counts[box.key]
        assert set.union(*mine) == held
        assert sorted(inside) == sorted(box.frame.nodes[0])


@pytest.mark.parametrize("name", ZOO)
def test_every_tensor_that_is_read_is_drawn_or_inside_a_box(name: str) -> None:
    network, main = zoo(name).network, zoo(name).main
    drawn = {(edge.tail, edge.head) for edge in main.edges}
    repeated = {
        box.key for c in clusters(main.items) if c.count > 1 for box in boxes(c.children)
    }
    for head in network.graph:
        for tail, _ in read(network, head):
            pair = main.owner[tail], main.owner[head]
            inside = pair[0] == pair[1] or repeated.issuperset(pair)
            assert inside or pair in drawn


def test_outputs_are_drawn_by_name() -> None:
    text = "model N: image[3, H=8, W=8] -> (a, b) { a: conv(4, 1x1); b: conv(8, 1x1) }"
    network = net(text)
    assert titles(plan(network))[-2:] == ["a", "b"]


# Folding


def test_a_stage_is_one_box_though_its_first_block_has_more() -> None:
    network = net(RESIDUAL)
    planned = plan(network)
    shown = [title for title in titles(planned) if title.startswith("Unit")]
    assert shown[:2] == ["Unit ×4", "Unit ×4"]
    (frame,) = planned.frames
    assert frame.scene is not None
    whole = [box for box in frame.scene.boxes() if box.condition]
    assert [box.condition for box in whole] == ["unless s = 1 and c′ = 4·c"]
    say = Sayer(network)
    second = [box for box in planned.main.boxes() if box.frame][1]
    assert "s 2, 1" in say(second).arguments


def test_equal_repeats_fold_into_one_box() -> None:
    network = flat("y: conv(8, 3x3, act=relu) * 5")
    assert titles(plan(network)) == ["image", "3×3, 8 ×5", "y"]


def test_a_repeat_whose_stride_differs_is_not_folded_with_the_rest() -> None:
    network = flat("y: conv(8, 3x3, stride=2 then 1) * 3")
    assert titles(plan(network)) == ["image", "3×3, 8 /2", "3×3, 8 ×2", "y"]


def test_a_repeated_sequence_is_a_cluster_with_its_count() -> None:
    network = flat("y: { conv(8, 3x3, act=relu) -> maxpool(3x3, stride=1, pad=1) } * 3")
    planned = plan(network)
    (cluster,) = clusters(planned.main.items)
    assert cluster.count == 3
    assert len(planned.main.edges) == 3
    assert "repeat ×3" in dot(network)


def test_a_repeat_that_shrinks_is_not_folded() -> None:
    network = flat("y: { conv(8, 3x3, act=relu) -> maxpool(2x2) } * 3")
    assert titles(plan(network)).count("max 2×2 /2") == 3
    twice = next(
        b for b in plan(flat("y: conv(8, 3x3, pad=valid) * 2")).main.boxes() if b.parts
    )
    assert (twice.count, twice.shapes) == (2, [(8, 30, 30), (8, 28, 28)])


def test_steps_that_something_else_reads_are_not_folded() -> None:
    network = flat("a: conv(3, 3x3)\nb: conv(3, 3x3)\ny: add { a; b }")
    assert [title for title in titles(plan(network)) if "×2" in title] == []


def test_steps_with_labels_of_their_own_stay_apart() -> None:
    network = flat("a: conv(8, 3x3)\nb: conv(8, 3x3)\ny: conv(8, 3x3)")
    assert titles(plan(network)) == ["image", *["3×3, 8"] * 3, "y"]


def test_a_written_step_is_one_box_with_tags() -> None:
    network = flat("y: conv(8, 3x3, norm=bn, act=relu)")
    (box,) = [box for box in plan(network).main.boxes() if box.family is Family.CONV]
    assert Sayer(network)(box).tags == ("bn", "relu")
    assert len(box.nodes) == 3


def test_what_follows_a_step_is_its_tag_and_a_fork_is_not() -> None:
    chain = flat("y: maxpool(2x2) -> dropout(0.5)")
    assert titles(plan(chain)) == ["image", "max 2×2 /2", "y"]
    fork = flat("a: maxpool(2x2)\nb: dropout(0.5)\ny: add { a; b }")
    assert "dropout 0.5" in titles(plan(fork))


def test_a_small_network_is_shown_whole() -> None:
    network = net(
        "block B { conv(8, 3x3) -> maxpool(2x2) }\n"
        "model N: image[3, H=32, W=32] -> y { a: B; y: B }"
    )
    planned = plan(network)
    assert planned.frames == []
    assert [cluster.title for cluster in clusters(planned.main.items)] == ["B", "B"]


def test_frames_show_formulas_where_calls_differ() -> None:
    source = dot(net(RESIDUAL))
    assert "<B>1×1, 4·c</B>" in source
    assert "<B>3×3, c /s</B>" in source
    convs = [node.op for node in net(RESIDUAL) if node.op.name == "conv"]
    assert together(convs[:1]) == convs[0].said()


# Rows


@pytest.mark.parametrize("name", ["fpn_resnet50", "unet"])
def test_laterals_are_rows_and_the_way_up_rises(name: str) -> None:
    network, main = zoo(name).network, zoo(name).main
    found = lanes(network, main)
    family = {box.key: box.family for box in main.boxes()}
    joins = {key for key in family if family[key] in (Family.ADD, Family.CONCAT)}
    joined = [row for row in found.rows if joins.intersection(row)]
    assert len(joined) >= 3
    ups = {key for key in family if family[key] is Family.UPSAMPLE}
    assert {edge for edge in ((e.tail, e.head) for e in main.edges) if edge[1] in ups} <= (
        found.rising
    )


def test_a_folded_decoder_rises_too() -> None:
    network = net("""
        block Up(c: int): (fine, deep) -> out {
          up: deep -> upsample(2) -> conv(c, 3x3, norm=bn)
          out: concat { fine -> conv(c, 1x1); up; fine -> conv(c, 5x5) }
            -> conv(c, 3x3) -> conv(c, 1x1) -> conv(c, 5x5) -> conv(c, 3x3) -> conv(c, 1x1)
        }
        block Two(c: int) { conv(c, 3x3) -> conv(c, 1x1) -> conv(c, 5x5) }
        model N: image[3, H=64, W=64] -> y {
          d0: Two(8)
          d1: maxpool(2x2) -> Two(16)
          d2: maxpool(2x2) -> Two(32)
          d3: maxpool(2x2) -> Two(64)
          e2: Up(32) { d2; d3 }
          e1: Up(16) { d1; e2 }
          y: Up(8) { d0; e1 }
        }
    """)
    main = plan(network).main
    ups = [box.key for box in main.boxes() if box.title == "Up"]
    assert len(ups) == 3
    found = lanes(network, main)
    assert {(ups[0], ups[1]), (ups[1], ups[2])} <= found.rising


def test_a_network_that_only_goes_down_has_no_rows() -> None:
    network = net(RESIDUAL)
    assert lanes(network, plan(network).main).rows == []


# Text


def hostile() -> Network:
    network = flat("y: conv(8, 3x3)")
    words = (
        "<script>alert('x')</script> \"q\" \\N \\G &amp; \u202eevil\u202c \x00\x1b[31m\nnext"
    )
    about = replace(
        network.structure.definition,
        citations=(Citation(words),),
        deviations=(words + "ש" * 200, "y" * 500),
    )
    network.structure.definition = about
    network.name = words
    for line in network.structure.body:
        line.labels = (words + "z" * 200,)
    return network


def test_hostile_text_is_escaped_and_elided() -> None:
    source = dot(hostile())
    assert "<script>" not in re.sub(r'"(?:[^"\\]|\\.)*"', "", source)
    for character in "\u202e\x00\x1b":
        assert character not in source
    assert "z" * 100 not in source


def test_hostile_text_still_draws_as_well_formed_svg(no_dot: None) -> None:
    pytest.importorskip("pygraphviz")
    made = picture(hostile(), "svg")
    root = ElementTree.fromstring(made)
    assert not list(root.iter(f"{SVG}script"))
    shown = "".join(root.itertext())
    assert "<script>alert('x')</script>" in shown
    assert "\u202e" not in shown


def test_text_is_cleaned_and_cut_in_the_middle() -> None:
    assert clean("a\u202eb\nc\x07d") == "ab cd"
    assert elide("x" * 50, 11) == "xxxxxx…xxxx"
    assert len(elide("x" * 200, 34)) == 34
    assert label_text(["c3[1]", "c3[2]", "c3[3]"]) == "c3[1–3]"


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ((64, 112, 112), "64×112²"),
        ((64, 112, 96), "64×112×96"),
        ((64, 8, 8, 8), "64×8³"),
        ((512, 1, 1), "512×1×1"),
        ((1000,), "1000"),
        ((8732, 4), "8732×4"),
    ],
)
def test_shapes_are_printed_as_in_papers(shape: tuple[int, ...], text: str) -> None:
    assert shape_text(shape) == text


# Engines and files


FORMATS = {"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF", "dot": b"// nodes"}


@pytest.mark.parametrize("format", FORMATS)
def test_draws_without_a_dot_on_path(format: str, tmp_path: Path, no_dot: None) -> None:
    pytest.importorskip("pygraphviz")
    path = tmp_path / f"x.{format}"
    draw(net(RESIDUAL), path, engine="graphviz")
    assert path.read_bytes().startswith(FORMATS[format])


def test_the_engine_in_the_wheel_is_quiet(capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pygraphviz")
    picture(net(RESIDUAL), "png", engine="pygraphviz")
    assert capfd.readouterr() == ("", "")


def test_the_systems_dot_is_used_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "dot"
    program.write_text('#!/bin/sh\ncat > "$0.in"\necho "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    network = net(RESIDUAL)
    assert picture(network, "svg", engine="graphviz") == b"-Kdot -Tsvg\n"
    assert (tmp_path / "dot.in").read_text() == dot(network)


def test_a_dot_that_fails_is_told_with_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "dot"
    program.write_text("#!/bin/sh\necho 'no plugin for svg' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(ArchError, match="no plugin for svg") as caught:
        picture(net(RESIDUAL), "svg", engine="dot")
    assert caught.value.diagnostics[0].code == "E612"


def test_no_graphviz_at_all_says_which_extra_to_install(
    no_dot: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "pygraphviz", None)
    with pytest.raises(ArchError, match=r"cnndsl\[draw\]") as caught:
        draw(net(RESIDUAL), tmp_path / "x.svg", engine="graphviz")
    assert caught.value.diagnostics[0].code == "E610"
    draw(net(RESIDUAL), tmp_path / "x.dot")
    assert [path.name for path in tmp_path.iterdir()] == ["x.dot"]


@pytest.mark.parametrize(
    ("name", "format", "words"),
    [
        ("x.jpg", None, "`.jpg`"),
        ("x", None, "its name does not end in a format"),
        ("x.svgg", None, "did you mean `svg`"),
        ("x.svg", "gif", "`gif`"),
    ],
)
def test_an_unknown_format_is_a_clear_error(
    name: str, format: str | None, words: str, tmp_path: Path
) -> None:
    with pytest.raises(ArchError, match=re.escape(words)) as caught:
        draw(net(RESIDUAL), tmp_path / name, format=format)
    assert caught.value.diagnostics[0].code == "E611"
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_engine_is_a_clear_error() -> None:
    with pytest.raises(ArchError, match="unknown engine `neato`"):
        picture(net(RESIDUAL), "svg", engine="neato")


def test_the_suffix_may_be_upper_case_and_the_format_may_be_said(tmp_path: Path) -> None:
    draw(net(RESIDUAL), tmp_path / "X.DOT")
    draw(net(RESIDUAL), tmp_path / "x.txt", format="dot")
    assert (tmp_path / "X.DOT").read_bytes() == (tmp_path / "x.txt").read_bytes()


def test_a_file_is_replaced_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.dot"
    path.write_text("before")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        draw(net(RESIDUAL), path)
    assert path.read_text() == "before"
    assert [each.name for each in tmp_path.iterdir()] == ["x.dot"]


def test_a_failed_picture_leaves_the_old_file(tmp_path: Path, no_dot: None) -> None:
    path = tmp_path / "x.svg"
    path.write_text("before")
    with pytest.raises(ArchError):
        draw(net(RESIDUAL), path, engine="dot")
    assert path.read_text() == "before"


def test_a_new_file_has_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "usual").write_text("")
    draw(net(RESIDUAL), tmp_path / "x.dot")
    assert (tmp_path / "x.dot").stat().st_mode == (tmp_path / "usual").stat().st_mode


# The same input gives the same bytes


@pytest.mark.parametrize("format", FORMATS)
def test_the_same_network_gives_the_same_bytes(format: str) -> None:
    if format != "dot":
        pytest.importorskip("pygraphviz")
    engine = "pygraphviz"
    first = picture(net(RESIDUAL), format, engine=engine)
    assert picture(net(RESIDUAL), format, engine=engine) == first


def test_the_source_depends_on_no_hash_seed() -> None:
    code = (
        "import sys; from cnndsl.figures import dot; from cnndsl.network import load;"
        "from cnndsl.files import shipped; import hashlib;"
        "print(hashlib.sha256(''.join("
        "dot(load(shipped()[n])) for n in ('googlenet', 'fpn_resnet50')).encode()).hexdigest())"
    )
    root = str(Path(render.__file__).resolve().parents[2])
    seen = set()
    for seed in ("0", "1"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": root}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, check=True
        )
        seen.add(done.stdout)
    assert len(seen) == 1


@pytest.mark.parametrize("name", ZOO)
def test_the_zoos_pictures_are_well_formed_and_no_strips(name: str) -> None:
    root = ElementTree.fromstring(svg(drawn(zoo(name).network, shown(name))))
    width, height = (
        float(root.attrib[side].removesuffix("pt")) for side in ("width", "height")
    )
    assert max(width, height) / min(width, height) < 3


def test_folding_is_linear_in_the_number_of_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[int] = []
    chained = Runs.chained

    def counted(self: Runs, first: Item, then: Item) -> bool:
        looked_at.append(len(first.nodes) + len(then.nodes))
        return chained(self, first, then)

    monkeypatch.setattr(Runs, "chained", counted)
    for count in (50, 400):
        looked_at.clear()
        assert titles(plan(flat(f"y: conv(3, 1x1) * {count}")))[1] == f"1×1, 3 ×{count}"
        # Each repeat is held against the one before it alone, never against all of them.
        assert looked_at == [2] * (count - 1)


def test_deep_nesting_is_no_recursion_error() -> None:
    blocks = "block B0 { conv(3, 3x3) -> maxpool(1x1) }\n" + "\n".join(
        f"block B{n} {{ B{n - 1} -> conv(3, 1x1) }}" for n in range(1, 60)
    )
    network = net(f"{blocks}\nmodel N: image[3, H=8, W=8] -> y {{ a: B59; y: B59 }}")
    assert dot(network).startswith(f"// nodes: {len(network.graph)} = ")


def test_joins_of_the_same_boxes_are_one_that_says_how_many() -> None:
    network = net("""
        block Head(c: int) { conv(c, 3x3) -> conv(2 * c, 3x3, act=relu) }
        model N: image[3, H=16, W=16] -> (a, b) {
          one: conv(4, 3x3) -> conv(4, 5x5) -> Head(4)
          two: Head(4)
          a: concat { one; two }
          b: concat { one; two } -> relu
        }
    """)
    (join,) = [box for box in plan(network, folding=True).main.boxes() if box.beside > 1]
    assert (join.beside, len(join.nodes), join.labels) == (2, 2, ["a"])
    assert title_of(network, join) == "2 × concat"


def test_only_the_boxes_of_a_frame_are_named_by_its_ports() -> None:
    planned = plan(net(RESIDUAL))
    for frame in planned.frames:
        assert frame.scene is not None
        ports = [box for box in frame.scene.boxes() if isinstance(box, Box) and not box.nodes]
        assert [box.title for box in ports] == ["in", "out"]


FUSED = """
block Sep(c: int) { dwconv(3x3) -> conv(c, 1x1) }
block Fuse: *x[C, H, W] -> y[C, H, W] {
  w: x[0] -> learned([len(x)], init=ones) -> relu
  share: div { w; w -> sum(0, keep=true) -> add(1e-4) } -> split(len(x))
  for i in 0..len(x) { part[i]: mul { x[i]; share[i] -> reshape(1, 1, 1) } }
  y: add { part[*] } -> silu -> Sep(C) -> bn
}
block Layer: *x[C, _, _] -> *y {
  t: Sep(C) each { x[*] }
  for i in 0..len(x) { y[i]: t[i] -> bn -> silu }
}
block Lateral(c: int) { conv(c, 1x1, bias=true, norm=bn) when in.c != c }
block Neck(c: int): (a, b, c2) -> (a2 as a, b2 as b, c3 as c2) {
  k: a -> Lateral(c)
  b2: Fuse { b; k -> maxpool(2x2) }
  c3: Fuse { c2; b -> maxpool(2x2); b2 -> maxpool(2x2) }
  a2: Fuse { k; b2 -> upsample(2) }
}
model M: image[3, H=64, W=64] -> (y0, y1, y2) {
  a: image -> conv(24, 3x3)
  b: conv(16, 3x3, stride=2)
  c2: conv(16, 3x3, stride=2)
  neck: Neck(16) { a; b; c2 } -> Neck(16) * 2
  tower: Layer { neck[*] } -> Layer * 2
  y0: tower[0] -> gap
  y1: tower[1] -> gap
  y2: tower[2] -> gap
}
"""


def frame_of(planned: Plan, title: str) -> Frame:
    (found,) = (frame for frame in planned.frames if frame.title == title)
    return found


def test_what_is_computed_of_learned_tensors_alone_is_one_box_that_is_named() -> None:
    planned = plan(net(FUSED), folding=True)
    fuse = frame_of(planned, "Fuse")
    assert fuse.scene is not None
    say = sayer(planned.network)
    shown = {box.key: str(say(box, fuse).title) for box in fuse.scene.boxes()}
    assert sorted(shown.values()) == sorted(
        ["x[0]", "x[1]", "x[2]", "Weights", "×", "×", "×", "+", "silu", "Sep", "bn", "y"]
    )
    (weights,) = (box for box in fuse.scene.boxes() if box.title == "Weights")
    products = [box for box in fuse.scene.boxes() if shown[box.key] == "×"]
    assert [box.notes for box in products] == [["share[0]"], ["share[1]"], ["share[2]"]]
    assert [box.condition for box in products] == ["", "", "if len(x) > 2"]
    assert weights.key not in {edge.tail for edge in fuse.scene.edges}
    # Each frame of a call shows its own, and all of them stay closed.
    assert all(frame.quiet for frame in planned.frames if frame.title == "Weights")


def test_a_block_that_does_the_same_with_each_input_is_one_row() -> None:
    layer = frame_of(plan(net(FUSED), folding=True), "Layer").scene
    assert layer is not None
    assert [(box.title, box.beside) for box in layer.boxes() if box.frame or not box.nodes] == [
        ("x[0–2]", 1),
        ("Sep", 3),
        ("y[0–2]", 1),
    ]


def test_calls_of_a_block_of_which_the_first_has_more_are_one_card() -> None:
    main = plan(net(FUSED), folding=True).main
    assert [box.count for box in main.boxes() if box.title == "Neck"] == [3]
