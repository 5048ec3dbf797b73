"""Pools, reductions, sizes and borders of PyTorch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cnndsl.importing.aten.table import rule
from cnndsl.importing.calls import Call, Constant, Seen
from cnndsl.ops.facts import Shape

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
    if call.shapes[0] == x.shape and set(call.sizes("kernel_size", rank)) == {1}:
        return x
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
    return [pooled, Constant("", call.shapes[1], call.word)] if largest else pooled


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
            return call.gives(call.layer(pool, [x], [call.shapes[0][1:]], **kept))
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


@rule("var", "std")
def _variance(call: Call) -> Seen:
    """The mean of the squared distances from the mean; as many less one count."""
    x, given = call.tensor("self"), call["dim"]
    dims = [given] if isinstance(given, int) else list(given or range(len(x.shape)))
    dims = sorted(d % len(x.shape) for d in dims)
    less = call["correction"] if "correction" in call.given else int(call["unbiased"])
    less = 1 if less is None else less
    count = math.prod(x.shape[d] for d in dims)
    one = tuple(1 if d in dims else n for d, n in enumerate(x.shape))
    centre = _over(replace(call, shapes=(one,)), x, dims, "mean", keep=True)
    whole = replace(call, shapes=(x.shape,))
    found = whole.like(call.layer("sub", [x, centre], [x.ours]), x)
    found = whole.like(call.layer("pow", [found], [x.ours], exponent=2.0), x)
    found = _over(call, found, dims, "mean", keep=bool(call["keepdim"]))
    if count <= less:
        raise call.refuse("of one number")
    steps: list[tuple[str, dict[str, Any]]] = []
    if less != 0:
        steps.append(("mul", {"by": count / (count - less)}))
    if call.word == "std":
        steps.append(("sqrt", {}))
    for word, by in steps:
        found = call.like(call.layer(word, [found], [found.ours], **by), found)
    return found


@rule("max", "min")
def _largest(call: Call) -> Any:
    if call["dim"] is None:
        raise call.refuse("over everything") if call["other"] is None else call.refuse("")
    x = call.tensor("self")
    dims, keep = [call["dim"] % len(x.shape)], bool(call["keepdim"])
    found = _over(call, x, dims, call.word, keep=keep)
    if call.word == "max":
        return [found, _over(call, x, dims, "argmax", keep=keep)]
    return [found, Constant("", call.shapes[1], call.word)]


@rule("argmax")
def _argmax(call: Call) -> Seen:
    x = call.tensor("self")
    if call["dim"] is None:
        raise call.refuse("over everything")
    return _over(call, x, [call["dim"] % len(x.shape)], "argmax", keep=bool(call["keepdim"]))


@rule("max_pool2d_with_indices", "max_pool1d_with_indices", "max_pool3d_with_indices")
def _places(call: Call) -> list[Seen]:
    x = call.tensor("self", plain=True)
    rank = len(x.shape) - 2
    kernel = call.sizes("kernel_size", rank)
    shapes = [shape[1:] for shape in call.shapes]
    name, _ = call.layer(
        "maxpool_indices",
        [x],
        shapes,
        kernel=kernel,
        stride=call.sizes("stride", rank) if call["stride"] else kernel,
        pad=tuple((p, p) for p in call.sizes("padding", rank)),
        dilation=call.sizes("dilation", rank),
        ceil=bool(call["ceil_mode"]),
    )
    pairs = enumerate(call.shapes)
    return [call.reader.seen((name, number), shape) for number, shape in pairs]


@rule("max_unpool2d", "max_unpool3d")
def _unpool(call: Call) -> Seen:
    x, places = (call.tensor(name, plain=True) for name in ("self", "indices"))
    pool = next(layer for layer in call.reader.layers if layer.name == places.value[0])
    if pool.word != "maxpool_indices" or pool.arguments["dilation"] != (1,) * (
        len(x.shape) - 2
    ):
        raise call.refuse("to places that no max pool gives")
    given: dict[str, Any] = {n: pool.arguments[n] for n in ("kernel", "stride", "pad")}
    size = tuple(call.shapes[0][2:])
    given["size"] = size
    steps = zip(x.shape[2:], *(given[n] for n in ("kernel", "stride", "pad")), strict=True)
    if size == tuple((n - 1) * s - sum(pad) + k for n, k, s, pad in steps):
        del given["size"]
    return call.gives(call.layer("max_unpool", [x, places], **given))


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
@rule("upsample_bicubic2d", "upsample_linear1d", "upsample_trilinear3d")
def _resize(call: Call) -> Seen:
    x = call.tensor("input" if "input" in call.given else "self", plain=True)
    before, after = x.shape[2:], call.shapes[0][2:]
    mode = "bicubic" if "bicubic" in call.word else "bilinear"
    mode = "nearest" if "nearest" in call.word else mode
    given: dict[str, Any] = {"mode": mode}
    if mode != "nearest":
        given["align_corners"] = bool(call["align_corners"])
    factors = call["scale_factors"]
    if factors and any(f * n != m for f, n, m in zip(factors, before, after, strict=True)):
        raise call.refuse(f"by {factors}, which {list(before)} do not divide")
    if before == after:
        return x
    if factors and all(f == int(f) for f in factors):
        return call.gives(call.layer("upsample", [x], factor=tuple(map(int, factors)), **given))
    return call.gives(call.layer("resize", [x], size=after, **given))


@rule("affine_grid_generator")
def _affine_grid(call: Call) -> Seen:
    theta = call.tensor("theta", plain=True)
    size = tuple(map(int, call["size"][2:]))
    given: dict[str, Any] = {"size": size, "align_corners": bool(call["align_corners"])}
    return call.gives(call.layer("affine_grid", [theta], **given))


@rule("grid_sampler")
def _grid_sample(call: Call) -> Seen:
    tensors = [call.tensor(name, plain=True) for name in ("input", "grid")]
    if call["interpolation_mode"] > 1:
        raise call.refuse("by cubic interpolation")
    given: dict[str, Any] = {
        "mode": ("bilinear", "nearest")[call["interpolation_mode"]],
        "pad_mode": ("zeros", "border", "reflection")[call["padding_mode"]],
        "align_corners": bool(call["align_corners"]),
    }
    return call.gives(call.layer("grid_sample", tensors, **given))


@rule("pad", "constant_pad_nd", "reflection_pad1d", "reflection_pad2d")
@rule("replication_pad1d", "replication_pad2d", "replication_pad3d")
def _pad(call: Call) -> Seen:
    x = call.tensor("self")
    given = list(call["pad"] if "pad" in call.given else call["padding"])
    mode = call["mode"] or {"refl": "reflect", "repl": "replicate"}.get(
        call.word[:4], "constant"
    )
    value = float(call["value"] or 0)
    sides: dict[int, tuple[int, int]] = {}
    for number, pair in enumerate(zip(given[::2], given[1::2], strict=True)):
        axis = x.axis(len(x.shape) - 1 - number)
        if any(pair) and (axis is None or (x.merged and axis == x.batch)):
            raise call.refuse("of the batch")
        if any(pair) and axis is not None:
            sides[axis] = pair
    if not sides:
        return x
    if mode != "constant":
        if x.batch or 0 in sides:
            raise call.refuse(f"of mode {mode}, and not of a map")
        pads = tuple(sides.get(n, (0, 0)) for n in range(1, len(x.ours)))
        return call.gives(call.layer("pad", [x], sides=pads, mode=mode))
    if any(side < 0 for pair in sides.values() for side in pair):
        x, sides = _cropped(call, x, sides)
    spatial = len(x.ours) in (2, 3, 4) and 0 not in sides
    for infinite, word in ((-math.inf, "infpad"), (0, "zeropad")):
        if sides and spatial and value == infinite:
            shape = _grown(x.ours, sides)
            pads = tuple(sides.get(n, (0, 0)) for n in range(1, len(x.ours)))
            return call.like(call.layer(word, [x], [shape], sides=pads), x)
    for axis, (before, after) in sides.items():
        x = _bordered(call, x, axis, before, after, value)
    return call.like(x.value, x)


def _grown(shape: Shape, sides: Mapping[int, tuple[int, int]]) -> Shape:
    return tuple(size + sum(sides.get(axis, ())) for axis, size in enumerate(shape))


def _bordered(call: Call, x: Seen, axis: int, before: int, after: int, value: float) -> Seen:
    """A number before and after one axis, joined to it."""
    if not math.isfinite(value):
        raise call.refuse(f"with {value:g}")
    parts = [x]
    for count, place in ((before, 0), (after, len(parts) + bool(before))):
        if count:
            sizes = (*x.ours[:axis], count, *x.ours[axis + 1 :])
            made = call.layer("full", [x], [sizes], sizes=sizes, value=value)
            parts.insert(place, call.reader.seen(made))
    shape = _grown(x.ours, {axis: (before, after)})
    along: dict[str, Any] = {"axis": axis} if axis else {}
    made = call.layer("concat", parts, [shape], **along)
    return call.reader.seen(made, x.shape, x.batch, merged=x.merged)


def _cropped(
    call: Call, x: Seen, sides: Mapping[int, tuple[int, int]]
) -> tuple[Seen, dict[int, tuple[int, int]]]:
    """What negative sides leave of a tensor, and the sides that are not."""
    for axis, (before, after) in sides.items():
        start, stop = max(0, -before), x.ours[axis] - max(0, -after)
        if (start, stop) != (0, x.ours[axis]):
            ours = (*x.ours[:axis], stop - start, *x.ours[axis + 1 :])
            made = call.layer("slice", [x], [ours], start=start, stop=stop, axis=axis)
            x = call.reader.seen(made, x.shape, x.batch, merged=x.merged)
    left = {axis: (max(0, a), max(0, b)) for axis, (a, b) in sides.items()}
    return x, {axis: pair for axis, pair in left.items() if any(pair)}
