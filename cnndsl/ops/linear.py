"""Fully connected layers, and what drops parts of them in training."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar

from cnndsl.diagnostics import OpError
from cnndsl.ops.arrays import kernels
from cnndsl.ops.base import Op, op
from cnndsl.ops.facts import (
    BYTES,
    INPUT,
    NOTHING,
    Array,
    Auto,
    Call,
    Family,
    Integers,
    Reading,
    Saved,
    Shape,
    Torch,
    Weight,
    Window,
)
from cnndsl.ops.initial import Init
from cnndsl.ops.onnx_steps import Onnx, Value
from cnndsl.ops.reads import but, each_position
from cnndsl.ops.strides import Laid, by_elements
from cnndsl.ops.words import Named, spoken


@op("linear", Family.LINEAR, fused=True)
class Linear(Op):
    """x · Wᵀ + b over the last axis; nothing is flattened.  (*L, F) → (*L, K).

    MACs: ∏L · F · K.
    Raises OpError: fewer than 1 output.
    Source: convention.
    """

    chained = True

    out: int
    bias: bool | Auto = Auto.AUTO
    init: Init | Auto = Auto.AUTO
    bias_init: Init | Auto = Auto.AUTO

    known = ("nn.Linear", "F.linear")
    hints: ClassVar = {"bias": "the features that enter are not written: `linear(10)`"}
    keeps = INPUT

    def reads(self, *inputs: Shape) -> tuple[Reading, ...]:
        """All of the last axis."""
        return (but(inputs[0], len(inputs[0]) - 1),)

    def copied(self, *inputs: Laid) -> Integers:
        """Rows are joined to the batch, which those at equal distances need no copy for."""
        (x,) = inputs
        return () if x.reshaped(math.prod(x.sizes[:-1]), x.sizes[-1]).shared else (0,)

    def resolved(self, *inputs: Shape) -> Op:
        """A bias unless it was said or a norm follows."""
        return replace(self, bias=True) if self.bias is Auto.AUTO else self

    def shape(self, *inputs: Shape) -> Shape:
        """(*L, K)."""
        if self.out < 1:
            raise OpError(f"`out` is {int(self.out)}, but must be at least 1", attribute="out")
        return (*inputs[0][:-1], self.out)

    def weights(self, *inputs: Shape) -> dict[str, Weight]:
        """`weight` (K, F) and `bias` (K)."""
        return self.begun((self.out, inputs[0][-1]), self.out if self.bias else None)

    def macs(self, *inputs: Shape) -> int:
        """∏L · F · K."""
        return math.prod(inputs[0]) * self.out

    def window(self, *inputs: Shape) -> Window:
        """Everything."""
        return Window(whole=True)

    def figure(self) -> str:
        """`1000`."""
        return f"linear, {spoken(self.out)}"

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """One matrix product."""
        return kernels.linear(inputs[0], weights["weight"], weights.get("bias"))

    def torch(self, *inputs: Shape) -> Torch:
        """`nn.Linear`."""
        return Torch(Call("nn.Linear", (inputs[0][-1], self.out), {"bias": (self.bias, True)}))

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`Gemm`; with more axes `MatMul` and `Add`."""
        (x,), weight, bias = inputs, weights["weight"], weights.get("bias")
        if len(x.shape) == 1:
            return to("Gemm", x, weight, bias, transB=1)
        y = to("MatMul", x, to("Transpose", weight, perm=(1, 0)))
        return y if bias is None else y + bias


@op("dropout", Family.REGULARIZE)
class Dropout(Op):
    """Each element is dropped with probability p in training; else nothing.  (*S) → (*S).

    Raises OpError: p is no probability.
    Source: Srivastava et al. 2014, JMLR 15, §4.
    """

    whole = True
    chained = True

    p: float = 0.5

    reads = each_position
    titled = ("p",)

    def laid(self, *inputs: Laid, training: bool = False) -> tuple[Laid, ...]:
        """The input itself in evaluation."""
        return by_elements(self, *inputs) if training and self.p else inputs

    def saves(self, *inputs: Shape, grads: tuple[bool, ...]) -> Saved:
        """The mask, of the input's type."""
        return Saved(own=BYTES * math.prod(inputs[0])) if self.p else NOTHING

    def shape(self, *inputs: Shape) -> Shape:
        """The input's."""
        if not 0 <= self.p <= 1:
            raise OpError(f"`p` is {self.p}, but must be from 0 to 1", attribute="p")
        return inputs[0]

    def macs(self, *inputs: Shape) -> int:
        """0."""
        return 0

    def figure(self) -> str:
        """`dropout 0.5`."""
        return f"dropout {spoken(self.p)}"

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """The input: evaluation drops nothing."""
        return inputs[0]

    def torch(self, *inputs: Shape) -> Torch:
        """`nn.Dropout`: a module only, so that `eval()` reaches it."""
        return Torch(Call("nn.Dropout", (), {"p": (self.p, 0.5)}))

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """The input: evaluation drops nothing."""
        return inputs[0]


DROP_PATH = '''class DropPath(nn.Module):
    """Drops whole samples with probability p in training, and scales up the others."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        shape = [x.shape[0]] + [1] * (x.dim() - 1)
        keep = x.new_empty(shape).bernoulli_(1 - self.p)
        return x * keep / (1 - self.p)
'''


@op("droppath", Family.REGULARIZE)
class DropPath(Op):
    """The whole sample is dropped with probability p in training.  (*S) → (*S).

    Raises OpError: p is not at least 0 and less than 1.
    Source: Huang et al. 2016, arXiv:1603.09382, §3 (stochastic depth).
    """

    whole = True
    chained = True

    p: float = 0.0

    reads = each_position
    titled = ("p",)

    def laid(self, *inputs: Laid, training: bool = False) -> tuple[Laid, ...]:
        """The input itself in evaluation."""
        return by_elements(self, *inputs) if training and self.p else inputs

    def saves(self, *inputs: Shape, grads: tuple[bool, ...]) -> Saved:
        """A number a sample."""
        return Saved(own=BYTES) if self.p else NOTHING

    def shape(self, *inputs: Shape) -> Shape:
        """The input's."""
        if not 0 <= self.p < 1:
            raise OpError(
                f"`p` is {self.p}, but must be at least 0 and less than 1", attribute="p"
            )
        return inputs[0]

    def macs(self, *inputs: Shape) -> int:
        """0."""
        return 0

    def figure(self) -> str:
        """`drop path 0.1`."""
        comma = "," if isinstance(self.p, Named) else ""
        return f"drop path{comma} {spoken(self.p)}"

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """The input: evaluation drops nothing."""
        return inputs[0]

    def torch(self, *inputs: Shape) -> Torch:
        """A module only, so that `eval()` reaches it."""
        return Torch(Call("DropPath", (self.p,)), helper=DROP_PATH)

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """The input: evaluation drops nothing."""
        return inputs[0]
