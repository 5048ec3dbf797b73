"""Loops over families of tensors are loops of `forward`, and compute what their turns do."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnndsl.backends.torch import write
from cnndsl.network import load, loads
from tests.torch.test_written import agree

LEVELS = """
model M: image[3, H=32, W=32] -> (u, v, w) {
  a: image -> conv(4, 3x3, stride=2)
  b: a -> conv(8, 3x3, stride=2)
  c: b -> conv(12, 3x3, stride=2)
  two: Mix { a; b }
  three: Mix { two[*]; c } -> Mix
  u: three[0] -> conv(1, 1x1)
  v: three[1] -> conv(2, 1x1)
  w: three[2] -> conv(3, 1x1)
}
"""
LOOPS = {
    "a module each": """
block Mix: *x[_, _, _] -> *y {
  for i in 0..len(x) { y[i]: x[i] -> conv(x[i].c, 3x3, norm=bn, act=relu) }
}""",
    "two loops, the second reads the first's family": """
block Mix: *x[_, _, _] -> *y {
  for i in 0..len(x) { b[i]: x[i] -> conv(x[i].c, 3x3) -> relu }
  for i in 0..len(x) { y[i]: add { x[i]; b[i] -> conv(x[i].c, 1x1); b[i] } }
}""",
    "every level hears every other": """
block Mix: *x[_, _, _] -> *y {
  for i in 0..len(x) {
    y[i]: add {
      for j in 0..len(x) {
        down[j]: x[j] -> conv(x[j].c, 3x3, stride=2) * (i - j - 1)
                      -> conv(x[i].c, 3x3, stride=2) when j < i
        x[j] when j == i
        up[j]: x[j] -> conv(x[i].c, 1x1) -> upsample(2 ** (j - i)) when j > i
      }
    } -> relu
  }
}""",
    "a line before the loop of a join and one behind it": """
block Mix: *x[_, _, _] -> *y {
  for i in 0..len(x) {
    z[i]: x[i] -> conv(x[i].c, 3x3)
    y[i]: add {
      z[i]
      for j in 0..len(x) { side[j]: x[j] -> conv(x[i].c, 1x1) -> resize(x[i].size) }
      x[i] -> tanh
    }
  }
}""",
    "a value of the turn alone": """
block Mix: *x[_, _, _] -> *y {
  for i in 0..len(x) {
    t[i]: x[i] -> conv(2 * x[i].c, 1x1, act=relu)
    y[i]: mul { x[i]; t[i] -> conv(x[i].c, 1x1) -> sigmoid }
  }
}""",
}
UNROLLED = {
    "a turn reads the one before": """
block Mix: *x[_, _, _] -> *y {
  y[0]: x[0] -> relu
  for i in 1..len(x) { y[i]: add { x[i]; y[i - 1] -> conv(x[i].c, 3x3, stride=2) } }
}""",
    "a join of another kind": """
block Mix: *x[_, _, _] -> *y {
  for i in 0..len(x) {
    y[i]: concat { for j in 0..len(x) { x[j] -> resize(x[i].size) } } -> conv(x[i].c, 1x1)
  }
}""",
    "the widths are a formula of the turn": """
block Mix: *x[_, _, _] -> *y {
  for i in 0..len(x) {
    y[i]: x[i] -> conv(4 * (i + 1), 3x3) -> conv(8 - i, 1x1) -> conv(x[i].c, 1x1)
  }
}""",
    "a condition of the turn around a label that is read": """
block Mix: *x[_, _, _] -> *y {
  for i in 0..len(x) {
    z[i]: x[i] -> { conv(x[i].c, 3x3) when i > 0 } -> relu
  }
  for i in 0..len(x) { y[i]: add { z[i]; x[i] } }
}""",
    "an attribute of the turn": """
block Mix: *x[_, _, _] -> *y {
  for i in 0..len(x) { y[i]: x[i] -> conv(x[i].c, 3x3, groups=2 if i == 0 else 1) }
}""",
}


@pytest.mark.parametrize("loop", LOOPS)
def test_a_loop_over_a_family_is_one_of_forward(loop: str) -> None:
    text = LOOPS[loop] + LEVELS
    agree(text)
    found = write(loads(text))
    assert not found.because
    classes = {n.name: n for n in ast.parse(found.text).body if isinstance(n, ast.ClassDef)}
    assert [name for name in classes if name.startswith("Mix")] == ["Mix"]
    assert any(isinstance(n, ast.For) for n in ast.walk(classes["Mix"]))


@pytest.mark.parametrize("loop", UNROLLED)
def test_a_loop_whose_turns_differ_computes_the_same(loop: str) -> None:
    agree(UNROLLED[loop] + LEVELS)


def test_one_exchange_serves_all_stages_of_hrnet() -> None:
    found = write(load("hrnet_w18"))
    assert not found.because
    assert found.text.count("class Exchange") == 1


CHANGES = (
    "conv({c}, 3x3)",
    "conv({c}, 1x1, norm=bn, act=relu)",
    "conv(2 * {c}, 1x1) -> conv({c}, 1x1)",
    "relu",
    "scale",
    "conv({c}, 3x3) * 2",
    "{ conv({c}, 1x1) when i > 0 }",
    "{ relu when i == 1 }",
    "dwconv(3x3) -> gn(2)",
    "conv({c}, 3x3) * (i + 1)",
)
CONDITIONS = ("", " when j < i", " when j == i", " when j != i", " when j >= i", " when i > 0")


@st.composite
def blocks(draw: st.DrawFn) -> str:
    """A block of loops over its families, each of which may read those before it."""

    def change(of: str) -> str:
        chain = draw(st.lists(st.sampled_from(CHANGES), min_size=1, max_size=2))
        return " -> ".join(one.replace("{c}", of) for one in chain)

    families, loops = ["x"], []
    last = draw(st.integers(1, 3))
    for number in range(last):
        name = "y" if number == last - 1 else f"f{number}"
        read = draw(st.sampled_from(families))
        lines = []
        match draw(st.sampled_from(["chain", "join", "joins", "local"])):
            case "chain":
                lines = [f"{name}[i]: {read}[i] -> {change('x[i].c')}"]
            case "local":
                lines = [
                    f"t{number}[i]: {read}[i] -> {change('x[i].c')}",
                    f"{name}[i]: mul {{ t{number}[i]; x[i] -> sigmoid }}",
                ]
            case "join":
                other = draw(st.sampled_from(families))
                lines = [f"{name}[i]: add {{ {read}[i]; {other}[i] -> {change('x[i].c')} }}"]
            case "joins":
                wide = "conv(x[i].c, 1x1) -> resize(x[i].size)"
                more = draw(st.sampled_from(CONDITIONS))
                kind = draw(st.sampled_from(["add", "add", "concat"]))
                inner = f"for j in 0..len(x) {{ s{number}[j]: {read}[j] -> {wide}{more} }}"
                around = draw(st.sampled_from([f"x[i]; {inner}", f"{inner}; x[i]"]))
                around = around.replace("; ", "\n      ")
                behind = change("x[i].c") if kind == "add" else "conv(x[i].c, 1x1)"
                lines = [f"{name}[i]: {kind} {{\n      {around}\n    }} -> {behind}"]
        body = "\n    ".join(lines)
        loops.append(f"  for i in 0..len(x) {{\n    {body}\n  }}")
        families.append(name)
    return "block Mix: *x[_, _, _] -> *y {\n" + "\n".join(loops) + "\n}"


@settings(max_examples=25, deadline=None)
@given(blocks())
def test_random_loops_compute_what_their_turns_do(block: str) -> None:
    agree(block + LEVELS)


MANY = """
block D(s: int) { %s -> relu }
model M: image[4, H=8, W=8] -> y { a: D(1)
                                   y: D(2) }"""


@pytest.mark.parametrize(
    "lines",
    [
        "add { bn when s == 1; dwconv(1x1, stride=s); LOOP }",
        "add { LOOP; bn when s == 1 }",
        "add { bn when s == 1; skip when s == 1; LOOP }",
        "concat { bn when s == 1; LOOP } -> conv(4, 1x1)",
    ],
)
def test_a_loop_stands_in_a_join_among_lines_that_come_and_go(lines: str) -> None:
    loop = "branch: for i in 0..3 { in -> dwconv(3x3, stride=s) }"
    text = MANY % lines.replace("LOOP", loop)
    agree(text)
    assert not write(loads(text)).because


def test_a_counter_of_its_own_is_no_column() -> None:
    text = """
    block B { add { skip; conv(in.c, 1x1) } }
    model M(c: int = 2): image[4, H=8, W=8] -> y {
      a: for i in 0..3 { conv(c * 2 ** i, 3x3) -> B * 2 }
      b: for | i | n |
             | 1 | 2 |
             | 2 | 3 |
      { conv(c * i, 3x3) -> B * n }
      y: conv(c, 1x1)
    }"""
    agree(text)
    assert not write(loads(text)).because


REPEATS = {
    "joins": """
block B(n: int) { conv(8, 3x3)
  { add { skip; conv(8, 1x1, act=relu) -> conv(8, 3x3) } -> relu } * n }
model M: image[4, H=8, W=8] -> y { a: B(1)
                                   y: B(3) }""",
    "what is outside, and no turn at all": """
block B(n: int): x -> y { a: x -> conv(8, 1x1)
  y: { add { skip; conv(8, 3x3) -> mul { skip; a } } } * n }
model M: image[8, H=8, W=8] -> y { a: image -> B(1)
                                   b: a -> B(0)
                                   y: b -> B(4) }""",
    "no weights, and a label": """
model M(n: int = 3): image[8, H=8, W=8] -> y {
  a: { add { skip; maxpool(3, stride=1, pad=1) } } * n
  y: { add { a; skip; u: conv(8, 1x1); mul { skip; u -> sigmoid } } } * 2 }""",
}


@pytest.mark.parametrize("kind", REPEATS)
def test_a_repeat_of_joins_is_a_loop_of_one_class(kind: str) -> None:
    agree(REPEATS[kind])
    found = write(loads(REPEATS[kind]))
    assert not found.because
    assert "class B2" not in found.text
    assert "        for " in found.text


@pytest.mark.parametrize(
    "body",
    [
        "{ concat { skip; conv(8, 3x3) } } * n -> conv(8, 1x1)",
        "{ add { conv(8, 1x1, stride=2 then 1); conv(8, 3x3, stride=2 then 1) } } * n",
        "{ { add { skip; conv(in.c, 3x3) } } * 2 -> conv(8, 1x1) -> relu } * n",
    ],
)
def test_a_repeat_whose_turns_differ_is_written_turn_by_turn(body: str) -> None:
    text = f"""
    block B(n: int) {{ {body} }}
    model M: image[8, H=8, W=8] -> y {{ a: B(2)
                                       y: B(3) }}"""
    agree(text)
    assert not write(loads(text)).because


def test_a_factor_of_a_block_is_no_number_of_its_first_call() -> None:
    text = """
    block B(p: int, s: float): x[C, h, w] -> y {
      t: x -> vector_norm(p=p, axis=0, keep=true) -> conv(4, 3x3)
      r: t -> rearrange("c h w -> (h w) c")
      a: attention(heads=2, scale=s) { r; r; r } -> rearrange("(h w) c -> c h w", h=h)
      y: add { a; x -> full([4, h, w], s) } }
    model M: image[4, H=8, W=8] -> y { a: image -> B(1, 0.3)
                                       y: B(2, 0.7) }"""
    agree(text)
    found = write(loads(text))
    assert not found.because
    assert "class B2" not in found.text
