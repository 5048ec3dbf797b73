"""Every operation: importing this module registers them."""

from cnndsl.ops import (
    activation,
    anchors,
    arithmetic,
    conv,
    dynamic,
    join,
    learned,
    linear,
    norm,
    pool,
    reduce,
    regions,
    reshape,
    resize,
    selection,
)
from cnndsl.ops.base import OPS, Family, Op, Shape, Weight, Window

__all__ = [
    "OPS",
    "Family",
    "Op",
    "Shape",
    "Weight",
    "Window",
    "activation",
    "anchors",
    "arithmetic",
    "conv",
    "dynamic",
    "join",
    "learned",
    "linear",
    "norm",
    "pool",
    "reduce",
    "regions",
    "reshape",
    "resize",
    "selection",
]
