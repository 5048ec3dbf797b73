"""Functions of each number, arithmetic and reductions of ONNX."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from cnndsl.importing.onnx_graph import (
    Call,
    Data,
    Known,
    UnsayableError,
    rule,
    short,
)
from cnndsl.importing.onnx_rules.products import row, shaped
from cnndsl.ops.facts import Shape

# Functions of each element


def _plain(word: str, **attributes: tuple[str, float]) -> Any:
    """One operation, whose arguments are attributes with their defaults."""

    def read(call: Call) -> Data:
        given: dict[str, Any] = {
            ours: float(call.get(theirs, default))
            for ours, (theirs, default) in attributes.items()
        }
        return call.layer(word, [call.data(0)], **given)

    return read


for kind, found in {
    "Relu": _plain("relu"),
    "Sigmoid": _plain("sigmoid"),
    "Tanh": _plain("tanh"),
    "HardSwish": _plain("hardswish"),
    "Mish": _plain("mish"),
    "Exp": _plain("exp"),
    "Log": _plain("log"),
    "Sqrt": _plain("sqrt"),
    "Neg": _plain("neg"),
    "Abs": _plain("abs"),
    "Elu": _plain("elu", alpha=("alpha", 1.0)),
    "Celu": _plain("celu", alpha=("alpha", 1.0)),
    "LeakyRelu": _plain("leaky", slope=("alpha", 0.01)),
    "Softplus": _plain("softplus"),
}.items():
    rule(kind)(found)


@rule("Selu")
def _selu(call: Call) -> Data:
    alpha = float(call.get("alpha", 1.6732632423543772))
    gamma = float(call.get("gamma", 1.0507009873554805))
    if abs(alpha - 1.6732632) < 1e-6 and abs(gamma - 1.0507010) < 1e-6:
        return call.layer("selu", [call.data(0)])
    return call.chain(call.data(0), ("elu", {"alpha": alpha}), ("mul", {"by": gamma}))


@rule("Gelu")
def _gelu(call: Call) -> Data:
    word = call.text("approximate", "none")
    return call.layer("gelu", [call.data(0)], approximate=word)


@rule("Swish")
def _swish(call: Call) -> Data:
    x, alpha = call.data(0), float(call.get("alpha", 1.0))
    if alpha == 1:
        return call.layer("silu", [x])
    gate = call.chain(x, ("mul", {"by": alpha}), ("sigmoid", {}))
    return call.layer("mul", [x, gate])


@rule("HardSigmoid")
def _hard_sigmoid(call: Call) -> Data:
    alpha, beta = float(call.get("alpha", 0.2)), float(call.get("beta", 0.5))
    if abs(alpha - 1 / 6) < 1e-7 and beta == 0.5:
        return call.layer("hardsigmoid", [call.data(0)])
    steps = [("mul", {"by": alpha}), ("add", {"by": beta}), ("clamp", {"min": 0.0, "max": 1.0})]
    return call.chain(call.data(0), *steps)


@rule("Softsign")
def _softsign(call: Call) -> Data:
    x = call.data(0)
    return call.layer("div", [x, call.chain(x, ("abs", {}), ("add", {"by": 1.0}))])


@rule("Reciprocal")
def _reciprocal(call: Call) -> Data:
    return call.layer("pow", [call.data(0)], exponent=-1.0)


@rule("PRelu")
def _prelu(call: Call) -> Data:
    x, slope = call.data(0), call.known(1)
    assert slope is not None
    if slope.size == 1:
        names = {"weight": call.weight(1, lambda a: a.reshape(1), shaped(slope.shape))}
        return call.layer("prelu", [x], weights=names, per="tensor")
    channels = slope.shape[: max(1, slope.ndim - len(x.shape) + 1)]
    if slope.size != x.shape[0] or channels[-1] != x.shape[0] or slope.ndim != len(x.shape):
        raise UnsayableError("a slope of each element")
    names = {"weight": call.weight(1, row, shaped(slope.shape))}
    return call.layer("prelu", [x], weights=names, per="channel")


@rule("Clip")
def _clip(call: Call) -> Data:
    bounds: list[float | None] = []
    for number, name in ((1, "min"), (2, "max")):
        found = call.attributes.get(name)
        found = call.known(number) if found is None else found
        bounds.append(None if found is None else short(float(np.asarray(found).reshape(()))))
    low, high = bounds
    if (low, high) == (0.0, 6.0):
        return call.layer("relu6", [call.data(0)])
    if low is None and high is None:
        return call.data(0)
    if low is not None and high is not None and low > high:
        # The larger bound is the last word.
        return call.chain(call.data(0), ("clamp", {"min": high, "max": high}))
    given: dict[str, Any] = {k: v for k, v in (("min", low), ("max", high)) if v is not None}
    return call.layer("clamp", [call.data(0)], **given)


@rule("Softmax", "LogSoftmax")
def _softmax(call: Call) -> Data:
    x = call.data(0)
    rank = len(x.shape)
    old = call.opset < 13
    axis = call.axis(int(call.get("axis", 1 if old else -1)), rank)
    if old and math.prod(x.shape[axis + 1 :]) != 1:
        raise UnsayableError("a softmax over several axes, as before opset 13")
    word = "softmax" if call.kind == "Softmax" else "log_softmax"
    return call.layer(word, [x], axis=axis)


@rule("Dropout")
def _dropout(call: Call) -> Data:
    if len(call.node.output) > 1 and call.node.output[1]:
        raise UnsayableError("it gives the mask")
    training = call.known(2) if call.given(2) else None
    ratio = call.known(1) if call.given(1) else None
    if training is not None and bool(training) and (ratio is None or float(ratio) != 0):
        raise UnsayableError("dropout in training")
    return call.data(0)


@rule("Identity")
def _identity(call: Call) -> Data:
    return call.data(0)


@rule("Cast")
def _cast(call: Call) -> Data:
    if int(call.get("to", 1)) not in (1, 11):
        raise UnsayableError("another type than float32")
    return call.data(0)


# Arithmetic

WORDS = {
    "Add": "add",
    "Sub": "sub",
    "Mul": "mul",
    "Div": "div",
    "Max": "maximum",
    "Min": "minimum",
}


@rule("Add", "Sub", "Mul", "Div", "Max", "Min", "Sum")
def _arithmetic(call: Call) -> Data:
    word = WORDS.get(call.kind, "add")
    constants = [call.constant(n) for n in range(len(call.inputs))]
    if len(call.inputs) == 2 and any(constants):
        return _with_constant(call, word, constants)
    first, *others = call.every()
    for x in others:
        first = _both(call, word, first, x)
    return first


@rule("Mean")
def _mean_of(call: Call) -> Data:
    first, *others = call.every()
    for x in others:
        first = _both(call, "add", first, x)
    return call.layer("mul", [first], by=1 / (1 + len(others)))


def _both(call: Call, word: str, x: Data, y: Data) -> Data:
    """Two tensors, of which one may be repeated along axes."""
    for gate, other in ((x, y), (y, x)):
        made = call.made(gate)
        sigmoid = made is not None and made.word == "sigmoid" and made.inputs == (other.value,)
        if word == "mul" and sigmoid:
            return call.layer("silu", [other])
    x, y = call.alike(x, y)
    if word == "add" and x.shape != y.shape:
        return call.layer("sub", [x, call.layer("neg", [y])])
    return call.layer(word, [x, y])


def _with_constant(call: Call, word: str, constants: Sequence[Known | None]) -> Data:
    """A tensor and a constant: one number, or a number a channel."""
    left = constants[0] is not None
    found = constants[0] or constants[1]
    assert found is not None
    x = call.data(1 if left else 0)
    array = found.array
    if array.size == 1 and array.ndim <= len(x.shape) + call.reading.lead:
        return _with_number(call, word, x, short(float(array.reshape(()))), left=left)
    full = (1,) * (len(x.shape) + 1 - array.ndim) + array.shape
    channels = (
        full[1] == x.shape[0] and array.size == x.shape[0] and len(full) == len(x.shape) + 1
    )
    number = 0 if left else 1
    if word == "mul" and channels and call.reading.batched:
        names = {"weight": call.weight(number, row, shaped(array.shape))}
        return call.layer("scale", [x], weights=names, per="channel")
    if word == "add" and array.size == full[-1] == x.shape[-1]:
        done = _biased(call, x, number, array.shape)
        if done is not None:
            return done
    other = call.data(number, len(x.shape))
    return _both(call, word, other, x) if left else _both(call, word, x, other)


def _biased(call: Call, x: Data, number: int, shape: Shape) -> Data | None:
    """The bias of the linear layer before, if that has none."""
    layers = call.reading.layers
    last = layers[-1] if layers else None
    if (
        last is None
        or last.name != x.value[0]
        or last.word != "linear"
        or last.arguments["bias"]
    ):
        return None
    name = call.weight(number, row, shaped(shape))
    layers.pop()
    names = {**last.weights, "bias": name}
    given = {**last.arguments, "bias": True}
    source = Data(last.inputs[0], x.shape)
    made = type(last)(last.name, "linear", given, last.inputs, last.shapes, last.scopes, names)
    layers.append(made)
    return Data((made.name, 0), source.shape)


def _with_number(call: Call, word: str, x: Data, number: float, *, left: bool) -> Data:
    if word == "maximum":
        return call.layer("clamp", [x], min=number)
    if word == "minimum":
        return call.layer("clamp", [x], max=number)
    if left and word == "sub":
        return call.chain(x, ("neg", {}), ("add", {"by": number}))
    if left and word == "div":
        inverse = call.layer("pow", [x], exponent=-1.0)
        return inverse if number == 1 else call.layer("mul", [inverse], by=number)
    return call.layer(word, [x], by=number)


@rule("Pow")
def _pow(call: Call) -> Data:
    exponent = call.known(1)
    assert exponent is not None
    if exponent.size != 1:
        raise UnsayableError("an exponent of each element")
    return call.layer("pow", [call.data(0)], exponent=short(float(exponent.reshape(()))))


# Reductions

REDUCED: dict[str, tuple[str, dict[str, Any]]] = {
    "ReduceMean": ("mean", {}),
    "ReduceSum": ("sum", {}),
    "ReduceMax": ("max", {}),
    "ReduceMin": ("min", {}),
    "ReduceL1": ("vector_norm", {"p": 1}),
    "ReduceL2": ("vector_norm", {"p": 2}),
}


@rule(*REDUCED, "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp")
def _reduce(call: Call) -> Data:
    x = call.data(0)
    rank, keep = len(x.shape), bool(call.get("keepdims", 1))
    axes = call.numbers("axes", 1)
    if not axes:
        if call.get("noop_with_empty_axes", 0):
            raise UnsayableError("a reduction over no axis")
        axes = tuple(range(rank + call.reading.lead))
    ours = tuple(sorted({call.axis(axis, rank) for axis in axes}))
    if len(ours) == rank and not keep:
        raise UnsayableError("a sample is a single number")
    given: dict[str, Any] = {"axis": ours if len(ours) > 1 else ours[0], "keep": keep}
    if call.kind == "ReduceSumSquare":
        return call.layer("sum", [call.layer("mul", [x, x])], **given)
    if call.kind == "ReduceLogSum":
        return call.chain(x, ("sum", given), ("log", {}))
    if call.kind == "ReduceLogSumExp":
        return call.chain(x, ("exp", {}), ("sum", given), ("log", {}))
    places = tuple(range(1, rank))
    if call.kind in ("ReduceMean", "ReduceMax") and ours == places and call.reading.batched:
        return call.layer("gap" if call.kind == "ReduceMean" else "gmp", [x], keep=keep)
    word, more = REDUCED[call.kind]
    return call.layer(word, [x], **given, **more)


@rule("ArgMax", "ArgMin")
def _argmax(call: Call) -> Data:
    x = call.data(0)
    if call.get("select_last_index", 0):
        raise UnsayableError("the last of the largest")
    axis, keep = (
        call.axis(int(call.get("axis", 0)), len(x.shape)),
        bool(call.get("keepdims", 1)),
    )
    x = call.layer("neg", [x]) if call.kind == "ArgMin" else x
    return call.layer("argmax", [x], axis=axis, keep=keep)
