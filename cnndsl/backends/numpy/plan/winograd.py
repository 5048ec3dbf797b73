"""Winograd's convolution F(m×m, 3×3): fewer products for each output.

A tile of m × m outputs needs (m + 2)² products instead of 9·m²: 2.25 times fewer for
m = 2, 4 times fewer for m = 4. With the matrices of the paper,

    Y = Aᵀ [ (G g Gᵀ) ⊙ (Bᵀ d B) ] A

for a tile d of the input and a kernel g; over the channels, each of the (m + 2)² places is
one matrix product of (tiles, C) and (C, K).

Source: Lavin & Gray 2015, arXiv:1509.09308, §4.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cnndsl.backends.numpy.plan.calls import (
    Call,
    Geometry,
    Phase,
    as_view,
    elementwise,
    space,
)
from cnndsl.backends.numpy.plan.product import _picker
from cnndsl.backends.numpy.plan.rewrites import Stage
from cnndsl.backends.numpy.plan.threads import Team, shares
from cnndsl.ops.facts import Array

KERNEL_TRANSFORM = {
    2: ((1, 0, 0), (1 / 2, 1 / 2, 1 / 2), (1 / 2, -1 / 2, 1 / 2), (0, 0, 1)),
    4: (
        (1 / 4, 0, 0),
        (-1 / 6, -1 / 6, -1 / 6),
        (-1 / 6, 1 / 6, -1 / 6),
        (1 / 24, 1 / 12, 1 / 6),
        (1 / 24, -1 / 12, 1 / 6),
        (0, 0, 1),
    ),
}
"""G of the paper, §4.1 and §4.3, by m."""
INPUT_TRANSFORM = {
    2: ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1)),
    4: (
        (4, 0, -5, 0, 1, 0),
        (0, -4, -4, 1, 1, 0),
        (0, 4, -4, -1, 1, 0),
        (0, -2, -1, 2, 1, 0),
        (0, 2, -1, -2, 1, 0),
        (0, 4, 0, -5, 0, 1),
    ),
}
"""Bᵀ."""
OUTPUT_TRANSFORM = {
    2: ((1, 1, 1, 0), (0, 1, -1, -1)),
    4: (
        (1, 1, 1, 1, 1, 0),
        (0, 1, -1, 2, -2, 0),
        (0, 1, 1, 4, 4, 0),
        (0, 1, -1, 8, -8, 1),
    ),
}
"""Aᵀ."""

SMALL, LARGE = 1 << 20, 1 << 21
"""Elements of the transformed tiles at a time: as the caches like them; or more, so that
large kernels, which a product copies each time, serve more tiles."""
MANY = 8192
"""Products of channels from which on the kernels are large."""


def both_axes(matrix: tuple[tuple[float, ...], ...], dtype: np.dtype[Any]) -> Array:
    """M x Mᵀ as one product with x as a column: M ⊗ M.  (a, b) → (a², b²)."""
    return np.kron(matrix, matrix).astype(dtype)


def transformed_kernel(weight: Array, m: int) -> Array:
    """G g Gᵀ for each kernel.  (K, C, 3, 3) → ((m + 2)², C, K)."""
    outputs, channels = weight.shape[:2]
    both = both_axes(KERNEL_TRANSFORM[m], weight.dtype)
    u = both @ weight.transpose(2, 3, 1, 0).reshape(9, channels * outputs)
    return u.reshape(len(both), channels, outputs)


@dataclass(slots=True)
class Winograd:
    """y = stages(conv(x)) for a 3×3 kernel of stride 1.  (B, H, W, C) → (B, H′, W′, K)."""

    geometry: Geometry
    weight: Array
    """Transformed: ((m + 2)², C, K)."""
    m: int
    after: list[Stage]
    team: Team
    suspect: list[bool] = field(default_factory=lambda: [False])
    """Whether the last run met something that it cannot compute: see `_watch`."""

    @property
    def name(self) -> str:
        """`winograd 4×4`."""
        return f"winograd {self.m}×{self.m}"

    @property
    def tiles(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        height, width = self.geometry.out
        return -(-height // self.m), -(-width // self.m)

    @property
    def by_channels(self) -> bool:
        """Whether the threads share the output channels: the tiles are few."""
        down, across = self.tiles
        return self.team.size > 1 and self.geometry.batch * down * across < 160

    @property
    def rows(self) -> int:
        """Rows of tiles at a time."""
        down, across = self.tiles
        if self.by_channels:
            return down
        g = self.geometry
        row = (self.m + 2) ** 2 * across * (g.channels + g.outputs)
        per_thread = -(-g.batch * down // self.team.size)
        block = SMALL if g.channels * g.outputs <= MANY else LARGE
        parts = max(1, -(-per_thread * row // block))
        return max(1, min(down, -(-per_thread // parts)))

    @property
    def spaces(self) -> list[int]:
        """The tiles, then the products; the transformed tiles; the results; the padded input.

        A set for each thread; where they share the channels, one set, and the last for each.
        """
        g, m, n = self.geometry, self.m, self.m + 2
        across = self.tiles[1]
        tiles = self.rows * across
        made = [n * n * tiles * max(g.channels, g.outputs), n * n * tiles * g.channels]
        results = m * m * tiles * g.outputs
        padded = (m * self.rows + 2) * (m * across + 2) * g.channels
        if self.by_channels:
            return [*made, results, *[padded] * self.team.size]
        return [*made, results, padded] * self.team.size

    def bind(
        self, x: Array, y: Array, others: Callable[[Any], Array], spaces: list[Array]
    ) -> list[Phase]:
        """The calls.  x: (B, H, W, C); y: (B, H′, W′, K); `others` in the form of y."""
        g, (down, across) = self.geometry, self.tiles
        if self.by_channels:
            return self._channel_phases(x, y, others, spaces)
        blocks = [
            (b, first, last)
            for b in range(g.batch)
            for first, last in shares(down, -(-down // self.rows))
        ]
        phase: Phase = []
        for number, (first, last) in enumerate(self.team.shares(len(blocks))):
            tiles, made, results, padded = spaces[4 * number : 4 * number + 4]
            calls: list[Call] = []
            for block in blocks[first:last]:
                v = space(made, len(self.weight), (block[2] - block[1]) * across, g.channels)
                calls += self._there(x, *block, tiles, padded, v)
                everything = slice(0, g.outputs)
                calls += self._back(v, y, *block, everything, tiles, results, others)
            phase.append(calls)
        return [phase]

    def _channel_phases(
        self, x: Array, y: Array, others: Callable[[Any], Array], spaces: list[Array]
    ) -> list[Phase]:
        g, (down, across) = self.geometry, self.tiles
        tiles, made, results, *padded = spaces
        v = space(made, len(self.weight), down * across, g.channels)
        phases: list[Phase] = []
        for b in range(g.batch):
            there: Phase = []
            for number, (first, last) in enumerate(self.team.shares(down)):
                part = v[:, first * across : last * across]
                own = tiles[len(v) * first * across * g.channels :]
                there.append(self._there(x, b, first, last, own, padded[number], part))
            back: Phase = []
            for first, last in self.team.shares(g.outputs, 16):
                own = tiles[len(v) * down * across * first :]
                mine = results[self.m**2 * down * across * first :]
                back.append(self._back(v, y, b, 0, down, slice(first, last), own, mine, others))
            phases += [there, back]
        return phases

    def _there(
        self, x: Array, b: int, first: int, last: int, tiles: Array, padded: Array, v: Array
    ) -> list[Call]:
        """How the tiles of some rows are transformed into v, ((m + 2)², tiles, C)."""
        g, m, n = self.geometry, self.m, self.m + 2
        rows, across = last - first, self.tiles[1]
        wide = m * across + 2
        d = space(padded, m * rows + 2, wide, g.channels)
        (top, _), (left, _) = g.pads
        start = first * m - top
        low, high = max(start, 0), min(start + len(d), g.size[0])
        right = min(wide, left + g.size[1])
        inner = d[low - start : high - start, left:right]
        borders = [d[: low - start], d[high - start :], d[:, :left], d[:, right:]]
        calls: list[Call] = [(border.fill, (0,)) for border in borders if border.size]
        calls.append((np.copyto, (inner, x[b, low:high, : right - left])))
        row, column, channel = d.strides
        seen = np.lib.stride_tricks.as_strided(
            d,
            (n, n, rows, across, g.channels),
            (row, column, m * row, m * column, channel),
        )
        flat = space(tiles, n * n, rows * across * g.channels)
        calls.append((np.copyto, (flat.reshape(seen.shape), seen)))
        transform = both_axes(INPUT_TRANSFORM[m], x.dtype)
        return [*calls, (np.matmul, (transform, flat, as_view(v, n * n, -1)))]

    def _back(
        self,
        v: Array,
        y: Array,
        b: int,
        first: int,
        last: int,
        part: slice,
        tiles: Array,
        results: Array,
        others: Callable[[Any], Array],
    ) -> list[Call]:
        """The products, the transform of their results, and the stages into the output."""
        g, m = self.geometry, self.m
        rows, across = last - first, self.tiles[1]
        outputs = part.stop - part.start
        products = space(tiles, len(v), rows * across, outputs)
        transform = both_axes(OUTPUT_TRANSFORM[m], y.dtype)
        made = space(results, m, m, rows, across, outputs)
        image = space(tiles, rows * m, across * m, outputs)
        places = image.reshape(rows, m, across, m, outputs)
        start, end = first * m, min(last * m, g.out[0])
        shown = image[: end - start, : g.out[1]]
        pick = _picker(others, b, slice(start, end), part, merged=False)
        return [
            (np.matmul, (v, self.weight[:, :, part], products)),
            (
                np.matmul,
                (transform, products.reshape(len(v), -1), made.reshape(m * m, -1)),
            ),
            (np.copyto, (places, made.transpose(2, 0, 3, 1, 4))),
            (_watch, (image.reshape(-1), shown, self.suspect)),
            *elementwise(self.after, shown, y[b, start:end, :, part], results, pick),
        ]


def _watch(image: Array, shown: Array, suspect: list[bool]) -> None:
    """Note what is not finite in the results of some tiles.

    A tile spreads an infinity or a NaN of its input to all of its results, and may itself
    overflow where the definition does not; both are seen in what comes out, before an
    activation can hide them. One product is the cheapest pass over all numbers; it too may
    overflow, so that they are looked at one by one before they are suspected.
    """
    if not math.isfinite(np.dot(image, image)) and not np.isfinite(shown).all():
        suspect[0] = True
