"""What is written computes what the graph says: two names of one tensor, loops, levels.

One class serves several instances, and one loop several iterations. The texts here are
those where what reads as the same thing is not.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cnndsl.analysis.weights import expected_weights
from cnndsl.diagnostics import ArchError
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


def test_a_repeat_whose_first_pair_is_one_tensor_is_refused() -> None:
    network = loads(
        PAIR
        + """
block Same: x[C, H, W] -> (u, v) { u: x -> conv(C, 1x1)
                                   v: u }
model M: image[4, H=8, W=8] -> a { p: Same -> Pair(3) * 3
                                   a: p.u -> relu }"""
    )
    with pytest.raises(ArchError, match="E601"):
        network.torch_source()


BLOCKS = """
block Two: x[C, H, W] -> (a[C, H, W], b[C, H, W]) {
  a: x -> conv(C, 3x3)
  b: a -> relu -> conv(C, 1x1)
}
block Unit(s: float = 1.0) { conv(in.c, 3x3) -> mul(s) }
block Res(k: int) { add { skip; conv(in.c, k) -> relu } }
block Deep(f: bool) { b: { conv(in.c, 1x1) when f }
                      add { in; b } }
block Many: *p[C, H, W] -> *q { for i in 0..len(p) { q[i]: p[i] -> conv(C, 1x1) -> relu } }
"""
STEPS = ("conv(4, 3x3)", "relu", "tanh", "Unit", "Unit(0.5)", "Res(3)", "mul(2.0)",
         "bn -> relu", "Deep(true)", "Deep(false)")  # fmt: skip
NUMBERED = ("Unit(0.5 * {i})", "conv(4, 2 * {i} + 1)", "mul({i} + 0.5)", "Res(2 * {i} + 1)",
            "Deep({i} == 1)")  # fmt: skip


class Text:
    """Lines of a body, and the spellings of the tensors that they may read, all `[4, 8, 8]`."""

    def __init__(self, data: st.DataObject) -> None:
        self.data = data
        self.lines: list[str] = []
        self.pool = ["x"]

    def any_of(self, *items: str) -> str:
        return self.data.draw(st.sampled_from(items))

    def number(self, least: int, most: int) -> int:
        return self.data.draw(st.integers(least, most))

    def step(self, i: str = "") -> str:
        return self.any_of(*STEPS, *(form.format(i=i) for form in NUMBERED if i))

    def source(self) -> str:
        return self.any_of(*self.pool)

    def add(self, line: str, *names: str) -> None:
        self.lines.append(line)
        self.pool += names

    def part(self, n: int) -> None:
        """One construct, whose labels end in `n`; `k` is how many it has."""
        k = self.number(2, 4)
        name, i, every = f"l{n}", f"i{n}", range(k)
        several = "; ".join(self.source() for _ in every)
        ends = [f"{name}[{m}]" for m in every]
        match self.number(0, 9):
            case 0:
                self.add(f"{name}: {self.source()} -> {self.step()}", name)
            case 1:
                self.add(f"{name}: {self.source()} -> Two", f"{name}.a", f"{name}.b")
            case 2:
                self.add(f"{name}s: {self.source()} -> {self.step()}", f"{name}s")
                self.add(f"{name}: for {i} in 0..{k} {{ {self.step(i)} }}", *ends)
            case 3:
                a, b = f"{name}p[{i}]: {self.source()} -> {self.step(i)}", self.step(i)
                self.add(
                    f"for {i} in 0..{k} {{ {a}\n {name}q[{i}]: {name}p[{i}] -> {b} }}",
                    *(f"{name}{port}[{m}]" for m in every for port in "pq"),
                )
            case 4:
                line = f"{name}[{i}]: {self.source()} -> Two"
                self.add(
                    f"for {i} in 0..{k} {{ {line} }}\n{name}s: add {{ {name}[*].a }}",
                    *(f"{end}.{port}" for end in ends for port in "ab"),
                    f"{name}s",
                )
            case 5:
                called = f"{name}: Two each {{ {several} }}"
                self.add(called, *(f"{end}.{port}" for end in ends for port in "ab"))
            case 6:
                called = f"{name}: Many {{ {several} }}"
                self.add(called, *(f"{name}.q[{m}]" for m in every))
            case 7:
                first = f"Pair(1) {{ {self.source()}; {self.source()} }}"
                self.add(f"{name}: {first} -> Pair(3) * {k}", f"{name}.u", f"{name}.v")
            case 8:
                line = f"a{n}: {self.step(i)}\n {self.step()} -> add {{ skip; a{n} }}"
                self.add(f"{name}s: {self.source()} -> relu")
                self.add(
                    f"{name}: for {i} in 0..{k} {{ {line} }}",
                    *ends,
                    *(f"{end}.a{n}" for end in ends),
                )
            case _:
                line = f"{name}[{i}, j]: {self.source()} -> {self.step(i)}"
                ends = [f"{name}[{m}, {j}]" for m in every for j in (0, 1)]
                self.add(f"for {i} in 0..{k} {{ for j in 0..2 {{ {line} }} }}", *ends)


@pytest.mark.slow
@settings(max_examples=15)
@given(st.data())
def test_random_networks(data: st.DataObject) -> None:
    text = Text(data)
    for n in range(text.number(2, 5)):
        text.part(n)
    ports = [f"o{n}" for n in range(text.number(1, 3))]
    lines = [*text.lines, *(f"{p}: {text.source()} -> {text.step()}" for p in ports)]
    inner = "\n".join(f"  {line}" for line in lines)
    found = ", ".join(ports)
    sums = "\n".join(f"  {p}: add {{ first.{p}; second.{p} }}" for p in ports)
    agree(f"""{BLOCKS}{PAIR}
block Inner: x[C, H, W] -> ({found}) {{
{inner}
}}
model M: image[4, H=8, W=8] -> ({found}) {{
  first: Inner
  second: first.o0 -> Inner
{sums}
}}""")
