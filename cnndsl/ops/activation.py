"""Activations: functions of one number, and softmax."""

from __future__ import annotations

from typing import Any, ClassVar

from cnndsl.ops.arrays import kernels
from cnndsl.ops.base import Array, Call, Family, Op, Operand, Shape, Template, Torch, op
from cnndsl.ops.shapes import check_axis


class Elementwise(Op):
    """A function of each element.  (*S) → (*S).

    A kernel of its name computes it; `words` says how PyTorch spells an attribute, and
    PyTorch's default.
    """

    module: ClassVar[str]
    function: ClassVar[str]
    words: ClassVar[dict[str, tuple[str, float]]] = {}

    def shape(self, *inputs: Shape) -> Shape:
        """The input's."""
        return inputs[0]

    def macs(self, *inputs: Shape) -> int:
        """0: counted as activation."""
        return 0

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """The kernel that bears the operation's name."""
        values: dict[str, Any] = {name: getattr(self, name) for name in self.words}
        found: Array = getattr(kernels, self.name)(inputs[0], **values)
        return found

    def torch(self, *inputs: Shape) -> Torch:
        """`nn.ReLU()`, or `F.relu(x)`."""
        keywords: dict[str, tuple[object, object]] = {
            word: (getattr(self, name), default) for name, (word, default) in self.words.items()
        }
        return Torch(
            Call(self.module, (), keywords), Call(self.function, (Operand(0),), keywords)
        )


@op("relu", Family.ACTIVATION)
class ReLU(Elementwise):
    """max(x, 0).  (*S) → (*S).

    Source: Glorot, Bordes & Bengio 2011, AISTATS, §3.
    """

    module, function = "nn.ReLU", "F.relu"


@op("relu6", Family.ACTIVATION)
class ReLU6(Elementwise):
    """min(max(x, 0), 6).  (*S) → (*S).

    Source: Howard et al. 2017, arXiv:1704.04861.
    """

    module, function = "nn.ReLU6", "F.relu6"


@op("leaky", Family.ACTIVATION)
class LeakyReLU(Elementwise):
    """x where positive, slope·x elsewhere.  (*S) → (*S).

    Source: Maas, Hannun & Ng 2013, ICML workshop, §2.
    """

    slope: float = 0.01

    module, function = "nn.LeakyReLU", "F.leaky_relu"
    words = {"slope": ("negative_slope", 0.01)}  # noqa: RUF012


@op("elu", Family.ACTIVATION)
class ELU(Elementwise):
    """x where positive, alpha·(eˣ − 1) elsewhere.  (*S) → (*S).

    Source: Clevert, Unterthiner & Hochreiter 2015, arXiv:1511.07289, §3.
    """

    alpha: float = 1.0

    module, function = "nn.ELU", "F.elu"
    words = {"alpha": ("alpha", 1.0)}  # noqa: RUF012


@op("sigmoid", Family.ACTIVATION)
class Sigmoid(Elementwise):
    """1 / (1 + e⁻ˣ).  (*S) → (*S).

    Source: convention.
    """

    module, function = "nn.Sigmoid", "torch.sigmoid"


@op("tanh", Family.ACTIVATION)
class Tanh(Elementwise):
    """Hyperbolic tangent.  (*S) → (*S).

    Source: convention.
    """

    module, function = "nn.Tanh", "torch.tanh"


@op("hardsigmoid", Family.ACTIVATION)
class HardSigmoid(Elementwise):
    """min(max(x + 3, 0), 6) / 6.  (*S) → (*S).

    Source: Howard et al. 2019, arXiv:1905.02244, §5.2.
    """

    module, function = "nn.Hardsigmoid", "F.hardsigmoid"


@op("hardswish", Family.ACTIVATION)
class HardSwish(Elementwise):
    """x · hardsigmoid(x).  (*S) → (*S).

    Source: Howard et al. 2019, arXiv:1905.02244, §5.2.
    """

    module, function = "nn.Hardswish", "F.hardswish"


@op("silu", Family.ACTIVATION)
class SiLU(Elementwise):
    """x · sigmoid(x), also called swish.  (*S) → (*S).

    Source: Ramachandran, Zoph & Le 2017, arXiv:1710.05941, §3.
    """

    module, function = "nn.SiLU", "F.silu"


@op("gelu", Family.ACTIVATION)
class GELU(Elementwise):
    """x · Φ(x), with the error function, not its tanh approximation.  (*S) → (*S).

    Source: Hendrycks & Gimpel 2016, arXiv:1606.08415, §2.
    """

    module, function = "nn.GELU", "F.gelu"


@op("mish", Family.ACTIVATION)
class Mish(Elementwise):
    """x · tanh(log(1 + eˣ)).  (*S) → (*S).

    Source: Misra 2019, arXiv:1908.08681, §2.
    """

    module, function = "nn.Mish", "F.mish"


@op("softmax", Family.ACTIVATION)
class Softmax(Op):
    """eˣ, divided by its sum along an axis.  (*S) → (*S).

    Raises OpError: no such axis.
    Source: convention.
    """

    axis: int

    def shape(self, *inputs: Shape) -> Shape:
        """The input's."""
        check_axis(self.axis, inputs[0], self.name)
        return inputs[0]

    def macs(self, *inputs: Shape) -> int:
        """0: counted as activation."""
        return 0

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """Shifted by the maximum, so that no exponential overflows."""
        return kernels.softmax(inputs[0], self.axis + 1)

    def torch(self, *inputs: Shape) -> Torch:
        """`x.softmax(1)`."""
        return Torch(
            Call("nn.Softmax", (self.axis + 1,)),
            Template("{0}.softmax({axis})", {"axis": self.axis + 1}),
        )
