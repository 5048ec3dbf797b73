"""ONNX's operators as ours: a rule each, from a node to layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from cnndsl.importing.onnx_graph import (
    Call,
    Change,
    Data,
    Known,
    UnsayableError,
    letters,
    rule,
    short,
)
from cnndsl.ops.base import OPS, Array, Pads, Shape

# Windows


def _pairs(sides: Sequence[int]) -> Pads:
    count = len(sides) // 2
    return tuple((int(a), int(b)) for a, b in zip(sides[:count], sides[count:], strict=True))


def _window(call: Call, x: Shape, kernel: Sequence[int]) -> dict[str, Any]:
    """Kernel, stride, dilation and padding."""
    rank = len(x) - 1
    if len(kernel) != rank:
        raise UnsayableError("the kernel has another number of axes")
    stride = tuple(map(int, call.get("strides", [1] * rank)))
    dilation = tuple(map(int, call.get("dilations", [1] * rank)))
    auto = call.text("auto_pad", "NOTSET")
    pads: Pads = ((0, 0),) * rank
    if auto == "NOTSET":
        pads = _pairs(call.get("pads", [0] * 2 * rank))
    elif auto.startswith("SAME"):
        found = []
        for n, k, s, d in zip(x[1:], kernel, stride, dilation, strict=True):
            total = max(0, (-(-n // s) - 1) * s + d * (k - 1) + 1 - n)
            few, many = total // 2, total - total // 2
            found.append((few, many) if auto == "SAME_UPPER" else (many, few))
        pads = tuple(found)
    if any(side < 0 for pair in pads for side in pair):
        raise UnsayableError("a padding is negative")
    kernel = tuple(map(int, kernel))
    return {"kernel": kernel, "stride": stride, "dilation": dilation, "pad": pads}


@rule("Conv")
def _conv(call: Call) -> Data:
    x, weight = call.data(0), call.known(1)
    assert weight is not None
    out, inner, *kernel = weight.shape
    given = _window(call, x.shape, kernel)
    groups = int(call.get("group", 1))
    names = {"weight": call.weight(1)}
    if call.given(2):
        names["bias"] = call.weight(2)
    given["bias"] = call.given(2)
    if groups > 1 and inner == 1 and x.shape[0] == groups:
        given["multiplier"] = out // groups
        return call.layer("dwconv", [x], weights=names, **given)
    return call.layer("conv", [x], weights=names, out=out, groups=groups, **given)


@rule("ConvTranspose")
def _deconv(call: Call) -> Data:
    x, weight = call.data(0), call.known(1)
    assert weight is not None
    _, inner, *kernel = weight.shape
    rank, groups = len(kernel), int(call.get("group", 1))
    auto, wanted = call.text("auto_pad", "NOTSET"), call.get("output_shape", None)
    call.attributes.pop("auto_pad", None)
    given = _window(call, x.shape, kernel)
    extra = tuple(map(int, call.get("output_padding", [0] * rank)))
    if wanted is not None or auto.startswith("SAME"):
        sizes = (
            wanted
            if wanted is not None
            else [n * s for n, s in zip(x.shape[1:], given["stride"], strict=True)]
        )
        pads = []
        for axis, size in enumerate(list(sizes)[-rank:]):
            span = given["dilation"][axis] * (kernel[axis] - 1) + 1
            whole = (x.shape[axis + 1] - 1) * given["stride"][axis] + span + extra[axis]
            total = whole - int(size)
            if total < 0:
                extra = (*extra[:axis], extra[axis] - total, *extra[axis + 1 :])
                total = 0
            few, many = total // 2, total - total // 2
            pads.append((few, many) if auto == "SAME_UPPER" else (many, few))
        given["pad"] = tuple(pads)
    names = {"weight": call.weight(1)}
    if call.given(2):
        names["bias"] = call.weight(2)
    return call.layer(
        "deconv",
        [x],
        weights=names,
        out=inner * groups,
        output_pad=tuple((n, n) for n in extra),
        groups=groups,
        bias=call.given(2),
        **given,
    )


@rule("MaxPool")
def _max_pool(call: Call) -> Data:
    if len(call.node.output) > 1 and call.node.output[1]:
        raise UnsayableError("it gives the places of the largest values")
    x = call.data(0)
    given = _window(call, x.shape, call.attributes["kernel_shape"])
    return call.layer("maxpool", [x], ceil=bool(call.get("ceil_mode", 0)), **given)


@rule("AveragePool")
def _average_pool(call: Call) -> Data:
    x = call.data(0)
    given = _window(call, x.shape, call.attributes["kernel_shape"])
    if any(d != 1 for d in given.pop("dilation")):
        raise UnsayableError("a mean of places that lie apart")
    counted = bool(call.get("count_include_pad", 0))
    if not any(map(any, given["pad"])):
        counted = True
    ceil = bool(call.get("ceil_mode", 0))
    return call.layer("avgpool", [x], ceil=ceil, count_include_pad=counted, **given)


@rule("LpPool")
def _lp_pool(call: Call) -> Data:
    """√Σx² of a window, by its mean."""
    if int(call.get("p", 2)) != 2:
        raise UnsayableError("`p` is not 2")
    x = call.data(0)
    given = _window(call, x.shape, call.attributes["kernel_shape"])
    if any(d != 1 for d in given.pop("dilation")) or call.get("ceil_mode", 0):
        raise UnsayableError("a norm of places that lie apart")
    squares = call.layer("mul", [x, x])
    mean = call.layer("avgpool", [squares], count_include_pad=True, **given)
    return call.chain(mean, ("mul", {"by": math.prod(given["kernel"])}), ("sqrt", {}))


@rule("GlobalAveragePool")
def _global_average(call: Call) -> Data:
    return call.layer("gap", [call.data(0)], keep=True)


@rule("GlobalMaxPool")
def _global_max(call: Call) -> Data:
    return call.layer("gmp", [call.data(0)], keep=True)


@rule("DeformConv")
def _deform(call: Call) -> Data:
    x, offset, weight = call.data(0), call.data(2), call.known(1)
    assert weight is not None
    given = _window(call, x.shape, weight.shape[2:])
    names = {"weight": call.weight(1)}
    if call.given(3):
        names["bias"] = call.weight(3)
    inputs = [x, offset, *([call.data(4)] if call.given(4) else [])]
    if weight.shape[1] * int(call.get("group", 1)) != x.shape[0]:
        raise UnsayableError("the weight has another number of channels")
    parts = offset.shape[0] // (2 * math.prod(weight.shape[2:]))
    call.no(offset_group=parts)
    return call.layer(
        "deform_conv",
        inputs,
        weights=names,
        out=weight.shape[0],
        groups=int(call.get("group", 1)),
        bias=call.given(3),
        **given,
    )


def _never(reason: str) -> Any:
    """What no file can say, and why."""

    def read(_: Call) -> Data:
        raise UnsayableError(reason)

    return read


for kind, reason in {
    "RoiAlign": "its boxes are in one row for all images",
    "NonMaxSuppression": "it gives as many rows as it finds",
    "NonZero": "it gives as many rows as it finds",
    "Unique": "it gives as many rows as it finds",
    "Compress": "it gives as many rows as it finds",
    "If": "a graph in a node",
    "Loop": "a graph in a node",
    "Scan": "a graph in a node",
}.items():
    rule(kind)(_never(reason))


# Matrix products


def _row(array: Array) -> Array:
    return array.reshape(-1)


def _shaped(shape: Shape) -> Change:
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
        names = {"weight": call.weight(1, lambda a: a.reshape(1), _shaped(slope.shape))}
        return call.layer("prelu", [x], weights=names, per="tensor")
    channels = slope.shape[: max(1, slope.ndim - len(x.shape) + 1)]
    if slope.size != x.shape[0] or channels[-1] != x.shape[0] or slope.ndim != len(x.shape):
        raise UnsayableError("a slope of each element")
    names = {"weight": call.weight(1, _row, _shaped(slope.shape))}
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
        names = {"weight": call.weight(number, _row, _shaped(array.shape))}
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
    name = call.weight(number, _row, _shaped(shape))
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


# Normalisation


@rule("BatchNormalization")
def _batch_norm(call: Call) -> Data:
    if call.get("training_mode", 0) or len([o for o in call.node.output if o]) > 1:
        raise UnsayableError("with the statistics of the batch")
    names = ("weight", "bias", "running_mean", "running_var")
    weights = {name: call.weight(number) for number, name in enumerate(names, 1)}
    eps = float(call.get("epsilon", 1e-5))
    return call.layer("bn", [call.data(0)], weights=weights, eps=eps)


@rule("InstanceNormalization")
def _instance_norm(call: Call) -> Data:
    x = call.data(0)
    weights = {"weight": call.weight(1), "bias": call.weight(2)}
    eps = float(call.get("epsilon", 1e-5))
    if "instance_norm" in OPS:
        return call.layer("instance_norm", [x], weights=weights, affine=True, eps=eps)
    return call.layer("gn", [x], weights=weights, groups=x.shape[0], eps=eps)


@rule("GroupNormalization")
def _group_norm(call: Call) -> Data:
    x, scale = call.data(0), call.known(1)
    assert scale is not None
    groups, eps = int(call.attributes["num_groups"]), float(call.get("epsilon", 1e-5))
    many = x.shape[0] // scale.size
    weights = {
        name: call.weight(number, lambda a: np.repeat(a, many), lambda a: a[::many])
        for number, name in ((1, "weight"), (2, "bias"))
    }
    return call.layer("gn", [x], weights=weights, groups=groups, eps=eps)


@rule("LayerNormalization")
def _layer_norm(call: Call) -> Sequence[Data]:
    x, eps = call.data(0), float(call.get("epsilon", 1e-5))
    rank = len(x.shape)
    axis = call.axis(int(call.get("axis", -1)), rank)
    shape = x.shape
    last = axis == rank - 1 and "axis" in {one.name for one in OPS["ln"].parameters}
    flat = call.reshaped(x, (*shape[:axis], math.prod(shape[axis:])))
    first = flat if last else call.permuted(flat, (axis, *range(axis)))
    weights = {}
    for number, name in ((1, "weight"), (2, "bias")):
        if not call.given(number):
            raise UnsayableError("a norm without a factor")
        array = call.known(number)
        assert array is not None
        if array.shape != shape[axis:]:
            raise UnsayableError("a factor of another shape")
        weights[name] = call.weight(number, _row, _shaped(array.shape))
    if last:
        y = call.layer(
            "ln", [first], weights=weights, eps=eps, **({"axis": axis} if axis else {})
        )
    else:
        found = call.layer("ln", [first], weights=weights, eps=eps)
        y = call.reshaped(call.permuted(found, (*range(1, axis + 1), 0)), shape)
    if len([name for name in call.node.output if name]) == 1:
        return [y]
    axes = tuple(range(axis, rank))
    mean = call.layer("mean", [x], axis=axes, keep=True)
    centred = call.layer("sub", [x, mean])
    variance = call.layer("mean", [call.layer("mul", [centred, centred])], axis=axes, keep=True)
    return [y, mean, call.chain(variance, ("add", {"by": eps}), ("pow", {"exponent": -0.5}))]


@rule("LRN")
def _lrn(call: Call) -> Data:
    n = int(call.attributes["size"])
    if n % 2 == 0:
        raise UnsayableError("of an even number of neighbours the other half")
    given = {"alpha": 1e-4, "beta": 0.75, "bias": 1.0}
    alpha, beta, k = (float(call.get(name, value)) for name, value in given.items())
    return call.layer("lrn", [call.data(0)], n=n, alpha=alpha, beta=beta, k=k)


@rule("LpNormalization")
def _lp_norm(call: Call) -> Data:
    x, p = call.data(0), int(call.get("p", 2))
    axis = call.axis(int(call.get("axis", -1)), len(x.shape))
    if p == 2:
        return call.layer("l2norm", [x], axis=axis)
    norm = call.layer("vector_norm", [x], axis=axis, p=1, keep=True)
    return call.layer("div", [x, norm])


@rule("RMSNormalization")
def _rms_norm(call: Call) -> Data:
    x, eps, scale = call.data(0), float(call.get("epsilon", 1e-5)), call.known(1)
    assert scale is not None
    axis = call.axis(int(call.get("axis", -1)), len(x.shape))
    axes = tuple(range(axis, len(x.shape)))
    mean = call.layer("mean", [call.layer("mul", [x, x])], axis=axes, keep=True)
    even = call.layer("div", [x, call.chain(mean, ("add", {"by": eps}), ("sqrt", {}))])
    if scale.shape != x.shape[axis:] and scale.size != 1:
        raise UnsayableError("a factor of another shape")
    if scale.size == 1:
        names = {"weight": call.weight(1, _row, _shaped(scale.shape))}
        return call.layer("scale", [even], weights=names, per="tensor")
    flat = call.reshaped(even, (*x.shape[:axis], scale.size))
    first = call.permuted(flat, (axis, *range(axis)))
    names = {"weight": call.weight(1, _row, _shaped(scale.shape))}
    found = call.layer("scale", [first], weights=names, per="channel")
    return call.reshaped(call.permuted(found, (*range(1, axis + 1), 0)), x.shape)


# Axes


@rule("Flatten")
def _flatten(call: Call) -> Data:
    x = call.data(0)
    lead, axis = call.reading.lead, int(call.get("axis", 1))
    axis = axis % (len(x.shape) + lead) if axis < 0 else axis
    if lead:
        if axis != 1:
            raise UnsayableError("it mixes samples of the batch")
        return call.reshaped(x, (math.prod(x.shape),))
    return call.reshaped(x, (math.prod(x.shape[:axis]), math.prod(x.shape[axis:])))


@rule("Reshape")
def _reshape(call: Call) -> Data:
    x, target = call.data(0), call.numbers("shape", 1)
    assert target is not None
    lead = call.reading.lead
    sizes = list(target)
    if not call.get("allowzero", 0):
        for number, size in enumerate(sizes):
            if size == 0 and number >= lead:
                sizes[number] = x.shape[number - lead]
    if lead:
        first, *sizes = sizes
        rest = math.prod(n for n in sizes if n != -1)
        whole = math.prod(x.shape)
        if first not in (0, -1, call.reading.batch) or (
            first == -1 and (-1 in sizes or rest != whole)
        ):
            raise UnsayableError("it mixes samples of the batch")
    if sizes.count(-1) == 1:
        rest = math.prod(n for n in sizes if n != -1)
        sizes[sizes.index(-1)] = math.prod(x.shape) // rest if rest else 0
    return call.reshaped(x, sizes)


@rule("Squeeze", "Unsqueeze")
def _squeeze(call: Call) -> Data:
    x, lead = call.data(0, moved=call.kind == "Squeeze"), call.reading.lead
    axes = call.numbers("axes", 1)
    shape = list(x.shape)
    if call.kind == "Squeeze":
        ours = [n for n, size in enumerate(shape) if size == 1]
        if axes is not None:
            ours = [call.axis(axis, len(shape), x.at) for axis in axes]
        if any(shape[axis] != 1 for axis in ours):
            raise UnsayableError("an axis to be removed is not of size 1")
        found = call.reshaped(x, [n for axis, n in enumerate(shape) if axis not in ours])
        return Data(found.value, found.shape, x.at - sum(axis < x.at for axis in ours))
    assert axes is not None
    rank = len(shape) + len(axes)
    for axis in sorted(call.axis(axis, rank) for axis in axes):
        shape.insert(axis, 1)
    assert lead in (0, 1)
    return call.reshaped(x, shape)


@rule("Transpose")
def _transpose(call: Call) -> Data:
    x, lead = call.data(0, moved=True), call.reading.lead
    rank = len(x.shape) + lead
    order = [axis % rank for axis in call.get("perm", range(rank - 1, -1, -1))]
    others = [axis for axis in order if not lead or axis != x.at]
    found = call.permuted(x, [call.axis(axis, rank - lead, x.at) for axis in others])
    return Data(found.value, found.shape, order.index(x.at) if lead else 0)


@rule("Concat")
def _concat(call: Call) -> Data:
    inputs = call.every()
    axis = call.axis(int(call.attributes["axis"]), len(inputs[0].shape))
    return inputs[0] if len(inputs) == 1 else call.layer("concat", inputs, axis=axis)


@rule("Split")
def _split(call: Call) -> Sequence[Data]:
    x = call.data(0, moved=True)
    axis = call.axis(int(call.get("axis", 0)), len(x.shape), x.at)
    sizes, count = call.numbers("split", 1), len(call.node.output)
    size = x.shape[axis]
    if sizes is None:
        each = -(-size // count)
        sizes = (*(each,) * (count - 1), size - each * (count - 1))
    if any(n < 1 for n in sizes):
        raise UnsayableError("an axis has no elements")
    if len(sizes) == 1:
        return [x]
    alike = len(set(sizes)) == 1
    found = call.several("split", [x], sections=count if alike else tuple(sizes), axis=axis)
    return [Data(one.value, one.shape, x.at) for one in found]


@rule("Slice")
def _slice(call: Call) -> Data:
    x = call.data(0)
    rank = len(x.shape)
    starts, ends = call.numbers("starts", 1), call.numbers("ends", 2)
    assert starts is not None
    assert ends is not None
    axes = call.numbers("axes", 3) or tuple(range(len(starts)))
    steps = call.numbers("steps", 4) or (1,) * len(starts)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        lead = call.reading.lead
        if lead and axis % (rank + lead) == 0 and (start, step) == (0, 1) and end > 2**30:
            continue
        ours = call.axis(axis, rank)
        first, last, stride = slice(start, end, step).indices(x.shape[ours])
        if (first, last, stride) == (x.shape[ours] - 1, -1, -1):
            x = call.layer("flip", [x], axis=ours)
            continue
        if stride < 0:
            raise UnsayableError("an axis is reversed")
        if stride > 1 and "slice" in OPS:
            given: dict[str, Any] = {"start": first, "stop": last, "axis": ours, "step": stride}
            x = call.layer("slice", [x], **given)
            continue
        x = call.cut(x, ours, first, max(first, last))
        if stride > 1:
            if ours == 0 or len(x.shape) > 4:
                raise UnsayableError("every second channel")
            ones = [1] * (rank - 1)
            kernel = tuple(ones)
            ones[ours - 1] = stride
            x = call.layer("maxpool", [x], kernel=kernel, stride=tuple(ones))
    return x


@rule("Gather")
def _gather(call: Call) -> Data:
    x, index = call.data(0, moved=True), call.known(1)
    assert index is not None
    axis = call.axis(int(call.get("axis", 0)), len(x.shape), x.at)
    if index.ndim > 1 or index.size > MANY:
        raise UnsayableError("rows chosen by a table")
    size = x.shape[axis]
    numbers = [int(n) % size for n in index.reshape(-1)]
    run = numbers == list(range(numbers[0], numbers[0] + len(numbers))) if numbers else False
    if not numbers:
        raise UnsayableError("an axis has no elements")
    if run:
        found = call.cut(x, axis, numbers[0], numbers[-1] + 1)
    else:
        parts = [call.cut(x, axis, n, n + 1) for n in numbers]
        found = call.layer("concat", parts, axis=axis)
    if index.ndim == 0:
        found = call.reshaped(found, (*x.shape[:axis], *x.shape[axis + 1 :]))
        return Data(found.value, found.shape, x.at - (axis < x.at))
    return Data(found.value, found.shape, x.at)


MANY = 32
"""Copies or parts that are written one by one."""


@rule("Expand")
def _expand(call: Call) -> Data:
    x, target = call.data(0), call.known(1)
    assert target is not None
    sizes = [int(n) for n in target.reshape(-1)]
    if call.reading.lead:
        if len(sizes) != len(x.shape) + 1 or sizes[0] not in (1, call.reading.batch):
            raise UnsayableError("it repeats along the batch")
        sizes = sizes[1:]
    x = call.reshaped(x, (1,) * (len(sizes) - len(x.shape)) + x.shape)
    for axis, n in enumerate(sizes):
        if n > 1 and x.shape[axis] == 1:
            x = _repeated(call, x, axis, n)
    return x


def _repeated(call: Call, x: Data, axis: int, times: int) -> Data:
    if times > MANY:
        raise UnsayableError("it repeats an axis")
    return x if times == 1 else call.layer("concat", [x] * times, axis=axis)


@rule("Tile")
def _tile(call: Call) -> Data:
    x, times = call.data(0), call.known(1)
    assert times is not None
    for number, n in enumerate(times.reshape(-1)):
        if n != 1:
            x = _repeated(call, x, call.axis(number, len(x.shape)), int(n))
    return x


@rule("Pad")
def _pad(call: Call) -> Data:
    x = call.data(0)
    rank, lead = len(x.shape), call.reading.lead
    sides, axes = call.numbers("pads", 1), call.numbers("axes", 3)
    assert sides is not None
    mode = call.text("mode", "constant")
    pads = dict.fromkeys(range(rank), (0, 0))
    numbers = axes if axes is not None else tuple(range(rank + lead))
    for axis, pair in zip(numbers, _pairs(sides), strict=True):
        if any(pair):
            pads[call.axis(axis, rank)] = pair
    value = call.known(2) if "value" not in call.attributes else call.attributes["value"]
    number = (
        0.0
        if value is None or np.asarray(value).size == 0
        else float(np.asarray(value).reshape(()))
    )
    for axis, (before, after) in pads.items():
        x = call.cut(x, axis, max(0, -before), x.shape[axis] - max(0, -after))
    added = [tuple(max(0, n) for n in pads[axis]) for axis in range(rank)]
    if not any(map(any, added)):
        return x
    shape = x.shape
    channels = any(added[0])
    if channels or rank < 2:
        x = call.reshaped(x, (1, *shape))
    else:
        added = added[1:]
    if mode == "constant":
        if math.isinf(number):
            raise UnsayableError("a padding of infinity")
        x = call.layer("add", [x], by=-number) if number else x
        x = call.layer("zeropad", [x], sides=tuple(added))
        x = call.layer("add", [x], by=number) if number else x
    else:
        word = {"reflect": "reflect", "edge": "replicate", "wrap": "circular"}[mode]
        x = call.layer("pad", [x], sides=tuple(added), mode=word)
    return call.reshaped(x, x.shape[1:]) if channels or rank < 2 else x


@rule("DepthToSpace", "SpaceToDepth")
def _depth(call: Call) -> Data:
    x, size = call.data(0), int(call.attributes["blocksize"])
    channels = call.text("mode", "DCR") == "CRD"
    if channels and call.kind == "DepthToSpace" and "pixel_shuffle" in OPS:
        return call.layer("pixel_shuffle", [x], factor=size)
    deep = "c p q" if channels else "p q c"
    sides = f"({deep}) h w", "c (h p) (w q)"
    left, right = sides if call.kind == "DepthToSpace" else reversed(sides)
    axes = (("p", size), ("q", size))
    return call.layer("rearrange", [x], pattern=f"{left} -> {right}", axes=axes)


@rule("Resize", "Upsample")
def _resize(call: Call) -> Data:
    x = call.data(0)
    rank, lead = len(x.shape), call.reading.lead
    old = call.kind == "Upsample"
    mode = call.text("mode", "nearest")
    places = call.text("coordinate_transformation_mode", "asymmetric" if old else "half_pixel")
    nearest = call.text("nearest_mode", "floor" if old else "round_prefer_floor")
    call.no(antialias=0, exclude_outside=0)
    number = 1 if old or call.opset < 11 else 2
    if "scales" in call.attributes:
        scales: Array | None = np.asarray(call.attributes["scales"])
    else:
        scales = call.known(number)
    sizes = call.known(3)
    axes = call.get("axes", None)
    axes = tuple(range(rank + lead)) if axes is None else tuple(axes)
    full = [1, *x.shape] if lead else [*x.shape]
    wanted, factors = list(full), [1.0] * len(full)
    exact = True
    for place, axis in enumerate(axes):
        if sizes is not None and sizes.size:
            wanted[axis] = int(sizes[place]) if not (lead and axis == 0) else 1
        elif scales is not None and scales.size:
            factors[axis] = short(float(scales[place]))
            size = full[axis] * factors[axis]
            exact = exact and abs(size - round(size)) <= 1e-4
            wanted[axis] = round(size) if abs(size - round(size)) <= 1e-4 else int(size)
    call.no(keep_aspect_ratio_policy=b"stretch")
    if wanted[: lead + 1] != full[: lead + 1]:
        raise UnsayableError("it resizes channels")
    size = tuple(wanted[lead + 1 :])

    def sized(**given: Any) -> Data:
        if exact:
            return call.layer("resize", [x], size=size, **given)
        if given.get("align_corners"):
            raise UnsayableError("a scale that is no quotient of the sizes")
        return call.layer("upsample", [x], factor=tuple(factors[lead + 1 :]), **given)

    if mode == "nearest":
        whole = not any(m % n for n, m in zip(x.shape[1:], size, strict=True))
        same = (places, nearest) == ("asymmetric", "floor") or (
            whole and (places, nearest[:12]) == ("half_pixel", "round_prefer")
        )
        if not same:
            raise UnsayableError(f"nearest neighbours by {places}, {nearest}")
        return sized()
    if mode == "cubic":
        coefficient = float(call.get("cubic_coeff_a", -0.75))
        if coefficient != -0.75 or places not in ("half_pixel", "align_corners"):
            raise UnsayableError(f"cubic interpolation by {coefficient}, {places}")
        return sized(mode="bicubic", align_corners=places == "align_corners")
    if places not in ("half_pixel", "align_corners", "pytorch_half_pixel") or (
        places == "pytorch_half_pixel" and 1 in size
    ):
        raise UnsayableError(f"interpolation by {places}")
    return sized(mode="bilinear", align_corners=places == "align_corners")


@rule("GridSample")
def _grid_sample(call: Call) -> Data:
    mode = call.text("mode", "linear").replace("linear", "bilinear").replace("bibi", "bi")
    return call.layer(
        "grid_sample",
        [call.data(0), call.data(1)],
        mode=mode,
        pad_mode=call.text("padding_mode", "zeros"),
        align_corners=bool(call.get("align_corners", 0)),
    )


@rule("AffineGrid")
def _affine_grid(call: Call) -> Data:
    size = call.known(1)
    assert size is not None
    corners = bool(call.get("align_corners", 0))
    sizes = tuple(map(int, size[2:]))
    return call.layer("affine_grid", [call.data(0)], size=sizes, align_corners=corners)


# Attention


@rule("Attention")
def _attention(call: Call) -> Data:
    """Of heads in the first axis, or in the channels; without a mask or a memory."""
    if any(call.given(number) for number in range(3, len(call.inputs))):
        raise UnsayableError("attention with a mask or a memory")
    if len([name for name in call.node.output if name]) > 1:
        raise UnsayableError("attention that gives its memory")
    call.no(is_causal=0, softcap=0.0, left_window_size=-1, right_window_size=-1)
    q, k, v = (call.data(number) for number in range(3))
    flat = len(q.shape) == 2
    if flat:
        heads = int(call.attributes["q_num_heads"])
        call.no(kv_num_heads=heads)
        pattern = "l (h d) -> h l d"
        q, k, v = (
            call.layer("rearrange", [x], pattern=pattern, axes=(("h", heads),))
            for x in (q, k, v)
        )
    if len({x.shape[0] for x in (q, k, v)}) > 1:
        raise UnsayableError("heads that share keys")
    scale = float(call.get("scale", q.shape[2] ** -0.5))
    scaled = call.layer("mul", [q], by=scale)
    scores = call.layer("einsum", [scaled, k], pattern="h l d, h m d -> h l m")
    shares = call.layer("softmax", [scores], axis=2)
    found = call.layer("einsum", [shares, v], pattern="h l m, h m d -> h l d")
    return call.layer("rearrange", [found], pattern="h l d -> l (h d)") if flat else found
