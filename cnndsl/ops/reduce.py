"""Reductions: axes of a tensor in one number."""

from __future__ import annotations

import math
from typing import ClassVar

from cnndsl.diagnostics import OpError
from cnndsl.ops.arrays import np
from cnndsl.ops.base import Op, op
from cnndsl.ops.facts import (
    NOTHING,
    SAME,
    Array,
    Call,
    Family,
    Integers,
    Operand,
    Reading,
    Saved,
    Shape,
    Template,
    Torch,
)
from cnndsl.ops.onnx_steps import Onnx, Value
from cnndsl.ops.shapes import check_axis, one


class Reduction(Op):
    """Some axes in one number: they go, or stay with size 1 (`keep`).  (*S) → (*S′)."""

    axis: int | Integers
    keep: bool = False

    node: ClassVar[str] = ""
    """ONNX's operator."""
    reduce: ClassVar[str]
    """NumPy's and PyTorch's method."""

    @property
    def reduced(self) -> Integers:
        """The axes, in order."""
        axes = self.axis if isinstance(self.axis, tuple) else (self.axis,)
        return tuple(sorted(map(int, axes)))

    def reads(self, *inputs: Shape) -> tuple[Reading, ...]:
        """All of these axes."""
        axes = [
            {} if axis in self.reduced else {(0, axis): SAME}
            for axis in range(len(inputs[0]))
            if self.keep or axis not in self.reduced
        ]
        return (Reading(tuple(axes)),)

    def shape(self, *inputs: Shape) -> Shape:
        """Without the axes, or with size 1.  Raises OpError: no axis is left, or given."""
        (x,), axes = inputs, self.reduced
        for axis in axes:
            check_axis(axis, x, self.name)
        if not axes or len(set(axes)) < len(axes):
            said = "needs an axis" if not axes else "names an axis twice"
            raise OpError(f"`{self.name}` {said}", attribute="axis")
        if len(axes) == len(x) and not self.keep:
            message = f"`{self.name}` over every axis would leave none"
            raise OpError(message, help="write keep=true, or leave an axis", attribute="axis")
        kept = (
            1 if n in axes else size for n, size in enumerate(x) if self.keep or n not in axes
        )
        return tuple(kept)

    def macs(self, *inputs: Shape) -> int:
        """0: counted as pooling."""
        return 0

    def figure(self) -> str:
        """`mean over axis 0`, `sum over axes 1, 2`."""
        axes = ", ".join(map(str, self.reduced))
        return f"{self.name} over {'axis' if len(self.reduced) == 1 else 'axes'} {axes}"

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """NumPy's."""
        axes = tuple(axis + 1 for axis in self.reduced)
        found: Array = getattr(inputs[0], self.reduce)(axis=axes, keepdims=self.keep)
        return found

    def torch(self, *inputs: Shape) -> Torch:
        """`x.mean((2, 3))`, `x.amax(1, keepdim=True)`."""
        method = {"max": "amax", "min": "amin"}.get(self.reduce, self.reduce)
        axes = one(tuple(axis + 1 for axis in self.reduced))
        keep = ", keepdim=True" if self.keep else ""
        return Torch(function=Template(f"{{0}}.{method}({{axes}}{keep})", {"axes": axes}))

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """ONNX's operator over these axes."""
        axes = to.ints(*(axis + 1 for axis in self.reduced))
        return to(self.node, inputs[0], axes, keepdims=int(self.keep))


@op("mean", Family.POOL)
class Mean(Reduction):
    """The mean over one axis or several.  (*S) → (*S′).

    Raises OpError: no such axis, or none is left.
    Source: Woo et al. 2018, arXiv:1807.06521, §3 (over the channels).
    """

    axis: int | Integers
    keep: bool = False

    reduce, node = "mean", "ReduceMean"
    elsewhere = "reducemean"
    keeps = NOTHING


@op("sum", Family.POOL)
class Sum(Reduction):
    """The sum over one axis or several.  (*S) → (*S′).

    Raises OpError: no such axis, or none is left.
    Source: convention.
    """

    whole = True

    axis: int | Integers
    keep: bool = False

    reduce, node = "sum", "ReduceSum"
    elsewhere = "reducesum"
    keeps = NOTHING


@op("max", Family.POOL)
class Max(Reduction):
    """The largest value over one axis or several.  (*S) → (*S′).

    Raises OpError: no such axis, or none is left.
    Source: Woo et al. 2018, arXiv:1807.06521, §3 (over the channels).
    """

    whole = True

    axis: int | Integers
    keep: bool = False

    reduce, node = "max", "ReduceMax"
    elsewhere = "amax reducemax"
    keeps = Saved(inputs=(0,), outputs=(0,))


@op("min", Family.POOL)
class Min(Reduction):
    """The smallest value over one axis or several.  (*S) → (*S′).

    Raises OpError: no such axis, or none is left.
    Source: convention.
    """

    whole = True

    axis: int | Integers
    keep: bool = False

    reduce, node = "min", "ReduceMin"
    elsewhere = "amin reducemin"
    keeps = Saved(inputs=(0,), outputs=(0,))


@op("vector_norm", Family.POOL)
class VectorNorm(Reduction):
    """√Σx² over one axis or several, or Σ|x| with p=1.  (*S) → (*S′).

    Raises OpError: no such axis, or none is left; p is not 1 or 2.
    Source: Woo et al. 2023, arXiv:2301.00808, §3 (global response normalisation).
    """

    axis: int | Integers
    p: int = 2
    keep: bool = False

    elsewhere = "norm reducel2 pnorm"
    titled = ("p",)
    keeps = Saved(inputs=(0,), outputs=(0,))

    def shape(self, *inputs: Shape) -> Shape:
        """Without the axes, or with size 1."""
        if self.p not in (1, 2):
            raise OpError(
                f"p={int(self.p)} is not supported", help="p is 1 or 2", attribute="p"
            )
        return Reduction.shape(self, *inputs)

    def special(self, *inputs: Shape) -> int:
        """A root an output."""
        return math.prod(self.shape(*inputs)) if self.p == 2 else 0

    def figure(self) -> str:
        """`L2 norm over axes 1, 2`."""
        return Reduction.figure(self).replace(self.name, f"L{int(self.p)} norm")

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """By its definition."""
        axes = tuple(axis + 1 for axis in self.reduced)
        found: Array
        if self.p == 1:
            found = np.abs(inputs[0]).sum(axes, keepdims=self.keep)
        else:
            found = np.sqrt(np.square(inputs[0]).sum(axes, keepdims=self.keep))
        return found

    def torch(self, *inputs: Shape) -> Torch:
        """`torch.linalg.vector_norm(x, dim=(2, 3))`."""
        keywords: dict[str, tuple[object, object]] = {
            "ord": (self.p, 2),
            "dim": (one(tuple(axis + 1 for axis in self.reduced)), None),
            "keepdim": (self.keep, False),
        }
        return Torch(function=Call("torch.linalg.vector_norm", (Operand(0),), keywords))

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`ReduceL2`, or `ReduceL1`."""
        axes = to.ints(*(axis + 1 for axis in self.reduced))
        return to(f"ReduceL{int(self.p)}", inputs[0], axes, keepdims=int(self.keep))


@op("argmax", Family.POOL)
class ArgMax(Reduction):
    """The place of the largest value along an axis, a whole number.  (*S) → (*S′).

    Raises OpError: no such axis, or none is left.
    Source: Long, Shelhamer & Darrell 2014, arXiv:1411.4038 (the class of each pixel).
    """

    whole = False

    axis: int
    keep: bool = False

    keeps = NOTHING
    discrete = integers = ("out",)

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """The first of the largest."""
        found: Array = np.argmax(inputs[0], self.axis + 1, keepdims=self.keep)
        return found

    def torch(self, *inputs: Shape) -> Torch:
        """`x.argmax(1)`."""
        keep = ", keepdim=True" if self.keep else ""
        text = f"{{0}}.argmax({{axis}}{keep})"
        return Torch(function=Template(text, {"axis": self.axis + 1}))

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`ArgMax`."""
        keep = int(self.keep)
        return to("ArgMax", inputs[0], integer=True, axis=self.axis + 1, keepdims=keep)
