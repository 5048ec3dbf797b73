"""Normalisation along an axis, without statistics of a batch and without factors."""

from __future__ import annotations

import math

from cnndsl.diagnostics import OpError
from cnndsl.ops.arrays import kernels
from cnndsl.ops.base import Op, each_element, op
from cnndsl.ops.facts import (
    BYTES,
    Array,
    Call,
    Family,
    Operand,
    Reading,
    Saved,
    Shape,
    Taps,
    Torch,
)
from cnndsl.ops.onnx_steps import Onnx, Value
from cnndsl.ops.reads import along, pointwise
from cnndsl.ops.shapes import check_axis, spatial
from cnndsl.ops.strides import by_elements

LOCAL_RESPONSE_NORM = '''class LocalResponseNorm3d(nn.LocalResponseNorm):
    """Local response normalisation of maps of three axes, which may be permuted."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.flatten(2)).reshape(input.shape)
'''


@op("lrn", Family.NORM)
class LocalResponseNorm(Op):
    """x / (k + alpha/n · Σ x²)^beta, the sum over n neighbouring channels.  (C, *S) → (C, *S).

    `alpha` is divided by n, as in Caffe and PyTorch; the paper's alpha is not.
    Raises OpError: n is less than 1.
    Source: Krizhevsky, Sutskever & Hinton 2012, NIPS, §3.3.
    """

    chained = True

    n: int = 5
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 1.0

    elsewhere = "localresponsenorm localresponsenormalization crossmaplrn"
    special = each_element

    laid = by_elements

    def reads(self, *inputs: Shape) -> tuple[Reading, ...]:
        """The neighbouring channels of its position."""
        _, *others = pointwise(inputs, inputs[0]).axes
        n = int(self.n)
        return (Reading(({(0, 0): Taps((-(n // 2),), ((n - 1) // 2,), 1)}, *others)),)

    def saves(self, *inputs: Shape, grads: tuple[bool, ...]) -> Saved:
        """Its input, the squares with channels around them, the sums and their powers."""
        channels, *places = inputs[0]
        return Saved(inputs=(0,), own=BYTES * (3 * channels + self.n - 1) * math.prod(places))

    def shape(self, *inputs: Shape) -> Shape:
        """The input's."""
        spatial(inputs[0], self.name)
        if self.n < 1:
            raise OpError(f"`n` is {int(self.n)}, but must be at least 1", attribute="n")
        return inputs[0]

    def macs(self, *inputs: Shape) -> int:
        """0: counted as normalisation."""
        return 0

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """The sum over the neighbours one at a time."""
        return kernels.lrn(inputs[0], self.n, self.alpha, self.beta, self.k)

    def torch(self, *inputs: Shape) -> Torch:
        """`nn.LocalResponseNorm`, which cannot view a permuted map of three axes."""
        keywords: dict[str, tuple[object, object]] = {
            "alpha": (self.alpha, 1e-4),
            "beta": (self.beta, 0.75),
            "k": (self.k, 1.0),
        }
        if len(inputs[0]) == 4:
            call = Call("LocalResponseNorm3d", (self.n,), keywords)
            return Torch(call, helper=LOCAL_RESPONSE_NORM)
        return Torch(
            Call("nn.LocalResponseNorm", (self.n,), keywords),
            Call("F.local_response_norm", (Operand(0), self.n), keywords),
        )

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`LRN`; where as many neighbours lie on both sides of a map's channel, else a mean."""
        (x,), n = inputs, int(self.n)
        if n % 2 and len(x.shape) == 3:
            alpha, beta, bias = float(self.alpha), float(self.beta), float(self.k)
            return to("LRN", x, size=n, alpha=alpha, beta=beta, bias=bias)
        squares = to("Reshape", x * x, to.ints(0, 1, x.shape[0], -1))
        sides = to.pad(squares, ((n // 2, (n - 1) // 2), (0, 0)))
        mean = to("AveragePool", sides, kernel_shape=(n, 1))
        total = to("Reshape", mean, to("Shape", x, integer=True))
        return x / to("Pow", total * float(self.alpha) + float(self.k), to.floats(self.beta))


@op("l2norm", Family.NORM)
class L2Norm(Op):
    """x / max(‖x‖₂, eps) along an axis.  (*S) → (*S).

    Raises OpError: no such axis.
    Source: Liu, Rabinovich & Berg 2015, arXiv:1506.04579, §3.2 (ParseNet).
    """

    axis: int
    eps: float = 1e-12

    special = each_element

    laid = by_elements

    def reads(self, *inputs: Shape) -> tuple[Reading, ...]:
        """All of the axis."""
        return (along(inputs[0], self.axis),)

    def saves(self, *inputs: Shape, grads: tuple[bool, ...]) -> Saved:
        """Its input, and the length of each vector, before and after `eps`."""
        vectors = math.prod(inputs[0]) // inputs[0][self.axis]
        return Saved(inputs=(0,), own=2 * BYTES * vectors)

    def shape(self, *inputs: Shape) -> Shape:
        """The input's."""
        check_axis(self.axis, inputs[0], self.name)
        return inputs[0]

    def macs(self, *inputs: Shape) -> int:
        """0: counted as normalisation."""
        return 0

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """By the norm."""
        return kernels.l2norm(inputs[0], self.axis + 1, self.eps)

    def torch(self, *inputs: Shape) -> Torch:
        """`F.normalize`."""
        keywords: dict[str, tuple[object, object]] = {
            "dim": (self.axis + 1, 1),
            "eps": (self.eps, 1e-12),
        }
        return Torch(function=Call("F.normalize", (Operand(0),), keywords))

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`ReduceL2`, not less than `eps`."""
        (x,) = inputs
        norm = to("ReduceL2", x, to.ints(self.axis + 1), keepdims=1)
        return x / to("Max", norm, to.floats(self.eps))
