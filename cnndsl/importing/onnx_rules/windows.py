"""Convolutions and pools of ONNX."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from cnndsl.importing.onnx_graph import (
    Call,
    Data,
    UnsayableError,
    rule,
)
from cnndsl.ops.facts import Pads, Shape

# Windows


def pairs(sides: Sequence[int]) -> Pads:
    """ONNX's sides, all befores and then all behinds, as a pair for each axis."""
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
        pads = pairs(call.get("pads", [0] * 2 * rank))
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
    if inner * groups != x.shape[0]:
        raise UnsayableError(f"its weights have {inner * groups} channels")
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
    "If": "what it does depends on the data",
    "Loop": "what it does depends on the data",
    "Scan": "what it does depends on the data",
}.items():
    rule(kind)(_never(reason))
