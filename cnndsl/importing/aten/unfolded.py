"""Windows as columns, and columns as a map: PyTorch's `unfold` and `fold`."""

from __future__ import annotations

import math
from typing import Any

from cnndsl.importing.aten.table import permuted, rule
from cnndsl.importing.calls import Call, Seen
from cnndsl.ops.facts import Shape

MOST = 25
"""Windows that overlap may have so many taps, each a slice of the file."""


@rule("im2col")
def _unfold(call: Call) -> Seen:
    """Each window's elements as a column.  (C, H, W) → (C·k², H′·W′)."""
    x = call.tensor("self", plain=True)
    kernel, stride, pad, dilation = _windows(call)
    channels, *size = x.ours
    if any(pad):
        size = [n + 2 * p for n, p in zip(size, pad, strict=True)]
        sides = tuple((p, p) for p in pad)
        x = _made(call, "zeropad", x, (channels, *size), sides=sides)
    reach = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    places = tuple((n - r - 1) // s + 1 for n, r, s in zip(size, reach, stride, strict=True))
    if kernel == stride and not any(n != 1 for n in dilation):
        for axis, (count, k) in enumerate(zip(places, kernel, strict=True), 1):
            x = _slice(call, x, axis, 0, count * k, 1)
        cells = (channels, places[0], kernel[0], places[1], kernel[1])
        return _columns(call, x, cells, (0, 2, 4, 1, 3))
    if math.prod(kernel) > MOST:
        shown = "×".join(map(str, kernel))
        raise call.refuse(f"of windows of {shown} that overlap, a slice for each element")
    stops = [n - r for n, r in zip(size, reach, strict=True)]
    taps = []
    for row in range(0, kernel[0] * dilation[0], dilation[0]):
        rows = _slice(call, x, 1, row, row + stops[0], stride[0])
        for column in range(0, kernel[1] * dilation[1], dilation[1]):
            taps.append(_slice(call, rows, 2, column, column + stops[1], stride[1]))
    whole = (len(taps) * channels, *places)
    joined = call.reader.seen(call.layer("concat", taps, [whole]))
    return _columns(call, joined, (len(taps), channels, *places), (1, 0, 2, 3))


@rule("col2im")
def _fold(call: Call) -> Seen:
    """Columns as a map, where none of them overlap.  (C·k², H′·W′) → (C, H, W)."""
    x = call.tensor("self", plain=True)
    kernel, stride, pad, dilation = _windows(call)
    channels, *size = call.shapes[0][1:]
    places = tuple(n // k for n, k in zip(size, kernel, strict=True))
    whole = all(n == p * k for n, p, k in zip(size, places, kernel, strict=True))
    if kernel != stride or any(pad) or any(n != 1 for n in dilation) or not whole:
        raise call.refuse("of columns that overlap, or leave a border")
    cells = (channels, *kernel, *places)
    return _columns(call, x, cells, (0, 3, 1, 4, 2))


def _windows(call: Call) -> tuple[Shape, Shape, Shape, Shape]:
    names = ("kernel_size", "stride", "padding", "dilation")
    kernel, stride, pad, dilation = (call.sizes(name, 2) for name in names)
    return kernel, stride, pad, dilation


def _made(call: Call, word: str, x: Seen, shape: Shape, **given: Any) -> Seen:
    return call.reader.seen(call.layer(word, [x], [shape], **given))


def _slice(call: Call, x: Seen, axis: int, start: int, stop: int, step: int) -> Seen:
    """A part of an axis; what is left out at its end is counted from there."""
    size = x.ours[axis]
    if range(size)[start:stop:step] == range(size):
        return x
    given = {"start": start, "axis": axis, "step": step, "stop": stop - size}
    given = {n: v for n, v in given.items() if n == "axis" or v != (n == "step")}
    shape = (*x.ours[:axis], len(range(start, stop, step)), *x.ours[axis + 1 :])
    return _made(call, "slice", x, shape, **given)


def _columns(call: Call, x: Seen, cells: Shape, order: Shape) -> Seen:
    """Axes cut up, in another order and put together as the call gives them."""
    cut = _made(call, "reshape", x, cells, sizes=cells)
    moved = call.reader.seen(permuted(call, cut, order))
    shape = call.shapes[0][1:]
    return call.gives(call.layer("reshape", [moved], [shape], sizes=shape))
