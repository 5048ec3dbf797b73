"""Loops that hand on a tensor and collect others, go over unlike levels, and are counted."""

from __future__ import annotations

import ast

import pytest
import torch

from cnndsl.analysis.weights import expected_weights
from cnndsl.backends.torch import printing, write
from cnndsl.backends.torch.execute import execute, shapes_alone
from cnndsl.network import loads
from tests.torch.test_written import agree

BACKBONE = """
block Body: image -> (a, b, c) {
  a: image -> conv(4, 3x3, stride=2)
  b: conv(6, 3x3, stride=2)
  c: conv(10, 3x3, stride=2)
}
"""
LAYER = """
block Layer(c: int, t: int, d: int): x -> (next as x, tap) {
  g: x -> conv(c, 3x3, dilation=d, act=tanh)
  next: add { g -> conv(c, 1x1); x }
  tap: g -> conv(t, 1x1)
}
"""
UNITS = """
block Unit(c: int) { add { skip; conv(c, 3x3) } }
"""
LOOPS = {
    "levels of unlike widths, and a table": BACKBONE + """
block Predict(A: int, v: int) { conv(A * v, 3x3) -> rearrange("(a v) h w -> (h w a) v", a=A) }
model M(classes: int = 3): image[3, H=32, W=32] -> (cls, reg) {
  body: Body
  for | i | A |
      | 0 | 2 |
      | 1 | 4 |
      | 2 | 2 |
  {
    conf[i]: body[i] -> Predict(A, classes)
    loc[i]: body[i] -> Predict(A, 4)
  }
  cls: concat { conf[*] }
  reg: concat { loc[*] }
}""",
    "sizes of the levels, which the constructor needs": BACKBONE + """
block Turn(n: float) { mul(n) }
model M: image[3, H=32, W=32] -> y {
  body: Body
  for i in 0..3 { t[i]: body[i] -> Turn(H / body[i].h) -> conv(2, 1x1) -> gap }
  y: add { t[*] }
}""",
    "a list of which a condition gives the length": BACKBONE + """
block Boxes(A: int, s: float): f[C, h, w] -> boxes[A * h * w, 4] {
  boxes: anchor_grid([4, 4], wh=[[s, s], [s, 2 * s]] + ([[2 * s, s]] if A == 3 else []))
}
model M: image[3, H=32, W=32] -> y {
  body: Body
  for i in 0..3 { b[i]: body[i] -> Boxes(3 if i == 1 else 2, 4 * 2 ** i) }
  y: concat { b[*] }
}""",
    "blocks of several outputs": BACKBONE + """
block Head(k: int): (image, p) -> (u, v) {
  u: p -> conv(k, 1x1) -> rearrange("k h w -> (h w) k")
  v: mul { p -> conv(1, 1x1) -> resize([4, 4]); image -> mean(0, keep=true) -> resize([4, 4]) }
}
model M(k: int = 5): image[3, H=32, W=32] -> (us, vs) {
  body: Body
  for i in 0..3 { d[i]: Head(k) { image; body[i] } }
  us: concat { d[*].u }
  vs: add { d[*].v }
}""",
    "a tensor handed on, another collected": LAYER + """
block Stack(c: int, t: int, n: int): x -> (last as x, tap) {
  layers: for i in 0..n { Layer(c, t, 2 ** i) }
  last: layers[n - 1].x
  tap: add { layers[*].tap }
}
model M(c: int = 4, n: int = 3, stacks: int = 2): image[3, H=16, W=16] -> y {
  x: conv(c, 3x3)
  stack: for _ in 0..stacks { Stack(c, 5, n) }
  y: concat { stack[*].tap } -> conv(2, 1x1)
}""",
    "the last turn hands on nothing": """
block Stage(k: int, last: bool): x[C, H, W] ->
    (next[C, H, W] as x when not last, heat[k, H, W]) {
  f: conv(C, 3x3, norm=bn, act=relu)
  heat: conv(k, 1x1)
  next: add { x; f -> conv(C, 1x1); heat -> conv(C, 1x1) } when not last
}
model M(stages: int = 3, k: int = 4): image[3, H=8, W=8] -> y {
  x: conv(6, 3x3)
  stage: for i in 0..stages { Stage(k, last=i == stages - 1) }
  y: concat { stage[*].heat } -> conv(1, 1x1)
}""",
    "all that a counted sequence gives": UNITS + """
block C2f(c: int, n: int = 1) {
  parts: conv(c, 1x1) -> split(2)
  units: parts[1] -> for _ in 0..n { Unit(c // 2) }
  concat { parts[*]; units[*] } -> conv(c, 1x1)
}
model M(k: int = 2): image[3, H=8, W=8] -> y {
  conv(4, 3x3) -> C2f(4) -> C2f(6, 3)
  y: C2f(8, k)
}""",
    "a counted sequence, added": UNITS + """
block Sum(c: int, n: int) {
  a: conv(c, 1x1)
  units: for _ in 0..n { Unit(c) }
  add { a; units[*] }
}
model M: image[3, H=8, W=8] -> y {
  a: Sum(4, 2)
  y: Sum(5, 3)
}""",
    "as many shares as inputs": """
block Fuse: *x[C, H, W] -> y[C, H, W] {
  w: x[0] -> learned([len(x)], init=ones) -> softmax(axis=0)
  share: w -> split(len(x))
  for i in 0..len(x) { part[i]: mul { x[i]; share[i] -> reshape(1, 1, 1) } }
  y: add { part[*] } -> conv(C, 3x3)
}
model M: image[3, H=8, W=8] -> y {
  a: image -> conv(4, 3x3)
  b: a -> conv(4, 3x3)
  c: Fuse { a; b }
  y: Fuse { a; b; c }
}""",
    "a triangle of modules": """
model M(c: list[int] = [2, 3, 5, 6]): image[1, H=16, W=16] -> y {
  let depth = len(c)
  x[0, 0]: image -> conv(c[0], 3x3)
  for i in 1..depth { x[i, 0]: x[i - 1, 0] -> maxpool(2) -> conv(c[i], 3x3) }
  for j in 1..depth {
    for i in 0..depth - j {
      x[i, j]: concat { for k in 0..j { x[i, k] }
                        x[i + 1, j - 1] -> deconv(c[i], 2x2, stride=2) } -> conv(c[i], 3x3)
    }
  }
  y: x[0, depth - 1]
}""",
}  # fmt: skip
SINGLE = {
    "one of the tensors that an argument counts": LAYER + """
model M(n: int = 3): image[4, H=8, W=8] -> y {
  layers: for i in 0..n { Layer(4, 2, i + 1) }
  y: add { layers[1].tap; layers[n - 1].tap }
}""",
    "what a block takes many of": """
block Join: *x[_, H, W] -> y { y: concat { x[*] } -> conv(2, 1x1) }
model M(n: int = 3): image[4, H=8, W=8] -> y {
  for i in 0..n { x[i]: image -> conv(i + 1, 3x3) }
  y: Join { x[*] }
}""",
    "widths that the turns differ in": """
model M(n: int = 3): image[4, H=8, W=8] -> y {
  for i in 0..n { x[i]: image -> conv(i + 1, 3x3) }
  y: concat { x[*] } -> conv(2, 1x1)
}""",
    "a counted sequence that a block takes": UNITS + """
block Join: *x[_, H, W] -> y { y: concat { x[*] } -> conv(2, 1x1) }
block B(c: int, n: int) { units: conv(c, 1x1) -> for _ in 0..n { Unit(c) }
  Join { units[*] } }
model M: image[3, H=8, W=8] -> y { a: B(4, 2)
                                   y: B(4, 3) }""",
}  # fmt: skip


TERMS = {
    "what enters by its name, or a module": ("+ self.projection(x)", """
block B(c: int) { a: conv(c, 3x3)
                  b: a -> relu
                  add { b -> conv(c, 1x1)
                        in when in.c == c
                        else projection: in -> conv(c, 1x1) } -> relu }
model M: image[3, H=8, W=8] -> y { a: B(4)
                                   y: B(4) }"""),
    "a conditional term before a loop": ("parts = [self.bn(x)] + parts", """
block B(c: int) { add { bn when in.c == c
                        branch: for _ in 0..3 { in -> conv(c, 1x1) } } -> relu }
model M: image[3, H=8, W=8] -> y { a: B(4)
                                   y: B(4) }"""),
    "a tensor many times": ("[x] * 5", """
model M: image[3, H=8, W=8] -> y { x: conv(2, 3x3) -> relu
                                   y: concat { for i in 0..5 { x } } -> conv(2, 1x1) }"""),
    "one dropout for several turns": ("self.dropout(", """
model M: image[3, H=8, W=8] -> y {
  a[0]: conv(4, 3x3)
  for i in 1..4 { a[i]: a[i - 1] -> conv(4 + i, 3x3) -> dropout(0.5) }
  y: a[3] -> conv(1, 1x1)
}"""),
    "a table of blocks, of one of which a label is read": ("all_wide[1]", """
block B(c: int, s: int = 1) { wide: conv(2 * c, 1x1) -> relu
                              conv(c, 3x3, stride=s) }
model M: image[3, H=8, W=8] -> (y, z) {
  body: for | c | s |
            | 4 | 1 |
            | 6 | 2 |
            | 8 | 1 |
  { B(c, s) }
  y: body -> conv(2, 1x1)
  z: body[1].wide -> conv(2, 1x1)
}"""),
    "a condition that only some instances reach": ("class Tree", """
block Tree(n: int, c: int, root: bool): (x, *heard) -> y {
  left: x -> conv(c, 3x3) when n == 1
  else left: Tree(n - 1, c, false) { x }
  y: concat { left; heard[*]; x when root } -> conv(c, 1x1) when n == 1
  else y: Tree(n - 1, c, false) { left; heard[*]; x when root; left }
}
model M: image[3, H=8, W=8] -> y { a: Tree(1, 4, false)
                                   b: Tree(2, 6, true)
                                   y: Tree(1, 4, true) }"""),
}  # fmt: skip


@pytest.mark.parametrize("kind", TERMS)
def test_it_is_written_as_a_person_would(kind: str) -> None:
    said, text = TERMS[kind]
    agree(text)
    found = write(loads(text))
    assert not found.because
    assert said in found.text
    assert "dropout2" not in found.text


def classes(text: str) -> dict[str, ast.ClassDef]:
    """The classes of a network's file."""
    found = write(loads(text))
    assert not found.because
    return {n.name: n for n in ast.parse(found.text).body if isinstance(n, ast.ClassDef)}


def built(text: str, **given: object) -> bool:
    """Whether the constructor builds the network of these arguments; it may refuse."""
    made = execute(write(loads(text)).text, "M")
    wanted = loads(text, parameters=given)
    with shapes_alone():
        try:
            module = made.M(**given)
        except ValueError:
            return False
    shapes = {k: tuple(v.shape) for k, v in module.state_dict().items()}
    expected = {k: tuple(map(int, w.shape)) for k, (_, w) in expected_weights(wanted).items()}
    assert shapes == expected
    return True


@pytest.mark.parametrize("kind", LOOPS)
def test_a_loop_computes_what_its_turns_do_and_is_one_class(kind: str) -> None:
    agree(LOOPS[kind])
    found = classes(LOOPS[kind])
    assert not [name for name in found if name[-1] in "23"]
    unrolled = [
        node
        for node in ast.walk(found["M"])
        if isinstance(node, ast.List)
        and len([e for e in node.elts if isinstance(e, ast.Call)]) > 3
    ]
    assert not unrolled


@pytest.mark.parametrize("kind", SINGLE)
def test_what_no_loop_says_computes_the_same(kind: str) -> None:
    agree(SINGLE[kind])
    assert not write(loads(SINGLE[kind])).because


COUNTS = [
    ("a tensor handed on, another collected", {"n": 1}),
    ("a tensor handed on, another collected", {"n": 5, "stacks": 1, "c": 3}),
    ("a tensor handed on, another collected", {"stacks": 4}),
    ("the last turn hands on nothing", {"stages": 1}),
    ("the last turn hands on nothing", {"stages": 5, "k": 3}),
    ("all that a counted sequence gives", {"k": 1}),
    ("all that a counted sequence gives", {"k": 4}),
    ("a triangle of modules", {"c": (4, 3, 2, 1)}),
]


@pytest.mark.parametrize(("kind", "given"), COUNTS)
def test_a_number_of_turns_is_an_argument(kind: str, given: dict[str, object]) -> None:
    assert built(LOOPS[kind], **given)


def test_a_loop_of_another_number_of_turns_computes_its_network() -> None:
    text = LOOPS["a tensor handed on, another collected"]
    made = execute(write(loads(text)).text, "M")
    ours = made.M(n=2, stacks=3).double().eval()
    theirs = loads(text, parameters={"n": 2, "stacks": 3}).to_torch().double().eval()
    theirs.load_state_dict(ours.state_dict())
    image = torch.rand(1, 3, 16, 16, dtype=torch.float64)
    assert torch.equal(ours(image), theirs(image))


@pytest.mark.parametrize("c", [(2, 3, 5), (2, 3, 5, 6, 7)])
def test_a_list_of_another_length_is_refused(c: tuple[int, ...]) -> None:
    assert not built(LOOPS["a triangle of modules"], c=c)


@pytest.mark.parametrize("kind", [kind for kind in SINGLE if "M(n:" in SINGLE[kind]])
def test_a_number_that_is_no_argument_is_said(kind: str) -> None:
    found = write(loads(SINGLE[kind])).text
    if "n: int" in found.partition("class M(")[2].partition("def forward")[0]:
        assert built(SINGLE[kind], n=5)
    else:
        assert "Parameters: n=3." in found


@pytest.mark.parametrize(
    "text",
    [
        "((s, s), (q, q), (w2, h2), (h2, w2)) + (((w3, h3), (h3, w3)) if A == 6 else ())",
        "a_long_name_of_a_value * (another_long_name + a_third_name_that_is_long) * fourth_one",
        "(first_condition_of_all or second_condition_here) and (third_condition or the_fourth)",
        "(one_long_value if a_long_condition else another_value) + (x if condition else yyyy)",
        "(a_first_long_name, b) if (c_is_a_condition or d_is_too) and e_is_a_third else (f, g)",
        "first_of_the_names if (second_name if third_name_is_long else fourth) else fifth_name",
        "a_name_of_some_length - (another_name_of_that_length - a_third_name - the_fourth)",
        "(a_long_name or another_long_name) and (a_third_long_name or the_fourth_long_name)",
        "(one if a_long_condition else 1) if (other if another_condition else c) else the_last",
    ],
)
@pytest.mark.parametrize("indent", [0, 8, 24, 40])
def test_a_broken_expression_reads_back_as_itself(text: str, indent: int) -> None:
    node = ast.parse(text, mode="eval").body
    lines = printing.lines(node, indent, "x = ")
    again = ast.parse("\n".join(["if True:", *lines] if indent else lines)).body[0]
    body = again.body[0] if isinstance(again, ast.If) else again
    assert isinstance(body, ast.Assign)
    assert ast.dump(body.value) == ast.dump(node)
