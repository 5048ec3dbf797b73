"""What is written computes what the graph says: two names of one tensor, loops, levels.

One class serves several instances, and one loop several iterations. The texts here are
those where what reads as the same thing is not.
"""

from __future__ import annotations

import ast

import numpy as np
import pytest
import torch

from cnndsl.analysis.weights import expected_weights
from cnndsl.backends.torch import file, write
from cnndsl.backends.torch.execute import instance
from cnndsl.backends.torch.writing import written
from cnndsl.network import loads
from tests.both import difference, inputs_of, outputs, weights_of


def agree(text: str) -> None:
    """The interpreter and PyTorch in float64, and the keys."""
    network = loads(text)
    found = write(network)
    assert found.fault is None
    weights = {
        name: w.astype(np.float64) if w.dtype == np.float32 else w
        for name, w in weights_of(network).items()
    }
    made = instance(found, network, weights).eval()
    assert set(made.state_dict()) == set(expected_weights(network))
    arrays = inputs_of(network, "float64", batch=1)
    with torch.inference_mode():
        computed = outputs(made.double()(*map(torch.from_numpy, arrays)))
    exact = network.to_numpy(weights, optimize=False)(*arrays)
    assert difference(outputs(exact), computed) <= 1e-9


PAIR = """
block Pair(k: int): (u[C, H, W], v[C, H, W]) -> (u2[C, H, W] as u, v2[C, H, W] as v) {
  u2: add { u; v -> conv(C, 1x1) }
  v2: add { v; u2 -> conv(C, k) }
}
"""
MAYBE = """
block Maybe(f: bool): x[C, H, W] -> (a, b) { a: x -> relu
                                             b: { conv(C, 1x1) when f } }
"""
TEXTS = {
    "a size with unlike sides begins as its default": """
block N(pool: size = 1): x[C, *S] -> y {
  seen: x -> { maxpool(pool) when pool != 1 }
  y: seen -> conv(C, 1) -> relu
}
model M: image[3, H=8, W=8] -> y { N(1x2)
                                   y: N(pool=1x2) }""",
    "one tensor for two ports": PAIR
    + """
model M: image[4, H=8, W=8] -> (a, b) {
  p: Pair(1) { image; image } -> Pair(3) * 2
  a: p.u -> relu
  b: p.v -> tanh
}""",
    "a label is the input where its line is off": """
block B(f: bool) { b: { conv(in.c, 1x1) when f }
                   add { in; b } -> relu }
model M: image[4, H=8, W=8] -> a { a: B(false) -> B(true) }""",
    "two outputs are one where a line is off": MAYBE
    + """
block D(f: bool): x[C, H, W] -> y {
  q: x -> Maybe(f)
  y: concat { q.a; q.b -> conv(C, 1x1) } -> conv(C, 1x1)
}
model M: image[4, H=8, W=8] -> a { a: D(false) -> D(true) }""",
    "iterations with two classes": """
block B(n: op) { conv(in.c, 1x1) -> n -> relu }
model M: image[4, H=8, W=8] -> a { a: for n in [bn, none, bn] { B(n) } }""",
    "several results in each iteration": PAIR
    + """
model M: image[4, H=8, W=8] -> (a, b) {
  z: image -> relu
  t: for i in 0..4 { Pair(1) { image; z } }
  a: t[3].u -> relu
  b: t[1].v -> relu
}""",
    "what an iteration ends with is not kept": """
model M: image[4, H=8, W=8] -> (a, b) {
  for i in 0..4 { p[i]: image -> conv(4, 2 * i + 1)
                  q[i]: p[i] -> conv(4, 1x1) }
  a: add { p[*] }
  b: p[3] -> tanh
}""",
    "an iteration continues the one before": """
model M: image[4, H=8, W=8] -> (a, b) {
  z: image -> relu
  t: for i in 0..4 { add { skip; conv(4, 3x3); z } }
  a: t[3] -> relu
  b: t[1] -> tanh
}""",
    "a step is repeated no times in one instance": """
block B(n: int) { conv(in.c, 3x3, act=relu) * (n - 1) -> conv(in.c, 1x1) }
model M: image[4, H=8, W=8] -> a { a: B(1) -> B(2) -> B(1) -> B(3) }""",
    "an exchange of resolutions, with lines that an iteration leaves out": """
default conv(norm=bn, act=relu)
block Down(c: int, n: int) { conv(in.c, 3x3, stride=2) * (n - 1) -> conv(c, 3x3, stride=2) }
block Fuse: *p -> *q {
  for i in 0..len(p) {
    q[i]: add {
      other: for j in 0..len(p) {
        p[j] -> conv(p[i].c, 1x1, act=none) -> resize(p[i].size) when j > i
        p[j] when j == i
        p[j] -> Down(p[i].c, i - j) when j < i
      }
    } -> relu
  }
}
model M: image[4, H=16, W=16] -> (a, b, c) {
  s: image -> conv(8, 3x3, stride=2)
  t: s -> conv(16, 3x3, stride=2)
  two: Fuse { image; s }
  three: Fuse { two.q[*]; t }
  a: three.q[0] -> relu
  b: three.q[1] -> relu
  c: three.q[2] -> relu
}""",
    "two ways with labels of their own": """
block A { conv(in.c, 1x1) -> relu }
block B(deep: bool) {
  inner: A when deep
  else flat: conv(in.c, 1x1)
  y: relu
}
model M: image[4, H=8, W=8] -> y { B(false)
                                   y: B(true) }""",
    "what goes on where a line is off is read by its own name too": """
block B(c: int, keep: bool): x -> y {
  low: x -> relu
  side: low -> conv(c, 1x1) when x.c != c
  else side: low
  y: concat { side -> tanh; low when keep } -> conv(c, 1x1)
}
model M: image[4, H=8, W=8] -> y { a: B(4, false) -> B(8, true)
                                   y: B(8, true) -> B(8, false) }""",
    "what enters a step says its sizes": """
block One(c: int, k: int, s: int = 1, groups: int = 1) {
  add { conv(c, k, stride=s, groups=groups); bn when s == 1 and in.c == c } -> relu
}
model M: image[4, H=16, W=12] -> (a, b) {
  stages:
  for | c | n |
      | 6 | 2 |
      | 8 | 1 |
  { { One(it.c, 3, 2 then 1, groups=it.c) -> One(c, 1) } * n }
  a: gap -> linear(2 * it.c) -> relu
  b: image -> conv(it.c + 2, 3x3, groups=min(it.c, 2)) * 2 -> resize([2 * it.h, it.w + 1])
}""",
    "one mean, with its axes and without": """
model M: image[4, H=8, W=8] -> (a, b) {
  f: conv(4, 3x3)
  g: f -> gap(keep=true) -> conv(4, 1x1)
  v: f -> gap -> linear(4)
  a: add { g; f } -> relu
  b: add { v; f -> tanh; g }
}""",
    "sides of a padding are a block's own": """
block P(k: int) {
  pad([k, 0, 1, k - 1], mode="replicate") -> conv(4, 3x3, pad=[k, 0, 0, k]) -> avgpool(2)
}
model M: image[4, H=9, W=8] -> y { P(1)
                                   y: P(2) }""",
    "a family is returned by a block that is called in a loop": """
block Layer(c: int): *p -> *y { for i in 0..len(p) { y[i]: p[i] -> conv(c, 1x1) } }
block Several: *p -> (*y, z) {
  for i in 0..len(p) { y[i]: p[i] -> relu }
  z: add { p[*] }
}
model M: image[4, H=8, W=8] -> (a, b) {
  first: image -> conv(4, 3x3)
  t: Layer(4) { image; first } * 3
  s: Several { t[*] }
  a: s.y[1] -> relu
  b: add { s.z; s.y[0] }
}""",
    "levels are read from both ends": """
model M: image[4, H=8, W=8] -> (a, b) {
  for i in 0..4 { p[i]: image -> conv(4, 1x1) }
  for j in 0..4 { q[j]: add { p[j]; p[3 - j] } -> relu }
  for k in 0..3 { r[k]: add { q[k]; q[k + 1] } -> relu }
  a: add { q[*] }
  b: add { r[*] }
}""",
}


TWO = """
block Two: x -> (a, b) { a: x -> conv(4, 3x3)
                         b: conv(4, 3x3, stride=2) }
"""
LOOPS = {
    "a table whose rows have an inner loop": (
        """
block Unit(c: int, drop: float) { conv(c, 3x3, norm=bn, act=relu) -> droppath(drop) }
model M: image[3, H=16, W=16] -> y {
  stages:
  for | c | n | first |
      | 4 | 1 |   0   |
      | 6 | 3 |   1   |
  { down: bn -> conv(c, 2x2, stride=2, pad=valid) when first > 0
    unit: for i in 0..n { Unit(c, 0.1 * (first + i) / 4) } }
  y: gap
}""",
        "for down, unit in zip(self.down, self.unit):",
    ),
    "a table of sequences between functions": (
        """
model M: image[3, H=16, W=16] -> y {
  stages:
  for | c | n |
      | 4 | 2 |
      | 6 | 1 |
  { convs: conv(c, 3x3, act=relu) * n
    maxpool(2x2) }
  y: gap -> linear(5)
}""",
        "for convs in self.convs:",
    ),
    "a table of which each turn is a sequence is one": (
        """
model M: image[3, H=16, W=16] -> y {
  stages:
  for | c | n |
      | 4 | 2 |
      | 6 | 1 |
  { unit: for i in 0..n { conv(c, 3x3, act=relu) } }
  y: gap -> linear(5)
}""",
        "self.unit(image)",
    ),
    "several tensors go through the same blocks": (
        """
block Mix: *x[C, _, _] -> *y {
  for i in 0..len(x) { y[i]: add { x[i]; x[0] -> conv(C, 1x1) } -> tanh }
}
model M: image[4, H=8, W=8] -> y {
  a: conv(4, 3x3)
  b: conv(4, 3x3)
  m: Mix { image; a; b } -> Mix * 3
  y: concat { m[*] }
}""",
        "for block in self.m_block2:",
    ),
    "a table of anchors over levels": (
        TWO
        + """
model M: image[3, H=16, W=16] -> y[N, 4] {
  f: image -> Two
  for | i |  sizes  |
      | 0 | [ 2, 3] |
      | 1 | [ 4, 7] |
  { grid[i]: f[i] -> anchor_grid([H // f[i].h, W // f[i].w], sizes=sizes, ratios=[0.5, 1]) }
  y: concat { grid[*] }
}""",
        "for x, sizes in zip([a, b], ((2, 3), (4, 7))):",
    ),
    "a loop with values of its own": (
        TWO
        + """
model M(q: float = 1.5): image[3, H=16, W=16] -> y[N, 4] {
  f: image -> Two
  for i in 0..2 {
    let s = 3 * 2 ** i
    grid[i]: f[i] -> anchor_grid([2, 2], wh=[[s, s], [s * q, s / q]])
  }
  y: concat { grid[*] }
}""",
        "s = 3 * 2**i",
    ),
}


@pytest.mark.parametrize(("text", "said"), LOOPS.values(), ids=LOOPS)
def test_a_loop_is_a_loop_of_forward(text: str, said: str) -> None:
    assert said in loads(text).torch_source()
    agree(text)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_what_is_written_is_the_network(text: str) -> None:
    agree(text)


HOURGLASS = """
block Hourglass(depth: int): x[C, H, W] -> y[C, H, W] {
  up: x -> conv(C, 3x3, norm=bn, act=relu)
  low: x -> maxpool(2)
  inner: Hourglass(depth - 1) when depth > 1
  else bottom: conv(C, 3x3)
  back: upsample(2)
  y: add { up; back }
}
model M: image[4, H=16, W=16] -> y { Hourglass(3)
                                     y: conv(6, 1x1) -> Hourglass(1) }"""
FRACTAL = """
block Fractal(n: int, c: int) {
  add { conv(c, 3x3)
        { Fractal(n - 1, c) * 2 } when n > 1 }
}
model M: image[4, H=8, W=8] -> y { y: Fractal(3, 6) }"""
MUTUAL = """
block Odd(n: int, act: op = relu) { conv(in.c, 1x1) -> act; Even(n - 1) when n > 0 }
block Even(n: int) { conv(in.c, 3x3); Odd(n - 1, act=tanh) when n > 0 }
model M: image[4, H=8, W=8] -> y { y: Odd(4) }"""
TREE = """
block Tree(levels: int, c: int, s: int = 1, keep: bool = false): (x, *children) -> y {
  bottom: x -> maxpool(s) when s > 1
  else bottom: x
  side: bottom -> conv(c, 1x1, norm=bn) when levels == 1 and x.c != c
  else side: bottom
  first: add { x -> conv(c, 3x3, stride=s); side } when levels == 1
  else first: Tree(levels - 1, c, s) { x }
  second: first -> conv(c, 3x3, act=relu) when levels == 1
  else second: Tree(levels - 1, c) { first; children[*]; bottom when keep; first }
  y: concat { second; first; children[*]; bottom when keep } -> conv(c, 1x1) when levels == 1
  else y: second
}
model M: image[4, H=16, W=16] -> y { a: Tree(1, 6, 2) { image }
                                     y: Tree(2, 8, 2, keep=true) { a } }"""
GROWING = """
block Grow(n: int): x -> y {
  a: x -> conv(4, 3x3)
  more: concat { x; a }
  y: Grow(n - 1) when n > 1
  else y: more -> relu
}
model M: image[4, H=8, W=8] -> y { y: Grow(3) }"""
RECURSIVE = {"hourglass": HOURGLASS, "fractal": FRACTAL, "mutual": MUTUAL, "tree": TREE}


@pytest.mark.parametrize("text", [*RECURSIVE.values(), GROWING], ids=[*RECURSIVE, "growing"])
def test_a_block_within_itself_is_written_so(text: str) -> None:
    agree(text)
    found = written(loads(text))
    assert not found.because
    assert found.text.count("(nn.Module)") <= text.count("block ") + 2 or text is GROWING


def test_a_repeat_whose_first_pair_is_one_tensor() -> None:
    agree(
        PAIR
        + """
block Same: x[C, H, W] -> (u, v) { u: x -> conv(C, 1x1)
                                   v: u }
model M: image[4, H=8, W=8] -> a { p: Same -> Pair(3) * 3
                                   a: p.u -> relu }"""
    )


@pytest.mark.parametrize(
    "lines", ["skip when c > 2; conv(c, 1x1)", "conv(c, 1x1); skip when c > 2"]
)
def test_a_constructor_refuses_what_would_take_lines_that_are_not_written(lines: str) -> None:
    text = f"""
block One(c: int) {{ concat {{ {lines} }} }}
model M(c: int = 1): image[3, H=8, W=8] -> y {{ y: One(c) -> One(2) }}"""
    agree(text)
    found = write(loads(text))
    made = type(instance(found, loads(text), weights_of(loads(text))))
    assert made(c=2).y[0].conv.out_channels == 2
    with pytest.raises(ValueError, match="this class is not written for c > 2"):
        made(c=3)


def test_a_size_is_handed_on_whole() -> None:
    text = """
block One(k: size, c: int = 8) { conv(c, k) }
block Two(k: size) { One(k) -> One(k, c=4) -> maxpool(k, pad=same, stride=1) }
model M(k: size = 1x3): image[3, H=8, W=8] -> y { y: Two(k) -> Two(3x3) }"""
    agree(text)
    source = loads(text).torch_source()
    assert "One(c_in, k)" in source
    assert "Two(channels, k)" in source


def test_a_block_within_itself_is_one_class_at_the_depth_that_there_may_be() -> None:
    network = loads("""
block R(d: int) { conv(4, 3x3)
  R(d - 1) when d > 1 }
model M(d: int = 199): image[4, H=8, W=8] -> y { y: R(d) }
""")
    text = written(network).text
    assert text.count("class ") == 2
    assert "d - 1)" in text


def test_definitions_have_the_field_that_newer_parsers_fill() -> None:
    """Else what is written is not, from Python 3.12 on, what its text parses to."""
    method = file.function("f", file.arguments([]), [ast.Pass()], ast.Constant(None))
    for node in (method, file.derived("A", "nn.Module", [method])):
        assert vars(node)["type_params"] == []
