"""Elements in other places: pixels to channels and back, turned, moved on, a part."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cnndsl.diagnostics import OpError
from cnndsl.ops.arrays import np
from cnndsl.ops.base import Op, op
from cnndsl.ops.facts import (
    NOTHING,
    Array,
    Call,
    Family,
    Integers,
    Operand,
    Reading,
    Shape,
    Taps,
    Template,
    Torch,
    Window,
)
from cnndsl.ops.onnx_steps import Onnx, Value, fixed
from cnndsl.ops.reads import pointwise
from cnndsl.ops.shapes import check_axis, spatial
from cnndsl.ops.strides import Laid, by_elements, by_format, fresh
from cnndsl.ops.words import spoken

END = 2**62
"""Beyond every axis."""


class Moved(Op):
    """Elements in other places: nothing is computed.  (*S) → (*S′)."""

    moves, keeps = True, NOTHING

    def macs(self, *inputs: Shape) -> int:
        """0: a copy."""
        return 0


class Dealt(Moved):
    """Axes split, permuted and merged again.  (*S) → (*S′)."""

    chained = True
    laid = by_format

    def cells(self, x: Shape) -> tuple[Integers, Integers]:
        """The sizes into which the axes are split, and the order that these take."""
        raise NotImplementedError(type(self))

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """Split, transpose, merge."""
        (x,) = inputs
        split, order = self.cells(x.shape[1:])
        moved = x.reshape(len(x), *split).transpose(0, *(axis + 1 for axis in order))
        return moved.reshape(len(x), *self.shape(x.shape[1:]))

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """Split, transpose, merge."""
        (x,) = inputs
        split, order = self.cells(x.shape)
        moved = to.transpose(to.reshape(x, split), order)
        return to.reshape(moved, self.shape(x.shape))


@op("pixel_shuffle", Family.RESHAPE)
class PixelShuffle(Dealt):
    """Channels to pixels, a square of r² of each.  (C·r², H, W) → (C, r·H, r·W).

    out[c, h·r + i, w·r + j] = x[c·r² + i·r + j, h, w].
    Raises OpError: r² does not divide the channels.
    Source: Shi et al. 2016, arXiv:1609.05158, §2.2.
    """

    factor: int = 2

    known = ("nn.PixelShuffle", "F.pixel_shuffle")
    elsewhere = "subpixel subpixelconv"

    def shape(self, *inputs: Shape) -> Shape:
        """(C, r·H, r·W)."""
        c, h, w = (inputs[0][0], *spatial(inputs[0], self.name, (2,)))
        r = self.factor
        if r < 1 or c % (r * r):
            message = f"{int(r)}² does not divide {int(c)} channels"
            wide = int(c * r * r)
            help = f"for {int(c)} channels, {wide} must enter: `conv({wide}, 3x3)` gives them"
            raise OpError(message, attribute="factor", help=help if r > 0 else "")
        return (c // (r * r), h * r, w * r)

    def window(self, *inputs: Shape) -> Window:
        """Each pixel reads its channels at one position."""
        side, (channels, *_) = (self.factor,) * 2, self.shape(*inputs)
        pads = ((0, 0),) * 2
        return Window(side, side, pads, (1, 1), transposed=True, groups=channels)

    def reads(self, *inputs: Shape) -> tuple[Reading, ...]:
        """One of its channels, at one position."""
        (found,), square = Op.reads(self, *inputs), int(self.factor) ** 2
        return (
            replace(found, axes=({(0, 0): Taps((0,), (square - 1,), square)}, *found.axes[1:])),
        )

    titled = ("factor",)

    def figure(self) -> str:
        """`pixel shuffle 2`."""
        return f"pixel shuffle {spoken(self.factor)}"

    def cells(self, x: Shape) -> tuple[Integers, Integers]:
        """The square is taken out of the channels, and its sides put behind those."""
        (channels, height, width), r = x, self.factor
        return (channels // (r * r), r, r, height, width), (0, 3, 1, 4, 2)

    def torch(self, *inputs: Shape) -> Torch:
        """`nn.PixelShuffle(2)`, or `F.pixel_shuffle(x, 2)`."""
        call = Call("F.pixel_shuffle", (Operand(0), self.factor))
        return Torch(Call("nn.PixelShuffle", (self.factor,)), call)

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`DepthToSpace`."""
        return to("DepthToSpace", inputs[0], blocksize=self.factor, mode="CRD")


@op("pixel_unshuffle", Family.RESHAPE)
class PixelUnshuffle(Dealt):
    """Pixels to channels, the inverse of `pixel_shuffle`.  (C, r·H, r·W) → (C·r², H, W).

    Raises OpError: r does not divide H and W.
    Source: Shi et al. 2016, arXiv:1609.05158, §2.2 (its inverse).
    """

    factor: int = 2

    known = ("nn.PixelUnshuffle", "F.pixel_unshuffle")

    def shape(self, *inputs: Shape) -> Shape:
        """(C·r², H, W)."""
        c, h, w = (inputs[0][0], *spatial(inputs[0], self.name, (2,)))
        r = self.factor
        if r < 1 or h % r or w % r:
            raise OpError(f"{int(r)} does not divide {int(h)}×{int(w)}", attribute="factor")
        return (c * r * r, h // r, w // r)

    def window(self, *inputs: Shape) -> Window:
        """Each channel reads one pixel of a square."""
        side, pads = (self.factor,) * 2, ((0, 0),) * 2
        return Window(side, side, pads, (1, 1), groups=inputs[0][0])

    titled = ("factor",)

    def figure(self) -> str:
        """`pixel unshuffle 2`."""
        return f"pixel unshuffle {spoken(self.factor)}"

    def cells(self, x: Shape) -> tuple[Integers, Integers]:
        """The sides of each square are put behind its channel."""
        (channels, height, width), r = x, self.factor
        return (channels, height // r, r, width // r, r), (0, 2, 4, 1, 3)

    def torch(self, *inputs: Shape) -> Torch:
        """`nn.PixelUnshuffle(2)`, or `F.pixel_unshuffle(x, 2)`."""
        call = Call("F.pixel_unshuffle", (Operand(0), self.factor))
        return Torch(Call("nn.PixelUnshuffle", (self.factor,)), call)


@op("channel_shuffle", Family.RESHAPE)
class ChannelShuffle(Dealt):
    """Groups of channels dealt in turn: out[k·g + j] = x[j·C/g + k].  (C, *S) → (C, *S).

    Raises OpError: the groups do not divide the channels.
    Source: Zhang et al. 2017, arXiv:1707.01083, §3.1.
    """

    groups: int

    known = ("nn.ChannelShuffle", "F.channel_shuffle")

    def shape(self, *inputs: Shape) -> Shape:
        """The input's."""
        spatial(inputs[0], self.name)
        channels = inputs[0][0]
        if self.groups < 1 or channels % self.groups:
            message = f"groups={int(self.groups)} does not divide {int(channels)} channels"
            raise OpError(message, attribute="groups")
        return inputs[0]

    def reads(self, *inputs: Shape) -> tuple[Reading, ...]:
        """One channel, of each group in turn."""
        (x,), groups = inputs, int(self.groups)
        places = tuple(group * (int(x[0]) // groups) for group in range(groups))
        _, *others = pointwise(inputs, x).axes
        return (Reading(({(0, 0): Taps(places, places, 1)}, *others)),)

    def figure(self) -> str:
        """`shuffle 3`."""
        return f"shuffle {spoken(self.groups)}"

    def cells(self, x: Shape) -> tuple[Integers, Integers]:
        """The groups are put behind what they hold."""
        channels, *places = x
        split = (self.groups, channels // self.groups, *places)
        return split, (1, 0, *range(2, len(split)))

    def torch(self, *inputs: Shape) -> Torch:
        """`nn.ChannelShuffle(3)`, or `F.channel_shuffle(x, 3)`."""
        call = Call("F.channel_shuffle", (Operand(0), self.groups))
        return Torch(Call("nn.ChannelShuffle", (self.groups,)), call)


@op("flip", Family.RESHAPE)
class Flip(Moved):
    """One axis or several in the opposite order.  (*S) → (*S).

    Raises OpError: no such axis.
    Source: convention (PyTorch's `torch.flip`).
    """

    axis: int | Integers

    laid = by_elements

    @property
    def axes(self) -> Integers:
        """The axes, in order."""
        return _axes(self.axis)

    def shape(self, *inputs: Shape) -> Shape:
        """The input's."""
        _check_axes(self.axes, inputs[0], self.name)
        return inputs[0]

    def reads(self, *inputs: Shape) -> tuple[Reading, ...]:
        """One position, whose order is lost."""
        axes = list(pointwise(inputs, inputs[0]).axes)
        for axis in self.axes:
            axes[axis] = {}
        return (Reading(tuple(axes), anywhere=frozenset((0, axis) for axis in self.axes)),)

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """A copy."""
        return np.ascontiguousarray(np.flip(inputs[0], tuple(a + 1 for a in self.axes)))

    def torch(self, *inputs: Shape) -> Torch:
        """`torch.flip(x, (2,))`."""
        axes = tuple(axis + 1 for axis in self.axes)
        return Torch(function=Call("torch.flip", (Operand(0), axes)))

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`Slice`, backwards."""
        back = [-1] * len(self.axes)
        ends = to.ints(*[-END] * len(self.axes))
        axes = to.ints(*(axis + 1 for axis in self.axes))
        return to("Slice", inputs[0], to.ints(*back), ends, axes, to.ints(*back))


@op("roll", Family.RESHAPE)
class Roll(Moved):
    """Moved on along an axis: out[i] = x[(i − shift) mod S].  (*S) → (*S).

    Raises OpError: no such axis; another number of shifts than of axes.
    Source: Liu et al. 2021, arXiv:2103.14030, §3.2 (cyclic shift).
    """

    shift: int | Integers
    axis: int | Integers

    @property
    def moved(self) -> dict[int, int]:
        """The shift along each axis.  Raises OpError."""
        axes = self.axis if isinstance(self.axis, tuple) else (self.axis,)
        shifts = self.shift if isinstance(self.shift, tuple) else (self.shift,) * len(axes)
        if len(shifts) != len(axes):
            message = f"`shift` has {len(shifts)} numbers, and `axis` {len(axes)}"
            raise OpError(message, attribute="shift")
        return dict(zip(axes, shifts, strict=True))

    def shape(self, *inputs: Shape) -> Shape:
        """The input's."""
        given = self.axis if isinstance(self.axis, tuple) else (self.axis,)
        _check_axes(given, inputs[0], self.name)
        assert self.moved
        return inputs[0]

    def laid(self, *inputs: Laid, training: bool = False) -> tuple[Laid, ...]:
        """In the format of both parts, of which one may be empty, axis after axis."""
        (x,) = inputs
        for axis, shift in self.moved.items():
            x = fresh(x.sizes, last=x.suggested and shift % x.sizes[axis + 1] != 0)
        return (x,)

    def reads(self, *inputs: Shape) -> tuple[Reading, ...]:
        """The position before, around the border."""
        axes = list(pointwise(inputs, inputs[0]).axes)
        for axis, shift in self.moved.items():
            axes[axis] = {(0, axis): Taps((-int(shift),), (-int(shift),), 1)}
        return (Reading(tuple(axes), filled=True),)

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """A copy."""
        axes, shifts = tuple(axis + 1 for axis in self.moved), tuple(self.moved.values())
        return np.roll(inputs[0], shifts, axes)

    def torch(self, *inputs: Shape) -> Torch:
        """`torch.roll(x, (-3, -3), (2, 3))`."""
        axes, shifts = tuple(axis + 1 for axis in self.moved), tuple(self.moved.values())
        return Torch(function=Call("torch.roll", (Operand(0), shifts, axes)))

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """The end of each axis before its beginning."""
        (x,) = inputs
        shape = x.shape
        for axis, shift in self.moved.items():
            first, along = fixed(shape[axis]) - shift % fixed(shape[axis]), to.ints(axis + 1)
            parts = ((first, END), (0, first))
            ends = [to("Slice", x, to.ints(a), to.ints(b), along) for a, b in parts]
            x = to("Concat", *ends, axis=axis + 1)
        return x


@op("slice", Family.RESHAPE)
class Slice(Moved):
    """A part of one axis: `start`, then each `step`-th before `stop`.  (*S) → (*S′).

    What is negative counts from the end: `slice(stop=-2)` leaves out the last two.
    Raises OpError: no such axis; nothing is left, or `stop` is beyond the end.
    Source: convention (Python's slices).
    """

    start: int = 0
    stop: int | None = None
    axis: int = 0
    step: int = 1

    elsewhere = "narrow"
    titled = ("start", "stop", "axis", "step")

    def laid(self, *inputs: Laid, training: bool = False) -> tuple[Laid, ...]:
        """A part of its input's memory."""
        (x,) = inputs
        axis = int(self.axis)
        return (x.part(axis + 1, self.shape(x.sizes[1:])[axis], self.step),)

    def bounds(self, x: Shape) -> tuple[int, int]:
        """The first place, and that before which it ends.  Raises OpError."""
        check_axis(self.axis, x, self.name)
        size = x[self.axis]
        start = self.start + size if self.start < 0 else self.start
        stop = size if self.stop is None else self.stop
        stop = stop + size if stop < 0 else stop
        if self.step < 1:
            raise OpError(
                f"`step` is {int(self.step)}, but must be at least 1", attribute="step"
            )
        if not 0 <= start < stop <= size:
            inside = 0 <= start <= size and 0 <= stop <= size
            last = size if self.stop is None else self.stop
            fault = "leaves nothing of" if inside else "is outside"
            raise OpError(
                f"{int(self.start)} to {int(last)} {fault} an axis of {int(size)}",
                help="places count from 0, negative ones from the end; `stop` is left out",
                attribute="start" if self.stop is None else "stop",
            )
        return start, stop

    def shape(self, *inputs: Shape) -> Shape:
        """Of that axis ⌈(stop − start) / step⌉."""
        (x,) = inputs
        start, stop = self.bounds(x)
        length = stop - start if self.step == 1 else (stop - start + self.step - 1) // self.step
        return (*x[: self.axis], length, *x[self.axis + 1 :])

    def reads(self, *inputs: Shape) -> tuple[Reading, ...]:
        """Its place."""
        axes = list(pointwise(inputs, inputs[0]).axes)
        start = int(self.bounds(inputs[0])[0])
        axes[self.axis] = {(0, int(self.axis)): Taps((start,), (start,), int(self.step))}
        return (Reading(tuple(axes)),)

    def figure(self) -> str:
        """`[2:5]`, `[::2] of axis 1`."""
        start = spoken(self.start) if self.start != 0 else ""
        stop = "" if self.stop is None else spoken(self.stop)
        step = f":{spoken(self.step)}" if self.step != 1 else ""
        return f"[{start}:{stop}{step}]" + (
            f" of axis {spoken(self.axis)}" if self.axis != 0 else ""
        )

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """A view."""
        (x,) = inputs
        start, stop = self.bounds(x.shape[1:])
        before = (slice(None),) * (self.axis + 1)
        part: Array = x[(*before, slice(start, stop, self.step))]
        return part

    def torch(self, *inputs: Shape) -> Torch:
        """`x[:, 2:5]`."""
        values: dict[str, Any] = {"start": self.start, "stop": self.stop, "step": self.step}
        start = "" if type(self.start) is int and not self.start else "{start}"
        stop = "" if self.stop is None else "{stop}"
        step = "" if type(self.step) is int and self.step == 1 else ":{step}"
        whole = ", ".join([":"] * (int(self.axis) + 1))
        return Torch(function=Template(f"{{0}}[{whole}, {start}:{stop}{step}]", values))

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`Slice`."""
        stop = END if self.stop is None else self.stop
        axis, step = to.ints(self.axis + 1), to.ints(self.step)
        return to("Slice", inputs[0], to.ints(self.start), to.ints(stop), axis, step)


def _axes(axis: int | Integers) -> Integers:
    return tuple(sorted(map(int, axis))) if isinstance(axis, tuple) else (int(axis),)


def _check_axes(axes: Integers, x: Shape, what: str) -> None:
    """Raises OpError: no such axis, or one twice."""
    for axis in axes:
        check_axis(axis, x, what)
    if not axes or len(set(axes)) < len(axes):
        said = "needs an axis" if not axes else "names an axis twice"
        raise OpError(f"`{what}` {said}", attribute="axis")
