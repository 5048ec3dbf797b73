"""Pooling to one place, or to so many places as are asked for."""

from __future__ import annotations

import math

from cnndsl.ops.arrays import kernels, np
from cnndsl.ops.base import Op, op
from cnndsl.ops.facts import (
    INPUT,
    NOTHING,
    SAME,
    Along,
    Array,
    Call,
    Family,
    Operand,
    Reading,
    Saved,
    Shape,
    Size,
    Taps,
    Template,
    Torch,
    Window,
)
from cnndsl.ops.onnx_steps import Onnx, Value, fixed
from cnndsl.ops.shapes import (
    compact,
    one,
    spatial,
)
from cnndsl.ops.strides import Laid, by_format, by_order, by_windows

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

    laid = by_format

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

    whole = True

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

    def laid(self, *inputs: Laid, training: bool = False) -> tuple[Laid, ...]:
        """By windows, but of three spatial axes in order, unless to one mean."""
        one = self.known[0].endswith("AvgPool") and math.prod(self.size) == 1
        return (by_order if len(self.size) == 3 and not one else by_windows)(self, *inputs)

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
