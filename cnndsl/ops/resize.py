"""Changing spatial sizes by interpolation."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import Any, ClassVar, Literal

from cnndsl.diagnostics import OpError
from cnndsl.ops.arrays import kernels, np
from cnndsl.ops.base import Op, op
from cnndsl.ops.facts import (
    NOTHING,
    Array,
    Call,
    Family,
    Operand,
    Reading,
    Shape,
    Size,
    Torch,
    Window,
)
from cnndsl.ops.onnx_steps import Onnx, Value, fixed
from cnndsl.ops.reads import resized
from cnndsl.ops.shapes import one, spatial, square
from cnndsl.ops.strides import by_format
from cnndsl.ops.values import spell
from cnndsl.ops.words import spoken
from cnndsl.symbolic import Sym

Numbers = tuple[float, ...]


LINEAR = dict.fromkeys(
    ("mode=linear", "mode=trilinear"),
    'write `mode="bilinear"`: it is linear along every axis, whatever their number',
)
"""The mend for what PyTorch calls it in one and in three dimensions."""


@op("resize", Family.UPSAMPLE)
class Resize(Op):
    """Interpolation to a given size.  (C, *S) → (C, *size).

    `bilinear` is linear along each spatial axis, whatever their number; `bicubic` is of two.
    MACs: 0, counted as resizing.
    Source: convention (PyTorch's `F.interpolate`, without antialiasing); Keys 1981, IEEE
    TASSP 29(6), with a = −0.75 (bicubic).
    """

    size: Size
    mode: Literal["nearest", "bilinear", "bicubic"] = "nearest"
    align_corners: bool = False

    known = ("F.interpolate",)
    keeps = NOTHING
    laid = by_format
    titled = ("mode",)
    hints: ClassVar = LINEAR

    def reads(self, *inputs: Shape) -> tuple[Reading, ...]:
        """The nearest position, or the two of each axis around its own."""
        (shape,) = self.shapes(*inputs)
        return (resized(inputs[0], shape, self.mode, self.align_corners),)

    def shape(self, *inputs: Shape) -> Shape:
        """(C, *size)."""
        check_mode(inputs[0], self.name, self.mode, self.align_corners)
        return (inputs[0][0], *self.size)

    def macs(self, *inputs: Shape) -> int:
        """0: counted as resizing."""
        return 0

    def window(self, *inputs: Shape) -> Window:
        """That of `upsample` where the factors are whole numbers, else everything."""
        sizes = list(zip(inputs[0][1:], self.size, strict=True))
        if any(m % n for n, m in sizes):
            return Window(whole=True)
        factor = tuple(m // n for n, m in sizes)
        return upsampling_window(factor, self.mode, self.align_corners)

    def figure(self) -> str:
        """`bilinear 64²`."""
        return f"{self.mode} {square(self.size)}"

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """One axis at a time."""
        return kernels.resize(inputs[0], self.size, self.mode, self.align_corners)

    def torch(self, *inputs: Shape) -> Torch:
        """`F.interpolate(x, (64, 64))`."""
        keywords = torch_mode(self.mode, self.align_corners, len(self.size))
        return Torch(function=Call("F.interpolate", (Operand(0), self.size), keywords))

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`Resize`."""
        return resized_in_onnx(to, inputs[0], self.size, self.mode, self.align_corners)


@op("upsample", Family.UPSAMPLE)
class Upsample(Op):
    """Interpolation to a multiple of the size, ⌊factor·S⌋.  (C, *S) → (C, *factor·S).

    MACs: 0, counted as resizing.
    Raises OpError: a factor that leaves nothing, or whose product PyTorch rounds.
    Source: convention (PyTorch's `nn.Upsample`).
    """

    chained = True

    factor: Size | float | Numbers = 2
    mode: Literal["nearest", "bilinear", "bicubic"] = "nearest"
    align_corners: bool = False

    known = ("nn.Upsample", "F.interpolate")
    keeps = NOTHING
    laid = by_format
    titled = ("factor", "mode")
    hints: ClassVar = LINEAR

    def resolved(self, *inputs: Shape) -> Op:
        """Whole factors as such, one an axis."""
        factors = self.factors(inputs[0])
        if not all(isinstance(n, int) or n.is_integer() for n in factors):
            return self
        return replace(self, factor=tuple(n if isinstance(n, int) else int(n) for n in factors))

    def factors(self, x: Shape) -> tuple[float, ...]:
        """One an axis: whole numbers, or fractions.  Raises OpError."""
        axes, given = spatial(x, self.name), self.factor
        found = given if isinstance(given, tuple) else (given,) * len(axes)
        if len(found) != len(axes) or any(factor <= 0 for factor in found):
            raise OpError(
                f"`factor` is {spell(given)}, but must be positive, one for each of "
                f"{len(axes)} axes or one for all",
                attribute="factor",
                code="E303",
            )
        return found

    def reads(self, *inputs: Shape) -> tuple[Reading, ...]:
        """The nearest position, or those of each axis around its own."""
        (x,), (shape,) = inputs, self.shapes(*inputs)
        factors = [Fraction(str(float(factor))) for factor in self.factors(x)]
        return (resized(x, shape, self.mode, self.align_corners, factors),)

    def shape(self, *inputs: Shape) -> Shape:
        """(C, *⌊factor·S⌋)."""
        (x,) = inputs
        check_mode(x, self.name, self.mode, self.align_corners)
        sizes = zip(spatial(x, self.name), self.factors(x), strict=True)
        return (x[0], *(_scaled(n, factor) for n, factor in sizes))

    def macs(self, *inputs: Shape) -> int:
        """0: counted as resizing."""
        return 0

    def window(self, *inputs: Shape) -> Window:
        """That of the transposed convolution that it equals, for whole factors."""
        factors = self.factors(inputs[0])
        whole = tuple(factor for factor in factors if isinstance(factor, int))
        if len(whole) < len(factors):
            return Window(whole=True)
        return upsampling_window(whole, self.mode, self.align_corners)

    def figure(self) -> str:
        """`nearest ↑2`, `bilinear ↓2`, `nearest ↑1.5`."""
        given = self.factor if isinstance(self.factor, tuple) else (self.factor,)
        inverse = [Fraction(1) / Fraction(str(float(factor))) for factor in given]
        if all(one > 1 and one.denominator == 1 for one in inverse):
            return f"{self.mode} ↓{spoken(tuple(map(int, inverse)))}"
        return f"{self.mode} ↑{spoken(given)}"

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """One axis at a time."""
        (x,) = inputs
        size, factors = self.shape(x.shape[1:])[1:], self.factors(x.shape[1:])
        return kernels.resize(x, size, self.mode, self.align_corners, factors)

    def torch(self, *inputs: Shape) -> Torch:
        """`nn.Upsample(scale_factor=2)`, or `F.interpolate`."""
        factors = self.factors(inputs[0])
        keywords = {
            "scale_factor": (one(factors), None),
            **torch_mode(self.mode, self.align_corners, len(factors)),
        }
        return Torch(
            Call("nn.Upsample", (), keywords), Call("F.interpolate", (Operand(0),), keywords)
        )

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`Resize`."""
        (x,) = inputs
        size, factors = self.shape(x.shape)[1:], self.factors(x.shape)
        whole = all(isinstance(factor, int) for factor in factors)
        if whole or self.align_corners:
            return resized_in_onnx(to, x, size, self.mode, self.align_corners)
        if self.mode == "nearest":
            for axis, (n, m) in enumerate(zip(fixed(x.shape[1:]), fixed(size), strict=True), 2):
                step = 1 / float(factors[axis - 2])
                places = kernels.nearest(int(n), int(m), np.dtype("f"), step)
                x = to("Gather", x, to.constant(places), axis=axis)
            return x
        return _scaled_in_onnx(to, x, factors, self.mode)


def _scaled_in_onnx(to: Onnx, x: Value, factors: tuple[float, ...], mode: str) -> Value:
    """`Resize` by factors, whose samples lie 1 / factor apart."""
    line = len(factors) == 1
    x, factors = (to.unsqueeze(x, 2), (1.0, *factors)) if line else (x, factors)
    y = to(
        "Resize",
        x,
        None,
        to.floats([float(factor) for factor in factors]),
        axes=tuple(range(2, len(factors) + 2)),
        **ONNX_MODES[mode],
        coordinate_transformation_mode="half_pixel",
    )
    return to("Squeeze", y, to.ints(2)) if line else y


ONNX_MODES: dict[str, dict[str, Any]] = {
    "nearest": {"mode": "nearest", "nearest_mode": "floor"},
    "bilinear": {"mode": "linear"},
    "bicubic": {"mode": "cubic", "cubic_coeff_a": -0.75},
}

FAR = 4096
"""Up to this many places a factor is tried that holds for any number of them."""


def resized_in_onnx(to: Onnx, x: Value, size: Size, mode: str, align_corners: bool) -> Value:
    """`Resize`; where its neighbour is not always the language's, `Gather` with ours."""
    sizes = list(zip(x.shape[1:], size, strict=True))
    if mode == "nearest" and not all(_alike(n, m) for n, m in sizes):
        for axis, (n, m) in enumerate(sizes, 2):
            x = to("Gather", x, _nearest(to, n, m), axis=axis)
        return x
    places = "align_corners" if align_corners else "half_pixel"
    where = "asymmetric" if mode == "nearest" else places
    # A line is a map of height 1: runtimes know two and three axes.
    line = len(size) == 1
    x, size = (to.unsqueeze(x, 2), (1, *size)) if line else (x, size)
    y = to(
        "Resize",
        x,
        None,
        None,
        to.ints(*size),
        axes=tuple(range(2, len(size) + 2)),
        **ONNX_MODES[mode],
        coordinate_transformation_mode=where,
    )
    return to("Squeeze", y, to.ints(2)) if line else y


def _alike(n: int, m: int) -> bool:
    """Whether ⌊i / (m / n)⌋, as runtimes round it, is ⌊i · (n / m)⌋, as PyTorch does."""
    if isinstance(n, Sym) or isinstance(m, Sym):
        factor = int(m) // int(n)
        if n * factor != m or not _same_formula(n * factor, m):
            return False
        n, m = FAR, FAR * factor
    scale = np.float32(m) / np.float32(n)
    theirs = (np.arange(m, dtype=np.float32) / scale).astype(np.int64)
    return bool((np.minimum(theirs, n - 1) == kernels.nearest(n, m, np.dtype("f"))).all())


def _same_formula(n: int, m: int) -> bool:
    return isinstance(n, Sym) and isinstance(m, Sym) and n.formula == m.formula


def _nearest(to: Onnx, n: int, m: int) -> Value:
    """For each of m positions its source among n: ⌊i · (n / m)⌋, at most the last."""
    if not isinstance(n, Sym) and not isinstance(m, Sym):
        return to.constant(kernels.nearest(n, m, np.dtype("f")))
    share = to.real(to.ints(n)) / to.real(to.ints(m))
    source = to("Floor", to.real(to.range(m)) * share)
    return to("Min", to.whole(source), to.ints(n) - 1)


def _scaled(n: int, factor: float) -> int:
    """⌊factor·n⌋.  Raises OpError: nothing is left, or PyTorch's product is rounded."""
    if isinstance(factor, int):
        return n * factor
    exact = Fraction(str(factor))
    size = n * exact.numerator // exact.denominator
    if size < 1 or math.floor(int(n) * factor) != size:
        said = "leaves nothing of" if size < 1 else "is rounded at"
        raise OpError(
            f"a factor of {factor} {said} a size of {int(n)}",
            help="give the size instead: `resize([64, 64])`",
            attribute="factor",
        )
    return size


def check_mode(x: Shape, what: str, mode: str, align_corners: bool) -> None:
    """Raises OpError: `bicubic` of other than two axes, corners where nothing is between."""
    if mode == "bicubic":
        spatial(x, f"{what}` with `bicubic", (2,))
    spatial(x, what)
    check_corners(mode, align_corners)


def check_corners(mode: str, align_corners: bool) -> None:
    """Raises OpError: `align_corners` where nothing is interpolated."""
    if align_corners and mode == "nearest":
        raise OpError(
            "`align_corners` has no meaning with nearest neighbours",
            help='use mode="bilinear"',
            attribute="align_corners",
        )


def upsampling_window(factor: Size, mode: str, align_corners: bool) -> Window:
    """The transposed convolution that equals upsampling by whole factors."""
    if mode == "nearest":
        return Window(
            factor, factor, ((0, 0),) * len(factor), (1,) * len(factor), transposed=True
        )
    if align_corners or mode == "bicubic":
        # The distance between samples is not the factor, or they are more than two.
        return Window(whole=True)
    kernel = tuple(2 * f - f % 2 for f in factor)
    pads = tuple((f // 2, f // 2) for f in factor)
    return Window(kernel, factor, pads, (1,) * len(factor), transposed=True)


def torch_mode(mode: str, align_corners: bool, rank: int) -> dict[str, tuple[object, object]]:
    """The keywords of `F.interpolate`."""
    linear = {1: "linear", 2: "bilinear", 3: "trilinear"}[rank]
    return {
        "mode": (linear if mode == "bilinear" else mode, "nearest"),
        "align_corners": (align_corners or None, None),
    }
