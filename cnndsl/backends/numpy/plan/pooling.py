"""Pooling, a tap at a time along one axis and then along the other."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnndsl.backends.numpy.plan.calls import Call, Geometry, Phase, extreme, space
from cnndsl.backends.numpy.plan.product import _strips
from cnndsl.backends.numpy.plan.threads import Team
from cnndsl.ops.facts import Array

STRIP = 1 << 16


@dataclass(slots=True)
class Pool:
    """Maximum, or mean with each window's own count.  (B, H, W, C) → (B, H′, W′, C).

    kh + kw taps instead of kh · kw: the maximum of a row's maxima is the window's.
    """

    geometry: Geometry
    mean: bool
    count_include_pad: bool
    team: Team

    @property
    def name(self) -> str:
        """`mean` or `maximum`."""
        return "mean" if self.mean else "maximum"

    @property
    def strip(self) -> int:
        """Output rows at a time."""
        g = self.geometry
        return max(2, min(g.out[0], STRIP // (g.out[1] * g.channels)))

    @property
    def spaces(self) -> list[int]:
        """For each thread the rows pooled along the width."""
        g = self.geometry
        span = g.dilation[0] * (g.kernel[0] - 1) + 1
        seen = (self.strip - 1) * g.stride[0] + span
        return [seen * g.out[1] * g.channels] * self.team.size

    def bind(
        self, x: Array, y: Array, others: Callable[[Any], Array], spaces: list[Array]
    ) -> list[Phase]:
        """The calls.  x: (B, H, W, C); y: (B, H′, W′, C)."""
        g = self.geometry
        divisor = self._divisor(x.dtype) if self.mean else None
        phase: Phase = []
        for number, (first, last) in enumerate(self.team.shares(g.batch * g.out[0])):
            calls: list[Call] = []
            for b, start, end in _strips(first, last, g.out[0], self.strip):
                low = start * g.stride[0] - g.pads[0][0]
                span = g.dilation[0] * (g.kernel[0] - 1)
                high = (end - 1) * g.stride[0] - g.pads[0][0] + span + 1
                low, high = max(0, low), min(g.size[0], high)
                wide = space(spaces[number], high - low, g.out[1], g.channels)
                calls += self._along(x[b, low:high], wide, 1, 0)
                target = y[b, start:end]
                calls += self._along(wide, target, 0, start * g.stride[0] - low)
                if divisor is not None:
                    calls.append((np.multiply, (target, divisor[start:end], target)))
            phase.append(calls)
        return [phase]

    def _along(self, x: Array, y: Array, axis: int, shift: int) -> list[Call]:
        """The taps of one axis; the first output stands `shift` after the first input."""
        g = self.geometry
        stride, dilation, before = g.stride[axis], g.dilation[axis], g.pads[axis][0]
        combine = np.add if self.mean else np.maximum
        calls: list[Call] = [(y.fill, (0 if self.mean else -math.inf,))]
        for tap in range(g.kernel[axis]):
            at = tap * dilation - before + shift
            # The outputs whose tap is inside the input.
            first = max(0, -(at // stride))
            last = min(y.shape[axis], (x.shape[axis] - 1 - at) // stride + 1)
            if first >= last:
                continue
            seen = slice(at + first * stride, at + (last - 1) * stride + 1, stride)
            made = slice(first, last)
            a, b = (x[seen], y[made]) if axis == 0 else (x[:, seen], y[:, made])
            whole = last - first == y.shape[axis] and len(calls) == 1
            if whole and isinstance(calls[0][1][0], int | float):
                calls = [(np.copyto, (b, a))]
            else:
                calls.append(extreme(combine, b, a, b))
        return calls

    def _divisor(self, dtype: np.dtype[Any]) -> Array:
        """1 by the number of places that count, (H′, W′, 1)."""
        g = self.geometry
        counts = []
        for axis, n in enumerate(g.size):
            before, after = g.pads[axis] if self.count_include_pad else (0, 0)
            start = np.arange(g.out[axis]) * g.stride[axis] - g.pads[axis][0]
            end = np.minimum(start + g.kernel[axis], n + after)
            counts.append(end - np.maximum(start, -before))
        inverse: Array = 1 / (counts[0][:, None, None] * counts[1][:, None])
        return inverse.astype(dtype)
