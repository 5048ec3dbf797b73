"""Every operation: importing this module registers them."""

from cnndsl.ops import (
    activation,
    conv,
    detection,
    dynamic,
    join,
    linear,
    norm,
    pool,
    reshape,
    resize,
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
    "conv",
    "detection",
    "dynamic",
    "join",
    "linear",
    "norm",
    "pool",
    "reshape",
    "resize",
]
