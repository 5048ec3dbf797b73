"""Pooling: a window's maximum or mean, and the mean of everything."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TypeVar

from cnndsl.diagnostics import OpError
from cnndsl.ops.arrays import kernels
from cnndsl.ops.base import (
    NOTHING,
    SAME,
    Array,
    Auto,
    Call,
    Family,
    Op,
    Operand,
    Pad,
    Pads,
    Reading,
    Saved,
    Shape,
    Size,
    Template,
    Torch,
    Window,
    op,
)
from cnndsl.ops.conv import padded
from cnndsl.ops.shapes import (
    compact,
    even,
    one,
    per_stride,
    same_padding,
    spatial,
    torch_sides,
    window_size,
)

Layer = TypeVar("Layer", "MaxPool", "AvgPool")


@op("maxpool", Family.POOL)
class MaxPool(Op):
    """Max pooling; the padding never wins.  (C, *S) → (C, *S′).

    MACs: 0.
    Raises OpError: the kernel does not fit, or the padding is more than half of it.
    Source: Dumoulin & Visin 2016, arXiv:1603.07285, §3.
    """

    kernel: Size
    stride: Size | None = None
    pad: Pad = 0
    dilation: Size = 1  # type: ignore[assignment]
    ceil: bool = False

    known = ("nn.MaxPool", "F.max_pool")

    def saves(self, *inputs: Shape, grads: tuple[bool, ...]) -> Saved:
        """Its input, or that padded, and the place of each maximum, 8 bytes."""
        kept = padded(inputs[0], self.pads)
        return replace(kept, own=kept.own + 8 * math.prod(self.shape(*inputs)))

    def resolved(self, *inputs: Shape) -> Op:
        """The stride is the kernel unless it was said; padding in numbers."""
        return _resolved(self, inputs[0], self.dilation)

    @property
    def strides(self) -> Size:
        """The stride, resolved."""
        assert self.stride is not None
        return self.stride

    @property
    def pads(self) -> Pads:
        """Padding before and after each axis, resolved."""
        assert isinstance(self.pad, tuple)
        return self.pad

    def shape(self, *inputs: Shape) -> Shape:
        """(C, *S′)."""
        (x,) = inputs
        window = self.window(x)
        _check_pads(window)
        return (x[0], *_sizes(x, window, self.ceil))

    def macs(self, *inputs: Shape) -> int:
        """0: comparisons are not multiply-adds."""
        return 0

    def window(self, *inputs: Shape) -> Window:
        """The kernel."""
        return Window(
            self.kernel, self.strides, self.pads, self.dilation, groups=_each_channel(inputs)
        )

    def figure(self) -> str:
        """`max 3×3 /2`."""
        return f"max {compact(self.kernel)}{per_stride(self.strides)}"

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """The running maximum over the kernel's taps."""
        (x,) = inputs
        return kernels.max_pool(
            x,
            self.kernel,
            self.shape(x.shape[1:])[1:],
            stride=self.strides,
            pads=self.pads,
            dilation=self.dilation,
        )

    def torch(self, *inputs: Shape) -> Torch:
        """`nn.MaxPool2d`; where the sides of the padding differ, `F.pad` with −∞ before it."""
        _check_sides(self.window(), self.ceil)
        keywords = {
            "stride": (one(self.strides), one(self.kernel)),
            "padding": (one(torch_padding(self.pads)), 0),
            "dilation": (one(self.dilation), 1),
            "ceil_mode": (self.ceil, False),
        }
        prepare = Template(
            'F.pad({0}, {sides}, value=float("-inf"))', {"sides": torch_sides(self.pads)}
        )
        return _torch("MaxPool", "max_pool", self.kernel, keywords, self.pads, prepare)


@op("avgpool", Family.POOL)
class AvgPool(Op):
    """Mean of a window.  (C, *S) → (C, *S′).

    With `count_include_pad` the padding's zeros count in the divisor; what `ceil` adds
    beyond the padding never does.
    MACs: 0.
    Raises OpError: the kernel does not fit, or the padding is more than half of it.
    Source: Dumoulin & Visin 2016, arXiv:1603.07285, §3.
    """

    kernel: Size
    stride: Size | None = None
    pad: Pad = 0
    ceil: bool = False
    count_include_pad: bool = True

    known = ("nn.AvgPool", "F.avg_pool")

    def saves(self, *inputs: Shape, grads: tuple[bool, ...]) -> Saved:
        """Its input, or that padded: for its shape alone, but PyTorch keeps it."""
        return padded(inputs[0], self.pads)

    def resolved(self, *inputs: Shape) -> Op:
        """The stride is the kernel unless it was said; padding in numbers."""
        return _resolved(self, inputs[0], (1,) * len(self.kernel))

    @property
    def strides(self) -> Size:
        """The stride, resolved."""
        assert self.stride is not None
        return self.stride

    @property
    def pads(self) -> Pads:
        """Padding before and after each axis, resolved."""
        assert isinstance(self.pad, tuple)
        return self.pad

    def shape(self, *inputs: Shape) -> Shape:
        """(C, *S′)."""
        (x,) = inputs
        window = self.window(x)
        _check_pads(window)
        return (x[0], *_sizes(x, window, self.ceil))

    def macs(self, *inputs: Shape) -> int:
        """0: additions are counted as pooling."""
        return 0

    def window(self, *inputs: Shape) -> Window:
        """The kernel."""
        ones = (1,) * len(self.kernel)
        return Window(self.kernel, self.strides, self.pads, ones, groups=_each_channel(inputs))

    def figure(self) -> str:
        """`avg 2×2 /2`."""
        return f"avg {compact(self.kernel)}{per_stride(self.strides)}"

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """The sum over the kernel's taps by the number of taps that count."""
        (x,) = inputs
        return kernels.avg_pool(
            x,
            self.kernel,
            self.shape(x.shape[1:])[1:],
            stride=self.strides,
            pads=self.pads,
            count_include_pad=self.count_include_pad,
        )

    def torch(self, *inputs: Shape) -> Torch:
        """`nn.AvgPool2d`; where the sides of the padding differ, `F.pad` before it."""
        _check_sides(self.window(), self.ceil)
        if not even(self.pads) and not self.count_include_pad:
            raise OpError(
                "count_include_pad=false needs the same padding on both sides, as in PyTorch",
                help="pad both sides, and crop the output",
                attribute="count_include_pad",
                code="E601",
            )
        keywords = {
            "stride": (one(self.strides), one(self.kernel)),
            "padding": (one(torch_padding(self.pads)), 0),
            "ceil_mode": (self.ceil, False),
            "count_include_pad": (self.count_include_pad, True),
        }
        prepare = Call("F.pad", (Operand(0), torch_sides(self.pads)))
        return _torch("AvgPool", "avg_pool", self.kernel, keywords, self.pads, prepare)


@op("gap", Family.POOL)
class GlobalAvgPool(Op):
    """Global average pooling.  (C, *S) → (C,), or (C, 1, …) with `keep`.

    MACs: 0.
    Source: Lin, Chen & Yan 2013, arXiv:1312.4400, §3.2.
    """

    keep: bool = False

    known = ("nn.AdaptiveAvgPool", "F.adaptive_avg_pool")
    elsewhere = "globalavgpool globalaveragepool globalaveragepooling gavgpool"
    keeps = NOTHING

    def reads(self, *inputs: Shape) -> tuple[Reading, ...]:
        """All positions of its channel."""
        (shape,) = self.shapes(*inputs)
        return (Reading(({(0, 0): SAME}, *({} for _ in shape[1:]))),)

    def shape(self, *inputs: Shape) -> Shape:
        """(C,) or (C, 1, …)."""
        (x,) = inputs
        axes = spatial(x, self.name)
        return (x[0], *((1,) * len(axes) if self.keep else ()))

    def macs(self, *inputs: Shape) -> int:
        """0: additions are counted as pooling."""
        return 0

    def window(self, *inputs: Shape) -> Window:
        """Everything."""
        return Window(whole=True)

    def figure(self) -> str:
        """`avg`."""
        return "global avg"

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """The mean over the spatial axes."""
        (x,) = inputs
        mean: Array = x.mean(tuple(range(2, x.ndim)), keepdims=self.keep)
        return mean

    def torch(self, *inputs: Shape) -> Torch:
        """`x.mean((-2, -1))`, or `nn.AdaptiveAvgPool2d(1)` with `keep`."""
        rank = len(inputs[0]) - 1
        if self.keep:
            return Torch(
                Call(f"nn.AdaptiveAvgPool{rank}d", (1,)),
                Call(f"F.adaptive_avg_pool{rank}d", (Operand(0), 1)),
            )
        axes = tuple(range(-rank, 0))
        return Torch(
            Call(f"nn.AdaptiveAvgPool{rank}d", (1,)),
            Template("{0}.mean({axes})", {"axes": one(axes)}),
            also=(("flatten", Call("nn.Flatten")),),
        )


def _each_channel(inputs: tuple[Shape, ...]) -> int:
    """As many groups as channels, where the input is known."""
    return inputs[0][0] if inputs else 1


def torch_padding(pads: Pads) -> Size:
    """One number an axis for a module; 0 where `F.pad` goes before it."""
    return tuple(before for before, _ in pads) if even(pads) else (0,) * len(pads)


def _resolved(layer: Layer, x: Shape, dilation: Size) -> Layer:
    spatial(x, layer.name)
    if layer.pad is Auto.SAME:
        pads = same_padding(layer.kernel, dilation)
        for kernel, (pad, _), d in zip(layer.kernel, pads, dilation, strict=True):
            if 2 * pad > kernel:
                message = f"pad=same is a padding of {pad} with dilation={d}"
                raise OpError(
                    f"{message}, more than half of the kernel of {kernel}",
                    help=f"write pad={kernel // 2}, or pad the input before: `zeropad`",
                    attribute="pad",
                )
        layer = replace(layer, pad=pads)
    return replace(layer, stride=layer.kernel) if layer.stride is None else layer


def _sizes(x: Shape, window: Window, ceil: bool) -> Size:
    sizes = zip(
        x[1:], window.kernel, window.stride, window.padding, window.dilation, strict=True
    )
    return tuple(window_size(*size, ceil) for size in sizes)


def _check_pads(window: Window) -> None:
    """Raises OpError: a window could lie wholly in the padding (PyTorch's rule)."""
    for kernel, pads in zip(window.kernel, window.padding, strict=True):
        if 2 * max(pads) > kernel:
            message = f"a padding of {int(max(pads))} is more than half of the kernel"
            help = f"write pad={int(kernel) // 2} at most, or pad the input before: `zeropad`"
            raise OpError(f"{message} of {int(kernel)}", help=help, attribute="pad")


def _check_sides(window: Window, ceil: bool) -> None:
    """Raises OpError: `F.pad` first would change which windows `ceil` adds."""
    if ceil and not even(window.padding):
        raise OpError(
            "ceil=true needs the same padding on both sides, as in PyTorch",
            help="pad both sides, and crop the output",
            attribute="ceil",
            code="E601",
        )


def _torch(
    module: str,
    function: str,
    kernel: Size,
    keywords: dict[str, tuple[object, object]],
    pads: Pads,
    prepare: Call | Template,
) -> Torch:
    rank = len(kernel)
    if even(pads):
        return Torch(
            Call(f"nn.{module}{rank}d", (one(kernel),), keywords),
            Call(f"F.{function}{rank}d", (Operand(0), one(kernel)), keywords),
        )
    return Torch(Call(f"nn.{module}{rank}d", (one(kernel),), keywords), prepare=prepare)
