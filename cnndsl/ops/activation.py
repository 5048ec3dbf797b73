"""Activations: functions of one number, and softmax."""

from __future__ import annotations

from typing import Any, ClassVar

from cnndsl.ops.arrays import kernels
from cnndsl.ops.base import (
    INPUT,
    OUTPUT,
    Array,
    Call,
    Family,
    Op,
    Operand,
    Reading,
    Shape,
    Template,
    Torch,
    each_element,
    op,
)
from cnndsl.ops.reads import along, each_position
from cnndsl.ops.shapes import check_axis


class Elementwise(Op):
    """A function of each element.  (*S) → (*S).

    A kernel of its name computes it. What it keeps for its gradient (`keeps`), whether it
    may work in place and how many `special` functions it takes, each says itself.
    """

    chained = True

    module: ClassVar[str]
    function: ClassVar[str]
    spelt: ClassVar[tuple[str, ...]] = ()
    """PyTorch's words for its attributes, where they are other words."""
    reads = each_position

    def __init_subclass__(cls) -> None:
        """Counters know it by PyTorch's names."""
        super().__init_subclass__()
        cls.known = (cls.module, cls.function)

    @property
    def words(self) -> dict[str, tuple[str, object]]:
        """PyTorch's word for each attribute, and its default."""
        names = self.spelt or self.names_
        pairs = zip(self.parameters, names, strict=True)
        return {known.name: (word, known.default) for known, word in pairs}

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
    inplace, keeps, keeps_inplace = True, OUTPUT, OUTPUT


@op("relu6", Family.ACTIVATION)
class ReLU6(Elementwise):
    """min(max(x, 0), 6).  (*S) → (*S).

    Source: Howard et al. 2017, arXiv:1704.04861.
    """

    module, function = "nn.ReLU6", "F.relu6"
    inplace, keeps = True, INPUT


@op("leaky", Family.ACTIVATION)
class LeakyReLU(Elementwise):
    """x where positive, slope·x elsewhere.  (*S) → (*S).

    Source: Maas, Hannun & Ng 2013, ICML workshop, §2.
    """

    slope: float = 0.01

    module, function, spelt = "nn.LeakyReLU", "F.leaky_relu", ("negative_slope",)
    inplace, keeps, keeps_inplace = True, INPUT, OUTPUT


@op("elu", Family.ACTIVATION)
class ELU(Elementwise):
    """x where positive, alpha·(eˣ − 1) elsewhere.  (*S) → (*S).

    Source: Clevert, Unterthiner & Hochreiter 2015, arXiv:1511.07289, §3.
    """

    alpha: float = 1.0

    module, function = "nn.ELU", "F.elu"
    inplace, keeps, keeps_inplace = True, INPUT, OUTPUT
    special = each_element


@op("sigmoid", Family.ACTIVATION)
class Sigmoid(Elementwise):
    """1 / (1 + e⁻ˣ).  (*S) → (*S).

    Source: convention.
    """

    module, function = "nn.Sigmoid", "torch.sigmoid"
    keeps, special = OUTPUT, each_element


@op("tanh", Family.ACTIVATION)
class Tanh(Elementwise):
    """Hyperbolic tangent.  (*S) → (*S).

    Source: convention.
    """

    module, function = "nn.Tanh", "torch.tanh"
    keeps, special = OUTPUT, each_element


@op("hardsigmoid", Family.ACTIVATION)
class HardSigmoid(Elementwise):
    """min(max(x + 3, 0), 6) / 6.  (*S) → (*S).

    Source: Howard et al. 2019, arXiv:1905.02244, §5.2.
    """

    module, function = "nn.Hardsigmoid", "F.hardsigmoid"
    elsewhere = "hsigmoid"
    inplace, keeps = True, INPUT


@op("hardswish", Family.ACTIVATION)
class HardSwish(Elementwise):
    """x · hardsigmoid(x).  (*S) → (*S).

    Source: Howard et al. 2019, arXiv:1905.02244, §5.2.
    """

    module, function = "nn.Hardswish", "F.hardswish"
    elsewhere = "hswish"
    inplace, keeps = True, INPUT


@op("silu", Family.ACTIVATION)
class SiLU(Elementwise):
    """x · sigmoid(x), also called swish.  (*S) → (*S).

    Source: Ramachandran, Zoph & Le 2017, arXiv:1710.05941, §3.
    """

    module, function = "nn.SiLU", "F.silu"
    elsewhere = "swish"
    inplace, keeps, special = True, INPUT, each_element


@op("gelu", Family.ACTIVATION)
class GELU(Elementwise):
    """x · Φ(x), with the error function, not its tanh approximation.  (*S) → (*S).

    Source: Hendrycks & Gimpel 2016, arXiv:1606.08415, §2.
    """

    module, function = "nn.GELU", "F.gelu"
    keeps, special = INPUT, each_element


@op("mish", Family.ACTIVATION)
class Mish(Elementwise):
    """x · tanh(log(1 + eˣ)).  (*S) → (*S).

    Source: Misra 2019, arXiv:1908.08681, §2.
    """

    module, function = "nn.Mish", "F.mish"
    inplace, keeps, special = True, INPUT, each_element


@op("softmax", Family.ACTIVATION)
class Softmax(Op):
    """eˣ, divided by its sum along an axis.  (*S) → (*S).

    Raises OpError: no such axis.
    Source: convention.
    """

    chained = True

    axis: int

    known = ("nn.Softmax", "F.softmax")
    keeps, special = OUTPUT, each_element
    bucket = "special"

    def reads(self, *inputs: Shape) -> tuple[Reading, ...]:
        """All of the axis."""
        return (along(inputs[0], self.axis),)

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
