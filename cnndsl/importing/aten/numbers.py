"""Functions of each number, arithmetic and products of PyTorch."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from cnndsl.importing.aten.lifting import flowing, learned, same, uniform
from cnndsl.importing.aten.table import AXES, RULES, permuted, rule
from cnndsl.importing.calls import Call, Constant, Seen
from cnndsl.ops.base import OPS
from cnndsl.ops.facts import Shape

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


@rule("log_sigmoid")
def _log_sigmoid(call: Call) -> Seen:
    """-softplus(-x)."""
    x = call.tensor("self")
    call.reader.rounds = True  # `softplus` is x where single precision has no more digits
    for word in ("neg", "softplus", "neg"):
        x = call.like(call.layer(word, [x], [x.ours]), x)
    return x


@rule("softsign")
def _softsign(call: Call) -> Seen:
    """|x| + 1 below x."""
    x = call.tensor("self")
    below = call.like(call.layer("abs", [x], [x.ours]), x)
    below = call.like(call.layer("add", [below], [x.ours], by=1.0), x)
    return call.like(call.layer("div", [x, below], [x.ours]), x)


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


def aligned(call: Call, first: Seen, second: Seen) -> tuple[Seen, Seen]:
    """Two tensors with the batch at one place."""
    if first.batch < 0 or second.batch < 0:
        return same(call, first, second)
    places = [(one.batch, one.merged, one.rows) for one in (first, second)]
    if places[0] == places[1]:
        return first, second
    for one, other in ((first, second), (second, first)):
        beside = (one.batch, one.merged) == (0, 1) and (other.batch, other.merged) == (0, 0)
        if beside and one.ours[0] == other.rows:
            apart = call.apart(one)
            return (apart, second) if one is first else (first, apart)
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
    if isinstance(other, Constant) and (number := uniform(call, other)) is not None:
        other = number
    if isinstance(other, int | float) and not isinstance(other, bool):
        return _scalar(call, flowing, float(other), left=flowing is second)
    if isinstance(other, Constant):
        return _learned(call, flowing, other)
    raise call.refuse(f"with {other!r}")


@rule("lerp")
def _lerp(call: Call) -> Seen:
    """`weight` of the way from one to the other."""
    start, end = call["self"], call["end"]

    def step(word: str, first: Any, second: Any) -> Seen:
        given = {"self": first, "other": second}
        found: Seen = _arithmetic(replace(call, word=word, given=given))
        return found

    return step("add", start, step("mul", step("sub", end, start), call["weight"]))


@rule("rsub")
def _rsub(call: Call) -> Seen:
    given = {**call.given, "self": call["other"], "other": call["self"]}
    found: Seen = _arithmetic(replace(call, word="sub", given=given))
    return found


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
    if not weight.name or weight.value is not None or x.batch < 0:
        other = flowing(call, weight, x)
        return _both(call, *((other, x) if call["self"] is weight else (x, other)))
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
    first = call.reader.seen(permuted(call, x, order))
    moved = tuple(shape[i] for i in order)
    scaled = call.layer("scale", [first], [moved], {"weight": weight.name})
    inverse = tuple(order.index(i) for i in range(rank))
    return call.like(permuted(call, call.reader.seen(scaled), inverse), x)


def _with_tensor(call: Call, x: Seen, weight: Constant) -> Seen:
    """A sum, difference or quotient with a learned tensor, or a product of several axes."""
    if x.merged:
        raise call.refuse(f"with `{weight.name}` of a tensor whose batch is merged")
    tensor = constant(call, weight, x, len(x.shape))
    if call.word == "sub" and isinstance(call["self"], Constant):
        return _both(call, tensor, x)
    return _both(call, x, tensor)


def constant(call: Call, weight: Constant, beside: Seen, rank: int) -> Seen:
    """A parameter as a tensor that flows, the same for each sample; of so many axes."""
    shape = (*[1] * (rank - len(weight.shape)), *weight.shape)
    batch = beside.batch
    if not weight.name or weight.value is not None or batch < 0:
        return same(call, beside, flowing(call, weight, beside))[1]
    if len(shape) != rank or shape[batch] != 1:
        raise call.refuse(f"with {weight.spoken}, not one for all samples")
    sizes = (*shape[:batch], *shape[batch + 1 :])
    made = learned(call, weight, beside, sizes)
    whole = (*sizes[:batch], call.reader.batch, *sizes[batch:])
    return call.reader.seen(made.value, whole, batch)


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
    first = call.reader.seen(permuted(call, x, order))
    names = {"weight": weight.name, "bias": bias.name}
    made = call.reader.seen(call.layer("affine", [first], [first.ours], names))
    inverse = tuple(order.index(i) for i in range(len(order)))
    return call.like(permuted(call, made, inverse), x)


def _both(call: Call, first: Seen, second: Seen) -> Seen:
    first, second = aligned(call, first, second)
    a, b = first.ours, second.ours
    if len(a) != len(b):
        raise call.refuse("of tensors of different ranks")
    shape = tuple(max(n, m) for n, m in zip(a, b, strict=True))
    return call.like(call.layer(call.word, [first, second], [shape]), first)


@rule("matmul", "bmm")
def _matmul(call: Call) -> Seen:
    names = ("self", "mat2") if call.word == "bmm" else ("self", "other")
    given = [call[name] for name in names]
    if (len(given[1].shape), isinstance(given[1], Constant)) == (2, True):
        made = _projected(call, *given)
        if made is not None:
            return made
    beside = next(one for one in given if isinstance(one, Seen))
    tensors = [flowing(call, x, beside) if isinstance(x, Constant) else x for x in given]
    first, second = aligned(call, *map(call.seen, tensors))
    if min(len(first.ours), len(second.ours)) < 2 or first.batch >= len(first.shape) - 2:
        raise call.refuse("over the batch, or of vectors")
    return _product(call, first, second)


def _projected(call: Call, x: Seen, weight: Constant) -> Seen | None:
    """`x @ W.T`, which is a linear layer."""
    source = weight.given.get("self") if weight.made in ("t", "transpose", "permute") else None
    if not isinstance(source, Constant) or not source.name or source.buffer:
        return None
    if len(source.shape) != 2 or x.axis(-1) is None:
        return None
    out = source.shape[0]
    shape = (*x.ours[:-1], out)
    names = {"weight": source.name}
    return call.like(call.layer("linear", [x], [shape], names, out=out, bias=False), x)


def _product(call: Call, first: Seen, second: Seen) -> Seen:
    """Matrices' product; an axis before them that one has alone, or of size 1, is broadcast."""
    a, b = first.ours, second.ours
    rank = max(len(a), len(b)) - 2
    a, b = ((1,) * (rank + 2 - len(one)) + one for one in (a, b))
    outer = [name for name in AXES if name not in "mkn"][:rank]
    kept = [[n for n, m in zip(outer, one, strict=False) if m != 1] for one in (a, b)]
    both = [n for n in outer if n in kept[0] or n in kept[1]]
    reduced = [
        _squeezed(call, x, tuple(m for m in one[:-2] if m != 1) + one[-2:])
        for x, one in ((first, a), (second, b))
    ]
    sizes = tuple(max(n, m) for n, m in zip(a[:-2], b[:-2], strict=True))
    shape = (*(n for n in sizes if n != 1), a[-2], b[-1])
    left, right, out = (
        " ".join([*names, *axes])
        for names, axes in ((kept[0], "mk"), (kept[1], "kn"), (both, "mn"))
    )
    made = call.layer("einsum", reduced, [shape], pattern=f"{left}, {right} -> {out}")
    whole = (*sizes, a[-2], b[-1])
    if whole != shape:
        made = call.layer("reshape", [call.reader.seen(made)], [whole], sizes=whole)
    return call.like(made, first)


def _squeezed(call: Call, x: Seen, shape: Shape) -> Seen:
    if x.ours == shape:
        return x
    made = call.layer("reshape", [x], [shape], sizes=shape)
    return Seen(made, (), x.batch, x.merged, shape)


@rule("einsum")
def _einsum(call: Call) -> Seen:
    given = call["tensors"]
    beside = next(one for one in given if isinstance(one, Seen))
    tensors = [flowing(call, x, beside) if isinstance(x, Constant) else x for x in given]
    left, arrow, right = str(call["equation"]).replace(" ", "").partition("->")
    sides = left.split(",")
    if not arrow or "." in left or any(x.merged for x in tensors):
        raise call.refuse(f"`{call['equation']}`, whose axes do not all have names")
    batch = {side[x.batch] for side, x in zip(sides, tensors, strict=True) if x.batch >= 0}
    if len(batch) != 1 or not batch <= set(right):
        raise call.refuse("over the batch")
    (name,) = batch
    if any(name in side for side, x in zip(sides, tensors, strict=True) if x.batch < 0):
        raise call.refuse("of a tensor that is not the same for all samples")
    inner = [" ".join(side.replace(name, "")) for side in sides]
    place = right.index(name)
    shape = call.shapes[0]
    ours = (*shape[:place], *shape[place + 1 :])
    pattern = f"{', '.join(inner)} -> {' '.join(right.replace(name, ''))}"
    return call.gives(call.layer("einsum", tensors, [ours], pattern=pattern), place)


@rule("scaled_dot_product_attention")
def _attention(call: Call) -> Seen:
    query, key, value = (call.tensor(name) for name in ("query", "key", "value"))
    mask = call["attn_mask"]
    if call["is_causal"] or call["enable_gqa"]:
        raise call.refuse("with a causal mask, or grouped heads")
    if call["dropout_p"]:
        raise call.refuse("with dropout")
    query, key = aligned(call, query, key)
    query, value = aligned(call, query, value)
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
    if mask is not None:
        shape = (*query.shape[:-1], key.shape[-2])
        before = call.reader.seen(scaled, shape, query.batch, merged=query.merged)
        scaled = _masked(call, before, mask).value
    soft = call.layer("softmax", [Seen(scaled, ())], [weights], axis=len(q) - 1)
    pattern = f"{outer} m n, {outer} n k -> {outer} m k"
    mixed, shape = call.reader.seen(soft), (*q[:-1], v[-1])
    return call.like(call.layer("einsum", [mixed, value], [shape], pattern=pattern), query)


def _masked(call: Call, scores: Seen, mask: Seen | Constant) -> Seen:
    """Scores plus what is added to them before the softmax."""
    if isinstance(mask, Constant):
        if mask.value is not None and not mask.value.is_floating_point():
            raise call.refuse("with a mask of yes and no")
        mask = flowing(call, mask, scores)
    return _both(replace(call, word="add", shapes=(scores.shape,)), scores, mask)
