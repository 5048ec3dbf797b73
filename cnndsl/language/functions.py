"""The functions of the language: numbers to a number, with its formula where it has one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from cnndsl.symbolic import FUNCTIONS as REMEMBERED
from cnndsl.symbolic import apply, maximum, minimum

MAX_ITEMS = 100_000
"""The most values in a list, and the most arguments."""
DOMAINS = {"sqrt": (">=", 0), "log": (">", 0), "exp": ("<=", 709)}
"""Where a function is defined, and not too large."""


def round8(value: float) -> int:
    """The nearest multiple of 8, at least 8, and not below 90 % of the value.

    Source: `_make_divisible` of the MobileNet authors' code.
    """
    rounded = max(8, int(value + 4) // 8 * 8)
    if rounded < 0.9 * value:
        rounded += 8
    return apply("round8", rounded, value) if isinstance(value, int) else rounded


# A formula that holds it is evaluated where its size leaves the block.
REMEMBERED["round8"] = round8


def _floor(value: float) -> int:
    return value if isinstance(value, int) else math.floor(value)


def _ceil(value: float) -> int:
    return value if isinstance(value, int) else math.ceil(value)


def _largest(*values: Any) -> Any:
    return maximum(*values) if all(isinstance(v, int) for v in values) else max(values)


def _smallest(*values: Any) -> Any:
    return minimum(*values) if all(isinstance(v, int) for v in values) else min(values)


FUNCTIONS: dict[str, tuple[int, int, Callable[..., Any]]] = {
    "min": (1, MAX_ITEMS, _smallest),
    "max": (1, MAX_ITEMS, _largest),
    "abs": (1, 1, abs),
    "sqrt": (1, 1, math.sqrt),
    "exp": (1, 1, math.exp),
    "log": (1, 1, math.log),
    "floor": (1, 1, _floor),
    "ceil": (1, 1, _ceil),
    "round": (1, 1, lambda v: int(round(v))),
    "round8": (1, 1, round8),
    "len": (1, 1, len),
}
"""Name → the least and largest number of arguments, and the function."""
