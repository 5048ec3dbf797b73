"""Layers of PyTorch with weights: convolutions, linear layers, norms."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from cnndsl.importing.aten.table import RULES, rule
from cnndsl.importing.calls import Call, Constant, Seen
from cnndsl.importing.flow import Value

# Layers with weights


@rule("conv1d", "conv2d", "conv3d")
def _conv(call: Call) -> Seen:
    x = call.tensor("input", plain=True)
    blurred = _blurred(call, x)
    if blurred is not None:
        return blurred
    standard = _standardised(call["weight"])
    weight = standard[0] if standard else call.weight("weight")
    bias = call.weight("bias")
    assert weight is not None
    out, inner, *kernel = call["weight"].shape
    rank, groups = len(kernel), call["groups"]
    stride, dilation = call.sizes("stride", rank), call.sizes("dilation", rank)
    if call["padding"] == "same":
        whole = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        pads = tuple((n // 2, n - n // 2) for n in whole)
    elif call["padding"] == "valid":
        pads = ((0, 0),) * rank
    else:
        pads = tuple((p, p) for p in call.sizes("padding", rank))
    given: dict[str, Any] = {"kernel": tuple(kernel), "stride": stride, "pad": pads}
    given |= {"dilation": dilation, "bias": bias is not None}
    names = {"weight": weight.name} | ({"bias": bias.name} if bias else {})
    if standard:
        given |= {"out": out, "groups": groups} | standard[2]
        return call.gives(call.layer("std_conv", [x], weights=names | standard[1], **given))
    if groups > 1 and inner == 1 and x.shape[1] == groups:
        given["multiplier"] = out // groups
        return call.gives(call.layer("dwconv", [x], weights=names, **given))
    given |= {"out": out, "groups": groups}
    return call.gives(call.layer("conv", [x], weights=names, **given))


def _standardised(weight: Any) -> tuple[Constant, dict[str, str], dict[str, Any]] | None:
    """Filters brought to mean 0 and variance 1 by a batch norm, as `timm` does it."""
    while isinstance(weight, Constant) and "running_mean" not in weight.given:
        weight = weight.given.get("self")
    if not isinstance(weight, Constant) or not weight.given.get("training"):
        return None
    given = weight.given
    source, gain = given["input"], given["weight"]
    plain = isinstance(source, Constant) and source.name and given["running_mean"] is None
    if not plain or given["bias"] is not None or source.shape[0] != 1 or len(source.shape) != 3:
        return None
    arguments = {"eps": given["eps"], "gamma": None}
    if gain is None:
        return source, {}, arguments
    while isinstance(gain, Constant) and not gain.name and "other" not in gain.given:
        gain = gain.given.get("self")
    scaled = isinstance(gain, Constant) and not gain.name and gain.made == "mul"
    first, factor = (gain.given["self"], gain.given["other"]) if scaled else (gain, 1.0)
    if not isinstance(first, Constant) or not first.name or not isinstance(factor, int | float):
        return None
    arguments["gamma"] = _gamma(float(factor), source.shape[2])
    return source, {"gain": first.name}, arguments


def _blurred(call: Call, x: Seen) -> Seen | None:
    """A fixed binomial filter of each channel, which is means of 2×2 one after another."""
    weight, stride = call["weight"], call.sizes("stride", len(x.shape) - 2)
    numbers = weight.value if isinstance(weight, Constant) else None
    if numbers is None or call["bias"] is not None or weight.shape[0] != call["groups"]:
        return None
    rank, side = numbers.dim() - 2, numbers.shape[-1]
    whole = numbers.new_ones(1).double()
    for axis in range(rank):
        line = [math.comb(side - 1, n) / 2 ** (side - 1) for n in range(side)]
        along = [-1 if n == axis else 1 for n in range(rank)]
        whole = whole * whole.new_tensor(line).reshape(along)
    alike = tuple(numbers.shape[1:]) == (1, *[side] * rank) and side > 1
    plain = alike and all(n == 0 for n in call.sizes("padding", rank))
    plain = plain and all(n == 1 for n in call.sizes("dilation", rank))
    if not plain or not bool(((numbers.double() - whole).abs() < SMALL).all()):
        return None
    call.reader.rounds = True
    none = ((0, 0),) * rank
    for number in range(side - 1):
        last = number == side - 2
        step = stride if last else (1,) * rank
        shape = (x.ours[0], *((n - 2) // s + 1 for n, s in zip(x.ours[1:], step, strict=True)))
        given = {"kernel": (2,) * rank, "stride": step, "pad": none, "ceil": False}
        x = call.reader.seen(call.layer("avgpool", [x], [shape], **given))
    return x


SMALL = 1e-8
"""How far float32 may be from a filter's numbers."""


def _gamma(factor: float, count: int) -> float:
    """The shortest γ with γ / √N the factor."""
    whole = factor * math.sqrt(count)
    tries = (float(f"{whole:.{digits}g}") for digits in range(1, 18))
    return next((g for g in tries if g * count**-0.5 == factor), whole)


@rule("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def _deconv(call: Call) -> Seen:
    x = call.tensor("input", plain=True)
    weight, bias = call.weight("weight"), call.weight("bias")
    assert weight is not None
    _, inner, *kernel = weight.shape
    rank, groups = len(kernel), call["groups"]

    def pads(name: str) -> object:
        return tuple((p, p) for p in call.sizes(name, rank))

    names = {"weight": weight.name} | ({"bias": bias.name} if bias else {})
    made = call.layer(
        "deconv",
        [x],
        weights=names,
        out=inner * groups,
        kernel=tuple(kernel),
        stride=call.sizes("stride", rank),
        pad=pads("padding"),
        output_pad=pads("output_padding"),
        dilation=call.sizes("dilation", rank),
        groups=groups,
        bias=bias is not None,
    )
    return call.gives(made)


@rule("linear")
def _linear(call: Call) -> Seen:
    x = call.tensor("input")
    if x.axis(-1) is None:
        raise call.refuse("over the batch")
    if isinstance(call["bias"], Constant) and not call["bias"].name:
        # A bias that is computed is added: a layer's own is a parameter.
        made = _linear(replace(call, given={**call.given, "bias": None}))
        return _after(
            replace(call, given={**call.given, "weight": None}), made, len(x.shape) - 1
        )
    weight, bias = call.weight("weight"), call.weight("bias")
    assert weight is not None
    names = {"weight": weight.name} | ({"bias": bias.name} if bias else {})
    shape = (*x.ours[:-1], weight.shape[0])
    made = call.layer("linear", [x], [shape], names, out=weight.shape[0], bias=bias is not None)
    return call.like(made, x)


@rule("batch_norm")
def _batch_norm(call: Call) -> Seen:
    x = call.tensor("input", plain=True)
    mean, variance = call.weight("running_mean"), call.weight("running_var")
    if call["training"] or mean is None or variance is None:
        raise call.refuse("with the statistics of the batch")
    vectors = {"running_mean": mean.name, "running_var": variance.name}
    both = [call[name] for name in ("weight", "bias")]
    if all(isinstance(one, Constant) and one.name and one.buffer for one in both):
        vectors |= {"weight": both[0].name, "bias": both[1].name}
        return call.gives(call.layer("frozen_bn", [x], weights=vectors, eps=call["eps"]))
    names, affine = _affine(call)
    names |= vectors
    given = {"eps": call["eps"], "momentum": call["momentum"], "affine": affine}
    made = call.gives(call.layer("bn", [x], weights=names, **given))
    return made if affine else _after(call, made, 1)


def _affine(call: Call) -> tuple[dict[str, str], bool]:
    """The names of a norm's weight and bias, where it has both as they are stored."""
    both = [call[name] for name in ("weight", "bias")]
    plain = all(isinstance(one, Constant) and one.name and not one.buffer for one in both)
    return ({"weight": both[0].name, "bias": both[1].name}, True) if plain else ({}, False)


def _after(call: Call, x: Seen, axis: int) -> Seen:
    """A norm's weight or bias where it has only one, or computes it, from an axis on."""
    for name, word in (("weight", "mul"), ("bias", "add")):
        other = call[name]
        if other is None:
            continue
        if isinstance(other, Constant):
            tail = len(x.shape) - axis - len(other.shape)
            other = replace(other, shape=(*other.shape, *[1] * tail))
        given = {"self": x, "other": other}
        x = RULES[word](replace(call, word=word, given=given))
    return x


@rule("layer_norm")
def _layer_norm(call: Call) -> Seen:
    x = call.tensor("input")
    count = len(call["normalized_shape"])
    first = len(x.shape) - count
    if any(x.axis(axis) is None for axis in range(first, len(x.shape))):
        raise call.refuse("over the batch")
    if count > 1:
        if x.batch or x.merged or first != 1:
            raise call.refuse("over several axes, and not all")
        made = call.layer("gn", [x], groups=1, eps=call["eps"], affine=False)
        return _after(call, call.gives(made), 1)
    names, affine = _affine(call)
    given: dict[str, Any] = {"eps": call["eps"]} | ({} if affine else {"affine": False})
    if len(x.ours) > 1:
        given["axis"] = len(x.ours) - 1
    normed = call.like(call.layer("ln", [x], [x.ours], names, **given), x)
    return normed if affine else _after(call, normed, first)


@rule("group_norm")
def _group_norm(call: Call) -> Seen:
    x = call.tensor("input", plain=True)
    names, affine = _affine(call)
    given: dict[str, Any] = {"groups": call["num_groups"], "eps": call["eps"]}
    given |= {} if affine else {"affine": False}
    made = call.gives(call.layer("gn", [x], weights=names, **given))
    return made if affine else _after(call, made, 1)


@rule("instance_norm")
def _instance_norm(call: Call) -> Seen:
    x = call.tensor("input", plain=True)
    if not call["use_input_stats"]:
        raise call.refuse("with statistics that are stored")
    names, affine = _affine(call)
    given: dict[str, Any] = {"eps": call["eps"], "affine": affine}
    made = call.gives(call.layer("instance_norm", [x], weights=names, **given))
    return made if affine else _after(call, made, 1)


@rule("rms_norm")
def _rms_norm(call: Call) -> Seen:
    x = call.tensor("input")
    axis = x.axis(-1)
    if len(call["normalized_shape"]) != 1 or axis is None:
        raise call.refuse("over several axes, or the batch")
    eps = call["eps"] if call["eps"] is not None else EPSILON
    call.reader.rounds |= call["eps"] is None
    one = (*x.ours[:axis], 1)
    squares = call.like(call.layer("pow", [x], [x.ours], exponent=2.0), x)
    mean: Value = call.layer("mean", [squares], [one], axis=axis, keep=True)
    for word, given in (("add", {"by": eps}), ("pow", {"exponent": -0.5})):
        mean = call.layer(word, [call.reader.seen(mean)], [one], **given)
    normed = call.layer("mul", [x, call.reader.seen(mean)], [x.ours])
    return _after(call, call.like(normed, x), len(x.shape) - 1)


EPSILON = 2.0**-23
"""What PyTorch adds in float32 where a norm says nothing."""
