"""Cutting and padding at the borders of the spatial axes."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from cnndsl.diagnostics import OpError
from cnndsl.ops.arrays import kernels
from cnndsl.ops.base import Op, op
from cnndsl.ops.facts import (
    INPUT,
    NOTHING,
    Array,
    Call,
    Family,
    Integers,
    Operand,
    Pad,
    Pads,
    Reading,
    Saved,
    Shape,
    Size,
    Torch,
    Window,
    spell_shape,
)
from cnndsl.ops.onnx_steps import Onnx, Value
from cnndsl.ops.shapes import check_filling, one, spatial, square, torch_sides
from cnndsl.ops.strides import Laid, bordered, by_border
from cnndsl.ops.words import spoken

CENTER_CROP = '''def center_crop(x: Tensor, size: list[int]) -> Tensor:
    """The middle of the spatial axes."""
    for axis in range(len(size)):
        start = (x.shape[axis + 2] - size[axis]) // 2
        x = x.narrow(axis + 2, start, size[axis])
    return x
'''

CROP = '''def crop(x: Tensor, size: list[int], offset: list[int]) -> Tensor:
    """The spatial axes from `offset` on."""
    for axis in range(len(size)):
        x = x.narrow(axis + 2, offset[axis], size[axis])
    return x
'''


@op("crop", Family.RESHAPE)
class Crop(Op):
    """A part of the spatial axes: the middle, or from `offset` on.  (C, *S) → (C, *size).

    The middle starts at ⌊(S − size) / 2⌋.
    Raises OpError: the part does not lie in the input.
    Source: Ronneberger, Fischer & Brox 2015, arXiv:1505.04597, §2.
    """

    size: Size
    offset: int | Integers | None = None

    moves, keeps = True, NOTHING

    def laid(self, *inputs: Laid, training: bool = False) -> tuple[Laid, ...]:
        """A part of its input's memory."""
        (x,) = inputs
        for axis, size in enumerate(self.size, 2):
            x = x.part(axis, size)
        return (x,)

    def offsets(self, x: Shape) -> Size:
        """Where the part starts along each spatial axis.  Raises OpError."""
        axes = spatial(x, self.name)
        if self.offset is None:
            offsets = tuple((n - m) // 2 for n, m in zip(axes, self.size, strict=True))
        elif isinstance(self.offset, tuple):
            offsets = self.offset
        else:
            offsets = (self.offset,) * len(axes)
        if len(offsets) != len(axes):
            raise OpError(
                f"`offset` has {len(offsets)} numbers for {len(axes)} spatial axes",
                attribute="offset",
            )
        for n, m, start in zip(axes, self.size, offsets, strict=True):
            if start < 0 or start + m > n:
                raise OpError(
                    f"{int(m)} from {int(start)} on do not fit in {int(n)}"
                    if self.offset is not None
                    else f"cannot crop {spell_shape(x)} to {spell_shape(self.size)}",
                    help="a crop cannot be larger than its input",
                    attribute="size" if self.offset is None else "offset",
                )
        return offsets

    def shape(self, *inputs: Shape) -> Shape:
        """(C, *size)."""
        self.offsets(inputs[0])
        return (inputs[0][0], *self.size)

    def macs(self, *inputs: Shape) -> int:
        """0: a copy."""
        return 0

    def window(self, *inputs: Shape) -> Window:
        """One position, moved: a negative padding."""
        ones = (1,) * len(self.size)
        after = zip(inputs[0][1:], self.size, self.offsets(inputs[0]), strict=True)
        pads = tuple((-s, s + m - n) for n, m, s in after)
        return Window(ones, ones, pads, ones, groups=inputs[0][0])

    def figure(self) -> str:
        """`crop 64²`."""
        return f"crop {square(self.size)}"

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """A view."""
        (x,) = inputs
        starts = self.offsets(x.shape[1:])
        slices = (slice(s, s + m) for s, m in zip(starts, self.size, strict=True))
        view: Array = x[:, :, *slices]
        return view

    def torch(self, *inputs: Shape) -> Torch:
        """A function of the file's own."""
        if self.offset is None:
            call = Call("center_crop", (Operand(0), list(self.size)))
            return Torch(function=call, helper=CENTER_CROP)
        given = list(self.size), list(self.offsets(inputs[0]))
        return Torch(function=Call("crop", (Operand(0), *given)), helper=CROP)

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`Slice`."""
        (x,) = inputs
        starts = self.offsets(x.shape)
        ends = [start + length for start, length in zip(starts, self.size, strict=True)]
        axes = to.ints(*range(2, len(x.shape) + 1))
        return to("Slice", x, to.ints(*starts), to.ints(*ends), axes)


def sides_of(name: str, sides: Pad) -> Pads:
    """What is added before and after each axis.  Raises OpError: no sides are given."""
    if not isinstance(sides, tuple):
        raise OpError(
            f"`{name}` has no kernel, so `same` means nothing",
            help=f"give the sides: {name}([left, right, top, bottom])",
            attribute="sides",
        )
    return sides


@op("zeropad", Family.RESHAPE)
class ZeroPad(Op):
    """Zeros around the spatial axes.  (C, *S) → (C, *S + before + after).

    Raises OpError: `same`, which says nothing without a kernel.
    Source: convention.
    """

    chained = True

    sides: Pad

    moves, keeps = True, NOTHING

    def laid(self, *inputs: Laid, training: bool = False) -> tuple[Laid, ...]:
        """In the format of its input."""
        return (bordered(inputs[0], self.pads),)

    @property
    def pads(self) -> Pads:
        """Zeros before and after each axis.  Raises OpError."""
        return sides_of(self.name, self.sides)

    def shape(self, *inputs: Shape) -> Shape:
        """(C, *S + before + after)."""
        (x,) = inputs
        sizes = zip(spatial(x, self.name), self.pads, strict=True)
        return (x[0], *(n + before + after for n, (before, after) in sizes))

    def macs(self, *inputs: Shape) -> int:
        """0: a copy."""
        return 0

    def window(self, *inputs: Shape) -> Window:
        """One position, moved."""
        ones = (1,) * len(self.pads)
        return Window(ones, ones, self.pads, ones, groups=inputs[0][0])

    def figure(self) -> str:
        """`pad 1`."""
        return f"pad {spoken(self.sides)}"

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """A copy."""
        return kernels.pad(inputs[0], self.pads)

    def torch(self, *inputs: Shape) -> Torch:
        """`nn.ZeroPad2d`, or `F.pad`."""
        sides = torch_sides(self.pads)
        return Torch(
            Call(f"nn.ZeroPad{len(self.pads)}d", (one(sides),)),
            Call("F.pad", (Operand(0), sides)),
        )

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`Pad`."""
        return to.pad(inputs[0], self.pads)


FILLED = {
    "reflect": "ReflectionPad",
    "replicate": "ReplicationPad",
    "circular": "CircularPad",
}
"""PyTorch's modules."""


@op("pad", Family.RESHAPE)
class FilledPad(Op):
    """A border from the input itself.  (C, *S) → (C, *S + before + after).

    `reflect` mirrors without the edge, `replicate` repeats the edge, `circular` goes on at the
    other end.
    Raises OpError: `same`; the input is too small to be mirrored, or repeated.
    Source: convention (PyTorch's `F.pad`).
    """

    chained = True

    sides: Pad
    mode: Literal["reflect", "replicate", "circular"] = "reflect"

    moves = True
    laid = by_border

    @property
    def pads(self) -> Pads:
        """What is added before and after each axis.  Raises OpError."""
        return sides_of(self.name, self.sides)

    def shape(self, *inputs: Shape) -> Shape:
        """(C, *S + before + after)."""
        (x,) = inputs
        axes = spatial(x, self.name)
        check_filling(self.pads, axes, self.mode, "sides")
        sizes = zip(axes, self.pads, strict=True)
        return (x[0], *(n + before + after for n, (before, after) in sizes))

    def macs(self, *inputs: Shape) -> int:
        """0: a copy."""
        return 0

    def saves(self, *inputs: Shape, grads: tuple[bool, ...]) -> Saved:
        """Its input, for its shape alone, but PyTorch keeps it."""
        return NOTHING if self.mode == "circular" else INPUT

    def window(self, *inputs: Shape) -> Window:
        """One position, moved."""
        ones = (1,) * len(self.pads)
        return Window(ones, ones, self.pads, ones, groups=inputs[0][0])

    def reads(self, *inputs: Shape) -> tuple[Reading, ...]:
        """One position, beyond the border another."""
        return tuple(replace(one, filled=True) for one in Op.reads(self, *inputs))

    titled = ("mode",)

    def figure(self) -> str:
        """`reflect 1`, `replicate 2+3×0+1`."""
        return f"{self.mode} {spoken(self.pads)}"

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """A copy."""
        return kernels.fill(inputs[0], self.pads, self.mode)

    def torch(self, *inputs: Shape) -> Torch:
        """`nn.ReflectionPad2d(1)`, or `F.pad`."""
        sides = torch_sides(self.pads)
        keywords: dict[str, tuple[object, object]] = {"mode": (self.mode, "constant")}
        return Torch(
            Call(f"nn.{FILLED[self.mode]}{len(self.pads)}d", (one(sides),)),
            Call("F.pad", (Operand(0), sides), keywords),
        )

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`Pad`."""
        return to.fill(inputs[0], self.pads, self.mode)
