"""Which positions of its inputs an output's position reads, axis by axis, exactly.

Each operation says it of itself (`reads`); here is what it says it with. A test holds every
operation to it: what an output reads is where its gradient is not zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from cnndsl.ops.base import Op
from cnndsl.ops.facts import SAME, Along, Place, Reading, Shape, Taps

LONGEST = 100_000
"""Units that take turns in a longer period count as read in no order."""


def each_position(self: Op, *inputs: Shape) -> tuple[Reading, ...]:
    """Each position reads its own: `reads = each_position`."""
    return tuple(pointwise(inputs, shape) for shape in self.shapes(*inputs))


def pointwise(inputs: Sequence[Shape], shape: Shape) -> Reading:
    """Each position reads its own; an axis of size 1 or a missing one is broadcast."""
    return Reading(
        tuple(
            {
                (number, axis): SAME
                for number, x in enumerate(inputs)
                if axis < len(x) and x[axis] == size
            }
            for axis, size in enumerate(shape)
        )
    )


def along(x: Shape, axis: int) -> Reading:
    """Each position reads all of one axis, which stays, and of the others its own."""
    axes = tuple({(0, other): SAME} for other in range(len(x)))
    return Reading(axes, whole=frozenset({(0, int(axis))}))


def but(x: Shape, axis: int) -> Reading:
    """Each position reads all of one axis, which goes, and of the others its own."""
    return Reading(tuple({} if n == axis else {(0, n): SAME} for n in range(len(x))))


def resized(
    x: Shape, shape: Shape, mode: str, align_corners: bool, factors: Sequence[Fraction] = ()
) -> Reading:
    """Interpolation of the spatial axes, by PyTorch's coordinates.

    `factors` are those that were given; else they are the sizes' quotients.
    """
    axes: list[Along] = [{(0, 0): SAME}]
    for axis in range(1, len(shape)):
        size, target = int(x[axis]), int(shape[axis])
        scale = 1 / factors[axis - 1] if factors else Fraction(size, target)
        if align_corners:
            scale = Fraction(size - 1, target - 1) if target > 1 else Fraction(size)
        # One position, everywhere the same: its order is gone.
        taps = _resized(scale, mode, align_corners) if size > 1 else None
        axes.append({} if taps is None else {(0, axis): taps})
    return Reading(tuple(axes))


def _resized(scale: Fraction, mode: str, align_corners: bool) -> Taps:
    shift = Fraction(0) if align_corners or mode == "nearest" else (scale - 1) / 2
    around = 1 if mode == "bicubic" else 0
    first, last = [], []
    for unit in range(scale.denominator):
        place = unit * scale + shift
        low, high = math.floor(place), math.ceil(place)
        between = around * (low < high)  # at a position the others weigh nothing
        first.append(low - between)
        last.append(low if mode == "nearest" else high + between)
    return Taps(tuple(first), tuple(last), scale.numerator)


def reshaped(x: Shape, shape: Shape) -> Reading:
    """The same elements in order: equal axes at both ends stay, the others lose theirs.

    Of those between, the outermost of each side still go along each other, unless several
    axes of positions are read as one: then neither moves evenly.
    """
    start = end = 0
    while start < min(len(x), len(shape)) and x[start] == shape[start]:
        start += 1
    shorter = min(len(x), len(shape)) - start
    while end < shorter and x[-1 - end] == shape[-1 - end]:
        end += 1
    before, after = (tuple(map(int, side[start : len(side) - end])) for side in (x, shape))
    axes: list[Along] = [{(0, axis): SAME} for axis in range(start)]
    axes += [{} for _ in after]
    axes += [{(0, len(x) - back): SAME} for back in range(end, 0, -1)]
    lost = {(0, axis) for axis in range(start, len(x) - end)}
    several = start > 0 and sum(size > 1 for size in before) > 1
    if before and after and not several:
        inner, outer = math.prod(before[1:]), math.prod(after[1:])
        common = math.gcd(inner, outer)
        if inner // common <= LONGEST:
            units = range(inner // common)
            first = tuple(unit * outer // inner for unit in units)
            last = tuple(((unit + 1) * outer - 1) // inner for unit in units)
            axes[start] = {(0, start): Taps(first, last, outer // common)}
            lost.discard((0, start))
    return Reading(tuple(axes), anywhere=frozenset(lost))


def concatenated(inputs: Sequence[Shape], shape: Shape, joined: int) -> Reading:
    """One after another along an axis: a unit of it reads one of the inputs."""
    axes: list[Along] = []
    for axis in range(len(shape)):
        found: dict[Place, Taps] = {}
        start = 0
        for number, x in enumerate(inputs):
            stop = start + int(x[joined])
            part = Taps((-start,), (-start,), 1, (start, stop))
            found[number, axis] = part if axis == joined else SAME
            start = stop
        axes.append(found)
    return Reading(tuple(axes))
