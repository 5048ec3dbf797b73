"""Pooling: a window's maximum or mean, and the mean of everything."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, ClassVar, TypeVar

from cnndsl.diagnostics import OpError
from cnndsl.ops.arrays import kernels, np
from cnndsl.ops.base import (
    INPUT,
    NOTHING,
    SAME,
    Along,
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
    Taps,
    Template,
    Torch,
    Window,
    op,
    spell_shape,
)
from cnndsl.ops.conv import padded
from cnndsl.ops.onnx_steps import Onnx, Value, both, fixed, unpadded
from cnndsl.ops.padded_torch import padded_pool
from cnndsl.ops.shapes import (
    compact,
    enlarged,
    even,
    one,
    padding,
    per_stride,
    same_padding,
    spatial,
    torch_sides,
    window_size,
)
from cnndsl.symbolic import maximum

Layer = TypeVar("Layer", "MaxPool", "AvgPool", "MaxUnpool")


@op("maxpool", Family.POOL)
class MaxPool(Op):
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
        """`nn.MaxPool2d`; a module of the file's own where the sides of the padding differ."""
        keywords: dict[str, tuple[object, object]] = {
            "dilation": (self.dilation, (1,) * len(self.kernel)),
            "ceil_mode": (self.ceil, False),
        }
        return _torch("MaxPool", "max_pool", self, keywords)

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`MaxPool`; where ONNX rounds up another way, of −∞ behind the padding."""
        (x,) = inputs
        window = self.window(x.shape)
        rounds = self.ceil and _rounds_alike(window)
        beyond = ((0, 0),) * len(self.kernel) if rounds else _beyond(self, window, x.shape)
        return to(
            "MaxPool",
            to.pad(x, beyond, -math.inf),
            kernel_shape=self.kernel,
            strides=self.strides,
            pads=both(*self.pads),
            dilations=self.dilation,
            ceil_mode=1 if rounds else None,
        )


@op("maxpool_indices", Family.POOL, outputs=("out", "indices"))
class MaxPoolIndices(MaxPool):
    """Max pooling that gives the place of each maximum too.  (C, *S) → (C, *S′), (C, *S′).

    A place is a whole number: that in the flattened map of its channel.
    MACs: 0.
    Raises OpError: as `maxpool`, or the sides of the padding differ.
    Source: Badrinarayanan, Kendall & Cipolla 2015, arXiv:1511.00561, §3.
    """

    chained = False
    discrete = integers = ("indices",)
    known = ("F.max_pool",)
    elsewhere = "maxpoolwithindices maxpoolwithargmax"

    def saves(self, *inputs: Shape, grads: tuple[bool, ...]) -> Saved:
        """Its input and the places."""
        return Saved(inputs=(0,), outputs=(1,))

    def shape(self, *inputs: Shape) -> Shape:
        """(C, *S′)."""
        if not even(self.pads):
            raise OpError("the sides of the padding differ", attribute="pad")
        return MaxPool.shape(self, *inputs)

    def shapes(self, *inputs: Shape) -> tuple[Shape, ...]:
        """Both alike."""
        return (self.shape(*inputs),) * 2

    def run(self, *inputs: Array, **weights: Array) -> Any:
        """The running maximum over the kernel's taps, and where it was."""
        (x,) = inputs
        return kernels.max_places(
            x,
            self.kernel,
            self.shape(x.shape[1:])[1:],
            stride=self.strides,
            pads=self.pads,
            dilation=self.dilation,
        )

    def torch(self, *inputs: Shape) -> Torch:
        """`F.max_pool2d(x, 2, return_indices=True)`."""
        call = MaxPool.torch(self, *inputs).function
        assert isinstance(call, Call)
        given = {**call.keywords, "return_indices": (True, False)}
        return Torch(function=replace(call, keywords=given))

    def figure(self) -> str:
        """`max 2×2 /2, places`."""
        return f"{MaxPool.figure(self)}, places"

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Any:
        """`MaxPool`, whose places count over all channels and samples."""
        (x,) = inputs
        window = self.window(x.shape)
        if self.ceil and not _rounds_alike(window):
            raise OpError(f"`{self.name}` with ceil=true has no form in ONNX here")
        found, places = to.several(
            "MaxPool",
            2,
            x,
            kernel_shape=self.kernel,
            strides=self.strides,
            pads=both(*self.pads),
            dilations=self.dilation,
            ceil_mode=1 if self.ceil else None,
        )
        places = Value(to, places.name, integer=True)
        return found, to("Mod", places, to.ints(math.prod(x.shape[1:])))


@op("max_unpool", Family.UPSAMPLE, arity=(2, 2))
class MaxUnpool(Op):
    """Each value where its maximum was, zeros elsewhere.  (C, *S′), (C, *S′) → (C, *S).

    S is `size`, or (S′ − 1)·stride − 2·pad + kernel, the stride the kernel unless it is given.
    MACs: 0.
    Raises OpError: values and places of other shapes; a `size` that the pooling cannot have
    had; the sides of the padding differ.
    Source: Badrinarayanan, Kendall & Cipolla 2015, arXiv:1511.00561, §3.
    """

    ports = ("out", "indices")

    kernel: Size
    stride: Size | None = None
    pad: Pad = 0
    size: Size | None = None

    known = ("F.max_unpool",)
    titled = ("stride",)
    elsewhere = "maxunpool unpool unpooling"
    moves = True

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
        """What was added before and after each axis, resolved."""
        assert isinstance(self.pad, tuple)
        return self.pad

    def saves(self, *inputs: Shape, grads: tuple[bool, ...]) -> Saved:
        """The places."""
        return Saved(inputs=(1,)) if grads[0] else NOTHING

    def shape(self, *inputs: Shape) -> Shape:
        """(C, *S)."""
        x, places = inputs
        if x != places:
            raise OpError(
                f"values {spell_shape(x)} and places {spell_shape(places)}",
                help="both come from one `maxpool_indices`",
                operand=1,
            )
        if not even(self.pads):
            raise OpError("the sides of the padding differ", attribute="pad")
        axes = zip(x[1:], self.kernel, self.strides, self.pads, strict=True)
        least = tuple((n - 1) * s - 2 * before + k for n, k, s, (before, _) in axes)
        for n, m, s in zip(self.size or least, least, self.strides, strict=True):
            if not m - s < n < m + s or n < 1:
                raise OpError(
                    f"a size of {int(n)} where the windows end at {int(m)}",
                    help=f"between {int(max(m - s + 1, 1))} and {int(m + s - 1)}",
                    attribute="size",
                )
        return (x[0], *(self.size or least))

    def macs(self, *inputs: Shape) -> int:
        """0: a copy."""
        return 0

    def reads(self, *inputs: Shape) -> tuple[Reading, ...]:
        """The windows that hold its place, of its channel."""
        (shape,), ones = self.shapes(*inputs), (1,) * len(self.kernel)
        window = Window(self.kernel, self.strides, self.pads, ones, transposed=True)
        _, *found = window.reading(inputs[0], shape).axes
        axes = [{(0, 0): SAME, (1, 0): SAME}]
        axes += [
            {(0, axis): taps, (1, axis): taps}
            for axis, one in enumerate(found, 1)
            for taps in one.values()
        ]
        return (Reading(tuple(axes)),)

    def figure(self) -> str:
        """`unpool 2×2 ↑2`."""
        return f"unpool {compact(self.kernel)}{enlarged(self.strides)}"

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """A copy into zeros."""
        x, places = inputs
        size = self.shape(x.shape[1:], places.shape[1:])[1:]
        return kernels.max_unpool(x, places, size)

    def torch(self, *inputs: Shape) -> Torch:
        """`F.max_unpool2d(x, indices, (2, 2))`: PyTorch's types ask for tuples."""
        rank = len(self.kernel)
        keywords: dict[str, tuple[object, object]] = {
            "stride": (self.strides, self.kernel),
            "padding": (tuple(before for before, _ in self.pads), (0,) * rank),
            "output_size": (self.size, None),
        }
        given = (Operand(0), Operand(1), self.kernel)
        return Torch(function=Call(f"F.max_unpool{rank}d", given, keywords))

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`ScatterElements` into zeros, the places of each map in a row."""
        x, places = inputs
        shape = self.shape(x.shape, places.shape)
        count = to("Concat", to.batch(x), to.ints(shape[0], math.prod(shape[1:])), axis=0)
        zero = np.zeros(1, np.float32)
        empty = to("ConstantOfShape", count, integer=False, value=zero)
        rows = to.ints(0, shape[0], -1)
        where, what = to("Reshape", to.whole(places), rows), to("Reshape", x, rows)
        whole = to("ScatterElements", empty, where, what, axis=2)
        return to.reshape(Value(to, whole.name, (shape[0], math.prod(shape[1:]))), shape)


@op("avgpool", Family.POOL)
class AvgPool(Op):
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
        """`nn.AvgPool2d`; a module of the file's own where the sides of the padding differ."""
        keywords: dict[str, tuple[object, object]] = {
            "ceil_mode": (self.ceil, False),
            "count_include_pad": (self.count_include_pad, True),
        }
        # PyTorch refuses a window in three dimensions that is larger than its padded input.
        room = zip(inputs[0][1:], self.pads, self.kernel, strict=True)
        small = len(self.kernel) == 3 and any(n + a + b < k for n, (a, b), k in room)
        return _torch("AvgPool", "avg_pool", self, keywords, own=small)

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`AveragePool`; where ONNX rounds up another way, by the mean of what counts."""
        (x,) = inputs
        window = self.window(x.shape)
        sizes: dict[str, Any] = {"kernel_shape": self.kernel, "strides": self.strides}
        # What `ceil` adds behind the padding never counts here; that ONNX leaves open.
        counted = self.count_include_pad and any(map(any, self.pads))
        rounds = self.ceil and not counted and _rounds_alike(window)
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


GLOBAL_AVG_POOL = '''class GlobalAvgPool(nn.Module):
    """The mean over all places."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(2).mean(2)
'''


@op("gap", Family.POOL)
class GlobalAvgPool(Op):
    """Global average pooling.  (C, *S) → (C,), or (C, 1, …) with `keep`.

    MACs: 0.
    Source: Lin, Chen & Yan 2013, arXiv:1312.4400, §3.2.
    """

    chained = True

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
        """`x.mean((2, 3))`, or `nn.AdaptiveAvgPool2d(1)` with `keep`."""
        rank = len(inputs[0]) - 1
        if self.keep:
            return Torch(
                Call(f"nn.AdaptiveAvgPool{rank}d", (1,)),
                Call(f"F.adaptive_avg_pool{rank}d", (Operand(0), 1)),
            )
        axes = tuple(range(2, rank + 2))
        function = Template("{0}.mean({axes})", {"axes": one(axes)})
        return Torch(Call("GlobalAvgPool"), function, GLOBAL_AVG_POOL)

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`GlobalAveragePool`, or `ReduceMean`."""
        (x,) = inputs
        if self.keep:
            return to("GlobalAveragePool", x)
        axes = to.ints(*range(2, len(x.shape) + 1))
        return to("ReduceMean", x, axes, keepdims=0)


GLOBAL_MAX_POOL = '''class GlobalMaxPool(nn.Module):
    """The largest value of all places; with `keep` the axes stay."""

    def __init__(self, keep: bool = False) -> None:
        super().__init__()
        self.keep = keep

    def forward(self, x: Tensor) -> Tensor:
        return x.amax(list(range(2, x.dim())), self.keep)
'''


@op("gmp", Family.POOL)
class GlobalMaxPool(GlobalAvgPool):
    """Global max pooling.  (C, *S) → (C,), or (C, 1, …) with `keep`.

    MACs: 0.
    Source: Woo et al. 2018, arXiv:1807.06521, §3.
    """

    keep: bool = False

    known = ("nn.AdaptiveMaxPool", "F.adaptive_max_pool")
    elsewhere = "globalmaxpool globalmaxpooling gmaxpool"
    keeps = Saved(inputs=(0,), outputs=(0,))

    def figure(self) -> str:
        """`global max`."""
        return "global max"

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """The maximum over the spatial axes."""
        (x,) = inputs
        largest: Array = x.max(tuple(range(2, x.ndim)), keepdims=self.keep)
        return largest

    def torch(self, *inputs: Shape) -> Torch:
        """`x.amax((2, 3))`."""
        axes = one(tuple(range(2, len(inputs[0]) + 1)))
        keep = ", keepdim=True" if self.keep else ""
        function = Template(f"{{0}}.amax({{axes}}{keep})", {"axes": axes})
        module = Call("GlobalMaxPool", (), {"keep": (self.keep, False)})
        return Torch(module, function, GLOBAL_MAX_POOL)

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`GlobalMaxPool`, or `ReduceMax`."""
        (x,) = inputs
        if self.keep:
            return to("GlobalMaxPool", x)
        axes = to.ints(*range(2, len(x.shape) + 1))
        return to("ReduceMax", x, axes, keepdims=0)


class Adaptive(Op):
    """Bins of about equal size: bin i of m is ⌊i·S / m⌋ to ⌈(i + 1)·S / m⌉.

    (C, *S) → (C, *size).
    """

    chained = True

    size: Size

    def reads(self, *inputs: Shape) -> tuple[Reading, ...]:
        """Its bin of its channel."""
        axes: list[Along] = [{(0, 0): SAME}]
        for axis, (n, m) in enumerate(zip(inputs[0][1:], self.size, strict=True), 1):
            period = m // math.gcd(n, m)
            if m == 1:
                axes.append({})
                continue
            first = tuple(int(i * n // m) for i in range(period))
            last = tuple(int(-(-(i + 1) * n // m) - 1) for i in range(period))
            axes.append({(0, axis): Taps(first, last, int(n // math.gcd(n, m)))})
        return (Reading(tuple(axes)),)

    def shape(self, *inputs: Shape) -> Shape:
        """(C, *size)."""
        spatial(inputs[0], self.name)
        return (inputs[0][0], *self.size)

    def macs(self, *inputs: Shape) -> int:
        """0: counted as pooling."""
        return 0

    def torch(self, *inputs: Shape) -> Torch:
        """`nn.AdaptiveAvgPool2d((7, 7))`."""
        rank, size = len(self.size), one(self.size)
        module, function = self.known
        return Torch(
            Call(f"{module}{rank}d", (size,)), Call(f"{function}{rank}d", (Operand(0), size))
        )

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """A window where all bins are alike; else the places of each bin, reduced."""
        (x,) = inputs
        mean = self.known[0].endswith("AvgPool")
        if all(m == 1 for m in self.size):
            return to(f"Global{'Average' if mean else 'Max'}Pool", x)
        sizes = list(zip(fixed(x.shape[1:]), map(int, self.size), strict=True))
        if not any(n % m for n, m in sizes):
            kernel = tuple(n // m for n, m in sizes)
            kind = "AveragePool" if mean else "MaxPool"
            return to(kind, x, kernel_shape=kernel, strides=kernel)
        for axis, (n, m) in enumerate(sizes, 2):
            bins = [range(i * n // m, -(-(i + 1) * n // m)) for i in range(m)]
            longest = max(map(len, bins))
            # A shorter bin has its last place again, which counts for nothing.
            places = [[one[min(k, len(one) - 1)] for k in range(longest)] for one in bins]
            x = to("Gather", x, to.constant(np.array(places, np.int64)), axis=axis)
            if not mean:
                x = to("ReduceMax", x, to.ints(axis + 1), keepdims=0)
                continue
            shares = [
                [1 / len(one) if k < len(one) else 0 for k in range(longest)] for one in bins
            ]
            ends = (1,) * (len(sizes) + 1 - axis)
            factors = np.array(shares, np.float32).reshape(m, longest, *ends)
            x = to("ReduceSum", x * to.constant(factors), to.ints(axis + 1), keepdims=0)
        return x


@op("adaptive_avgpool", Family.POOL)
class AdaptiveAvgPool(Adaptive):
    """The mean of each of `size` bins: ⌊i·S / m⌋ to ⌈(i + 1)·S / m⌉.  (C, *S) → (C, *size).

    MACs: 0.
    Source: He et al. 2014, arXiv:1406.4729, §2.2 (spatial pyramid pooling).
    """

    size: Size

    known = ("nn.AdaptiveAvgPool", "F.adaptive_avg_pool")

    def saves(self, *inputs: Shape, grads: tuple[bool, ...]) -> Saved:
        """Its input, for its shape alone, but PyTorch keeps it; of one bin nothing."""
        return NOTHING if math.prod(self.size) == 1 else INPUT

    def figure(self) -> str:
        """`avg to 7×7`."""
        return f"avg to {compact(self.size)}"

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """One axis after another."""
        return kernels.adaptive(inputs[0], self.size, "mean")


@op("adaptive_maxpool", Family.POOL)
class AdaptiveMaxPool(Adaptive):
    """The maximum of each of `size` bins.  (C, *S) → (C, *size).

    MACs: 0.
    Source: He et al. 2014, arXiv:1406.4729, §2.2 (spatial pyramid pooling).
    """

    size: Size

    known = ("nn.AdaptiveMaxPool", "F.adaptive_max_pool")

    def saves(self, *inputs: Shape, grads: tuple[bool, ...]) -> Saved:
        """Its input, and the place of each maximum, 8 bytes."""
        return Saved(inputs=(0,), own=8 * math.prod(self.shape(*inputs)))

    def figure(self) -> str:
        """`max to 7×7`."""
        return f"max to {compact(self.size)}"

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """One axis after another."""
        return kernels.adaptive(inputs[0], self.size, "max")


def _each_channel(inputs: tuple[Shape, ...]) -> int:
    """As many groups as channels, where the input is known."""
    return inputs[0][0] if inputs else 1


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
    layer = replace(layer, pad=padding(layer.pad, layer.kernel, dilation))
    return replace(layer, stride=layer.kernel) if layer.stride is None else layer


def _sizes(x: Shape, window: Window, ceil: bool) -> Size:
    sizes = zip(
        x[1:], window.kernel, window.stride, window.padding, window.dilation, strict=True
    )
    return tuple(window_size(*size, ceil) for size in sizes)


def _rounds_alike(window: Window) -> bool:
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
    *,
    own: bool = False,
) -> Torch:
    rank, kernel = len(layer.kernel), layer.kernel
    if own or not even(layer.pads):
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
