"""Where every tensor lies: one buffer, in which those that never live together overlap."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import numpy as np

from cnndsl.ops.base import Array

Name = TypeVar("Name")
ALIGNMENT = 64
"""Bytes of a cache line."""


def aligned(size: int, itemsize: int) -> int:
    """A number of elements, rounded up to whole cache lines."""
    line = ALIGNMENT // itemsize
    return -(-size // line) * line


def buffer(size: int, dtype: np.dtype[np.generic]) -> Array:
    """An array of `size` elements that starts at a cache line."""
    raw = np.empty(size * dtype.itemsize + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size * dtype.itemsize].view(dtype)


def lay_out(
    sizes: Mapping[Name, int], lives: Mapping[Name, tuple[int, int]]
) -> tuple[dict[Name, int], int]:
    """Offsets, and the size of the whole.  `lives` are first and last step, inclusive.

    The largest first, each at the lowest place that is free while it lives.
    Source: Pisarchyk & Lee 2020, arXiv:2001.03288, §5 (greedy by size).
    """
    offsets: dict[Name, int] = {}
    total = 0
    for name in sorted(sizes, key=lambda name: (-sizes[name], lives[name])):
        first, last = lives[name]
        beside = sorted(
            (offset, offset + sizes[other])
            for other, offset in offsets.items()
            if lives[other][0] <= last and first <= lives[other][1]
        )
        place = 0
        for start, end in beside:
            if place + sizes[name] <= start:
                break
            place = max(place, end)
        offsets[name] = place
        total = max(total, place + sizes[name])
    return offsets, total


def live_peak(sizes: Mapping[Name, int], lives: Mapping[Name, tuple[int, int]]) -> int:
    """The most that is alive at once: no layout is smaller."""
    steps = {step for life in lives.values() for step in life}
    return max(
        (
            sum(sizes[n] for n, (first, last) in lives.items() if first <= step <= last)
            for step in steps
        ),
        default=0,
    )
