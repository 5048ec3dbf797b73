"""Where every tensor lies: one buffer, in which those that never live together overlap."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

import numpy as np

from cnndsl.ops.facts import Array

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

    One after another, each at the lowest place that is free while it lives: the largest
    first, or, where that leaves gaps, those that live longest, or in the order of time.
    Source: Pisarchyk & Lee 2020, arXiv:2001.03288, §5 (greedy by size).
    """
    least = live_peak(sizes, lives)
    layouts = []
    for rank in (
        lambda name: (-sizes[name], lives[name]),
        lambda name: (lives[name][0] - lives[name][1], -sizes[name]),
        lambda name: (lives[name][0], -sizes[name]),
    ):
        layouts.append(_placed(sorted(sizes, key=rank), sizes, lives))
        if layouts[-1][1] == least:
            break
    return min(layouts, key=lambda layout: layout[1])


def _placed(
    names: Iterable[Name], sizes: Mapping[Name, int], lives: Mapping[Name, tuple[int, int]]
) -> tuple[dict[Name, int], int]:
    offsets: dict[Name, int] = {}
    total = 0
    for name in names:
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
