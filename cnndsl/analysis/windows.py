"""Which positions of its inputs an output's position reads, axis by axis, exactly.

A pass over the operations: those with a sliding window say so themselves (`window`); here
stands how the others move, mix and drop axes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from cnndsl.ops.base import Op, Shape, Window
from cnndsl.ops.pattern import Contraction, Rearrangement


@dataclass(frozen=True, slots=True)
class Taps:
    """One axis: unit i of a period reads the input from `first[i]` to `last[i]`.

    A period later it reads `advance` positions further.
    """

    first: tuple[int, ...]
    last: tuple[int, ...]
    advance: int

    @property
    def period(self) -> int:
        """The number of units that take turns."""
        return len(self.first)


SAME = Taps((0,), (0,), 1)
Reads = dict[tuple[int, int], Taps]
"""For one axis of an output: the number of an input and its axis, and how it is read.
An axis of an input that no axis of the output reads is seen whole."""


def taps(
    op: Op, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]
) -> list[tuple[Reads, ...]]:
    """For each output, how each of its axes reads the inputs."""
    rule = RULES.get(op.name)
    if rule is not None:
        return [rule(op, inputs, shape, number) for number, shape in enumerate(outputs)]
    window = op.window(*inputs)
    return [
        _pointwise(inputs, shape) if window is None else _sliding(window, inputs, shape)
        for shape in outputs
    ]


def _pointwise(inputs: tuple[Shape, ...], shape: Shape) -> tuple[Reads, ...]:
    """Each position reads its own; an axis of size 1 or a missing one is broadcast."""
    axes: list[Reads] = []
    for axis, size in enumerate(shape):
        reads: Reads = {}
        for number, x in enumerate(inputs):
            if axis < len(x) and (x[axis] == size or axis == 0):
                reads[number, axis] = SAME
        axes.append(reads)
    return tuple(axes)


def _sliding(window: Window, inputs: tuple[Shape, ...], shape: Shape) -> tuple[Reads, ...]:
    if window.whole:
        return _whole(inputs, shape)
    axes: list[Reads] = [{}]
    for axis, kernel in enumerate(window.kernel):
        slide = (kernel, window.stride[axis], window.padding[axis][0], window.dilation[axis])
        axes.append(
            {(0, axis + 1): _transposed(*slide) if window.transposed else _window(*slide)}
        )
    # Other inputs (offsets, generated kernels) are read where the output stands.
    for number, x in enumerate(inputs[1:], 1):
        for axis in range(1, min(len(x), len(axes))):
            if x[axis] == shape[axis]:
                axes[axis][number, axis] = SAME
    return tuple(axes)


def _whole(inputs: tuple[Shape, ...], shape: Shape) -> tuple[Reads, ...]:
    return ({},) * len(shape)


def _window(kernel: int, stride: int, pad: int, dilation: int) -> Taps:
    start = -int(pad)
    return Taps((start,), (start + int(dilation) * (int(kernel) - 1),), int(stride))


def _transposed(kernel: int, stride: int, pad: int, dilation: int) -> Taps:
    """Output o is fed by inputs i with o = i·stride − pad + dilation·t for a tap t."""
    first, last = [], []
    for unit in range(stride):
        reached = [
            (unit + pad - dilation * tap) // stride
            for tap in range(kernel)
            if (unit + pad - dilation * tap) % stride == 0
        ]
        # A unit that no tap reaches stands for the position below it.
        first.append(min(reached, default=(unit + pad) // stride))
        last.append(max(reached, default=(unit + pad) // stride))
    return Taps(tuple(map(int, first)), tuple(map(int, last)), 1)


def _resized(size: int, target: int, mode: str, align_corners: bool) -> Taps:
    """Interpolation from one size to another, by PyTorch's coordinates."""
    size, target = int(size), int(target)
    ends = align_corners and target > 1
    scale = Fraction(size - 1, target - 1) if ends else Fraction(size, target)
    shift = Fraction(0) if align_corners or mode == "nearest" else (scale - 1) / 2
    first, last = [], []
    for unit in range(scale.denominator):
        place = unit * scale + shift
        first.append(math.floor(place))
        last.append(math.floor(place) if mode == "nearest" else math.ceil(place))
    return Taps(tuple(first), tuple(last), scale.numerator)


def _resize(op: Op, inputs: tuple[Shape, ...], shape: Shape, output: int) -> tuple[Reads, ...]:
    mode, corners = op.mode, op.align_corners  # type: ignore[attr-defined]
    axes: list[Reads] = [{}]
    for axis in range(1, len(shape)):
        size = int(inputs[0][axis])
        if size == 1:
            # One position, everywhere the same: its order is gone.
            axes.append({})
        else:
            axes.append({(0, axis): _resized(size, shape[axis], mode, corners)})
    return tuple(axes)


def _last_axis(
    op: Op, inputs: tuple[Shape, ...], shape: Shape, output: int
) -> tuple[Reads, ...]:
    """`linear`: the last axis is summed, the others stay."""
    return (*({(0, axis): SAME} for axis in range(len(shape) - 1)), {})


def _along(op: Op, inputs: tuple[Shape, ...], shape: Shape, output: int) -> tuple[Reads, ...]:
    """`softmax` and the like: each position along an axis reads all of it."""
    axis = int(op.axis)  # type: ignore[attr-defined]
    return tuple({} if number == axis else {(0, number): SAME} for number in range(len(shape)))


def _positions(
    op: Op, inputs: tuple[Shape, ...], shape: Shape, output: int
) -> tuple[Reads, ...]:
    """`flatten` and `reshape`: axes that stay keep their positions, the others lose them."""
    (x,) = inputs
    start = 0
    while start < min(len(x), len(shape)) and x[start] == shape[start]:
        start += 1
    axes: list[Reads] = [{(0, axis): SAME} for axis in range(start)]
    return (*axes, *({} for _ in shape[start:]))


def _concat(op: Op, inputs: tuple[Shape, ...], shape: Shape, output: int) -> tuple[Reads, ...]:
    joined = int(op.axis)  # type: ignore[attr-defined]
    return tuple(
        {(number, axis): SAME for number in range(len(inputs))}
        if axis != joined or axis == 0
        else {}
        for axis in range(len(shape))
    )


def _split(op: Op, inputs: tuple[Shape, ...], shape: Shape, output: int) -> tuple[Reads, ...]:
    (x,) = inputs
    cut = int(op.axis)  # type: ignore[attr-defined]
    start = int(sum(op.sizes(x)[:output])) if cut else 0  # type: ignore[attr-defined]
    shifted = Taps((start,), (start,), 1)
    return tuple({(0, axis): shifted if axis == cut else SAME} for axis in range(len(shape)))


def _einsum(op: Op, inputs: tuple[Shape, ...], shape: Shape, output: int) -> tuple[Reads, ...]:
    """Each index of the output reads the axes of that name; what is summed is seen whole."""
    found = Contraction.parse(op.pattern)  # type: ignore[attr-defined]
    return tuple(
        {
            (number, axis): SAME
            for number, names in enumerate(found.operands)
            for axis, other in enumerate(names)
            if other == name
        }
        for name in found.output
    )


def _rearrange(
    op: Op, inputs: tuple[Shape, ...], shape: Shape, output: int
) -> tuple[Reads, ...]:
    """Positions follow their axis where its outermost name does, alone or before new ones.

    `c (h 2) (w 2) -> (c 2 2) h w` reads windows of two; `(c a b) h w -> c (h a) (w b)`
    puts a factor's positions in one's place.
    """
    plan = Rearrangement.parse(op.pattern, len(inputs[0]))  # type: ignore[attr-defined]
    sizes = plan.sizes(inputs[0], op.axes)  # type: ignore[attr-defined]
    homes = {
        group[0]: (axis, math.prod(sizes[n] for n in group[1:]))
        for axis, group in enumerate(plan.left)
        if group
    }
    axes: list[Reads] = []
    for group in plan.right:
        home = homes.get(group[0]) if group else None
        if home is None:
            axes.append({})
            continue
        axis, inner = home
        repeat = math.prod(sizes[n] for n in group[1:])
        if plan.left[axis] == group:
            axes.append({(0, axis): SAME})
        elif len(group) > 1 and group[1] in homes and homes[group[1]][0] != axis:
            # Two maps' positions in one axis: neither moves evenly.
            axes.append({})
        else:
            step = int(repeat)
            axes.append({(0, axis): Taps((0,) * step, (int(inner) - 1,) * step, int(inner))})
    return tuple(axes)


Rule = Callable[[Op, tuple[Shape, ...], Shape, int], tuple[Reads, ...]]
RULES: dict[str, Rule] = {
    "resize": _resize,
    "linear": _last_axis,
    "softmax": _along,
    "l2norm": _along,
    "flatten": _positions,
    "reshape": _positions,
    "concat": _concat,
    "split": _split,
    "einsum": _einsum,
    "rearrange": _rearrange,
}
NORMALISED = {"gn"}
"""Operations that see everything although positions stay."""
