"""PyTorch's operations as ours: a rule each, from a recorded call to layers.

A rule returns what the call gives as a `Seen`, or a list of them, and refuses what the file
could not say exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from cnndsl.importing.calls import Call, Constant, Seen
from cnndsl.importing.flow import Value
from cnndsl.ops.base import OPS, Shape

Rule = Callable[[Call], Any]
RULES: dict[str, Rule] = {}
"""The rule of each operation, by its name without `aten.`."""

VIEWS = frozenset(
    (
        *("view", "reshape", "slice", "select", "split", "split_with_sizes", "chunk", "unbind"),
        *("permute", "transpose", "t", "unsqueeze", "squeeze", "expand", "expand_as", "narrow"),
        *("view_as", "reshape_as", "flatten", "unflatten", "alias", "detach", "contiguous"),
    )
)
"""What may give a view of its input's memory."""

SAME = frozenset(
    (
        *("alias", "contiguous", "clone", "detach", "lift_fresh_copy", "to", "_to_copy"),
        *("_assert_tensor_metadata", "type_as"),
    )
)

AXES = "abcdefghijklmnop"


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Register the rule of these operations."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        return function

    return register


def nothing(call: Call) -> bool:
    """Whether a call returns its input as it is."""
    if call.word in SAME:
        dtype = call["dtype"]
        return dtype is None or str(dtype) in ("torch.float32", "torch.float")
    if call.word in ("dropout", "feature_dropout", "alpha_dropout"):
        return not call["p"]
    return False


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


# Functions of each element


UNARY = {
    "relu": "relu",
    "relu6": "relu6",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "silu": "silu",
    "hardswish": "hardswish",
    "hardsigmoid": "hardsigmoid",
    "mish": "mish",
    "selu": "selu",
    "exp": "exp",
    "log": "log",
    "sqrt": "sqrt",
    "abs": "abs",
    "neg": "neg",
}


def _unary(call: Call, word: str, **given: Any) -> Seen:
    first = next(value for value in call.given.values() if isinstance(value, Seen))
    if word not in OPS:
        raise call.refuse("has no word in the language")
    return call.like(call.layer(word, [first], [first.ours], **given), first)


for _name, _known in UNARY.items():
    RULES[_name] = lambda call, word=_known: _unary(call, word)  # type: ignore[misc]


@rule("leaky_relu")
def _leaky(call: Call) -> Seen:
    return _unary(call, "leaky", slope=float(call["negative_slope"]))


@rule("elu")
def _elu(call: Call) -> Seen:
    if call["scale"] != 1 or call["input_scale"] != 1:
        raise call.refuse("with a scale")
    return _unary(call, "elu", alpha=float(call["alpha"]))


@rule("gelu")
def _gelu(call: Call) -> Seen:
    return _unary(call, "gelu", approximate=call["approximate"] or "none")


@rule("softplus")
def _softplus(call: Call) -> Seen:
    given = {name: float(call[name]) for name in ("beta", "threshold")}
    return _unary(call, "softplus", **given)


@rule("celu")
def _celu(call: Call) -> Seen:
    return _unary(call, "celu", alpha=float(call["alpha"]))


@rule("rsqrt", "reciprocal")
def _inverse(call: Call) -> Seen:
    return _unary(call, "pow", exponent=-0.5 if call.word == "rsqrt" else -1.0)


@rule("pow")
def _pow(call: Call) -> Seen:
    exponent = call["exponent"]
    if not isinstance(exponent, int | float):
        raise call.refuse("to a power that is a tensor")
    return _unary(call, "pow", exponent=float(exponent))


@rule("square")
def _square(call: Call) -> Seen:
    return _unary(call, "pow", exponent=2.0)


@rule("prelu", "_prelu_kernel")
def _prelu(call: Call) -> Seen:
    x = call.tensor("self", plain=True)
    weight = call.weight("weight")
    assert weight is not None
    per = "tensor" if math.prod(weight.shape) == 1 else "channel"
    return call.gives(call.layer("prelu", [x], weights={"weight": weight.name}, per=per))


@rule("hardtanh")
def _hardtanh(call: Call) -> Seen:
    if (call["min_val"], call["max_val"]) == (0, 6):
        return _unary(call, "relu6")
    return _clamped(call, call["min_val"], call["max_val"])


@rule("clamp", "clamp_min", "clamp_max")
def _clamp(call: Call) -> Seen:
    return _clamped(call, call["min"], call["max"])


def _clamped(call: Call, low: float | None, high: float | None) -> Seen:
    if (low, high) == (0, None):
        return _unary(call, "relu")
    if (low, high) == (0, 6):
        return _unary(call, "relu6")
    if not all(bound is None or isinstance(bound, int | float) for bound in (low, high)):
        raise call.refuse("between tensors")
    bounds = {"min": low, "max": high}
    given = {name: float(bound) for name, bound in bounds.items() if bound is not None}
    return _unary(call, "clamp", **given)


@rule("dropout", "feature_dropout")
def _dropout(call: Call) -> Seen:
    return _unary(call, "dropout", p=float(call["p"]))


@rule("softmax", "_softmax", "log_softmax", "_log_softmax")
def _softmax(call: Call) -> Seen:
    x = call.tensor("self")
    axis = x.axis(call["dim"])
    if axis is None:
        raise call.refuse("over the batch")
    return _unary(call, call.word.strip("_"), axis=axis)


# Arithmetic


def _aligned(call: Call, first: Seen, second: Seen) -> tuple[Seen, Seen]:
    """Two tensors with the batch at one place."""
    if (first.batch, first.merged) == (second.batch, second.merged):
        return first, second
    raise call.refuse("of tensors whose batches lie at different places")


@rule("add", "mul", "sub", "div", "maximum", "minimum")
def _arithmetic(call: Call) -> Seen:
    first, second = call["self"], call["other"]
    if call["alpha"] not in (None, 1):
        raise call.refuse(f"with alpha={call['alpha']}")
    if call["rounding_mode"] is not None:
        raise call.refuse("with rounding")
    if isinstance(first, Seen) and isinstance(second, Seen):
        return _both(call, first, second)
    flowing = first if isinstance(first, Seen) else second
    other = second if isinstance(first, Seen) else first
    if isinstance(other, int | float) and not isinstance(other, bool):
        return _scalar(call, flowing, float(other), left=flowing is second)
    if isinstance(other, Constant):
        return _learned(call, flowing, other)
    raise call.refuse(f"with {other!r}")


def _scalar(call: Call, x: Seen, number: float, *, left: bool) -> Seen:
    """`x + 2`, `2 - x`: a constant on the right, or on the left."""
    if call.word in ("maximum", "minimum"):
        raise call.refuse(f"with the constant {number:g}")
    if not left and number == (0 if call.word in ("add", "sub") else 1):
        return x
    if not left or call.word in ("add", "mul"):
        return _unary(call, call.word, by=number)
    turned = _unary(call, "neg") if call.word == "sub" else _unary(call, "pow", exponent=-1.0)
    word = "add" if call.word == "sub" else "mul"
    if number == (0 if word == "add" else 1):
        return turned
    return call.like(call.layer(word, [turned], [x.ours], by=number), x)


def _learned(call: Call, x: Seen, weight: Constant) -> Seen:
    if not weight.name:
        what = f"what `{weight.made}` gives"
        raise call.refuse(f"with {what}, a tensor that does not come from the input")
    place = [n - len(weight.shape) for n, size in enumerate(weight.shape) if size != 1]
    if call.word != "mul" or len(place) > 1:
        if call.word == "div" and isinstance(call["self"], Constant):
            raise call.refuse(f"of `{weight.name}`, which is a parameter")
        return _with_tensor(call, x, weight)
    if math.prod(weight.shape) == 1:
        made = call.layer("scale", [x], [x.ours], {"weight": weight.name}, per="tensor")
        return call.like(made, x)
    axis = x.axis(place[0]) if len(place) == 1 else None
    if axis is None:
        raise call.refuse(f"with `{weight.name}`, which has several axes")
    if axis == 0:
        made = call.layer("scale", [x], [x.ours], {"weight": weight.name})
        return call.like(made, x)
    shape, rank = x.ours, len(x.ours)
    order = (axis, *(i for i in range(rank) if i != axis))
    first = call.reader.seen(_permuted(call, x, order))
    moved = tuple(shape[i] for i in order)
    scaled = call.layer("scale", [first], [moved], {"weight": weight.name})
    inverse = tuple(order.index(i) for i in range(rank))
    return call.like(_permuted(call, call.reader.seen(scaled), inverse), x)


def _with_tensor(call: Call, x: Seen, weight: Constant) -> Seen:
    """A sum, difference or quotient with a learned tensor, or a product of several axes."""
    if x.merged:
        raise call.refuse(f"with `{weight.name}` of a tensor whose batch is merged")
    tensor = _tensor(call, weight, x, len(x.shape))
    if call.word == "sub" and isinstance(call["self"], Constant):
        return _both(call, tensor, x)
    return _both(call, x, tensor)


def _tensor(call: Call, weight: Constant, beside: Seen, rank: int) -> Seen:
    """A parameter as a tensor that flows, the same for each sample; of so many axes."""
    shape = (*[1] * (rank - len(weight.shape)), *weight.shape)
    batch = beside.batch
    if not weight.name or len(shape) != rank or shape[batch] != 1:
        raise call.refuse(f"with `{weight.name or weight.made}`, not one for all samples")
    sizes = (*shape[:batch], *shape[batch + 1 :])
    names = {"weight": weight.name}
    made = call.layer("learned", [beside], [sizes], names, sizes=sizes)
    whole = (*sizes[:batch], call.reader.batch, *sizes[batch:])
    return call.reader.seen(made, whole, batch)


@rule("addcmul")
def _addcmul(call: Call) -> Seen:
    bias, weight = call["self"], call["tensor1"]
    x = call["tensor2"]
    if isinstance(x, Constant):
        x, weight = weight, x
    fits = isinstance(x, Seen) and isinstance(bias, Constant) and isinstance(weight, Constant)
    if not fits or call["value"] != 1 or not (bias.name and weight.name):
        raise call.refuse("of other than a tensor and two parameters")
    place = [n - len(bias.shape) for n, size in enumerate(bias.shape) if size != 1]
    axis = x.axis(place[0]) if len(place) == 1 and bias.shape == weight.shape else None
    if axis is None:
        raise call.refuse(f"with `{bias.name}`, which has several axes")
    order = (axis, *(i for i in range(len(x.ours)) if i != axis))
    first = call.reader.seen(_permuted(call, x, order))
    names = {"weight": weight.name, "bias": bias.name}
    made = call.reader.seen(call.layer("affine", [first], [first.ours], names))
    inverse = tuple(order.index(i) for i in range(len(order)))
    return call.like(_permuted(call, made, inverse), x)


def _both(call: Call, first: Seen, second: Seen) -> Seen:
    first, second = _aligned(call, first, second)
    a, b = first.ours, second.ours
    if len(a) != len(b):
        raise call.refuse("of tensors of different ranks")
    shape = tuple(max(n, m) for n, m in zip(a, b, strict=True))
    if call.word == "add" and a != b:
        # `add` broadcasts nothing: x + y is x − (−y).
        if a != shape:
            first, second = second, first
        turned = call.reader.seen(call.layer("neg", [second], [second.ours]))
        return call.like(call.layer("sub", [first, turned], [shape]), first)
    return call.like(call.layer(call.word, [first, second], [shape]), first)


@rule("matmul", "bmm")
def _matmul(call: Call) -> Seen:
    names = ("self", "mat2") if call.word == "bmm" else ("self", "other")
    first, second = _aligned(call, *(call.tensor(name) for name in names))
    a, b = first.ours, second.ours
    if len(a) != len(b) or a[:-2] != b[:-2] or len(a) < 2:
        raise call.refuse(f"of {list(a)} and {list(b)}")
    if first.batch >= len(first.shape) - 2:
        raise call.refuse("over the batch")
    outer = " ".join(AXES[: len(a) - 2])
    left, right, out = (f"{outer} {axes}".strip() for axes in ("m k", "k n", "m n"))
    outer_names = {"m", "k", "n"} & set(AXES[: len(a) - 2])
    assert not outer_names
    shape = (*a[:-1], b[-1])
    made = call.layer("einsum", [first, second], [shape], pattern=f"{left}, {right} -> {out}")
    return call.like(made, first)


@rule("scaled_dot_product_attention")
def _attention(call: Call) -> Seen:
    query, key, value = (call.tensor(name) for name in ("query", "key", "value"))
    if call["attn_mask"] is not None or call["is_causal"] or call["enable_gqa"]:
        raise call.refuse("with a mask")
    if call["dropout_p"]:
        raise call.refuse("with dropout")
    query, key = _aligned(call, query, key)
    query, value = _aligned(call, query, value)
    if query.batch >= len(query.shape) - 2:
        raise call.refuse("over the batch")
    q, k, v = (one.ours for one in (query, key, value))
    if not q[:-2] == k[:-2] == v[:-2]:
        raise call.refuse("of tensors of different shapes")
    outer = " ".join(AXES[: len(q) - 2])
    scale = call["scale"] if call["scale"] is not None else 1 / math.sqrt(q[-1])
    weights = (*q[:-1], k[-2])
    pattern = f"{outer} m k, {outer} n k -> {outer} m n"
    scores = call.layer("einsum", [query, key], [weights], pattern=pattern)
    scaled = call.layer("mul", [call.reader.seen(scores)], [weights], by=scale)
    soft = call.layer("softmax", [Seen(scaled, ())], [weights], axis=len(q) - 1)
    pattern = f"{outer} m n, {outer} n k -> {outer} m k"
    mixed, shape = call.reader.seen(soft), (*q[:-1], v[-1])
    return call.like(call.layer("einsum", [mixed, value], [shape], pattern=pattern), query)


# Pools and sizes


@rule("max_pool1d", "max_pool2d", "max_pool3d")
def _maxpool(call: Call) -> Seen:
    x = call.tensor("self", plain=True)
    rank = len(x.shape) - 2
    kernel = call.sizes("kernel_size", rank)
    made = call.layer(
        "maxpool",
        [x],
        kernel=kernel,
        stride=call.sizes("stride", rank) if call["stride"] else kernel,
        pad=tuple((p, p) for p in call.sizes("padding", rank)),
        dilation=call.sizes("dilation", rank),
        ceil=bool(call["ceil_mode"]),
    )
    return call.gives(made)


@rule("avg_pool1d", "avg_pool2d", "avg_pool3d")
def _avgpool(call: Call) -> Seen:
    x = call.tensor("self", plain=True)
    rank = len(x.shape) - 2
    if call["divisor_override"]:
        raise call.refuse("with a divisor of its own")
    kernel, pads = call.sizes("kernel_size", rank), call.sizes("padding", rank)
    given: dict[str, Any] = {"kernel": kernel, "pad": tuple((p, p) for p in pads)}
    given["stride"] = call.sizes("stride", rank) if call["stride"] else kernel
    given["ceil"] = bool(call["ceil_mode"])
    if any(pads) or call["ceil_mode"]:
        given["count_include_pad"] = bool(call["count_include_pad"])
    return call.gives(call.layer("avgpool", [x], **given))


@rule("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d")
@rule("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d")
def _adaptive(call: Call) -> Any:
    x = call.tensor("self", plain=True)
    wanted, largest = call.shapes[0][2:], "max" in call.word
    shape = [call.shapes[0][1:]]
    if all(n == 1 for n in wanted):
        made = call.layer("gmp" if largest else "gap", [x], shape, keep=True)
    else:
        word = "adaptive_maxpool" if largest else "adaptive_avgpool"
        made = call.layer(word, [x], shape, size=wanted)
    pooled = call.gives(made)
    # A max pool's second output are places, which nothing here reads.
    return [pooled, pooled] if largest else pooled


@rule("mean", "sum", "amax", "amin")
def _reduced(call: Call) -> Seen:
    x = call.tensor("self")
    given = call["dim"]
    dims = [given] if isinstance(given, int) else list(given or range(len(x.shape)))
    axes = sorted(d % len(x.shape) for d in dims)
    word = {"amax": "max", "amin": "min"}.get(call.word, call.word)
    return _over(call, x, axes, word, keep=bool(call["keepdim"]))


def _over(call: Call, x: Seen, dims: list[int], word: str, *, keep: bool, **given: Any) -> Seen:
    """A reduction over axes."""
    plain = not (x.batch or x.merged)
    if plain and len(x.shape) > 2 and dims == list(range(2, len(x.shape))):
        pool = {"mean": "gap", "max": "gmp"}.get(word)
        if pool is not None:
            kept: dict[str, Any] = {"keep": True} if keep else {}
            return call.gives(call.layer(pool, [x], **kept))
    axes = [x.axis(dim) for dim in dims]
    if None in axes or (x.merged and x.batch in dims):
        raise call.refuse("over the batch")
    if keep:
        given["keep"] = True
    over: Any = axes[0] if len(axes) == 1 else tuple(axes)
    batch = x.batch if keep else x.batch - sum(dim < x.batch for dim in dims)
    shape = tuple(
        1 if n in axes else size for n, size in enumerate(x.ours) if keep or n not in axes
    )
    made = call.layer(word, [x], [shape], axis=over, **given)
    return call.gives(made, batch, merged=x.merged)


@rule("max", "min")
def _largest(call: Call) -> Any:
    if call["dim"] is None:
        raise call.refuse("over everything") if call["other"] is None else call.refuse("")
    x = call.tensor("self")
    found = _over(call, x, [call["dim"] % len(x.shape)], call.word, keep=bool(call["keepdim"]))
    return [found, found]


@rule("linalg_vector_norm", "norm")
def _norm(call: Call) -> Seen:
    x = call.tensor("self")
    order = call["ord"] if call.word == "linalg_vector_norm" else call["p"]
    if order not in (1, 2, None) or call["dim"] is None:
        raise call.refuse(f"of order {order}")
    given = call["dim"] if isinstance(call["dim"], list | tuple) else [call["dim"]]
    axes = sorted(d % len(x.shape) for d in given)
    power = {} if order in (2, None) else {"p": int(order)}
    return _over(call, x, axes, "vector_norm", keep=bool(call["keepdim"]), **power)


@rule("upsample_nearest2d", "upsample_bilinear2d", "upsample_nearest1d", "upsample_nearest3d")
def _resize(call: Call) -> Seen:
    x = call.tensor("input" if "input" in call.given else "self", plain=True)
    before, after = x.shape[2:], call.shapes[0][2:]
    mode = "bilinear" if "bilinear" in call.word else "nearest"
    given: dict[str, Any] = {"mode": mode}
    if mode == "bilinear":
        given["align_corners"] = bool(call["align_corners"])
    factors = call["scale_factors"]
    if factors and any(f * n != m for f, n, m in zip(factors, before, after, strict=True)):
        raise call.refuse(f"by {factors}, which {list(before)} do not divide")
    if before == after:
        return x
    if factors and all(f == int(f) for f in factors):
        return call.gives(call.layer("upsample", [x], factor=tuple(map(int, factors)), **given))
    return call.gives(call.layer("resize", [x], size=after, **given))


@rule("pad", "constant_pad_nd")
def _pad(call: Call) -> Seen:
    x = call.tensor("self", plain=True)
    if call["mode"] not in (None, "constant"):
        raise call.refuse(f"of mode {call['mode']}")
    sides, value = list(call["pad"]), float(call["value"] or 0)
    rank = len(x.shape) - 2
    if not any(sides):
        return x
    if len(sides) > 2 * rank:
        raise call.refuse("of the batch or the channels")
    sides += [0] * (2 * rank - len(sides))
    pads = tuple((sides[i], sides[i + 1]) for i in reversed(range(0, 2 * rank, 2)))
    if any(side < 0 for pair in pads for side in pair):
        x, pads = _cropped(call, x, pads)
        if not any(map(any, pads)):
            return x
    if value == -math.inf:
        return call.gives(call.layer("infpad", [x], sides=pads))
    if value:
        raise call.refuse(f"with {value:g}")
    return call.gives(call.layer("zeropad", [x], sides=pads))


def _cropped(
    call: Call, x: Seen, pads: tuple[tuple[int, int], ...]
) -> tuple[Seen, tuple[tuple[int, int], ...]]:
    """What negative sides leave of a tensor, and the sides that are not."""
    offset = tuple(max(0, -before) for before, _ in pads)
    less = tuple(max(0, -a) + max(0, -b) for a, b in pads)
    size = tuple(n - m for n, m in zip(x.ours[1:], less, strict=True))
    made = call.layer("crop", [x], [(x.ours[0], *size)], size=size, offset=offset)
    return call.reader.seen(made), tuple((max(0, a), max(0, b)) for a, b in pads)


# Parts and joins


def _along(axis: int) -> dict[str, Any]:
    return {"axis": axis} if axis else {}


def _sameish(part: object) -> bool:
    """Whether a tensor in a list is a parameter."""
    return isinstance(part, Constant) and bool(part.name)


@rule("cat", "concat")
def _cat(call: Call) -> Seen:
    given = call["tensors"]
    beside = next(part for part in given if isinstance(part, Seen))
    parts = [
        _tensor(call, part, beside, len(beside.shape)) if _sameish(part) else call.seen(part)
        for part in given
    ]
    for part in parts[1:]:
        _aligned(call, parts[0], part)
    axis = parts[0].axis(call["dim"] or 0)
    if axis is None or (parts[0].merged and axis == parts[0].batch):
        raise call.refuse("along the batch")
    shapes = [part.ours for part in parts]
    total = sum(shape[axis] for shape in shapes)
    shape = (*shapes[0][:axis], total, *shapes[0][axis + 1 :])
    made = call.layer("concat", parts, [shape], **_along(axis))
    return call.like(made, parts[0])


@rule("stack")
def _stack(call: Call) -> Seen:
    parts = [call.seen(part) for part in call["tensors"]]
    for part in parts[1:]:
        _aligned(call, parts[0], part)
    first, rank = parts[0], len(parts[0].shape)
    place = call["dim"] % (rank + 1)
    if first.merged or place <= first.batch:
        raise call.refuse("before the batch")
    axis = place - 1
    shape = first.ours
    one = (*shape[:axis], 1, *shape[axis:])
    grown = [call.reader.seen(call.layer("reshape", [p], [one], sizes=one)) for p in parts]
    whole = (*shape[:axis], len(parts), *shape[axis:])
    made = call.layer("concat", grown, [whole], **_along(axis))
    return call.like(made, first)


def _parts(call: Call, x: Seen, axis: int, sizes: list[int]) -> list[Value]:
    """`split` along our axis."""
    shape = x.ours
    shapes = [(*shape[:axis], n, *shape[axis + 1 :]) for n in sizes]
    if len(sizes) == 1:
        return [x.value]
    equal = len(set(sizes)) == 1
    sections: object = len(sizes) if equal else tuple(sizes)
    given: dict[str, Any] = {"sections": sections} | ({"axis": axis} if axis else {})
    name, _ = call.layer("split", [x], shapes, **given)
    return [(name, number) for number in range(len(sizes))]


@rule("split", "split_with_sizes", "chunk", "unsafe_chunk")
def _split(call: Call) -> list[Seen]:
    x = call.tensor("self")
    dim = (call["dim"] or 0) % len(x.shape)
    axis = x.axis(dim)
    if axis is None or (x.merged and dim == x.batch):
        raise call.refuse("of the batch")
    sizes = [shape[dim] for shape in call.shapes]
    values = _parts(call, x, axis, sizes)
    return [
        call.reader.seen(value, shape, x.batch, merged=x.merged)
        for value, shape in zip(values, call.shapes, strict=True)
    ]


@rule("unbind")
def _unbind(call: Call) -> list[Seen]:
    x = call.tensor("self")
    dim = (call["dim"] or 0) % len(x.shape)
    axis = x.axis(dim)
    if axis is None or (x.merged and dim == x.batch):
        raise call.refuse("of the batch")
    values = _parts(call, x, axis, [1] * x.shape[dim])
    pairs = zip(values, call.shapes, strict=True)
    return [_squeezed(call, value, x, dim, shape) for value, shape in pairs]


def _squeezed(call: Call, value: Value, x: Seen, dim: int, shape: Shape) -> Seen:
    axis = x.axis(dim)
    assert axis is not None
    ours = (*x.ours[:axis], *x.ours[axis + 1 :])
    made = call.layer("reshape", [call.reader.seen(value)], [ours], sizes=ours)
    return call.reader.seen(made, shape, x.batch - (dim < x.batch), merged=x.merged)


@rule("select")
def _select(call: Call) -> Seen:
    x = call.tensor("self")
    dim = call["dim"] % len(x.shape)
    axis = x.axis(dim)
    if axis is None or (x.merged and dim == x.batch):
        raise call.refuse("of the batch")
    size = x.shape[dim]
    index = call["index"] % size
    sizes = [n for n in (index, 1, size - index - 1) if n]
    value = _parts(call, x, axis, sizes)[1 if index else 0]
    return _squeezed(call, value, x, dim, call.shapes[0])


@rule("slice")
def _slice(call: Call) -> Seen:
    x = call.tensor("self")
    dim = call["dim"] % len(x.shape)
    size = x.shape[dim]
    start, end, step = call["start"] or 0, call["end"], call["step"] or 1
    start = max(0, start + size if start < 0 else start)
    end = size if end is None else min(size, end + size if end < 0 else end)
    if (start, end, step) == (0, size, 1):
        return x
    axis = x.axis(dim)
    if axis is None or (x.merged and dim == x.batch):
        raise call.refuse("of the batch")
    if step != 1:
        return _strided(call, x, axis, size, start, end, step)
    sizes = [n for n in (start, end - start, size - end) if n]
    value = _parts(call, x, axis, sizes)[1 if start else 0]
    return call.like(value, x)


def _strided(
    call: Call, x: Seen, axis: int, size: int, start: int, end: int, step: int
) -> Seen:
    """`x[start::step]`: the axis is cut in pieces of `step`, of which one place is taken."""
    if size % step or start >= step or end != size:
        raise call.refuse(f"from {start} to {end} by {step} of {size}")
    shape = x.ours
    cut = (*shape[:axis], size // step, step, *shape[axis + 1 :])
    pieces = call.reader.seen(call.layer("reshape", [x], [cut], sizes=cut))
    sizes = [n for n in (start, 1, step - start - 1) if n]
    value = _parts(call, pieces, axis + 1, sizes)[1 if start else 0]
    ours = (*shape[:axis], size // step, *shape[axis + 1 :])
    return call.like(call.layer("reshape", [call.reader.seen(value)], [ours], sizes=ours), x)


# Axes


def _permuted(call: Call, x: Seen, order: Shape) -> Value:
    """`rearrange`: our axes in another order."""
    if order == tuple(range(len(order))):
        return x.value
    names = _axis_names(len(order))
    pattern = f"{' '.join(names)} -> {' '.join(names[i] for i in order)}"
    moved = tuple(x.ours[i] for i in order)
    return call.layer("rearrange", [x], [moved], pattern=pattern)


def _axis_names(rank: int) -> list[str]:
    return {3: list("chw"), 2: list("cl"), 4: list("cdhw")}.get(rank, list(AXES[:rank]))


@rule("permute", "transpose", "t")
def _permute(call: Call) -> Seen:
    x = call.tensor("self")
    rank = len(x.shape)
    order = list(range(rank))
    if call.word == "permute":
        order = [d % rank for d in call["dims"]]
    else:
        i, j = (0, 1) if call.word == "t" else (call["dim0"] % rank, call["dim1"] % rank)
        order[i], order[j] = order[j], order[i]
    batch = order.index(x.batch)
    without = tuple(d - (d > x.batch) for d in order if d != x.batch)
    ours = tuple(order) if x.merged else without
    return call.reader.seen(_permuted(call, x, ours), call.shapes[0], batch, merged=x.merged)


@rule("view", "reshape", "flatten", "unflatten", "unsqueeze", "squeeze")
@rule("view_as", "reshape_as")
def _view(call: Call) -> Seen:
    x = call.tensor("self")
    return _reread(call, x, call.shapes[0])


def _reread(call: Call, x: Seen, shape: Shape) -> Seen:
    """The same elements in order as another shape, whose batch is found again."""
    before, after = math.prod(x.shape[: x.batch]), 1
    samples = call.reader.batch
    if x.merged == 2:
        before *= x.ours[x.batch]
    for place, size in enumerate(shape):
        if x.merged == 2 and after * size == before * samples:
            ours = (*shape[:place], size // samples, *shape[place + 1 :])
            if size > samples:
                return call.reader.seen(_reshaped(call, x, ours), shape, place, merged=2)
        if after == before and size == samples:
            ours = (*shape[:place], *shape[place + 1 :])
            return call.reader.seen(_reshaped(call, x, ours), shape, place)
        if after == before and size % samples == 0:
            ours = (*shape[:place], size // samples, *shape[place + 1 :])
            return call.reader.seen(_reshaped(call, x, ours), shape, place, merged=1)
        if not x.merged and place < x.batch and after * size == before * samples:
            ours = (*shape[:place], size // samples, *shape[place + 1 :])
            return call.reader.seen(_reshaped(call, x, ours), shape, place, merged=2)
        after *= size
    raise call.refuse("mixes the samples of a batch")


def _reshaped(call: Call, x: Seen, ours: Shape) -> Value:
    return x.value if ours == x.ours else call.layer("reshape", [x], [ours], sizes=ours)


@rule("expand", "expand_as")
def _expand(call: Call) -> Seen:
    return call.tensor("self")
    # What a product broadcasts by itself; for another reader the shapes do not agree.


@rule("pixel_shuffle")
def _pixel_shuffle(call: Call) -> Seen:
    x = call.tensor("self", plain=True)
    return _rearranged(call, x, "(c a b) h w -> c (h a) (w b)", call["upscale_factor"])


@rule("pixel_unshuffle")
def _pixel_unshuffle(call: Call) -> Seen:
    x = call.tensor("self", plain=True)
    return _rearranged(call, x, "c (h a) (w b) -> (c a b) h w", call["downscale_factor"])


def _rearranged(call: Call, x: Seen, pattern: str, factor: int) -> Seen:
    axes = (("a", factor), ("b", factor))
    return call.gives(call.layer("rearrange", [x], pattern=pattern, axes=axes))


@rule("channel_shuffle")
def _channel_shuffle(call: Call) -> Seen:
    x = call.tensor("self", plain=True)
    pattern, axes = "(g c) h w -> (c g) h w", (("g", call["groups"]),)
    return call.gives(call.layer("rearrange", [x], pattern=pattern, axes=axes))
