"""Attention within windows: where two tokens lie to each other, and which belong together."""

from __future__ import annotations

import math

from cnndsl.diagnostics import OpError
from cnndsl.ops.arrays import np
from cnndsl.ops.base import op
from cnndsl.ops.facts import (
    SAME,
    Array,
    Call,
    Family,
    Integers,
    Operand,
    Reading,
    Saved,
    Shape,
    Taps,
    Torch,
    real,
    spell_shape,
)
from cnndsl.ops.learned import Given
from cnndsl.ops.onnx_steps import Onnx, Value
from cnndsl.ops.shapes import compact, per_stride
from cnndsl.ops.shuffle import Moved
from cnndsl.ops.strides import by_repetition
from cnndsl.ops.words import spoken

RELATIVE = '''def relative(
    x: Tensor, window: tuple[int, ...], signed: bool = True, stride: int = 1
) -> Tensor:
    """Of a table of offsets, those of each pair of a window's places."""
    rows = torch.zeros([1, 1], dtype=torch.long, device=x.device)
    for size in window:
        place = torch.arange(size, device=x.device)
        offset = place[::stride, None] - place
        offset = offset + size - 1 if signed else offset.abs()
        offsets = 2 * size - 1 if signed else size
        rows = rows[:, None, :, None] * offsets + offset[:, None]
        rows = rows.flatten(2).flatten(0, 1)
    return x[:, rows]
'''

WINDOW_MASK = '''def window_mask(
    x: Tensor,
    size: tuple[int, ...],
    window: tuple[int, ...],
    shift: tuple[int, ...],
    value: float,
) -> Tensor:
    """For each window of a shifted map: `value` for pairs that were no neighbours."""
    parts = torch.zeros([1, 1], dtype=torch.long, device=x.device)
    for axis, whole in enumerate(size):
        place = torch.arange(whole, device=x.device)
        part = (place >= whole - window[axis]).long() + (
            place >= whole - shift[axis]
        ).long()
        part = part.view(-1, window[axis])
        parts = parts[:, None, :, None] * 3 + part[:, None]
        parts = parts.flatten(2).flatten(0, 1)
    apart = parts[:, None] != parts[:, :, None]
    return (apart.to(x.dtype) * value).expand([x.shape[0], -1, -1, -1])
'''


@op("relative", Family.RESHAPE)
class Relative(Moved):
    """Of a table with a row an offset, the row of each pair of places.  (P, *S) → (m, n, *S).

    The n places of a window h×w lie row by row; the m that ask are those that a stride leaves.
    P = (2h − 1)(2w − 1), and place i reads of place j the row of their offset
    (y + h − 1)(2w − 1) + x + w − 1, where (y, x) = i − j. Without signs P = h·w, and the row is
    |y|·w + |x|.
    Raises OpError: another number of rows; a stride below 1.
    Source: Liu et al. 2021, arXiv:2103.14030, §3.2 (relative position bias); Graham et al.
    2021, arXiv:2104.01136, §4.2 (without signs, with a stride).
    """

    places: Integers
    signed: bool = True
    stride: int = 1

    elsewhere = "relativepositionbias relpos relposbias attentionbias"

    def reads(self, *inputs: Shape) -> tuple[Reading, ...]:
        """One of the rows."""
        # In a line, a place reads a run of rows, so much further than the place before.
        line = len(self.places) == 1 and self.signed
        first = {(0, 0): Taps((0,), (int(self.places[0]) - 1,), int(self.stride))}
        rest = ({(0, axis): SAME} for axis in range(1, len(inputs[0])))
        axes = (first if line else {}, {}, *rest)
        return (Reading(axes, anywhere=frozenset() if line else frozenset({(0, 0)})),)

    def saves(self, *inputs: Shape, grads: tuple[bool, ...]) -> Saved:
        """The index of each pair's row, 8 bytes."""
        return Saved(fixed=8 * math.prod(self.shape(*inputs)[:2]))

    def shape(self, *inputs: Shape) -> Shape:
        """(m, n, *S)."""
        if self.stride < 1:
            raise OpError(f"a stride of {self.stride}", attribute="stride")
        rows, *rest = inputs[0]
        offsets = math.prod(2 * n - 1 if self.signed else n for n in self.places)
        if rows != offsets:
            raise OpError(
                f"a window {compact(self.places)} cannot be read from {spell_shape(inputs[0])}",
                help=f"it has {int(offsets)} offsets: so many rows are needed",
                attribute="places",
            )
        asking = math.prod((n - 1) // self.stride + 1 for n in self.places)
        return (asking, math.prod(self.places), *rest)

    def figure(self) -> str:
        """`relative 7×7 /2`."""
        return f"relative {compact(self.places)}{per_stride((self.stride,))}"

    def rows(self) -> Array:
        """Which row each pair reads."""
        found = np.zeros((1, 1), np.int64)
        for size in map(int, self.places):
            place = np.arange(size)
            offset = place[:: int(self.stride), None] - place
            offset = offset + size - 1 if self.signed else abs(offset)
            offsets = 2 * size - 1 if self.signed else size
            found = found[:, None, :, None] * offsets + offset[:, None]
            found = found.reshape(found.shape[0] * len(offset), -1)
        return found

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """NumPy's indexing."""
        return inputs[0][:, self.rows()]

    def torch(self, *inputs: Shape) -> Torch:
        """A function of the file's own."""
        keywords: dict[str, tuple[object, object]] = {
            "signed": (self.signed, True),
            "stride": (self.stride, 1),
        }
        call = Call("relative", (Operand(0), tuple(self.places)), keywords)
        return Torch(function=call, helper=RELATIVE)

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`Gather`."""
        return to("Gather", inputs[0], to.constant(self.rows()), axis=1)


@op("window_mask", Family.GIVEN)
class WindowMask(Given):
    """What keeps apart what a shift brought together.  → (windows, n, n).

    A map of `size`, rolled back by `shift`, is cut into windows of n places: `value` stands for
    two places that came from different ends, 0 for two that were neighbours.
    Raises OpError: the window does not divide the size; a shift as large as the window.
    Source: Liu et al. 2021, arXiv:2103.14030, §3.2 (masked attention of shifted windows).
    """

    size: Integers
    places: Integers
    shift: Integers
    value: float = -100.0

    laid = by_repetition
    discrete = ("out",)

    def shape(self, *inputs: Shape) -> Shape:
        """(windows, n, n)."""
        axes = len(self.size)
        for name, count in (("places", len(self.places)), ("shift", len(self.shift))):
            if count != axes:
                raise OpError(f"`{name}` has {count} axes, and `size` {axes}", attribute=name)
        given = list(zip(self.size, self.places, self.shift, strict=True))
        for whole, side, shift in given:
            if side < 1 or whole < side or whole % side:
                raise OpError(
                    f"a window {compact(self.places)} does not divide {compact(self.size)}",
                    help="the window must divide the size",
                    attribute="places",
                )
            if not 0 <= shift < side:
                raise OpError(
                    f"a window {compact(self.places)} cannot shift by {compact(self.shift)}",
                    help="it must be less than the window",
                    attribute="shift",
                )
        places = math.prod(self.places)
        return (math.prod(whole // side for whole, side, _ in given), places, places)

    def figure(self) -> str:
        """`−100 across windows 7×7 of 56×56, shifted by 3×3`."""
        windows = f"{compact(self.places)} of {compact(self.size)}"
        return (
            f"{spoken(self.value)} across windows {windows}, shifted by {compact(self.shift)}"
        )

    def mask(self) -> Array:
        """(windows, n, n)."""
        parts = np.zeros((1, 1), np.int64)
        for whole, side, shift in zip(self.size, self.places, self.shift, strict=True):
            place = np.arange(int(whole))
            part = (place >= whole - side).astype(int) + (place >= whole - shift)
            part = part.reshape(-1, int(side))
            parts = parts[:, None, :, None] * 3 + part[:, None]
            parts = parts.reshape(parts.shape[0] * len(part), -1)
        apart = parts[:, None] != parts[:, :, None]
        found: Array = apart * float(self.value)
        return found

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """A copy for each sample."""
        found = self.mask().astype(inputs[0].dtype)
        return np.repeat(found[None], len(inputs[0]), axis=0)

    def torch(self, *inputs: Shape) -> Torch:
        """A function of the file's own."""
        sizes = (tuple(self.size), tuple(self.places), tuple(self.shift))
        call = Call("window_mask", (Operand(0), *sizes, real(self.value)))
        return Torch(function=call, helper=WINDOW_MASK)

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`Expand` over the batch."""
        mask = self.mask().astype(np.float32)[None]
        return self.expanded(to, inputs[0], to.constant(mask), tuple(mask.shape[1:]))
