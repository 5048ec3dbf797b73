"""What is written computes what the graph says: two names of one tensor, loops, levels.

One class serves several instances, and one loop several iterations. The texts here are
those where what reads as the same thing is not.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cnndsl.analysis.weights import expected_weights
from cnndsl.network import loads
from tests.both import difference, inputs_of, outputs, weights_of


def agree(text: str) -> None:
    """NumPy and PyTorch in float64, and the keys."""
    network = loads(text)
    weights = {
        name: w.astype(np.float64) if w.dtype == np.float32 else w
        for name, w in weights_of(network).items()
    }
    made = network.to_torch(weights).eval()
    assert set(made.state_dict()) == set(expected_weights(network))
    arrays = inputs_of(network, "float64", batch=1)
    with torch.inference_mode():
        found = outputs(made.double()(*map(torch.from_numpy, arrays)))
    assert difference(outputs(network.to_numpy(weights)(*arrays)), found) <= 1e-9


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
    "levels are read from both ends": """
model M: image[4, H=8, W=8] -> (a, b) {
  for i in 0..4 { p[i]: image -> conv(4, 1x1) }
  for j in 0..4 { q[j]: add { p[j]; p[3 - j] } -> relu }
  for k in 0..3 { r[k]: add { q[k]; q[k + 1] } -> relu }
  a: add { q[*] }
  b: add { r[*] }
}""",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_what_is_written_is_the_network(text: str) -> None:
    agree(text)


def test_a_repeat_whose_first_pair_is_one_tensor() -> None:
    agree(
        PAIR
        + """
block Same: x[C, H, W] -> (u, v) { u: x -> conv(C, 1x1)
                                   v: u }
model M: image[4, H=8, W=8] -> a { p: Same -> Pair(3) * 3
                                   a: p.u -> relu }"""
    )
