"""Steps that are no convolution: elementwise, global mean, upsampling, copies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from cnndsl.backends.numpy.interpreter import evaluated
from cnndsl.backends.numpy.plan.calls import Call, Phase, as_view, elementwise, space
from cnndsl.backends.numpy.plan.product import _merged, _picker, _strips
from cnndsl.backends.numpy.plan.rewrites import Key, Layer, Stage, Times
from cnndsl.backends.numpy.plan.threads import Team
from cnndsl.ops.facts import Array, Size

STRIP = 1 << 15
"""Elements at a time: small enough that several passes find them in the cache."""


@dataclass(slots=True)
class Each:
    """Stages over every element.  (B, R, C) → (B, R, C)."""

    name = "elementwise"
    batch: int
    rows: int
    channels: int
    stages: list[Stage]
    team: Team

    @property
    def strip(self) -> int:
        """Rows at a time."""
        return max(1, STRIP // self.channels)

    @property
    def spaces(self) -> list[int]:
        """For each thread a strip and a spare; for a copy nothing."""
        if not self.stages:
            return []
        return [min(self.strip, self.batch * self.rows) * self.channels] * (2 * self.team.size)

    def bind(
        self, x: Array, y: Array, others: Callable[[Any], Array], spaces: list[Array]
    ) -> list[Phase]:
        """The calls; x is kept as it is."""
        merged = not any(isinstance(stage, Times) for stage in self.stages)
        if merged:
            x, y = _merged(x), _merged(y)
        batch, rows = x.shape[:2]
        phase: Phase = []
        for number, (first, last) in enumerate(self.team.shares(batch * rows)):
            strip, spare = spaces[2 * number : 2 * number + 2] if self.stages else (x, x)
            calls: list[Call] = []
            for b, start, end in _strips(first, last, rows, self.strip):
                pick = _picker(others, b, slice(start, end), slice(None), merged)
                source, target = x[b, start:end], y[b, start:end]
                made = space(strip, *source.shape) if len(self.stages) > 1 else target
                calls += elementwise(self.stages[:1], source, made, spare, pick)
                calls += elementwise(self.stages[1:], made, target, spare, pick)
            phase.append(calls)
        return [phase]


@dataclass(slots=True)
class GlobalMean:
    """The mean over all positions.  (B, R, C) → (B, C)."""

    name = "global mean"
    team: Team

    def bind(self, x: Array, y: Array) -> list[Phase]:
        """The calls.  The threads share the channels."""
        factor = np.asarray(1 / x.shape[1], x.dtype)
        phase: Phase = []
        for first, last in self.team.shares(x.shape[2], 16):
            into = y[:, first:last]
            mean = partial(np.add.reduce, x[:, :, first:last], axis=1, out=into)
            phase.append([(mean, ()), (np.multiply, (into, factor, into))])
        return [phase]


@dataclass(slots=True)
class Spread:
    """Transposed convolution whose windows do not overlap.  (B, H, W, C) → (B, H′, W′, K).

    One product gives each position's window, which is then copied where it belongs.
    """

    name = "product, spread"
    weight: Array
    """(C, kh · kw · K)."""
    kernel: Size
    after: list[Stage]
    size: Size
    team: Team

    @property
    def strip(self) -> int:
        """Input rows at a time."""
        return int(
            max(1, min(self.size[0], STRIP * 4 // (self.size[1] * self.weight.shape[1])))
        )

    @property
    def spaces(self) -> list[int]:
        """For each thread the windows of a strip and a spare."""
        return [self.strip * self.size[1] * self.weight.shape[1]] * (2 * self.team.size)

    def bind(
        self, x: Array, y: Array, others: Callable[[Any], Array], spaces: list[Array]
    ) -> list[Phase]:
        """The calls."""
        (height, width), (kh, kw) = self.size, self.kernel
        outputs = y.shape[-1]
        phase: Phase = []
        for number, (first, last) in enumerate(self.team.shares(len(x) * height)):
            windows, spare = spaces[2 * number : 2 * number + 2]
            calls: list[Call] = []
            for b, start, end in _strips(first, last, height, self.strip):
                count = end - start
                made = space(windows, count * width, self.weight.shape[1])
                flat = as_view(x[b, start:end], count * width, x.shape[-1])
                calls.append((np.matmul, (flat, self.weight, made)))
                source = made.reshape(count, width, kh, kw, outputs)
                rows = y[b, start * kh : end * kh]
                target = as_view(rows, count, kh, width, kw, outputs).swapaxes(1, 2)
                calls += elementwise(self.after, source, target, spare, others)
            phase.append(calls)
        return [phase]


@dataclass(slots=True)
class Permute:
    """Axes split and permuted: one strided copy.  (B, *S, C) → (B, *S′, C′)."""

    name = "permuted copy"
    split: Size
    order: Size
    spaces: tuple[int, ...] = ()

    def bind(
        self, x: Array, y: Array, others: Callable[[Any], Array], spaces: list[Array]
    ) -> list[Phase]:
        """The call, on views whose channels come first."""
        channels_first = np.moveaxis(x, -1, 1)
        seen = as_view(channels_first, len(x), *self.split)
        seen = seen.transpose(0, *(i + 1 for i in self.order))
        made = as_view(np.moveaxis(y, -1, 1), *seen.shape)
        return [[[(np.copyto, (made, seen))]]]


@dataclass(slots=True)
class Definition:
    """The layers of a task one after another, as the interpreter computes them.

    `inputs` and `outputs` are the task's arrays with the channels first; `integers` says
    which tensors are whole numbers. Every result is a new array.
    """

    layers: list[Layer]
    inputs: dict[Key, Array]
    outputs: dict[Key, Array]
    integers: frozenset[Key]

    def __call__(self) -> None:
        """Compute them, and copy the results where they belong."""
        dtype = next(iter(self.outputs.values())).dtype
        values = {
            key: x.astype(np.int64) if key in self.integers else x
            for key, x in self.inputs.items()
        }
        for layer in self.layers:
            operands = [values[key] for key in layer.reads]
            made = evaluated(layer.node.op, operands, layer.weights, dtype)
            values |= zip(layer.writes, made, strict=True)
        for key, target in self.outputs.items():
            np.copyto(target, values[key])
