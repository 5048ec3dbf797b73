"""Convolution as a matrix product: 1×1 as it stands, others by im2col in strips.

im2col: Chellapilla, Puri & Simard 2006, "High performance convolutional neural networks
for document processing", §3. Here the columns of one strip of rows at a time, so that
they are still in the cache when the product reads them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from cnndsl.backends.numpy.plan.calls import (
    Call,
    Geometry,
    Phase,
    apart,
    as_view,
    elementwise,
    padded_rows,
    rows_seen,
    space,
    window_view,
)
from cnndsl.backends.numpy.plan.rewrites import Stage, Times
from cnndsl.backends.numpy.plan.threads import Team
from cnndsl.ops.facts import Array

STRIP = 1 << 18
"""Elements of the larger side of a strip: about what a core's second cache holds. Longer
strips are fewer calls, and each call asks for the interpreter's lock."""
ROWS = 128
"""Fewer rows than this and BLAS copies its other operand too often."""


@dataclass(slots=True)
class Product:
    """y = stages(before(x) · W).  (B, R, C), (C, K) → (B, R, K).

    Each thread has a run of rows; where there are few, a run of output channels.
    """

    name = "product"
    batch: int
    rows: int
    weight: Array
    before: list[Stage]
    after: list[Stage]
    team: Team

    @property
    def by_channels(self) -> bool:
        """Whether the threads share the output channels, not the rows."""
        return self.team.size > 1 and self.batch * self.rows < min(
            2 * ROWS, self.weight.shape[1]
        )

    @property
    def strip(self) -> int:
        """Rows at a time."""
        per_thread = -(-self.batch * self.rows // self.team.size)
        if not self.before and not self.after:
            return int(per_thread)
        return int(min(per_thread, max(ROWS, STRIP // max(self.weight.shape))))

    @property
    def spaces(self) -> list[int]:
        """For each thread the input of a strip and a spare; for all, the whole input."""
        channels, outputs = map(int, self.weight.shape)
        if self.by_channels:
            whole = self.batch * self.rows
            spare = whole * max(outputs, channels)
            return [whole * channels if self.before else 0, spare]
        own = self.strip * channels if self.before else 0
        return [own, self.strip * max(outputs, channels)] * self.team.size

    def bind(
        self, x: Array, y: Array, others: Callable[[Any], Array], spaces: list[Array]
    ) -> list[Phase]:
        """The calls.  x: (B, R, C); y: (B, R, K); `others` in the form of y, or of x."""
        per_image = any(isinstance(stage, Times) for stage in self.before)
        if not per_image:
            x, y = _merged(x), _merged(y)
        batch, rows = x.shape[:2]
        if self.by_channels:
            return self._channel_phases(x, y, others, spaces)
        phase: Phase = []
        cuts = self.team.shares(batch * rows)
        for number, (first, last) in enumerate(cuts):
            calls: list[Call] = []
            for b, start, end in _strips(first, last, rows, self.strip):
                strip, spare = spaces[2 * number : 2 * number + 2]
                pick = _picker(others, b, slice(start, end), slice(None), not per_image)
                source = x[b, start:end]
                if self.before:
                    made = space(strip, *source.shape)
                    calls += apart(self.before, source, made, spare, pick)
                    source = made
                target = y[b, start:end]
                calls.append((np.matmul, (source, self.weight, target)))
                calls += elementwise(self.after, target, target, spare, pick)
            phase.append(calls)
        return [phase]

    def _channel_phases(
        self, x: Array, y: Array, others: Callable[[Any], Array], spaces: list[Array]
    ) -> list[Phase]:
        batch, rows, channels = x.shape
        phases: list[Phase] = []
        everything = slice(None)
        merged = not any(isinstance(stage, Times) for stage in self.before)
        if self.before:
            made = space(spaces[0], batch, rows, channels)
            calls: list[Call] = []
            for b in range(batch):
                pick = _picker(others, b, everything, everything, merged)
                calls += apart(self.before, x[b], made[b], spaces[1], pick)
            phases.append([calls])
            x = made
        phase: Phase = []
        for first, last in self.team.shares(self.weight.shape[1], 16):
            part, calls = slice(first, last), []
            spare = spaces[1][self.batch * self.rows * first :]
            for b in range(batch):
                target = y[b, :, part]
                pick = _picker(others, b, everything, part, merged)
                calls.append((np.matmul, (x[b], self.weight[:, part], target)))
                calls += elementwise(self.after, target, target, spare, pick)
            phase.append(calls)
        return [*phases, phase]


@dataclass(slots=True)
class Im2col:
    """y = stages(columns(x) · W).  (B, H, W, C), (groups, kh·kw·C / groups, K / groups).

    A strip's columns are (rows · W′, kh·kw·C): with channels last a window's row is one
    run of memory, so that making them is a copy of long runs.
    """

    name = "im2col"
    geometry: Geometry
    weight: Array
    after: list[Stage]
    team: Team

    @property
    def groups(self) -> int:
        """The number of independent products."""
        return len(self.weight)

    @property
    def depth(self) -> int:
        """The length of a window."""
        return math.prod(self.geometry.kernel) * self.geometry.channels

    @property
    def by_channels(self) -> bool:
        """Whether the threads share the output channels, not the rows."""
        g = self.geometry
        few = g.batch * math.prod(g.out) < min(2 * ROWS, g.outputs)
        return self.team.size > 1 and few and self.groups == 1

    @property
    def strip(self) -> int:
        """Output rows at a time."""
        g = self.geometry
        if self.by_channels:
            return -(-g.out[0] // self.team.size)
        positions = max(ROWS, STRIP // self.depth)
        return max(1, min(-(-g.out[0] // self.team.size), positions // g.out[1]))

    @property
    def spaces(self) -> list[int]:
        """For each thread: columns, padded rows, products and a spare."""
        g = self.geometry
        rows, image = self.strip * g.out[1], math.prod(g.out)
        padded = rows_seen(self.strip, g) if g.padded else 0
        if self.by_channels:
            columns = [g.batch * image * self.depth, g.batch * image * g.outputs]
            return [*columns, *[padded] * self.team.size]
        grouped = rows * g.outputs if self.groups > 1 else 0
        return [rows * self.depth, padded, grouped, rows * g.outputs] * self.team.size

    def bind(
        self, x: Array, y: Array, others: Callable[[Any], Array], spaces: list[Array]
    ) -> list[Phase]:
        """The calls.  x: (B, H, W, C); y: (B, H′, W′, K); `others` in the form of y."""
        if self.by_channels:
            return self._channel_phases(x, y, others, spaces)
        g = self.geometry
        phase: Phase = []
        for number, (first, last) in enumerate(self.team.shares(g.batch * g.out[0])):
            columns, padded, grouped, spare = spaces[4 * number : 4 * number + 4]
            calls: list[Call] = []
            for b, start, end in _strips(first, last, g.out[0], self.strip):
                rows, made = padded_rows(x[b], start, end, g, padded)
                calls += made
                calls += self._columns(rows, end - start, columns)
                part = slice(start, end)
                target = y[b, part]
                pick = _picker(others, b, part, slice(None), merged=False)
                flat = as_view(target, -1, g.outputs)
                if self.groups == 1:
                    matrix = space(columns, len(flat), self.depth)
                    calls.append((np.matmul, (matrix, self.weight[0], flat)))
                    calls += elementwise(self.after, target, target, spare, pick)
                    continue
                split = space(columns, self.groups, len(flat), self.depth // self.groups)
                products = space(grouped, self.groups, len(flat), self.weight.shape[2])
                calls.append((np.matmul, (split, self.weight, products)))
                grouped_target = as_view(flat, len(flat), self.groups, -1)
                calls.append((np.copyto, (grouped_target, products.swapaxes(0, 1))))
                calls += elementwise(self.after, target, target, spare, pick)
            phase.append(calls)
        return [phase]

    def _columns(self, rows: Array, count: int, into: Array) -> list[Call]:
        g = self.geometry
        view = window_view(rows, (count, g.out[1]), g)
        if self.groups == 1:
            return [(np.copyto, (space(into, *view.shape), view))]
        # (rows, W′, kh, kw, groups, C / groups) → (groups, rows, W′, kh, kw, C / groups)
        split = as_view(view, *view.shape[:-1], self.groups, -1)
        moved = np.moveaxis(split, 4, 0)
        return [(np.copyto, (space(into, *moved.shape), moved))]

    def _channel_phases(
        self, x: Array, y: Array, others: Callable[[Any], Array], spaces: list[Array]
    ) -> list[Phase]:
        g = self.geometry
        columns, spare, *padded = spaces
        whole = space(columns, g.batch, g.out[0], g.out[1] * self.depth)
        gather: Phase = []
        for number, (first, last) in enumerate(self.team.shares(g.batch * g.out[0])):
            calls: list[Call] = []
            for b, start, end in _strips(first, last, g.out[0], self.strip):
                rows, made = padded_rows(x[b], start, end, g, padded[number])
                calls += [*made, *self._columns(rows, end - start, whole[b, start:].ravel())]
            gather.append(calls)
        matrix = space(columns, g.batch * math.prod(g.out), self.depth)
        phase: Phase = []
        flat = _merged(as_view(y, g.batch, -1, g.outputs))[0]
        for first, last in self.team.shares(g.outputs, 16):
            part = slice(first, last)
            target = flat[:, part]
            own = spare[len(flat) * first :]
            pick = _picker(others, 0, slice(None), part, merged=True)
            phase.append(
                [
                    (np.matmul, (matrix, self.weight[0, :, part], target)),
                    *elementwise(self.after, target, target, own, pick),
                ]
            )
        return [gather, phase]


def _merged(array: Array) -> Array:
    """(B, *S, C) → (1, B · ∏S, C), a view."""
    return as_view(array, 1, -1, array.shape[-1])


def _strips(first: int, last: int, rows: int, size: int) -> list[tuple[int, int, int]]:
    """(sample, first row, last row) of the rows `first` to `last` of all samples."""
    strips = []
    while first < last:
        b, start = divmod(first, rows)
        end = min(rows, start + last - first)
        # Strips of one length rather than a short one at the end.
        parts = max(1, -(-(end - start) // size))
        cuts = [start + (end - start) * i // parts for i in range(parts + 1)]
        strips += [(b, a, z) for a, z in pairwise(cuts)]
        first += end - start
    return strips


def _picker(
    others: Callable[[Any], Array], b: int, rows: slice, part: slice, merged: bool
) -> Callable[[Any], Array]:
    """The part of a tensor or vector that stands beside a strip."""

    def pick(what: Any) -> Array:
        array: Array = others(what)
        if array.ndim == 1:
            return array[part]
        if merged:
            array = _merged(array)
        # A gate has one row, which stands beside all.
        if array.shape[1] == 1 and array.ndim == 3:
            array = array[b]
            return array[..., part]
        array = array[b, rows]
        return array[..., part]

    return pick
