"""The walks over a network's structure reach all that is in it, and name it in one way."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest

import cnndsl
from cnndsl.analysis.expect import Claim, failures
from cnndsl.analysis.explain import explain
from cnndsl.diagnostics import Source, Span
from cnndsl.files import zoo
from cnndsl.graph import labels
from cnndsl.structure import Item, inside, nodes_of, rebuilt, walk
from cnndsl.symbolic import strip

PACKAGE = Path(cnndsl.__file__).parent
ZOO = sorted(path.stem for path in zoo().iterdir() if path.suffix == ".arch")
KINDS = {"Block", "Line", "Step", "Call", "Group", "Repeat", "Loop", "Each"}

EVERY = """
block Two(c: int): x -> (a, b) {
  a: x -> conv(c, 1x1)
  b: x -> { conv(c, 3x3) -> relu } * 2
}
block Side: x -> y { y: conv(4, 1x1) }
block Head(k: int): x -> (cls, box) {
  f: x -> linear(8, act=relu)
  cls: f -> linear(k)
  box: f -> linear(4)
}
model M: image[4, H=8, W=8] -> (cls, box) {
  stem: conv(4, 3x3) * 2
  two: Two(4)
  mix: two.b -> add { conv(4, 1x1); left: conv(4, 1x1) -> Side when true; skip }
  deep: mix -> for c in [4, 6] {
    inner: Two(c)
    inner.a -> relu
  }
  both: conv(4, 1x1) each { two.a -> relu; mix }
  rows: both[1] -> reshape(4, 64) -> Head(3) each row
  cls: rows.cls
  box: rows.box
}
"""


def _all(items: list[Item]) -> list[Item]:
    """Items and all below them, the short way."""
    return [found for item in items for found in (item, *_all(inside(item)))]


@pytest.fixture(scope="module")
def every() -> cnndsl.Network:
    return cnndsl.loads(EVERY)


def test_a_walk_sees_each_item_once_before_what_is_in_it(every: cnndsl.Network) -> None:
    seen = list(walk(every.structure.body))
    assert list(map(id, seen)) == list(map(id, _all(every.structure.body)))
    assert len(set(map(id, seen))) == len(seen)
    assert {type(item).__name__ for item in seen} == KINDS - {"Block"}


def test_a_walk_need_not_go_into_blocks(every: cnndsl.Network) -> None:
    own = {id(item) for item in walk(every.structure.body, into_blocks=False)}
    assert 0 < len(own) < len(list(walk(every.structure.body)))


@pytest.mark.parametrize("name", ["", *ZOO[::6], "faster_rcnn_resnet50_fpn"])
def test_every_node_but_the_inputs_is_of_one_item(name: str) -> None:
    network = cnndsl.load(name) if name else cnndsl.loads(EVERY)
    written = list(nodes_of(network.structure.body))
    assert len(set(written)) == len(written)
    assert set(written) == set(network.graph) - set(network.inputs)


def test_what_is_rebuilt_is_the_same_but_for_what_is_changed(every: cnndsl.Network) -> None:
    def copied(item: Item) -> Item:
        return rebuilt(item, copied)

    def marked(item: Item) -> Item:
        return rebuilt(replace(item, key=-1), marked)

    again = rebuilt(every.structure, copied)
    assert again == every.structure
    assert again is not every.structure
    assert {item.key for item in walk(rebuilt(every.structure, marked).body)} == {-1}


@pytest.mark.parametrize("name", ["", *ZOO[::6], "faster_rcnn_resnet50_fpn"])
def test_what_a_label_is_called_holds_for_expect_and_explain(name: str) -> None:
    network = cnndsl.load(name) if name else cnndsl.loads(EVERY)
    span = Span(Source("test", ""), 0, 0)
    known = labels(network)
    claims = {Claim(label, "=", None, span): strip(t.shape) for label, t in known.items()}
    assert not failures(network, claims)
    for label in [*known][:: max(1, len(known) // 8)]:
        assert explain(network, label).nodes


def test_labels_inside_each_row_are_the_rows_outputs() -> None:
    network = cnndsl.load("faster_rcnn_resnet50_fpn")
    known = labels(network)
    assert strip(known["box.cls"].shape) == (1000, 91)
    (layer,) = explain(network, "box.cls").nodes
    assert layer.operation == "linear"


WRITTEN = {
    "a repeat": ("x: conv(4, 3, stride=2) * 3", ["x", "x[0]", "x[1]", "x[2]"]),
    "a repeat of blocks": ("x: Own(4) * 2", ["x[0]", "x[1]", "x.a", "x[0].a", "x[1].a"]),
    "a repeat of two outputs": ("x: Both { image; image } * 2", ["x[0]", "x[1]", "x.a", "x.b"]),
    "a repeat of a family": (
        "x: Many { image; image } * 2",
        ["x[0]", "x[1]", "x.q[1]", "x.r[1]"],
    ),
    "a repeat of a family of one": ("x: Many { image } * 2", ["x[0]", "x.q[0]"]),
    "a table": ("x: for i in 1..4 { Own(2 * i) }", ["x", "x[0]", "x[2]", "x[1].a", "x.a"]),
    "a table, then a step": ("x: for i in 1..4 { conv(i, 3) } -> relu", ["x", "x[0]"]),
    "each": ("x: Own(4) each { image; image }", ["x[0]", "x[1]", "x[0].a"]),
    "a split": ("x: split(2)", ["x[0]", "x[1]"]),
    "an output by the name of another line": ("x: Other", ["x", "x[0]", "x.a", "x.b"]),
    "a family under another name": ("x: Many { image; image }", ["x.q[0]", "x.q[1]", "x[1]"]),
    "each row": ("x: reshape(2, 32) -> Row each row", ["x.cls", "x.box", "x[0]", "x[1]"]),
    "labels with numbers": ("x[2]: Both { image; image }", ["x[2]", "x[2][1]", "x[2].b"]),
}
BLOCKS = """
block Own(c: int): x -> y { a: x -> conv(c, 1)
  y: a -> relu }
block Both: (a[C, H, W], b[C, H, W]) -> (u as a, v as b) { u: a -> conv(C, 1)
  v: add { b; u } }
block Other: x -> (c as a, a as b) { a: x -> conv(4, 1)
  b: a -> relu
  c: b -> conv(5, 1) }
block Many: *p[_, H, W] -> *r as q { for i in 0..len(p) { q[i]: p[i] -> relu
    r[i]: q[i] -> conv(4, 1) } }
block Row: x -> (cls, box) { cls: x -> linear(3)
  box: x -> linear(4) }
"""


@pytest.mark.parametrize("name", WRITTEN)
def test_a_label_means_in_the_file_what_it_means_outside(name: str) -> None:
    line, some = WRITTEN[name]
    text = f"{BLOCKS}model M: image[4, H=4, W=4] -> z {{\n  {line}\n  z: image -> relu"
    known = labels(cnndsl.loads(f"{text} }}"))
    read = {}
    for label in {*known, *some} - {"image", "z"}:
        try:
            network = cnndsl.loads(f"{text}\n  probe: {label} -> relu }}")
        except cnndsl.ArchError:
            continue
        read[label] = network.operands("probe.relu")
    for label, operands in read.items():
        tensor = known[label]
        assert operands == [(tensor.node, tensor.output)], label
    # Of several tensors no line begins with the label alone.
    assert {*some} - {"x", "x[2]"} <= {*read}


def test_one_module_walks_the_structure() -> None:
    """A `match` over all kinds of items stands where each kind means something of its own."""
    allowed = {"structure.inside", "structure.rebuilt", "analysis.outline.term"}
    allowed |= {"analysis.pruning.term", "figures.plan._term", "figures.variants._slots"}
    found = set()
    for path in PACKAGE.rglob("*.py"):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        if module.startswith("backends.torch"):
            continue
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef):
                named = {
                    node.cls.id
                    for node in ast.walk(function)
                    if isinstance(node, ast.MatchClass) and isinstance(node.cls, ast.Name)
                }
                if len(named & KINDS) > 5:
                    found.add(f"{module}.{function.name}")
    assert found == allowed
