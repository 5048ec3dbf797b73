"""Pooling that remembers its places, and its reversal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from cnndsl.diagnostics import OpError
from cnndsl.ops.arrays import kernels, np
from cnndsl.ops.base import op
from cnndsl.ops.facts import (
    NOTHING,
    SAME,
    Array,
    Call,
    Family,
    Operand,
    Pad,
    Places,
    Reading,
    Saved,
    Shape,
    Size,
    Torch,
    Window,
    spell_shape,
)
from cnndsl.ops.onnx_steps import Onnx, Value, both, unpadded
from cnndsl.ops.pool import MaxPool, Windowed
from cnndsl.ops.shapes import (
    compact,
    enlarged,
    even,
)
from cnndsl.ops.strides import Laid, by_format, by_order


@op("maxpool_indices", Family.POOL, outputs=("out", "indices"))
class MaxPoolIndices(MaxPool):
    """Max pooling that gives the place of each maximum too.  (C, *S) → (C, *S′), (C, *S′).

    A place is a whole number: that in the flattened map of its channel.
    MACs: 0.
    Raises OpError: as `maxpool`, or the sides of the padding differ.
    Source: Badrinarayanan, Kendall & Cipolla 2015, arXiv:1511.00561, §3.
    """

    chained = follows = False
    discrete = integers = ("indices",)
    known = ("F.max_pool",)
    elsewhere = "maxpoolwithindices maxpoolwithargmax"

    def saves(self, *inputs: Shape, grads: tuple[bool, ...]) -> Saved:
        """Its input and the places."""
        return Saved(inputs=(0,), outputs=(1,))

    def shape(self, *inputs: Shape) -> Shape:
        """(C, *S′)."""
        if not even(self.pads):
            raise OpError("both sides must have the same padding", attribute="pad")
        return MaxPool.shape(self, *inputs)

    def shapes(self, *inputs: Shape) -> tuple[Shape, ...]:
        """Both alike; the places are in the input's map."""
        shape = self.shape(*inputs)
        return shape, Places(shape, inputs[0][1:])

    def run(self, *inputs: Array, **weights: Array) -> Any:
        """The running maximum over the kernel's taps, and where it was."""
        return self.pooled(kernels.max_places, inputs[0])

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
        """`MaxPool`, whose places count over all channels and samples.

        Where it is given −∞ behind the padding, as `maxpool` is, they count over that too.
        """
        (x,) = inputs
        beyond = self.behind(x.shape)
        found, places = to.several(
            "MaxPool",
            2,
            to.pad(x, beyond, -math.inf),
            kernel_shape=self.kernel,
            strides=self.strides,
            pads=both(*self.pads),
            dilations=self.dilation,
            ceil_mode=1 if self.rounds(x.shape) else None,
        )
        sizes = [n + after for n, (_, after) in zip(x.shape[1:], beyond, strict=True)]
        places = Value(to, places.name, integer=True)
        rest = place = to("Mod", places, to.ints(math.prod(sizes)))
        for axis in reversed(range(len(sizes) if not unpadded(beyond) else 0)):
            wide, step = to.ints(sizes[axis]), to.ints(math.prod(x.shape[axis + 2 :]))
            part = to("Mul", to("Mod", rest, wide), step)
            place = part if rest is place else to("Add", place, part)
            rest = to("Div", rest, wide)
        return found, place


@op("max_unpool", Family.UPSAMPLE, arity=(2, 2))
class MaxUnpool(Windowed):
    """Each value where its maximum was, zeros elsewhere.  (C, *S′), (C, *S′) → (C, *S).

    S is `size`, or (S′ − 1)·stride − 2·pad + kernel, the stride the kernel unless it is given.
    MACs: 0.
    Raises OpError: values and places of other shapes; a `size` that the pooling cannot have
    had, or had not; the sides of the padding differ.
    Source: Badrinarayanan, Kendall & Cipolla 2015, arXiv:1511.00561, §3.
    """

    ports = ("out", "indices")

    kernel: Size
    stride: Size | None = None
    pad: Pad = 0
    size: Size | None = None

    known = ("F.max_unpool",)
    titled = ("stride",)
    follows = False
    elsewhere = "maxunpool unpool unpooling"
    moves = True

    def takes_whole(self, operand: int) -> bool:
        """The places."""
        return operand == 1

    def gives_whole(self, whole: Sequence[bool]) -> bool:
        """The values are not."""
        return False

    def laid(self, *inputs: Laid, training: bool = False) -> tuple[Laid, ...]:
        """A map in the format of its input."""
        return (by_format if len(inputs[0].sizes) == 4 else by_order)(self, *inputs)

    def saves(self, *inputs: Shape, grads: tuple[bool, ...]) -> Saved:
        """The places."""
        return Saved(inputs=(1,)) if grads[0] else NOTHING

    def shape(self, *inputs: Shape) -> Shape:
        """(C, *S)."""
        x, places = inputs
        if x != places:
            raise OpError(
                f"the values are {spell_shape(x)}, but the places are {spell_shape(places)}",
                help="both come from one `maxpool_indices`",
                operand=1,
            )
        if not even(self.pads):
            raise OpError("both sides must have the same padding", attribute="pad")
        axes = zip(x[1:], self.kernel, self.strides, self.pads, strict=True)
        least = tuple((n - 1) * s - 2 * before + k for n, k, s, (before, _) in axes)
        for n, m, s in zip(self.size or least, least, self.strides, strict=True):
            if not m - s < n < m + s or n < 1:
                raise OpError(
                    f"the size is {int(n)}, but the windows end at {int(m)}",
                    help=f"give one between {int(max(m - s + 1, 1))} and {int(m + s - 1)}",
                    attribute="size",
                )
        found = self.size or least
        if isinstance(places, Places) and found != places.plane:
            seen, given = spell_shape(places.plane), spell_shape(found)
            raise OpError(
                f"these places lie in a map of {seen}, not {given}",
                help=f"write `size={'x'.join(str(int(n)) for n in places.plane)}`",
                attribute="size",
            )
        return (x[0], *found)

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
            "stride": (None if self.strides == self.kernel else self.strides, None),
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
