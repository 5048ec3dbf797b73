"""Formulas that PyTorch or the language has a word for, written out by hand: that word."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import permutations
from typing import Any

from cnndsl.importing.flow import Flow, Layer, Value
from cnndsl.importing.rewriting import live, renamed, uses

Pattern = Any
"""`(word, arguments, *operands)`: an operand is another one, or the name of a tensor; an
argument is a number, or the name of one."""

EITHER = ("add", "mul")
"""What has its operands in any order."""


def _gate(x: Pattern) -> Pattern:
    return ("relu6", {}, ("add", {"by": 3.0}, x))


def _cube(x: Pattern) -> Pattern:
    cubic = ("mul", {"by": 0.044715}, ("pow", {"exponent": 3.0}, x))
    whole: Pattern = ("mul", {"by": math.sqrt(2 / math.pi)}, ("add", {}, x, cubic))
    return ("add", {"by": 1.0}, ("tanh", {}, whole))


SOFTPLUS = {"beta": 1.0, "threshold": 20.0}
HALF: Pattern = ("mul", {"by": 0.5}, "x")
TANH = {"approximate": "tanh"}
FUNCTIONS: list[tuple[Pattern, str, dict[str, Any]]] = [
    (("div", {"by": 6.0}, _gate("x")), "hardsigmoid", {}),
    (("mul", {"by": 1 / 6}, _gate("x")), "hardsigmoid", {}),
    (("mul", {}, "x", ("hardsigmoid", {}, "x")), "hardswish", {}),
    (("div", {"by": 6.0}, ("mul", {}, "x", _gate("x"))), "hardswish", {}),
    (("mul", {"by": 1 / 6}, ("mul", {}, "x", _gate("x"))), "hardswish", {}),
    (("mul", {}, "x", ("sigmoid", {}, "x")), "silu", {}),
    (("mul", {}, "x", ("tanh", {}, ("softplus", SOFTPLUS, "x"))), "mish", {}),
    (("mul", {}, HALF, _cube("x")), "gelu", TANH),
    (("mul", {"by": 0.5}, ("mul", {}, "x", _cube("x"))), "gelu", TANH),
    (("mul", {}, "x", ("mul", {"by": 0.5}, _cube("x"))), "gelu", TANH),
]

MEAN = {"axis": "axis", "keep": True}
CENTRED: Pattern = ("sub", {}, "x", ("mean", MEAN, "x"))
SPREAD: Pattern = ("add", {"by": "eps"}, ("mean", MEAN, ("pow", {"exponent": 2.0}, CENTRED)))
NORMS: list[Pattern] = [
    ("div", {}, CENTRED, ("sqrt", {}, SPREAD)),
    ("div", {}, CENTRED, ("pow", {"exponent": 0.5}, SPREAD)),
    ("mul", {}, CENTRED, ("pow", {"exponent": -0.5}, SPREAD)),
]


def by_hand(flow: Flow) -> Flow:
    """Activations and layer norms that are spelled out, as one step each."""
    made: dict[str, Layer] = {}
    for layer in flow.layers:
        made[layer.name] = layer
        for pattern, word, given in FUNCTIONS:
            known = next(_matched(pattern, (layer.name, 0), made, {}), None)
            if known is not None:
                made[layer.name] = replace(
                    layer, word=word, arguments=given, inputs=(known["x"],)
                )
        for pattern in NORMS:
            known = next(_matched(pattern, (layer.name, 0), made, {}), None)
            if known is not None and isinstance(known["axis"], int):
                arguments = {"eps": known["eps"], "affine": False, "axis": known["axis"]}
                made[layer.name] = replace(
                    layer, word="ln", arguments=arguments, inputs=(known["x"],)
                )
    return live(replace(flow, layers=tuple(made.values())))


def _matched(
    pattern: Pattern, value: Value, layers: Mapping[str, Layer], known: Mapping[str, Any]
) -> Iterator[Mapping[str, Any]]:
    """What the names of a pattern may stand for where a tensor is computed by it."""
    if isinstance(pattern, str):
        if known.get(pattern, value) == value:
            yield {**known, pattern: value}
        return
    word, given, *operands = pattern
    layer = layers.get(value[0])
    if layer is None or layer.word != word or len(layer.inputs) != len(operands):
        return
    if {*layer.arguments} != {*given}:
        return
    for name, wanted in given.items():
        have: Any = layer.arguments[name]
        if isinstance(wanted, str):
            if known.get(wanted, have) != have:
                return
            known = {**known, wanted: have}
        elif not math.isclose(have, wanted, rel_tol=1e-12):
            return
    for order in permutations(operands) if word in EITHER else [operands]:
        yield from _all(list(zip(order, layer.inputs, strict=True)), layers, known)


def _all(
    pairs: Sequence[tuple[Pattern, Value]],
    layers: Mapping[str, Layer],
    known: Mapping[str, Any],
) -> Iterator[Mapping[str, Any]]:
    """What they may stand for where each tensor is computed by its pattern."""
    if not pairs:
        yield known
        return
    (pattern, value), *others = pairs
    for found in _matched(pattern, value, layers, known):
        yield from _all(others, layers, found)


def normed(flow: Flow) -> Flow:
    """A norm without factors and the factors behind it as one."""
    count, by_name = uses(flow), flow.by_name
    names: dict[Value, Value] = {}
    made: dict[str, Layer] = {}
    for layer in flow.layers:
        norm = by_name.get(layer.inputs[0][0]) if layer.word == "affine" else None
        if norm is None or norm.word != "ln" or count[norm.name, 0] > 1:
            continue
        if norm.arguments.get("affine") is False and norm.arguments.get("axis", 0) == 0:
            given = {name: v for name, v in norm.arguments.items() if name != "affine"}
            made[layer.name] = replace(
                layer, word="ln", arguments=given, inputs=norm.inputs, weights=layer.weights
            )
            names[norm.name, 0] = (layer.name, 0)
    kept = [made.get(x.name, x) for x in flow.layers if (x.name, 0) not in names]
    return renamed(flow, kept, names)
