"""Layers of PyTorch with weights: convolutions, linear layers, norms."""

from __future__ import annotations

from typing import Any

from cnndsl.importing.aten.table import rule
from cnndsl.importing.calls import Call, Seen

# Layers with weights


@rule("conv1d", "conv2d", "conv3d")
def _conv(call: Call) -> Seen:
    x = call.tensor("input", plain=True)
    weight, bias = call.weight("weight"), call.weight("bias")
    assert weight is not None
    out, inner, *kernel = weight.shape
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
    if groups > 1 and inner == 1 and x.shape[1] == groups:
        given["multiplier"] = out // groups
        return call.gives(call.layer("dwconv", [x], weights=names, **given))
    given |= {"out": out, "groups": groups}
    return call.gives(call.layer("conv", [x], weights=names, **given))


@rule("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def _deconv(call: Call) -> Seen:
    x = call.tensor("input", plain=True)
    weight, bias = call.weight("weight"), call.weight("bias")
    assert weight is not None
    _, inner, *kernel = weight.shape
    rank, groups = len(kernel), call["groups"]

    def pads(name: str) -> object:
        return tuple((p, p) for p in call.sizes(name, rank))

    after = tuple((0, p) for p in call.sizes("output_padding", rank))
    names = {"weight": weight.name} | ({"bias": bias.name} if bias else {})
    made = call.layer(
        "deconv",
        [x],
        weights=names,
        out=inner * groups,
        kernel=tuple(kernel),
        stride=call.sizes("stride", rank),
        pad=pads("padding"),
        output_pad=after if any(p for _, p in after) else ((0, 0),) * rank,
        dilation=call.sizes("dilation", rank),
        groups=groups,
        bias=bias is not None,
    )
    return call.gives(made)


@rule("linear")
def _linear(call: Call) -> Seen:
    x = call.tensor("input")
    weight, bias = call.weight("weight"), call.weight("bias")
    assert weight is not None
    if x.axis(-1) is None:
        raise call.refuse("over the batch")
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
    weight, bias = call.weight("weight"), call.weight("bias")
    if (weight is None) != (bias is None):
        raise call.refuse("with a weight or a bias alone")
    names = {"running_mean": mean.name, "running_var": variance.name}
    if weight and bias:
        names |= {"weight": weight.name, "bias": bias.name}
    given: dict[str, Any] = {
        "eps": call["eps"],
        "momentum": call["momentum"],
        "affine": weight is not None,
    }
    return call.gives(call.layer("bn", [x], weights=names, **given))


@rule("layer_norm")
def _layer_norm(call: Call) -> Seen:
    x = call.tensor("input")
    if len(call["normalized_shape"]) != 1:
        raise call.refuse("over several axes")
    last = x.axis(-1)
    if last is None:
        raise call.refuse("over the batch")
    weight, bias = call.weight("weight"), call.weight("bias")
    if weight is None or bias is None:
        raise call.refuse("without a weight and a bias")
    names = {"weight": weight.name, "bias": bias.name}
    shape = x.ours
    if len(shape) == 1:
        made = call.layer("ln", [x], [shape], names, eps=call["eps"])
        return call.like(made, x)
    made = call.layer("ln", [x], [shape], names, eps=call["eps"], axis=len(shape) - 1)
    return call.like(made, x)


@rule("group_norm")
def _group_norm(call: Call) -> Seen:
    x = call.tensor("input", plain=True)
    weight, bias = call.weight("weight"), call.weight("bias")
    if weight is None or bias is None:
        raise call.refuse("without a weight and a bias")
    names = {"weight": weight.name, "bias": bias.name}
    made = call.layer("gn", [x], weights=names, groups=call["num_groups"], eps=call["eps"])
    return call.gives(made)
