"""What a step is made of: NumPy calls whose arrays are bound once.

An array is `(B, *S, C)`, channels last: a 1×1 convolution is then one product of all
positions, a tap of a kernel is a run of whole rows, and a run of channels (an operand of
`concat`) is still a matrix that BLAS takes as it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from cnndsl.backends.numpy.plan.rewrites import Affine, Stage, Times
from cnndsl.ops.activation import (
    HardSigmoid,
    HardSwish,
    LeakyReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
)
from cnndsl.ops.arithmetic import Arithmetic, Function
from cnndsl.ops.base import Op
from cnndsl.ops.facts import Array, Size

Call = tuple[Callable[..., object], tuple[Any, ...]]
Phase = list[list[Call]]
"""The calls of each thread; all end before the next phase starts."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """A convolution in numbers: B samples, (H, W, C) → (out, K), two spatial axes."""

    batch: int
    size: Size
    channels: int
    out: Size
    outputs: int
    kernel: Size
    stride: Size
    pads: tuple[tuple[int, int], ...]
    dilation: Size

    @property
    def padded(self) -> bool:
        """Whether there is any padding."""
        return any(map(any, self.pads))


def space(flat: Array, *shape: int) -> Array:
    """The first elements of a workspace, in a shape."""
    return flat[: math.prod(shape)].reshape(shape)


def viewed(array: Array, *shape: int) -> Array | None:
    """An array in another shape, where that needs no copy."""
    reshaped = array.reshape(shape)
    return reshaped if np.may_share_memory(reshaped, array) or not array.size else None


def as_view(array: Array, *shape: int) -> Array:
    """An array in another shape, never a copy: calls are bound to its memory."""
    reshaped = viewed(array, *shape)
    assert reshaped is not None, (array.shape, array.strides, shape)
    return reshaped


def execute(calls: Iterable[Call]) -> None:
    """Do them, one after another."""
    for function, arguments in calls:
        function(*arguments)


def elementwise(
    stages: list[Stage],
    source: Array,
    target: Array,
    spare: Array,
    pick: Callable[[Any], Array],
) -> list[Call]:
    """The stages over `source`, which they may overwrite, into `target`.

    `spare` is a workspace of at least the source's size; `pick` gives the part of another
    tensor, or of a vector over the channels, that stands beside the source.
    """
    if not stages:
        return [] if source is target else [(np.copyto, (target, source))]
    calls: list[Call] = []
    temporary = space(spare, *source.shape)
    for number, stage in enumerate(stages, 1):
        into = target if number == len(stages) else source
        calls += _stage(stage, source, into, temporary, pick)
    return calls


def apart(
    stages: list[Stage],
    source: Array,
    target: Array,
    spare: Array,
    pick: Callable[[Any], Array],
) -> list[Call]:
    """The stages over `source`, which is kept, into `target`."""
    calls = elementwise(stages[:1], source, target, spare, pick)
    return calls + elementwise(stages[1:], target, target, spare, pick)


def _stage(
    stage: Stage, x: Array, into: Array, spare: Array, pick: Callable[[Any], Array]
) -> list[Call]:
    if isinstance(stage, tuple):
        return [(np.add, (x, pick(stage), into))]
    if isinstance(stage, Times):
        return [(np.multiply, (x, pick(stage.gate), into))]
    if isinstance(stage, Affine):
        scaled: list[Call] = []
        if stage.scale is not None:
            scaled, x = [(np.multiply, (x, pick(stage.scale), into))], into
        return [*scaled, (np.add, (x, pick(stage.shift), into))]
    return activation(stage, x, into, spare)


def activation(op: Op, x: Array, into: Array, spare: Array) -> list[Call]:
    """A function of each element, in place where NumPy can; x is overwritten or kept."""

    def constant(value: float) -> Array:
        return np.asarray(value, x.dtype)

    zero, one = constant(0), constant(1)
    gate: list[Call] = [
        (np.multiply, (x, constant(1 / 6), spare)),
        (np.add, (spare, constant(0.5), spare)),
    ]
    # One pass, and a faster one than that of `maximum`; NaN passes through both.
    logistic: list[Call] = [
        (np.negative, (x, spare)),
        (np.exp, (spare, spare)),
        (np.add, (spare, one, spare)),
    ]
    match op:
        case ReLU():
            return [(x.clip, (zero, constant(math.inf), into))]
        case ReLU6():
            return [(x.clip, (zero, constant(6), into))]
        case LeakyReLU() if 0 < constant(op.slope) <= 1:  # 0 · ∞ is NaN
            lower = (np.multiply, (x, constant(op.slope), spare))
            return [lower, extreme(np.maximum, x, spare, into)]
        case HardSigmoid():
            return [*gate, (spare.clip, (zero, one, into))]
        case HardSwish():
            return [
                *gate,
                (spare.clip, (zero, one, spare)),
                (np.multiply, (x, spare, into)),
            ]
        case Sigmoid():
            return [*logistic, (np.divide, (one, spare, into))]
        case SiLU():
            return [*logistic, (np.divide, (x, spare, into))]
        case Arithmetic(by=float() | int() as by):
            return [(getattr(np, op.ufunc), (x, constant(by), into))]
        case Function():
            return [(getattr(np, op.ufunc), (x, into))]
        case _:
            assert op.each
            return [(_allocating, (op, x, into))]


def extreme(function: np.ufunc, x: Array, other: Array, into: Array) -> Call:
    """`np.maximum` or `np.minimum`, which take their output by name."""
    return partial(function, x, other, out=into), ()


def _allocating(op: Op, x: Array, into: Array) -> None:
    np.copyto(into, op.run(x))


def padded_rows(
    x: Array, first: int, last: int, geometry: Geometry, into: Array
) -> tuple[Array, list[Call]]:
    """The rows of a sample that output rows `first` to `last` see, zeros around.

    x: (H, W, C). Without padding that is a view; else it is made in `into`.
    """
    (top, _), (left, right) = geometry.pads
    (height, width), channels = geometry.size, geometry.channels
    start = first * geometry.stride[0] - top
    count = (last - 1 - first) * geometry.stride[0]
    end = start + count + geometry.dilation[0] * (geometry.kernel[0] - 1) + 1
    if not geometry.padded:
        return x[start:end], []
    rows = space(into, end - start, left + width + right, channels)
    low, high = max(start, 0), min(end, height)
    calls: list[Call] = []
    if low >= high:
        return rows, [(rows.fill, (0,))]
    borders = [rows[: low - start], rows[high - start :], rows[:, :left]]
    borders.append(rows[:, left + width :])
    calls += [(border.fill, (0,)) for border in borders if border.size]
    inner = rows[low - start : high - start, left : left + width]
    return rows, [*calls, (np.copyto, (inner, x[low:high]))]


def rows_seen(rows: int, geometry: Geometry) -> int:
    """The elements of `padded_rows` for that many output rows."""
    span = geometry.dilation[0] * (geometry.kernel[0] - 1) + 1
    height = (rows - 1) * geometry.stride[0] + span
    return height * (geometry.size[1] + sum(geometry.pads[1])) * geometry.channels


def window_view(rows: Array, out: Size, geometry: Geometry) -> Array:
    """Every window of some rows: (H, W, C) → (H′, W′, kh, kw, C), a view."""
    a, b, c = rows.strides
    (sy, sx), (dy, dx) = geometry.stride, geometry.dilation
    return np.lib.stride_tricks.as_strided(
        rows,
        (*out, *geometry.kernel, geometry.channels),
        (a * sy, b * sx, a * dy, b * dx, c),
    )
