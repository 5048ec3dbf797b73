"""Activations: functions of one number, and softmax."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from cnndsl.ops.arrays import kernels
from cnndsl.ops.base import Op, each_element, op
from cnndsl.ops.facts import (
    INPUT,
    OUTPUT,
    Array,
    Call,
    Family,
    Operand,
    Reading,
    Shape,
    Template,
    Torch,
    Weight,
)
from cnndsl.ops.initial import Constant
from cnndsl.ops.onnx_steps import Onnx, Value
from cnndsl.ops.reads import along, each_position
from cnndsl.ops.shapes import check_axis
from cnndsl.ops.strides import by_elements
from cnndsl.ops.words import spoken


class Elementwise(Op):
    """A function of each element.  (*S) → (*S).

    A kernel of its name computes it. What it keeps for its gradient (`keeps`), whether it
    may work in place and how many `special` functions it takes, each says itself.
    """

    module: ClassVar[str] = ""
    """PyTorch's module; empty where there is a function alone."""
    function: ClassVar[str]
    node: ClassVar[str] = ""
    """ONNX's operator, whose attributes have the same names."""
    spelt: ClassVar[tuple[str, ...]] = ()
    """PyTorch's words for its attributes, where they are other words."""
    reads, laid = each_position, by_elements

    def __init_subclass__(cls) -> None:
        """Counters know it by PyTorch's names."""
        super().__init_subclass__()
        if hasattr(cls, "function"):
            cls.known = tuple(filter(None, (cls.module, cls.function)))
        cls.chained = bool(cls.module)

    @property
    def each(self) -> bool:
        """A function of each element."""
        return True

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
        module = Call(self.module, (), keywords) if self.module else None
        return Torch(module, Call(self.function, (Operand(0),), keywords))

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """The operator that it is, `node`.  Raises OpError: it is none."""
        if not self.node:
            return super().onnx(to, *inputs, **weights)  # type: ignore[return-value]
        given = {name: getattr(self, name) for name in self.words}
        values: dict[str, Any] = {
            name: value if isinstance(value, str) else float(value)
            for name, value in given.items()
        }
        return to(self.node, inputs[0], **values)


@op("relu", Family.ACTIVATION)
class ReLU(Elementwise):
    """max(x, 0).  (*S) → (*S).

    Source: Glorot, Bordes & Bengio 2011, AISTATS, §3.
    """

    whole = True
    module, function = "nn.ReLU", "F.relu"
    node = "Relu"
    inplace, keeps, keeps_inplace = True, OUTPUT, OUTPUT


@op("relu6", Family.ACTIVATION)
class ReLU6(Elementwise):
    """min(max(x, 0), 6).  (*S) → (*S).

    Source: Howard et al. 2017, arXiv:1704.04861.
    """

    whole = True
    module, function = "nn.ReLU6", "F.relu6"
    inplace, keeps = True, INPUT

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`Clip`."""
        return to("Clip", inputs[0], to.floats(0), to.floats(6))


@op("leaky", Family.ACTIVATION)
class LeakyReLU(Elementwise):
    """x where positive, slope·x elsewhere.  (*S) → (*S).

    Source: Maas, Hannun & Ng 2013, ICML workshop, §2.
    """

    slope: float = 0.01

    module, function, spelt = "nn.LeakyReLU", "F.leaky_relu", ("negative_slope",)
    inplace, keeps, keeps_inplace = True, INPUT, OUTPUT
    titled = ("slope",)

    def figure(self) -> str:
        """`leaky 0.1`."""
        return f"leaky {spoken(self.slope)}"

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`LeakyRelu`, where the slope is `alpha`."""
        return to("LeakyRelu", inputs[0], alpha=float(self.slope))


@op("elu", Family.ACTIVATION)
class ELU(Elementwise):
    """x where positive, alpha·(eˣ − 1) elsewhere.  (*S) → (*S).

    Source: Clevert, Unterthiner & Hochreiter 2015, arXiv:1511.07289, §3.
    """

    alpha: float = 1.0

    module, function = "nn.ELU", "F.elu"
    node = "Elu"
    inplace, keeps, keeps_inplace = True, INPUT, OUTPUT
    special = each_element


@op("sigmoid", Family.ACTIVATION)
class Sigmoid(Elementwise):
    """1 / (1 + e⁻ˣ).  (*S) → (*S).

    Source: convention.
    """

    whole = False
    module, function = "nn.Sigmoid", "torch.sigmoid"
    node = "Sigmoid"
    keeps, special = OUTPUT, each_element


@op("tanh", Family.ACTIVATION)
class Tanh(Elementwise):
    """Hyperbolic tangent.  (*S) → (*S).

    Source: convention.
    """

    whole = False
    module, function = "nn.Tanh", "torch.tanh"
    node = "Tanh"
    keeps, special = OUTPUT, each_element


@op("hardsigmoid", Family.ACTIVATION)
class HardSigmoid(Elementwise):
    """min(max(x + 3, 0), 6) / 6.  (*S) → (*S).

    Source: Howard et al. 2019, arXiv:1905.02244, §5.2.
    """

    module, function = "nn.Hardsigmoid", "F.hardsigmoid"
    elsewhere = "hsigmoid"
    inplace, keeps = True, INPUT

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`HardSigmoid` of that slope."""
        return to("HardSigmoid", inputs[0], alpha=1 / 6, beta=0.5)


@op("hardswish", Family.ACTIVATION)
class HardSwish(Elementwise):
    """x · hardsigmoid(x).  (*S) → (*S).

    Source: Howard et al. 2019, arXiv:1905.02244, §5.2.
    """

    module, function = "nn.Hardswish", "F.hardswish"
    node = "HardSwish"
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

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`x · Sigmoid(x)`."""
        return inputs[0] * to("Sigmoid", inputs[0])


@op("gelu", Family.ACTIVATION)
class GELU(Elementwise):
    """x · Φ(x), by the error function or its tanh approximation.  (*S) → (*S).

    Source: Hendrycks & Gimpel 2016, arXiv:1606.08415, §2.
    """

    approximate: Literal["none", "tanh"] = "none"

    module, function = "nn.GELU", "F.gelu"
    node = "Gelu"
    keeps, special = INPUT, each_element


@op("mish", Family.ACTIVATION)
class Mish(Elementwise):
    """x · tanh(log(1 + eˣ)).  (*S) → (*S).

    Source: Misra 2019, arXiv:1908.08681, §2.
    """

    module, function = "nn.Mish", "F.mish"
    node = "Mish"
    inplace, keeps, special = True, INPUT, each_element


@op("selu", Family.ACTIVATION)
class SELU(Elementwise):
    """1.0507 · elu(x, alpha=1.6733), which keeps mean and variance.  (*S) → (*S).

    Source: Klambauer et al. 2017, arXiv:1706.02515, eq. 2.
    """

    module, function = "nn.SELU", "F.selu"
    node = "Selu"
    inplace, keeps, keeps_inplace = True, INPUT, OUTPUT
    special = each_element


@op("celu", Family.ACTIVATION)
class CELU(Elementwise):
    """max(0, x) + min(0, alpha · (exp(x / alpha) − 1)).  (*S) → (*S).

    Source: Barron 2017, arXiv:1704.07483.
    """

    alpha: float = 1.0

    module, function = "nn.CELU", "F.celu"
    node = "Celu"
    inplace, keeps, keeps_inplace = True, INPUT, OUTPUT
    special = each_element


@op("softplus", Family.ACTIVATION)
class Softplus(Elementwise):
    """log(1 + exp(beta · x)) / beta; x where beta · x is above `threshold`.  (*S) → (*S).

    Source: Glorot, Bordes & Bengio 2011, AISTATS, §3.
    """

    beta: float = 1.0
    threshold: float = 20.0

    module, function = "nn.Softplus", "F.softplus"
    keeps, special = INPUT, each_element

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`Softplus`; with another `beta` or `threshold` what is around it."""
        (x,) = inputs
        if self.beta == 1 and self.threshold >= 20:  # from there on both are x
            return to("Softplus", x)
        scaled = x * float(self.beta)
        large = to("Greater", scaled, to.floats(self.threshold))
        small = to("Softplus", scaled) / float(self.beta)
        return to("Where", large, x, small, integer=False)


@op("prelu", Family.ACTIVATION)
class PReLU(Op):
    """x where positive, weight · x elsewhere; a weight a channel, or one.  (C, *S) → (C, *S).

    Source: He et al. 2015, arXiv:1502.01852, §2.1.
    """

    chained = True

    per: Literal["channel", "tensor"] = "tensor"
    init: float = 0.25

    known = ("nn.PReLU", "F.prelu")
    hints: ClassVar = {"per": '`prelu(per="channel")` has as many as channels enter'}
    elsewhere = "parametricrelu"
    reads, laid = each_position, by_elements
    keeps = INPUT

    def shape(self, *inputs: Shape) -> Shape:
        """The input's."""
        return inputs[0]

    def weights(self, *inputs: Shape) -> dict[str, Weight]:
        """`weight` (C) or (1)."""
        shape = inputs[0][:1] if self.per == "channel" else (1,)
        return {"weight": Weight(shape, init=Constant(float(self.init)))}

    def macs(self, *inputs: Shape) -> int:
        """0: counted as activation."""
        return 0

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """The product where negative."""
        return kernels.prelu(inputs[0], weights["weight"])

    def torch(self, *inputs: Shape) -> Torch:
        """`nn.PReLU(64)`."""
        keywords: dict[str, tuple[object, object]] = {
            "num_parameters": (inputs[0][0] if self.per == "channel" else 1, 1),
            "init": (self.init, 0.25),
        }
        return Torch(Call("nn.PReLU", (), keywords))

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`PRelu`."""
        (x,) = inputs
        return to("PRelu", x, to.channelwise(weights["weight"], len(x.shape) - 1))


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

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`Softmax`."""
        return to("Softmax", inputs[0], axis=self.axis + 1)


@op("log_softmax", Family.ACTIVATION)
class LogSoftmax(Softmax):
    """x, less the logarithm of the sum of eˣ along an axis.  (*S) → (*S).

    Raises OpError: no such axis.
    Source: convention.
    """

    axis: int

    known = ("nn.LogSoftmax", "F.log_softmax")

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """Shifted by the maximum, so that no exponential overflows."""
        return kernels.log_softmax(inputs[0], self.axis + 1)

    def torch(self, *inputs: Shape) -> Torch:
        """`x.log_softmax(1)`."""
        return Torch(
            Call("nn.LogSoftmax", (self.axis + 1,)),
            Template("{0}.log_softmax({axis})", {"axis": self.axis + 1}),
        )

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`LogSoftmax`."""
        return to("LogSoftmax", inputs[0], axis=self.axis + 1)
