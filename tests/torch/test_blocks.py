"""Constructs of the language combined are written as their blocks, and compute the same."""

from __future__ import annotations

import ast
import random
import subprocess
import sys

import pytest

from cnndsl.backends.torch import printing, write
from cnndsl.backends.torch.execute import execute
from cnndsl.diagnostics import ArchError
from cnndsl.network import loads
from tests.torch.test_written import agree

SEP = "block Sep(c: int) { relu -> dwconv(3x3) -> conv(c, 1x1, norm=bn) }"
WRITTEN = {
    "a block, a chain and a function under one label": f"""{SEP}
block Pick(kind: "sep" | "max" | "skip"): x[C, H, W] -> y[C, H, W] {{
  y: x -> Sep(C) when kind == "sep"
  else y: x -> maxpool(3x3, stride=1, pad=1) -> bn when kind == "max"
  else y: x -> relu
}}
model M: image[4, H=8, W=8] -> y {{
  a: Pick("sep")
  b: Pick("max")
  y: Pick("skip")
}}""",
    "a block, a chain and a lone module under one label": f"""{SEP}
block Pick(c: int, kind: str): x[C, H, W] -> y[c, H, W] {{
  y: x -> Sep(c) when kind == "sep"
  else y: x -> maxpool(3x3, stride=1, pad=1) -> bn when kind == "max"
  else y: x -> conv(c, 1x1)
}}
model M: image[4, H=8, W=8] -> y {{
  a: Pick(4, "sep")
  b: Pick(4, "max")
  c: add {{ a; b }} -> Pick(6, "conv")
  y: Pick(6, "sep")
}}""",
    "five ways, some of two conditions, some without weights": f"""{SEP}
block Half(c: int): x[C, H, W] -> y[c, _, _] {{ y: x -> conv(c, 1x1, stride=2) -> bn }}
block Pick(c: int, kind: str, s: int = 1): x[C, H, W] -> y[c, _, _] {{
  y: x -> Sep(c) -> maxpool(s) -> Sep(c) when kind == "sep"
  else y: x -> maxpool(3x3, stride=s, pad=1) -> bn when kind == "max"
  else y: x -> Half(c) when kind == "skip" and s == 2
  else y: x when kind == "skip"
  else y: x -> avgpool(1, stride=s) -> mul(0.5)
}}
model M: image[4, H=8, W=8] -> y {{
  a: Pick(4, "sep")
  b: a -> Pick(4, "skip")
  y: add {{
    b -> Pick(4, "max", 2)
    a -> Pick(4, "skip", 2)
    a -> Pick(4, "none", 2)
    a -> Pick(4, "sep", 2)
  }}
}}""",
    "in a join, behind a source, and in a loop": f"""{SEP}
block Down(kind: str, c: int): x[C, H, W] -> y[c, _, _] {{
  y: add {{
    branch: x -> conv(c, 3x3, stride=2, norm=bn, act=relu) when kind == "conv"
    else branch: x -> maxpool(2) -> conv(c, 1x1) -> bn when kind == "pool"
    else branch: x -> Sep(c) -> maxpool(2) when kind == "sep"
    else branch: x -> avgpool(2) -> scale
    x -> maxpool(2) -> conv(c, 1x1)
  }} -> relu
}}
model M: image[4, H=16, W=16] -> y {{
  downs: for | kind    | c |
             | "conv"  | 6 |
             | "pool"  | 5 |
             | "sep"   | 8 |
             | "other" | 8 |
  {{ Down(kind, c) }}
  y: gap -> linear(3)
}}""",
    "a family whose channels are a parameter that all calls give alike": """
block Fuse(c: int): *p[c, _, _] -> y[c, _, _] { y: add { p[*] } -> conv(c, 3x3) }
model M: image[4, H=8, W=8] -> y {
  a: image -> conv(4, 1x1)
  b: Fuse(4) { a; a; image }
  y: Fuse(4) { a; b }
}""",
    "a family whose channels are a parameter": """
block Fuse(c: int): *p[c, _, _] -> y[c, _, _] { y: concat { p[*] } -> conv(c, 3x3) }
model M(w: int = 4): image[4, H=8, W=8] -> y {
  a: image -> conv(w, 1x1)
  b: Fuse(w) { a; a; a }
  c: conv(2 * w, 1x1)
  y: Fuse(2 * w) { c; c; concat { a; b } }
}""",
    "a layer for each of a family whose channels are a parameter": """
block Fuse(c: int): (x[c, _, _], *p[c, _, _]) -> y[c, _, _] {
  y: add { x; for i in 0..len(p) { q[i]: p[i] -> conv(c, 1x1) } } -> conv(p[0].c, 3x3)
}
model M: image[4, H=8, W=8] -> y {
  a: Fuse(4) { image; image; image }
  b: conv(6, 3x3)
  y: Fuse(6) { b; b }
}""",
    "a port whose channels are a parameter that all calls give alike": """
block One(c: int = 4, k: int = 3): (x[c, H, W], z[k * c, H, W]) -> y[c, H, W] {
  y: add { x; z -> conv(x.c, 3x3) } -> conv(x.c, 1x1)
}
model M: image[4, H=8, W=8] -> y {
  a: image -> conv(12, 3x3)
  b: One { image; a }
  y: One { b; a }
}""",
    "a repeat of modules, or one of joins": f"""{SEP}
block Stage(n: int, kind: "sep" | "res"): x[C, H, W] -> y[C, H, W] {{
  body: x -> Sep(C) * n when kind == "sep"
  else body: x -> {{ add {{ skip; conv(C, 3x3) }} -> relu }} * n
  y: body -> bn
}}
model M: image[4, H=8, W=8] -> y {{
  a: Stage(2, "sep")
  b: Stage(3, "res")
  y: Stage(1, "res")
}}""",
    "a repeat of joins, or one of a module": f"""{SEP}
block Stage(n: int, kind: "sep" | "res"): x[C, H, W] -> y[C, H, W] {{
  body: x -> {{ add {{ skip; conv(C, 3x3) }} -> relu }} * n when kind == "res"
  else body: x -> Sep(C) * n
  y: body -> bn
}}
model M: image[4, H=8, W=8] -> y {{
  a: Stage(2, "sep")
  b: Stage(3, "res")
  y: Stage(1, "res")
}}""",
    "a repeat of a shared module, or of modules": """
block R(n: int, tie: bool): x[C, H, W] -> y {
  y: x -> { add { skip; conv(C, 3x3) } -> relu } * n shared when tie
  else y: x -> { add { skip; conv(C, 3x3) } -> relu } * n
}
model M: image[4, H=8, W=8] -> y { R(2, true)
                                   R(3, false)
                                   y: R(3, true) }""",
    "an optional step behind a block, which no call of one rank has": """
block C(c: int, s: int = 1): x[_, *S] -> y {
  y: x -> conv(c, 3, stride=s, norm=bn, act=relu) -> { dropout(10%) when s == 2 }
}
model M: (clip[3, T=4, H=8, W=8], image[3, H, W]) -> y {
  a: clip -> C(4) -> gap
  b: image -> C(4) -> C(8, 2) -> gap
  y: concat { a; b }
}""",
    "turns of which each instance takes another way": f"""{SEP}
block Cell(kinds: list, c: int): (s[c, H, W], t[c, H, W]) -> y[c, H, W] {{
  u: add {{
    for i in 0..len(kinds) {{
      p[i]: s -> Sep(c) when kinds[i] == "sep"
      else p[i]: t -> maxpool(3x3, stride=1, pad=1) -> bn when kinds[i] == "max"
      else p[i]: t -> conv(c, 1x1)
    }}
  }}
  y: u -> relu
}}
model M: image[4, H=8, W=8] -> y {{
  a: Cell(["sep", "max"], 4) {{ image; image }}
  b: image -> conv(4, 1x1)
  y: Cell(["conv", "sep"], 4) {{ a; b }}
}}""",
    "a family's turn is a repeat, or a module": """
block N(n: int): *p[C, _, _] -> *o {
  for i in 0..2 {
    o[i]: p[i] -> conv(C, 3x3, norm=bn, act=relu) * n when n > 0
    else o[i]: p[i] -> conv(C, 1x1)
  }
}
model M: image[4, H=8, W=8] -> y {
  a: image -> conv(4, 3x3, stride=2)
  f: N(2) { image; a }
  g: N(0) { f[*] }
  y: concat { g[0] -> gap; g[1] -> gap }
}""",
    "one tensor enters a family twice": """
block Join(c: int): (a[c, _, _], *p[c, _, _]) -> y[c, _, _] {
  y: add { a; p[*] -> concat -> conv(c, 1x1) } -> bn
}
model M: image[4, H=8, W=8] -> y {
  a: image -> conv(4, 3x3)
  b: Join(4) { image; a; a; image }
  c: Join(4) { b; b; b; b }
  y: Join(4) { b; a; image; c }
}""",
}


@pytest.mark.parametrize("kind", WRITTEN)
def test_constructs_combined_are_written_as_blocks(kind: str) -> None:
    agree(WRITTEN[kind])
    found = write(loads(WRITTEN[kind]))
    assert not found.because
    assert found.fault is None


def test_a_class_takes_a_family_in_order_though_one_tensor_enters_twice() -> None:
    text = write(loads(WRITTEN["one tensor enters a family twice"])).text
    assert "torch.cat(p, 1)" in text
    assert "class Join2" not in text


def test_alternatives_are_told_apart_by_elif() -> None:
    text = write(loads(WRITTEN["a block, a chain and a lone module under one label"])).text
    assert '        elif self.kind == "max":\n' in text


def condition(chance: random.Random, depth: int) -> str:
    """A random condition as Python."""
    which = chance.randrange(4 if depth else 1)
    if which < 2:
        names = [chance.choice(("kind", "channels", "width_multiplier")) for _ in range(2)]
        return f"{names[0]} {chance.choice(('==', '<'))} {names[1]} // {chance.randrange(9)}"
    if which == 2:
        word = chance.choice((" and ", " or "))
        return word.join(condition(chance, depth - 1) for _ in range(chance.randint(2, 3)))
    return f"not ({condition(chance, depth - 1)})"


def choice(chance: random.Random, depth: int) -> str:
    """A random choice among modules as Python."""
    if not depth or chance.random() < 0.2:
        names = [chance.choice(("channels", "c", "width_multiplier // 2")) for _ in range(4)]
        return f"nn.Conv2d({', '.join(names[: chance.randint(1, 4)])})"
    if chance.random() < 0.3:
        return f"nn.Sequential({choice(chance, depth - 1)}, {choice(chance, depth - 1)})"
    test = condition(chance, chance.randrange(3))
    return f"({choice(chance, depth - 1)} if {test} else {choice(chance, depth - 1)})"


def test_random_choices_are_printed_as_ruff_leaves_them() -> None:
    texts = []
    for seed in range(400):
        chance = random.Random(seed)
        text = f"if {seed}:\n    self.x = {choice(chance, 1 + seed % 4)}"
        texts.append("\n".join(printing.statements(ast.parse(text).body, 0)))
    whole = "\n".join(texts) + "\n"
    ruff = [sys.executable, "-m", "ruff", "format", "--isolated", "--line-length", "88", "-"]
    done = subprocess.run(ruff, input=whole, capture_output=True, text=True, check=True)
    assert whole == done.stdout


SETTINGS = """
block Se(r: int) {
  mul { skip; gap(keep=true) -> conv(in.c // r, 1x1, act=relu) -> conv(in.c, 1x1, act=sigmoid) }
}
block U(c: int, k: int, se: bool = false, act: "relu" | "silu" = "relu"): x[C, H, W] -> y {
  t: x -> conv(c, k, norm=bn) -> { conv(c, k) when se }
  u: t -> Se(4) when se
  else u: t -> bn
  y: u -> relu when act == "relu"
  else y: u -> silu
}
model M(k: int = 5, kernel: int = 3, deep: bool = false, ratio: int = 2,
        act: "relu" | "silu" = "silu", n: int = 1, d: int = 2, taps: int = 4):
    image[4, H=8, W=8] -> y {
  a: U(8, k)
  b: U(8, 3, se=true)
  c: conv(12, 3x3, act=relu) -> { conv(12, kernel, norm=bn) when deep }
  d1: conv(12, taps - 1) * n -> conv(12, 3, dilation=d)
  e: Se(ratio)
  y: U(8, 3, act=act)
}"""
GIVEN: list[dict[str, object]] = [
    {"k": 4},
    {"k": 7},
    {"kernel": 4},
    {"kernel": 4, "deep": True},
    {"kernel": 5, "deep": True},
    {"ratio": 12},
    {"ratio": 13},
    {"act": "tanh"},
    {"act": "relu"},
    {"taps": 5},
    {"taps": 5, "n": 0},
    {"taps": 6, "n": 2},
    {"d": 3},
]


@pytest.mark.parametrize("given", GIVEN, ids=str)
def test_a_constructor_refuses_what_the_language_does(given: dict[str, object]) -> None:
    found = write(loads(SETTINGS))
    assert not found.because
    made = execute(found.text, "M")
    try:
        loads(SETTINGS, parameters=given)
    except ArchError:
        with pytest.raises(ValueError, match=r"not written for|must be one of"):
            made.M(**given)
    else:
        made.M(**given)


def test_a_class_alone_refuses_channels_that_leave_none() -> None:
    made = execute(write(loads(SETTINGS)).text, "M")
    with pytest.raises(ValueError, match="c_in // r < 1"):
        made.Se(1, 2)
    with pytest.raises(ValueError, match="k % 2 == 0"):
        made.U(4, 2)


def test_variables_of_the_constructor_may_follow_each_other_at_any_length() -> None:
    lets = "\n".join(f"  let n{i + 1} = n{i} + {(-1) ** i}" for i in range(20))
    text = f"""
block D(n0: int): x -> y {{
{lets}
  y: concat {{ for i in 0..n20 {{ a[i]: x -> conv(1 + i, 1x1) }} }} -> conv(n20, 1x1)
}}
model M(n: int = 2): image[4, H=4, W=4] -> y {{ y: D(n) }}"""
    agree(text)
    assert not write(loads(text)).because
