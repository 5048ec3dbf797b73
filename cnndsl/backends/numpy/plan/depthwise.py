"""Depthwise convolution: multiply-adds of shifted rows, a strip at a time.

`einsum` over a view of the shifted rows does a multiply-add in one pass; a product into a
spare and a sum would take two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from cnndsl.backends.numpy.plan.calls import (
    Call,
    Geometry,
    Phase,
    as_view,
    elementwise,
    padded_rows,
    rows_seen,
    space,
    window_view,
)
from cnndsl.backends.numpy.plan.product import _picker, _strips
from cnndsl.backends.numpy.plan.rewrites import Stage
from cnndsl.backends.numpy.plan.threads import Team
from cnndsl.ops.facts import Array

STRIP = 1 << 18
"""Elements of a strip: about what a core's second cache holds."""
WIDE = 384
"""From so many channels on, one position is a run long enough for the inner loop."""


@dataclass(slots=True)
class Depthwise:
    """y[h, w, c] = Σ x[s·h + i, s·w + j, c] · W[i, j, c].  (B, H, W, C) → (B, H′, W′, C).

    With few channels a row of positions is one run: the weights are repeated along it, and
    for a stride the columns of each tap are gathered first.
    """

    name = "depthwise"
    geometry: Geometry
    weight: Array
    """(kh, kw, C)."""
    after: list[Stage]
    team: Team
    repeated: Array | None = None

    def __post_init__(self) -> None:
        """Repeat the weights along a row."""
        g = self.geometry
        if self.runs:
            repeated = np.repeat(self.weight[:, :, None], g.out[1], axis=2)
            self.repeated = repeated.reshape(*g.kernel, g.out[1] * g.channels)

    @property
    def runs(self) -> bool:
        """Whether a row of positions is one run."""
        return self.geometry.channels < WIDE

    @property
    def gathers(self) -> bool:
        """Whether the columns of the taps have to be gathered."""
        g = self.geometry
        return self.runs and (g.stride[1] > 1 or g.dilation[1] > 1)

    @property
    def strip(self) -> int:
        """Output rows at a time."""
        g = self.geometry
        fits = STRIP // (g.out[1] * g.channels) // g.stride[0]
        return max(1, min(-(-g.batch * g.out[0] // self.team.size), g.out[0], max(2, fits)))

    @property
    def spaces(self) -> list[int]:
        """For each thread: padded rows, gathered columns, the result and a spare."""
        g = self.geometry
        seen = rows_seen(self.strip, g)
        row = (g.size[1] + sum(g.pads[1])) * g.channels
        gathered = seen // row * g.kernel[1] * g.out[1] * g.channels if self.gathers else 0
        if self.runs and not g.padded:
            gathered = max(gathered, seen)
        result = self.strip * g.out[1] * g.channels
        return [seen if g.padded else 0, gathered, result, result] * self.team.size

    def bind(
        self, x: Array, y: Array, others: Callable[[Any], Array], spaces: list[Array]
    ) -> list[Phase]:
        """The calls.  x: (B, H, W, C); y: (B, H′, W′, C); `others` in the form of y."""
        g = self.geometry
        phase: Phase = []
        for number, (first, last) in enumerate(self.team.shares(g.batch * g.out[0])):
            padded, gathered, result, spare = spaces[4 * number : 4 * number + 4]
            calls: list[Call] = []
            for b, start, end in _strips(first, last, g.out[0], self.strip):
                rows, made = padded_rows(x[b], start, end, g, padded)
                target = y[b, start:end]
                into = target
                # A run of rows has to be one in memory.
                if self.runs and not target.flags.c_contiguous:
                    into = space(result, *target.shape)
                calls += [*made, *self._taps(rows, into, gathered)]
                pick = _picker(others, b, slice(start, end), slice(None), merged=False)
                calls += elementwise(self.after, into, target, spare, pick)
            phase.append(calls)
        return [phase]

    def _taps(self, rows: Array, into: Array, gathered: Array) -> list[Call]:
        g = self.geometry
        count, width = into.shape[:2]
        if not self.runs:
            view = window_view(rows, (count, width), g)
            taps = "hwabc,abc->hwc"
            return [(partial(np.einsum, taps, view, self.weight, out=into), ())]
        calls: list[Call] = []
        if self.gathers:
            a, b, c = rows.strides
            shape = (len(rows), g.kernel[1], width, g.channels)
            steps = (a, b * g.dilation[1], b * g.stride[1], c)
            columns = space(gathered, *shape)
            seen = np.lib.stride_tricks.as_strided(rows, shape, steps)
            calls.append((np.copyto, (columns, seen)))
            row, tap, _, item = columns.strides
        else:
            if rows.strides[1] != rows.shape[2] * rows.itemsize:
                copied = space(gathered, *rows.shape)
                calls.append((np.copyto, (copied, rows)))
                rows = copied
            row, tap, item = rows.strides
        view = np.lib.stride_tricks.as_strided(
            columns if self.gathers else rows,
            (*g.kernel, count, width * g.channels),
            (row * g.dilation[0], tap, row * g.stride[0], item),
        )
        runs = as_view(into, count, -1)
        multiply = partial(np.einsum, "abhk,abk->hk", view, self.repeated, out=runs)
        return [*calls, (multiply, ())]
