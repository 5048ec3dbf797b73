"""Normalisation of ONNX."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from cnndsl.importing.onnx_graph import (
    Call,
    Data,
    UnsayableError,
    rule,
)
from cnndsl.importing.onnx_rules.products import row, shaped
from cnndsl.ops.base import OPS

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
        weights[name] = call.weight(number, row, shaped(array.shape))
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
        names = {"weight": call.weight(1, row, shaped(scale.shape))}
        return call.layer("scale", [even], weights=names, per="tensor")
    flat = call.reshaped(even, (*x.shape[:axis], scale.size))
    first = call.permuted(flat, (axis, *range(axis)))
    names = {"weight": call.weight(1, row, shaped(scale.shape))}
    found = call.layer("scale", [first], weights=names, per="channel")
    return call.reshaped(call.permuted(found, (*range(1, axis + 1), 0)), x.shape)
