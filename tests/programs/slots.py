"""Two instances that differ in one slot, in both orders: systematic, over every slot.

A slot is a parameter of an operation, of a block by its type, or a count in a structure.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from itertools import chain

from cnndsl.diagnostics import ArchError
from cnndsl.network import loads
from cnndsl.ops import OPS
from cnndsl.ops.base import Parameter
from cnndsl.ops.facts import Auto, Shape
from cnndsl.ops.values import spell
from tests.programs.bodies import refused
from tests.programs.generate import PARAMETERS
from tests.programs.operations import (
    NAMES,
    PRODUCTS,
    arguments,
    outcome,
    sample,
    written,
)

SHAPES: tuple[Shape, ...] = ((4, 8, 8), (4, 6), (4, 4, 4, 4), (4,))
TYPES = {"int": "int", "float": "float", "bool": "bool", "Size": "size", "Pad": "pad",
         "str": "str", "Integers": "list", "Numbers": "list", "Pairs": "list",
         "Auto": "bool"}  # fmt: skip
"""An attribute's type as a parameter's."""


def programs() -> Iterator[str]:
    """All of them that are programs: not every attribute's value is one of a parameter's."""
    for text in chain(typed(), structural(), attributes()):
        try:
            loads(text)
        except ArchError as error:
            refused[error.diagnostics[0].code] += 1
        else:
            yield text


def pair(block: str, first: str, second: str, shape: Shape = (4, 8, 8)) -> Iterator[str]:
    """Both calls on one input, in both orders, and one after another."""
    dims = ", ".join(map(str, shape))
    for one, two in ((first, second), (second, first)):
        yield (f"{block}\nmodel M: image[{dims}] -> (a, b) {{\n  a: image -> {one}\n"
               f"  b: image -> {two}\n}}")  # fmt: skip


def typed() -> Iterator[str]:
    """A parameter of every type, with what reads it."""
    for name, kind, default, other, use in PARAMETERS:
        step = use.replace("@line", "").removesuffix("@labelled")
        body = step.replace("{ for", "{ l: for")
        if "\nelse" in body:
            body = f"z: in -> relu\n  l: {body}\n  tanh"
        block = f"block B({name}: {kind} = {default}) {{\n  {body}\n}}"
        yield from pair(block, "B", f"B({other})")
        yield from pair(block, f"B({name}={default})", f"B({name}={other})")


STRUCTURES: list[tuple[str, str, str]] = [
    ("block B(n: int) { conv(4, 3) * n }", "B(1)", "B(3)"),
    ("block B(n: int) { conv(4, 3) * n -> relu }", "B(0)", "B(2)"),
    ("block B(n: int) { conv(4, 3, act=relu then none) * n }", "B(2)", "B(3)"),
    ("block B(n: int) { { conv(4, 3); bn } * n }", "B(2)", "B(1)"),
    ("block B(n: int) { l: for i in 0..n { conv(4, 2 * i + 1) } }", "B(2)", "B(3)"),
    ("block B(n: int) { add { l: for i in 0..n { conv(4, 1) -> mul(i + 1) }; skip } }",
     "B(1)", "B(2)"),
    ("block B(ws: list[int]) { l: for w in ws { conv(w, 1) } }", "B([4, 6])", "B([8])"),
    ("block B(fs: list) { l: for f in fs { f } }", "B([relu, tanh])", "B([tanh, relu])"),
    ("block B(f: bool) { conv(4, 1)\n  add { in; conv(4, 3) when f } }", "B(true)", "B(false)"),
    ("block B(f: bool): x -> y { d: x -> relu\n  y: x -> conv(4, 1) when not f\n"
     "  else y: add { x -> conv(4, 1); d } }", "B(true)", "B(false)"),
    ("block B(c: int) { branch: add { conv(c, 1)\n  skip when in.c == c\n"
     "  else projection: conv(c, 1) } }", "B(4)", "B(6)"),
    ("block B(c: int) { add { conv(c, 1)\n  skip when in.c == c\n"
     "  else projection: conv(c, 1) } -> relu }", "B(4)", "B(6)"),
    ("block B(f: bool) { conv(4, 1) when f\n  else dwconv(3) }", "B(true)", "B(false)"),
    ("block B(f: bool) { z: conv(4, 1)\n  relu when f\n  }", "B(true)", "B(false)"),
    ("block B(f: bool) { concat { conv(4, 1); conv(3, 1) when f; skip } }",
     "B(true)", "B(false)"),
    ("block A(f: bool): x -> (a, b when f) { a: x -> conv(4, 1)\n"
     "  b: a -> conv(2, 1) when f }\nblock B(f: bool) { l: A(f)\n  l.a -> relu }",
     "B(true)", "B(false)"),
    ("block C(c: int = 4, act: op = relu) { conv(c, 1, act=act) }\nblock B(f: op) { f -> f }",
     "B(C)", "B(C(6, tanh))"),
    ("block C(c: int = 4) { conv(c, 1) }\nblock B(f: op, n: int = 1) { f * n }",
     "B(C)", "B(conv(4, 3), 2)"),
    ("block B(norm: op) { conv(4, 3, norm=norm, act=relu) }", "B(bn)", "B(none)"),
    ("block B(norm: op) { conv(4, 3, norm=norm, act=relu) }", "B(gn(2))", "B(gn(4))"),
    ("block B(norm: op) { norm -> relu }", "B(bn(eps=1e-3))", "B(frozen_bn)"),
    ("block B(act: op) { conv(4, 1, act=act) -> act }", "B(leaky(0.3))", "B(leaky)"),
    ("block B(act: op) { act }", "B(none)", "B(silu)"),
    ("block B(n: int) { a: split(n)\n  concat { a[*] } }", "B(2)", "B(4)"),
    ("block B(s: pad) { conv(4, 3, stride=2, pad=s) }", "B(tf_same)", "B(same)"),
    ("block B(n: int) { o: conv(18, 3)\n"
     "  l: deform_conv(n, 3, bias_init=normal(0.5)) { in; o } }", "B(4)", "B(6)"),
    ("block B(n: int) { a: split(n) when false\n else z: relu * n }", "B(2)", "B(4)"),
    ("block B(k: int) { s: for i in 0..k { t[i]: in -> conv(2, 1) }\n  concat { s[*] } }",
     "B(2)", "B(3)"),
    ("block B(k: int) { for i in 0..k { t[i]: in -> conv(2, 1) }\n  z: concat { t[*] } }",
     "B(2)", "B(3)"),
    ("block B(k: int) { l: conv(4, 1) each { in; in -> mul(k) }\n  add { l[*] } }",
     "B(2)", "B(3)"),
    ("block B(s: float) { l: for | c | a |\n   | 4 | relu |\n   | 6 | - |\n"
     "  { conv(c, 1, act=a) -> mul(s) } }", "B(2)", "B(0.5)"),
    ("block B(s: int) { f: conv(4, 3, stride=s)\n  resize(in.size) }", "B(1)", "B(2)"),
    ("block B(s: int) { f: conv(4, 3, stride=s) -> mul(in.h // s) }", "B(1)", "B(2)"),
    ("block B(s: int) { let v = 2 * s\n  conv(v, 1) -> conv(v + 1, 1) }", "B(1)", "B(2)"),
    ("default conv(norm=bn)\nblock B(s: int) { { default conv(act=relu)\n conv(s, 1) }\n"
     "  conv(s, 1, norm=none) }", "B(3)", "B(2)"),
]  # fmt: skip
"""Counts, conditions, families and operations in a block."""

SEVERAL: dict[str, list[tuple[str, str, str, str]]] = {
    "l: deform_conv(4, 3, @) { in; in -> conv(18, 3, @) }": [
        ("dilation=v", "int", "1", "2"), ("stride=v", "int", "1", "2"),
        ("pad=v", "pad", "same", "valid"),
    ],
    "l: deform_conv(4, 3, @) { in; in -> conv(18, 3) }": [
        ("groups=v", "int", "1", "2"), ("bias=v", "bool", "true", "false"),
        ("norm=v", "op", "bn", "none"), ("act=v", "op", "relu", "leaky(0.3)"),
    ],
    "l: deform_conv(@) { in; in -> conv(18, 3) }": [("v, 3", "int", "4", "6")],
    "l: involve(3, @) { in; in -> conv(9, 3, @) }": [
        ("stride=v", "int", "1", "2"), ("pad=v", "pad", "same", "valid"),
    ],
    "l: involve(3, groups=v) { in; in -> conv(9 * v, @) }": [("3", "int", "1", "2")],
    "l: involve(v, groups=2) { in; in -> conv(2 * v * v, @) }": [("1", "int", "1", "3")],
    "l: decode(@) { d; g }": [
        ('form="ltrb", stretch=v', "float", "1", "1"), ("form=v", '"rcnn" | "ltrb"',
         '"rcnn"', '"ltrb"'), ('form="rcnn", divisors=v', "list", "[1, 1, 1, 1]",
         "[10, 10, 5, 5]"), ("clip=v", "list", "[2, 2]", "[3, 4]"),
        ('form="yolo", stride=v', "list", "[1, 2]", "[2, 1]"),
        ('form="yolo", stretch=v', "float", "1", "1.5"),
    ],
    "p, q, r, w: topk(@) { b; s }\n  p -> mul(2)": [
        ("v", "int", "2", "3"), ("3, score=v", "float", "0.5", "0"),
        ("3, background=v", "int", "0", "1"),
    ],
    "p, q, r, w: nms(@) { b; s }\n  p -> mul(2)": [
        ("v", "int", "2", "3"), ("3, iou=v", "float", "0.5", "0.1"),
        ("3, score=v", "float", "0.5", "0"), ("3, pre=v", "int", "2", "4"),
        ("3, background=v", "int", "0", "1"), ("3, min_size=v", "float", "0.5", "0"),
    ],
    "l: roi_align(@) { b; in; in -> maxpool(2) }": [
        ("v, [1, 2]", "int", "2", "3"), ("v, [1, 2]", "size", "2x3", "3"),
        ("2, [1, 2], canonical_scale=v", "int", "2", "4"),
        ("2, [1, 2], canonical_level=v", "int", "0", "1"),
        ("2, [1, 2], sampling_ratio=v", "int", "1", "2"),
    ],
    "l: roi_align(2, @) { b; in }": [("v", "list", "[1]", "[2]")],
    "p, q, r, w: topk(3) { b; s }\n  gather(@) { r -> reshape(3, 1); r -> mul(0) }": [
        ("axis=v", "int", "1", "1"),
    ],
    "l: anchor_grid(@)": [
        ("[1, 2], sizes=v, ratios=[1]", "list", "[1]", "[2]"),
        ("[1, 2], sizes=[2], ratios=v", "list", "[1]", "[2]"),
        ("[1, 2], wh=v", "list", "[[1, 2]]", "[[2, 1]]"),
        ("[1, 2], wh=[[1, 2]], offset=v", "float", "0", "0.5"),
        ("[1, 2], wh=[[1, 2]], image=v", "list", "[4, 4]", "[8, 4]"),
    ],
    "l: concat(@) { in; in }": [("axis=v", "int", "0", "1")],
    "l: einsum(@) { in; in }": [
        ("pattern=v", "str", '"c i j, c i k -> c j k"', '"c i j, c k j -> c i k"'),
    ],
    "l: mul(@)": [("by=v", "float", "2", "0.5")],
}  # fmt: skip
"""Steps of several inputs, `@` for the argument: in it, the parameter's type and values."""

BOXES = """  g: in -> anchor_grid([1, 1], sizes=[2], ratios=[1])
  d: in -> conv(4, 1) -> rearrange("d h w -> (h w) d")
  b: decode { d; g }
  s: in -> conv(2, 1) -> rearrange("k h w -> (h w) k") -> sigmoid
"""

SHAPED: list[tuple[str, str, Shape, Shape]] = [
    ("block B { conv(in.c, 3, norm=bn) -> relu }", "B", (4, 8, 8), (6, 8, 8)),
    ("block B { conv(4, 3, norm=bn) -> relu }", "B", (4, 8, 8), (4, 5, 6)),
    ("block B { conv(4, 3, norm=bn, act=relu) }", "B", (4, 8, 8), (4, 8)),
    ("block B: x[C, *S] -> y { y: x -> bn -> relu }", "B", (4, 8, 8), (4,)),
    ("block B: x[C, *S] -> y { y: x -> reshape(C, *S) }", "B", (4, 8, 8), (4, 4, 4)),
    ("block B: x[C, H, W] -> y { y: x -> mul { skip; gap -> linear(C) } }", "B",
     (4, 8, 8), (2, 4, 4)),
    ("block B { flatten -> linear(3) }", "B", (4, 4, 4), (2, 3)),
    ("block B { maxpool(2) -> deconv(in.c, 2, stride=2) }", "B", (4, 8, 8), (2, 4)),
    ("block B: *p[C, *S] -> y { y: concat { p[*] } -> conv(C, 1) }", "B", (4, 8, 8), (2, 8, 8)),
    ("block B { avgpool([in.h // 2, in.w // 2]) }", "B", (4, 8, 8), (4, 4, 6)),
    ("block B { rearrange(\"(g c) h w -> (c g) h w\", g=2) }", "B", (4, 8, 8), (6, 4, 4)),
    ("block B { a, b: split(2)\n concat { b; a } }", "B", (4, 8, 8), (6, 4, 4)),
]  # fmt: skip
"""The same call on inputs of two shapes."""


def structural() -> Iterator[str]:
    """Blocks with another structure in each instance, and on other shapes."""
    for block, first, second in STRUCTURES:
        yield from pair(block, first, second)
    for step, slots in SEVERAL.items():
        before = BOXES if re.search(r"\b[bdgs]\b", step) else ""
        for argument, kind, first, second in slots:
            body = step.replace("@", argument)
            block = f"block B(v: {kind}) {{\n{before}  {body}\n}}"
            yield from pair(block, f"B({first})", f"B({second})", (4, 4, 4))
    for block, call, left, right in SHAPED:
        for one, two in ((left, right), (right, left)):
            ports = [f"{n}[{', '.join(map(str, s))}]" for n, s in (("u", one), ("v", two))]
            yield (f"{block}\nmodel M: ({', '.join(ports)}) -> (a, b) {{\n"
                   f"  a: u -> {call}\n  b: v -> {call}\n}}")  # fmt: skip


def attributes() -> Iterator[str]:
    """Every parameter of every operation, as a parameter of a block and written in a call."""
    for name in NAMES:
        for parameter in OPS[name].parameters:
            if parameter.name not in PRODUCTS and parameter.type != "str":
                yield from _attribute(name, parameter)


def _attribute(name: str, parameter: Parameter, tries: int = 400) -> Iterator[str]:
    chance = random.Random(f"{name}.{parameter.name}")
    cls = OPS[name]
    if cls.arity[0] > 1 and name != "concat":
        return
    kind = _kind(parameter)
    words = set(re.findall(r'"(\w+)"', parameter.type))
    for _ in range(tries * (1 + 9 * bool(words))):
        shape = chance.choice(SHAPES[:1] * 4 + SHAPES)
        base = arguments(cls, shape, chance)
        first, second = (sample(parameter, shape, chance) for _ in range(2))
        settings = [{**base, parameter.name: value} for value in (first, second)]
        if first == second or {first, second} & {None, Auto.AUTO}:
            continue
        if words and not words & {first, second}:
            continue
        if any(outcome(name, given, shape) is None for given in settings):
            continue
        if any(len(outcome(name, given, shape) or ()) > 1 for given in settings):
            continue
        rest = {key: value for key, value in base.items() if key != parameter.name}
        step = written(name, rest, random.Random(0))
        given = f"{parameter.name}=v"
        step = f"{step[:-1]}, {given})" if "(" in step else f"{step}({given})"
        block = f"block B(v: {kind}) {{ {step} }}"
        yield from pair(block, f"B({spell(first)})", f"B({spell(second)})", shape)
        if cls.fused and parameter.name == "bias":
            plain = {key: value for key, value in rest.items() if key != "bias_init"}
            for slot, one, two in (("norm", "bn", "gn(1)"), ("act", "relu", "leaky(0.3)")):
                fused = f"{written(name, plain, random.Random(0))[:-1]}, {slot}=v)"
                block = f"block B(v: op) {{ {fused} }}"
                yield from pair(block, f"B({one})", f"B({two})", shape)
                yield from pair(block, "B(none)", f"B({two})", shape)
        block = f"block B(f: op = {name}) {{ f }}"
        one, two = (f"B({written(name, setting, random.Random(0))})" for setting in settings)
        yield from pair(block, one, two, shape)
        words -= {first, second}
        if not words:
            return


def _kind(parameter: Parameter) -> str:
    first = parameter.type.split(" | ")[0]
    return TYPES[first] if first in TYPES else parameter.type.replace("'", '"')
