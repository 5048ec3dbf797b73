"""Pooling by windows: a maximum or a mean."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

from cnndsl.diagnostics import OpError
from cnndsl.ops.arrays import kernels, np
from cnndsl.ops.base import Op, op
from cnndsl.ops.facts import (
    BYTES,
    INPUT,
    Array,
    Auto,
    Call,
    Family,
    Operand,
    Pad,
    Pads,
    Saved,
    Shape,
    Size,
    TfSame,
    Torch,
    Window,
)
from cnndsl.ops.onnx_steps import Onnx, Value, both, unpadded
from cnndsl.ops.padded_torch import padded_pool, same_pool
from cnndsl.ops.shapes import (
    compact,
    even,
    one,
    padding,
    per_stride,
    same_padding,
    sides_of,
    spatial,
    tf_same,
    torch_sides,
    window_sizes,
)
from cnndsl.ops.strides import Laid, bordered, by_order, elementwise, fresh, windowed
from cnndsl.symbolic import maximum


class Windowed(Op):
    """What pooling by windows shares; its windows are `kernel`, `stride` and `pad`."""

    kernel: Size
    stride: Size | None
    pad: Pad

    follows: ClassVar[bool] = True
    """Whether its padding may depend on the size of its input, as `tf_same` does."""

    @property
    def spread(self) -> Size:
        """How far apart a window's places are, along each axis."""
        return (1,) * len(self.kernel)

    def resolved(self, *inputs: Shape) -> Op:
        """The stride is the kernel unless it was said; padding in numbers."""
        spatial(inputs[0], self.name)
        pad = self.pad
        if pad is Auto.SAME:
            pad = same_padding(self.kernel, self.spread)
            for kernel, (before, _), d in zip(self.kernel, pad, self.spread, strict=True):
                if 2 * before > kernel:
                    message = f"pad=same is a padding of {before} with dilation={d}"
                    raise OpError(
                        f"{message}, more than half of the kernel of {kernel}",
                        help=f"write pad={kernel // 2}, or pad the input before: `zeropad`",
                        attribute="pad",
                    )
        stride = self.kernel if self.stride is None else self.stride
        moved = stride if self.follows else None
        pads = padding(pad, self.kernel, self.spread, inputs[0][1:], moved)
        if isinstance(pads, TfSame) and getattr(self, "ceil", False):
            message = "pad=tf_same already rounds up: leave out `ceil`"
            raise OpError(message, attribute="ceil")
        return replace(self, pad=pads, stride=stride)  # type: ignore[type-var]

    @property
    def apart(self) -> bool:
        """Whether PyTorch's is a module of the file's own, which pads before."""
        return uneven(self)

    def held(self, x: Shape) -> Saved:
        """Its input, or that as its own module pads it: to where the last window ends."""
        if not self.apart:
            return INPUT
        sides = zip(x[1:], self.added(x), strict=True)
        return Saved(own=BYTES * x[0] * math.prod(n + sum(side) for n, side in sides))

    def added(self, x: Shape) -> Pads:
        """What its own module pads: to where the last window ends, so that less may be left."""
        if isinstance(self.pad, TfSame):
            return self.pads
        axes = zip(self.shape(x)[1:], self.strides, self.kernel, self.spread, strict=True)
        ends = ((m - 1) * s + d * (k - 1) + 1 for m, s, k, d in axes)
        starts = zip(x[1:], self.pads, ends, strict=True)
        return tuple((before, end - before - n) for n, (before, _), end in starts)

    def entering(self, x: Laid) -> Laid:
        """What the windows read, where its own module pads before."""
        return bordered(x, self.added(x.sizes[1:])) if self.apart else x

    @property
    def strides(self) -> Size:
        """The stride, resolved."""
        assert self.stride is not None
        return self.stride

    @property
    def pads(self) -> Pads:
        """Padding before and after each axis, resolved."""
        return sides_of(self.pad)


class Pooling(Windowed):
    """What the largest and the mean of a window share."""

    ceil: bool

    def shape(self, *inputs: Shape) -> Shape:
        """(C, *S′)."""
        (x,) = inputs
        if not isinstance(self.pad, TfSame):
            _check_pads(self.window(x))
        sizes = (x[1:], self.kernel, self.strides, self.pad, self.spread)
        return (x[0], *window_sizes(*sizes, ceil=self.ceil))

    def macs(self, *inputs: Shape) -> int:
        """0: neither comparisons nor its additions are multiply-adds."""
        return 0

    def window(self, *inputs: Shape) -> Window:
        """The kernel."""
        return Window(
            self.kernel, self.strides, self.pads, self.spread, groups=_each_channel(inputs)
        )


def uneven(layer: Windowed) -> bool:
    """Whether the sides of the padding differ, here or at another size."""
    return isinstance(layer.pad, TfSame) or not even(layer.pads)


@op("maxpool", Family.POOL)
class MaxPool(Pooling):
    """Max pooling; the padding never wins.  (C, *S) → (C, *S′).

    MACs: 0.
    Raises OpError: the kernel does not fit, or the padding is more than half of it.
    Source: Dumoulin & Visin 2016, arXiv:1603.07285, §3.
    """

    chained = True

    kernel: Size
    stride: Size | None = None
    pad: Pad = 0
    dilation: Size = 1  # type: ignore[assignment]
    ceil: bool = False

    known: ClassVar[tuple[str, ...]] = ("nn.MaxPool", "F.max_pool")
    titled = ("stride",)

    def saves(self, *inputs: Shape, grads: tuple[bool, ...]) -> Saved:
        """Its input, or that padded, and the place of each maximum, 8 bytes."""
        kept = self.held(inputs[0])
        return replace(kept, own=kept.own + 8 * math.prod(self.shape(*inputs)))

    def laid(self, *inputs: Laid, training: bool = False) -> tuple[Laid, ...]:
        """By windows; without a gradient rows are in order."""
        found = by_order(self, *inputs)
        if not training and len(inputs[0].sizes) == 3 and len(found) == 1:
            return found
        return tuple(windowed(self.entering(inputs[0]), x.sizes) for x in found)

    @property
    def spread(self) -> Size:
        """The dilation."""
        return self.dilation

    def figure(self) -> str:
        """`max 3×3 /2`."""
        return f"max {compact(self.kernel)}{per_stride(self.strides)}"

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """The running maximum over the kernel's taps."""
        found: Array = self.pooled(kernels.max_pool, inputs[0])
        return found

    def pooled(self, kernel: Callable[..., Any], x: Array) -> Any:
        """What a kernel over these windows gives."""
        return kernel(
            x,
            self.kernel,
            self.shape(x.shape[1:])[1:],
            stride=self.strides,
            pads=self.pads,
            dilation=self.dilation,
        )

    def torch(self, *inputs: Shape) -> Torch:
        """`nn.MaxPool2d`; a module of the file's own where the sides of the padding differ."""
        keywords: dict[str, tuple[object, object]] = {
            "dilation": (self.dilation, (1,) * len(self.kernel)),
            "ceil_mode": (self.ceil, False),
        }
        return _torch("MaxPool", "max_pool", self, keywords)

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`MaxPool`; where ONNX rounds up another way, of −∞ behind the padding."""
        (x,) = inputs
        if isinstance(self.pad, TfSame):
            pads = tf_same(x.shape[1:], self.kernel, self.strides, self.dilation)
            return to(
                "MaxPool",
                to.pad(x, pads, -math.inf),
                kernel_shape=self.kernel,
                strides=self.strides,
                dilations=self.dilation,
            )
        return to(
            "MaxPool",
            to.pad(x, self.behind(x.shape), -math.inf),
            kernel_shape=self.kernel,
            strides=self.strides,
            pads=both(*self.pads),
            dilations=self.dilation,
            ceil_mode=1 if self.rounds(x.shape) else None,
        )

    def rounds(self, x: Shape) -> bool:
        """Whether ONNX rounds up as PyTorch does."""
        return self.ceil and rounds_alike(self.window(x))

    def behind(self, x: Shape) -> Pads:
        """How far windows reach over the padding, where ONNX does not round up so."""
        none = ((0, 0),) * len(self.kernel)
        return none if self.rounds(x) else _beyond(self, self.window(x), x)


@op("avgpool", Family.POOL)
class AvgPool(Pooling):
    """Mean of a window.  (C, *S) → (C, *S′).

    With `count_include_pad` the padding's zeros count in the divisor; what `ceil` adds
    beyond the padding never does.
    MACs: 0.
    Raises OpError: the kernel does not fit, or the padding is more than half of it.
    Source: Dumoulin & Visin 2016, arXiv:1603.07285, §3.
    """

    chained = True

    kernel: Size
    stride: Size | None = None
    pad: Pad = 0
    ceil: bool = False
    count_include_pad: bool = True

    known = ("nn.AvgPool", "F.avg_pool")
    titled = ("stride",)
    phrases: ClassVar = {"count_include_pad": "zeros not counted"}

    def saves(self, *inputs: Shape, grads: tuple[bool, ...]) -> Saved:
        """Its input, or that padded: for its shape alone, but PyTorch keeps it.

        Where a module of the file's own divides, by how many count, it keeps that too.
        """
        kept = self.held(inputs[0])
        places = math.prod(self.shape(*inputs)[1:])
        return replace(kept, fixed=BYTES * places) if self.divides else kept

    def laid(self, *inputs: Laid, training: bool = False) -> tuple[Laid, ...]:
        """By windows, but of three spatial axes in order."""
        (x,), (found,) = inputs, by_order(self, *inputs)
        if len(x.sizes) < 5:
            found = windowed(self.entering(x), found.sizes)
        return (elementwise(found, fresh((1, 1, *found.sizes[2:]))) if self.divides else found,)

    @property
    def divides(self) -> bool:
        """Whether its own module divides by how many count."""
        tf = isinstance(self.pad, TfSame)
        return self.apart and (not self.count_include_pad or (self.ceil and not tf))

    @property
    def apart(self) -> bool:
        """In three dimensions too where PyTorch refuses a window larger than the map."""
        larger = len(self.kernel) == 3 and (self.ceil or not unpadded(self.pads))
        return larger or uneven(self)

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
        """`nn.AvgPool2d`; a module of the file's own where the sides of the padding differ."""
        keywords: dict[str, tuple[object, object]] = {
            "ceil_mode": (self.ceil, False),
            "count_include_pad": (self.count_include_pad, True),
        }
        return _torch("AvgPool", "avg_pool", self, keywords)

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`AveragePool`; where ONNX rounds up another way, by the mean of what counts."""
        (x,) = inputs
        window = self.window(x.shape)
        sizes: dict[str, Any] = {"kernel_shape": self.kernel, "strides": self.strides}
        if isinstance(self.pad, TfSame):
            if self.count_include_pad:
                zeros = tf_same(x.shape[1:], self.kernel, self.strides, self.spread)
                return to("AveragePool", to.pad(x, zeros), **sizes)
            return to("AveragePool", x, auto_pad="SAME_UPPER", count_include_pad=0, **sizes)
        # What `ceil` adds behind the padding never counts here; that ONNX leaves open.
        counted = self.count_include_pad and any(map(any, self.pads))
        rounds = self.ceil and not counted and rounds_alike(window)
        beyond = _beyond(self, window, x.shape)
        if rounds or unpadded(beyond):
            sides, up = both(*self.pads), 1 if rounds else None
            sizes |= {"pads": sides, "count_include_pad": int(counted), "ceil_mode": up}
            return to("AveragePool", x, **sizes)
        shape = to("Shape", x, integer=True)
        ones = to("ConstantOfShape", shape, integer=False, value=np.ones(1, np.float32))
        ones = to.pad(ones, self.pads, float(counted))
        means = []
        for part in (to.pad(x, self.pads), ones):
            means.append(to("AveragePool", to.pad(part, beyond), **sizes))
        return means[0] / means[1]


def _each_channel(inputs: tuple[Shape, ...]) -> int:
    """As many groups as channels, where the input is known."""
    return inputs[0][0] if inputs else 1


def rounds_alike(window: Window) -> bool:
    """Whether no last window can start in the padding: then PyTorch drops none."""
    sizes = zip(window.kernel, window.dilation, window.padding, window.stride, strict=True)
    return all(d * (k - 1) + 1 - after >= stride for k, d, (_, after), stride in sizes)


def _beyond(layer: MaxPool | AvgPool, window: Window, x: Shape) -> Pads:
    """How far the last windows reach over the padding: nothing, unless `ceil` says so."""
    if not layer.ceil:
        return ((0, 0),) * len(layer.kernel)
    reach = []
    sizes = zip(x[1:], layer.shape(x)[1:], layer.strides, layer.kernel, strict=True)
    for (n, m, stride, kernel), d, pads in zip(sizes, window.dilation, layer.pads, strict=True):
        over = (m - 1) * stride + d * (kernel - 1) + 1 - n - sum(pads)
        reach.append((0, maximum(over, 0)))
    return tuple(reach)


def _check_pads(window: Window) -> None:
    """Raises OpError: a window could lie wholly in the padding (PyTorch's rule)."""
    for kernel, pads in zip(window.kernel, window.padding, strict=True):
        if 2 * max(pads) > kernel:
            message = f"a padding of {int(max(pads))} is more than half of the kernel"
            help = f"write pad={int(kernel) // 2} at most, or pad the input before: `zeropad`"
            raise OpError(f"{message} of {int(kernel)}", help=help, attribute="pad")


def _torch(
    kind: str,
    function: str,
    layer: MaxPool | AvgPool,
    keywords: dict[str, tuple[object, object]],
) -> Torch:
    rank, kernel = len(layer.kernel), layer.kernel
    if isinstance(layer.pad, TfSame):
        del keywords["ceil_mode"]
        module = Call(f"Same{kind}{rank}d", (kernel, layer.strides), keywords)
        return Torch(module, helper=same_pool(kind, rank))
    if layer.apart:
        given = (kernel, torch_sides(layer.pads), layer.strides)
        module = Call(f"Padded{kind}{rank}d", given, keywords)
        return Torch(module, helper=padded_pool(kind, rank))
    stride = (one(layer.strides), one(kernel))
    padding = (one(tuple(before for before, _ in layer.pads)), 0)
    keywords = {"stride": stride, "padding": padding, **keywords}
    if "dilation" in keywords:
        keywords["dilation"] = (one(layer.dilation), 1)  # type: ignore[union-attr]
    return Torch(
        Call(f"nn.{kind}{rank}d", (one(kernel),), keywords),
        Call(f"F.{function}{rank}d", (Operand(0), one(kernel)), keywords),
    )
