"""What moves elements in ONNX: shapes, parts, borders, sizes, sampling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from cnndsl.importing.onnx_graph import (
    Call,
    Data,
    UnsayableError,
    rule,
    short,
)
from cnndsl.importing.onnx_rules.windows import pairs
from cnndsl.ops.base import OPS
from cnndsl.ops.facts import Array

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
    for axis, pair in zip(numbers, pairs(sides), strict=True):
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
            raise UnsayableError("a scale that is not a ratio of the sizes")
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
