"""How the axes of a tensor came about: what was merged into them, and what put in a row.

Shapes accept anchors `(a h w)` beside scores `(h w a)`: the sizes are the same. So each axis
carries its composition, and each operation says what becomes of it (`composition`); where an
operation mixes or hides axes, what comes out is of unknown composition, and agrees with any.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from cnndsl.records import Record, record

UNKNOWN = "?"
CHANNELS = "channels"


@record
class Factor(Record):
    """One axis as it was: `h`, `w`, a part of the channels, the rows of a selection."""

    kind: str
    size: int


Part = tuple[Factor, ...]
"""Axes merged in one, the outermost first."""
Axis = tuple[Part, ...]
"""Parts one after another."""
Axes = tuple[Axis, ...]


def simple(kind: str, size: int) -> Axis:
    """An axis of one factor."""
    return ((Factor(kind, int(size)),),)


def unknown(size: int) -> Axis:
    """An axis of which nothing is known but its size."""
    return simple(UNKNOWN, size)


def size_of(axis: Axis) -> int:
    """How many rows it has."""
    return sum(math.prod(factor.size for factor in part) for part in axis)


def kind_of(axis: Axis) -> str:
    """What a simple axis is, and of another that it is unknown."""
    return axis[0][0].kind if len(axis) == 1 and len(axis[0]) == 1 else UNKNOWN


def parted(group: Sequence[str], axis: Axis, sizes: Mapping[str, int]) -> dict[str, Axis]:
    """An axis taken apart by names: along its factors where they fit, else each unknown."""
    if len(group) == 1:
        return {group[0]: axis}
    factors = axis[0] if len(axis) == 1 else ()
    if [factor.size for factor in factors] == [sizes[name] for name in group]:
        return {name: ((factor,),) for name, factor in zip(group, factors, strict=True)}
    kind = CHANNELS if [f.kind for f in factors] == [CHANNELS] else UNKNOWN
    return {name: simple(kind, sizes[name]) for name in group}


def merged(axes: Sequence[Axis]) -> Axis:
    """Axes merged in one, the outermost first."""
    if len(axes) == 1:
        return axes[0]
    if any(len(axis) > 1 for axis in axes):
        return unknown(math.prod(map(size_of, axes)))
    return (tuple(factor for (part,) in axes for factor in part),)
