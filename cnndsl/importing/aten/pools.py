"""Pools, reductions, sizes and borders of PyTorch."""

from __future__ import annotations

import math
from typing import Any

from cnndsl.importing.aten.table import rule
from cnndsl.importing.calls import Call, Seen

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
