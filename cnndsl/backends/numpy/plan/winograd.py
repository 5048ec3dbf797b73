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

from cnndsl.backends.numpy.plan.calls import Call, Geometry, Phase, elementwise, space
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
"""G of the paper, §4.1 and §4.3."""

SMALL, LARGE = 1 << 19, 1 << 21
"""Elements of the transformed tiles at a time: as the caches like them; or more, so that
large kernels, which a product copies each time, serve more tiles."""
MANY = 8192
"""Products of channels from which on the kernels are large."""


def transformed_kernel(weight: Array, m: int) -> Array:
    """G g Gᵀ for each kernel.  (K, C, 3, 3) → ((m + 2)², K, C)."""
    outputs, channels = weight.shape[:2]
    g = np.asarray(KERNEL_TRANSFORM[m])
    both = np.kron(g, g).astype(weight.dtype)
    u = both @ weight.reshape(outputs * channels, 9).T
    return u.reshape(len(both), outputs, channels)


def input_calls(d: list[Array], v: list[Array], s: list[Array]) -> list[Call]:
    """Bᵀ d along one axis: m + 2 arrays in, as many out, with two spares."""
    if len(d) == 4:
        return [
            (np.subtract, (d[0], d[2], v[0])),
            (np.add, (d[1], d[2], v[1])),
            (np.subtract, (d[2], d[1], v[2])),
            (np.subtract, (d[1], d[3], v[3])),
        ]
    two, four = (np.asarray(c, d[0].dtype) for c in (2, 4))
    even, odd = s
    return [
        (np.multiply, (d[2], four, even)),
        (np.subtract, (d[4], even, even)),
        (np.multiply, (d[1], four, odd)),
        (np.subtract, (d[3], odd, odd)),
        (np.add, (even, odd, v[1])),
        (np.subtract, (even, odd, v[2])),
        (np.subtract, (d[4], d[2], even)),
        (np.subtract, (d[3], d[1], odd)),
        (np.multiply, (odd, two, odd)),
        (np.add, (even, odd, v[3])),
        (np.subtract, (even, odd, v[4])),
        (np.subtract, (d[0], d[2], v[0])),
        (np.multiply, (v[0], four, v[0])),
        (np.add, (v[0], even, v[0])),
        (np.multiply, (odd, two, odd)),
        (np.subtract, (d[5], d[3], v[5])),
        (np.subtract, (v[5], odd, v[5])),
    ]


def output_calls(p: list[Array], y: list[Array], s: list[Array]) -> list[Call]:
    """Aᵀ p along one axis: m + 2 arrays in, m out, with two spares."""
    if len(p) == 4:
        return [
            (np.add, (p[0], p[1], y[0])),
            (np.add, (y[0], p[2], y[0])),
            (np.subtract, (p[1], p[2], y[1])),
            (np.subtract, (y[1], p[3], y[1])),
        ]
    two, four = (np.asarray(c, p[0].dtype) for c in (2, 4))
    plus, minus = s
    return [
        (np.add, (p[1], p[2], plus)),
        (np.add, (p[3], p[4], minus)),
        (np.add, (p[0], plus, y[0])),
        (np.add, (y[0], minus, y[0])),
        (np.multiply, (minus, four, minus)),
        (np.add, (plus, minus, y[2])),
        (np.subtract, (p[1], p[2], plus)),
        (np.subtract, (p[3], p[4], minus)),
        (np.multiply, (minus, two, minus)),
        (np.add, (plus, minus, y[1])),
        (np.multiply, (minus, four, minus)),
        (np.add, (plus, minus, y[3])),
        (np.add, (y[3], p[5], y[3])),
    ]


@dataclass(slots=True)
class Winograd:
    """y = stages(conv(x)) for a 3×3 kernel of stride 1.  (B, H, W, C) → (B, H′, W′, K)."""

    geometry: Geometry
    weight: Array
    """Transformed: ((m + 2)², K, C)."""
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
        """Whether the threads share the channels: the tiles are few."""
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

    def sizes(self, rows: int, channels: int, outputs: int) -> list[int]:
        """Elements of: the padded input, half transformed, transformed; and the same back."""
        m, across = self.m, self.tiles[1]
        wide, n = m * across + 2, m + 2
        there = [(m * rows + 2) * wide, (n + 2) * rows * wide, (n * n + 2 * n) * rows * across]
        back = [n * n * rows * across, n * (m + 2) * rows * across, m * m * rows * across * 2]
        return [*(size * channels for size in there), *(size * outputs for size in back)]

    @property
    def spaces(self) -> list[int]:
        """A set for each thread; where they share the channels, for each sample's whole."""
        g = self.geometry
        one = self.sizes(self.rows, g.channels, g.outputs)
        return one * (1 if self.by_channels else self.team.size)

    def bind(
        self, x: Array, y: Array, others: Callable[[Any], Array], spaces: list[Array]
    ) -> list[Phase]:
        """The calls.  x: (B, H, W, C); y: (B, H′, W′, K); `others` in the form of y."""
        g, down = self.geometry, self.tiles[0]
        if self.by_channels:
            return self._channel_phases(x, y, others, spaces)
        blocks = [
            (b, first, last)
            for b in range(g.batch)
            for first, last in shares(down, -(-down // self.rows))
        ]
        phase: Phase = []
        for number, (first, last) in enumerate(self.team.shares(len(blocks))):
            own = spaces[6 * number : 6 * number + 6]
            calls: list[Call] = []
            for block in blocks[first:last]:
                v, made = self._there(x, *block, own)
                calls += made
                calls += self._back(v, y, *block, slice(0, g.outputs), own, others)
            phase.append(calls)
        return [phase]

    def _channel_phases(
        self, x: Array, y: Array, others: Callable[[Any], Array], spaces: list[Array]
    ) -> list[Phase]:
        g, down = self.geometry, self.tiles[0]
        phases: list[Phase] = []
        whole = self.sizes(down, 1, 1)
        for b in range(g.batch):
            # Not shared: over so few tiles the calls are short, and threads that ask for the
            # interpreter's lock at every one wait longer than they work.
            v, there = self._there(x, b, 0, down, spaces)
            back: Phase = []
            for first, last in self.team.shares(g.outputs, 16):
                own = [flat[size * first :] for flat, size in zip(spaces, whole, strict=False)]
                back.append(self._back(v, y, b, 0, down, slice(first, last), own, others))
            phases += [[there], back]
        return phases

    def _there(
        self,
        x: Array,
        b: int,
        first: int,
        last: int,
        spaces: list[Array],
    ) -> tuple[Array, list[Call]]:
        """The transformed tiles of some rows, ((m + 2)², tiles, C), and how they are made."""
        g, m, n = self.geometry, self.m, self.m + 2
        rows, across = last - first, self.tiles[1]
        channels, wide = g.channels, m * across + 2
        d = space(spaces[0], m * rows + 2, wide, channels)
        (top, _), (left, _) = g.pads
        start = first * m - top
        low, high = max(start, 0), min(start + len(d), g.size[0])
        right = min(wide, left + g.size[1])
        inner = d[low - start : high - start, left:right]
        borders = [d[: low - start], d[high - start :], d[:, :left], d[:, right:]]
        calls: list[Call] = [(border.fill, (0,)) for border in borders if border.size]
        calls.append((np.copyto, (inner, x[b, low:high, : right - left])))
        half = space(spaces[1], n + 2, rows, wide, channels)
        seen = [d[i : i + m * (rows - 1) + 1 : m] for i in range(n)]
        calls += input_calls(seen, list(half[:n]), list(half[n:]))
        v = space(spaces[2], n * n, rows * across, channels)
        spare = spaces[2][v.size :]
        tiles = v.reshape(n, n, rows, across, channels)
        spares = list(space(spare, 2, n, rows, across, channels))
        columns = [half[:n, :, j : j + m * (across - 1) + 1 : m] for j in range(n)]
        calls += input_calls(columns, [tiles[:, j] for j in range(n)], spares)
        return v, calls

    def _back(
        self,
        v: Array,
        y: Array,
        b: int,
        first: int,
        last: int,
        part: slice,
        spaces: list[Array],
        others: Callable[[Any], Array],
    ) -> list[Call]:
        """The products, the transform of their results, and the stages into the output."""
        g, m, n = self.geometry, self.m, self.m + 2
        rows, across = last - first, self.tiles[1]
        outputs = part.stop - part.start
        products = space(spaces[3], n * n, rows * across, outputs)
        calls: list[Call] = [(np.matmul, (v, self.weight[:, part].swapaxes(1, 2), products))]
        tiles = products.reshape(n, n, rows, across, outputs)
        half = space(spaces[4], n * (m + 2), rows, across, outputs)
        rest = half[: n * m].reshape(m, n, *half.shape[1:])
        spares = list(half[n * m :].reshape(2, n, *half.shape[1:]))
        calls += output_calls(list(tiles), list(rest), spares)
        image = space(spaces[5], rows, m, across, m, outputs)
        places = image.swapaxes(0, 1)
        made = [places[:, :, :, j] for j in range(m)]
        spares = [spare[:m] for spare in spares]
        calls += output_calls([rest[:, j] for j in range(n)], made, spares)
        start, end = first * m, min(last * m, g.out[0])
        shown = image.reshape(rows * m, across * m, outputs)[: end - start, : g.out[1]]
        calls.append((_watch, (image.reshape(-1), shown, self.suspect)))
        pick = _picker(others, b, slice(start, end), part, merged=False)
        spare = spaces[5][image.size :]
        return calls + elementwise(self.after, shown, y[b, start:end, :, part], spare, pick)


def _watch(image: Array, shown: Array, suspect: list[bool]) -> None:
    """Note what is not finite in the results of some tiles.

    A tile spreads an infinity or a NaN of its input to all of its results, and may itself
    overflow where the definition does not; both are seen in what comes out, before an
    activation can hide them. One product is the cheapest pass over all numbers; it too may
    overflow, so that they are looked at one by one before they are suspected.
    """
    if not math.isfinite(np.dot(image, image)) and not np.isfinite(shown).all():
        suspect[0] = True
