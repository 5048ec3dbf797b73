"""Products of ONNX: matrices, einsum."""

from __future__ import annotations

import numpy as np

from cnndsl.importing.onnx_graph import (
    Call,
    Change,
    Data,
    UnsayableError,
    letters,
    rule,
)
from cnndsl.ops.facts import Array, Shape

# Matrix products


def row(array: Array) -> Array:
    """All of an array's elements in a row."""
    return array.reshape(-1)


def shaped(shape: Shape) -> Change:
    """The change that gives an array this shape."""

    def back(array: Array) -> Array:
        return array.reshape(shape)

    return back


def _turned(array: Array) -> Array:
    return np.swapaxes(array, -1, -2)


@rule("Gemm")
def _gemm(call: Call) -> Data:
    alpha, beta = float(call.get("alpha", 1.0)), float(call.get("beta", 1.0))
    if call.get("transA", 0) or not call.reading.batched:
        raise UnsayableError("the batch is the inner axis of a product")
    turned = bool(call.get("transB", 0))

    def forward(array: Array) -> Array:
        return alpha * (array if turned else _turned(array))

    def back(array: Array) -> Array:
        return (array if turned else _turned(array)) / alpha

    weight, bias = call.known(1), call.known(2)
    assert weight is not None
    out = weight.shape[0 if turned else 1]
    names = {"weight": call.weight(1, forward, back)}
    if bias is not None:
        if bias.size not in (1, out) or (bias.ndim == 2 and bias.shape[0] != 1):
            raise UnsayableError("it adds a tensor that no layer gives")
        shape = bias.shape
        many = out // bias.size

        def spread(array: Array) -> Array:
            return np.repeat(beta * array.reshape(-1), many)

        def single(array: Array) -> Array:
            return (array[: array.size // many] / beta).reshape(shape)

        names["bias"] = call.weight(2, spread, single)
    return call.layer("linear", [call.data(0)], weights=names, out=out, bias=bias is not None)


@rule("MatMul")
def _matmul(call: Call) -> Data:
    right = call.constant(1)
    if right is not None and right.array.ndim == 2:
        names = {"weight": call.weight(1, _turned, _turned)}
        out = right.array.shape[1]
        return call.layer("linear", [call.data(0)], weights=names, out=out, bias=False)
    x, y = call.data(0), call.data(1)
    rank = max(len(x.shape), len(y.shape))
    if len(x.shape) != len(y.shape) or rank < 2:
        if call.reading.batched:
            raise UnsayableError("the batch is an axis of the product")
        return _uneven(call, x, y)
    names_of = letters(rank + 1)
    outer, (i, j, k) = names_of[: rank - 2], names_of[rank - 2 :]
    if any(a != b for a, b in zip(x.shape[:-2], y.shape[:-2], strict=True)):
        return _uneven(call, x, y)
    left, middle = " ".join([*outer, i, j]), " ".join([*outer, j, k])
    return call.layer(
        "einsum", [x, y], pattern=f"{left}, {middle} -> {' '.join([*outer, i, k])}"
    )


def _uneven(call: Call, x: Data, y: Data) -> Data:
    """A product of which one side has fewer axes, or some of size 1."""
    rank = max(len(x.shape), len(y.shape))
    names = letters(rank + 2)
    i, j, k = *names[rank : rank + 2], "z"
    outer = names[: max(0, rank - 2)]
    sides: list[list[str]] = []
    for tensor, last in ((x, [i, j]), (y, [j, k])):
        own = len(tensor.shape)
        if own == 1:
            sides.append([j])
            continue
        mine = outer[len(outer) - (own - 2) :] if own > 2 else []
        sides.append([*mine, *last])
    shown = [*outer, *([i] if len(x.shape) > 1 else []), *([k] if len(y.shape) > 1 else [])]
    if not shown:
        raise UnsayableError("a sample is a single number")
    sizes: dict[str, int] = {}
    for tensor, side in zip((x, y), sides, strict=True):
        for n, name in zip(tensor.shape, side, strict=True):
            if sizes.setdefault(name, n) != n:
                raise UnsayableError("axes of size 1 are repeated")
    pattern = f"{' '.join(sides[0])}, {' '.join(sides[1])} -> {' '.join(shown)}"
    return call.layer("einsum", [x, y], pattern=pattern)


@rule("Einsum")
def _einsum(call: Call) -> Data:
    equation = call.text("equation", "").replace(" ", "")
    inputs = call.every()
    if "." in equation:
        raise UnsayableError("`...` in an equation")
    left, arrow, right = equation.partition("->")
    operands = left.split(",")
    if not arrow:
        once = sorted(c for c in set(left) - {","} if left.count(c) == 1)
        right = "".join(once)
    if call.reading.batched:
        first = {side[:1] for side in (*operands, right)}
        inner = any(side[:1] in side[1:] for side in (*operands, right))
        if len(first) != 1 or inner:
            raise UnsayableError("it works on the batch")
        operands, right = [side[1:] for side in operands], right[1:]
    if not right:
        raise UnsayableError("a sample is a single number")
    shown = ", ".join(" ".join(side) for side in operands)
    return call.layer("einsum", inputs, pattern=f"{shown.lower()} -> {' '.join(right).lower()}")
