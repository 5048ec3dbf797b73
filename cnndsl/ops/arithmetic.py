"""Arithmetic: of the elements of two tensors, of each element and a constant, of one alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from cnndsl.diagnostics import OpError
from cnndsl.ops.activation import Elementwise
from cnndsl.ops.arrays import np
from cnndsl.ops.base import Op, each_element, op
from cnndsl.ops.facts import (
    INPUT,
    NOTHING,
    OUTPUT,
    Array,
    Call,
    Family,
    Operand,
    Saved,
    Shape,
    Template,
    Torch,
    spell_shape,
)
from cnndsl.ops.onnx_steps import Onnx, Value
from cnndsl.ops.reads import each_position
from cnndsl.ops.strides import Laid, elementwise
from cnndsl.ops.words import spoken


class Arithmetic(Op):
    """Of each element of one tensor and a constant `by`, or of two tensors.

    Two tensors have equal shapes, or one has axes of size 1, or is a vector (C,) over the
    channels: nothing else is broadcast.
    """

    by: float | None = None

    ufunc: ClassVar[str]
    """What NumPy calls it; the plan does it in place."""
    text: ClassVar[str]
    """How PyTorch writes it: `{0} - {1}`."""
    node: ClassVar[str]
    """What ONNX calls it."""
    cannot: ClassVar[str]
    """What a message says of two shapes that do not agree."""
    reads = each_position
    titled = ("by",)
    broadcasts = True

    @property
    def each(self) -> bool:
        """With a constant it is a function of each element."""
        return self.by is not None

    def shape(self, *inputs: Shape) -> Shape:
        """The larger shape."""
        if (len(inputs) == 1) != (self.by is not None):
            raise OpError(
                f"`{self.name}` takes a constant and one tensor, or two tensors",
                help=f"write {self.name}(0.5), or {self.name} {{ x; y }}",
                attribute="by",
            )
        shape = inputs[0]
        for number, other in enumerate(inputs[1:], 1):
            shape = self.common(shape, other, number)
        return shape

    def common(self, x: Shape, y: Shape, number: int) -> Shape:
        """The larger of two shapes.  Raises OpError: they do not agree."""
        if _gates(x, y) or _gates(y, x):
            return max(x, y, key=len)
        pairs = zip(x, y, strict=False)
        if len(x) != len(y) or any(a != b and 1 not in (a, b) for a, b in pairs):
            raise OpError(
                f"cannot {self.cannot.format(spell_shape(x), spell_shape(y))}",
                help="give equal shapes, sizes of 1, or a vector [C] for [C, *S]",
                operand=number,
            )
        return tuple(b if a == 1 else a for a, b in zip(x, y, strict=True))

    def laid(self, *inputs: Laid, training: bool = False) -> tuple[Laid, ...]:
        """As its inputs lie, from the first to the last."""
        rank = max(len(x.sizes) for x in inputs)
        if self.by is not None:
            return (elementwise(inputs[0], number=True),)
        total, *others = (x.spread(*range(len(x.sizes), rank)) for x in inputs)
        for x in others:
            total = elementwise(total, x)
        return (total,)

    def takes_whole(self, operand: int) -> bool:
        """Always."""
        return True

    def gives_whole(self, whole: Sequence[bool]) -> bool:
        """Where all that is computed with is whole."""
        quotient = type(self).whole is False
        return all(whole) and not quotient and float(self.by or 0).is_integer()

    def macs(self, *inputs: Shape) -> int:
        """0: counted as elementwise."""
        return 0

    def figure(self) -> str:
        """`+`, `× 0.5`."""
        sign = SIGNS.get(self.ufunc, self.name)
        return sign if self.by is None else f"{sign} {spoken(self.by)}"

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """From the first to the last; a vector's missing axes are added at its end."""
        function = getattr(np, self.ufunc)
        if self.by is not None:
            found: Array = function(inputs[0], float(self.by))
            return found
        rank = max(x.ndim for x in inputs)
        total, *others = (x.reshape(x.shape + (1,) * (rank - x.ndim)) for x in inputs)
        for x in others:
            total = function(total, x)
        return total

    def torch(self, *inputs: Shape) -> Torch:
        """`x * 0.5`, `x * y`, or `x * gate[:, :, None, None]`."""
        if self.by is not None:
            return Torch(function=Template(self.text.replace("{1}", "{by}"), {"by": self.by}))
        rank = max(map(len, inputs))
        text = "{0}"
        for number, x in enumerate(inputs):
            missing = ", ".join([":", ":", *["None"] * (rank - len(x))])
            said = f"{{{number}}}" if len(x) == rank else f"{{{number}}}[{missing}]"
            parts = self.text.replace("{1}", "@").replace("{0}", text)
            text = parts.replace("@", said) if number else said
        return Torch(function=Template(text))

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """ONNX's operator, from the first to the last, with a vector's missing axes."""
        if self.by is not None:
            return to(self.node, inputs[0], to.floats(self.by))
        rank = max(len(x.shape) for x in inputs)
        total, *others = (
            to.unsqueeze(x, *range(len(x.shape) + 1, rank + 1)) if len(x.shape) < rank else x
            for x in inputs
        )
        for x in others:
            total = to(self.node, total, x)
        return total


SIGNS = {"add": "+", "subtract": "−", "multiply": "×", "divide": "÷"}


@op("add", Family.ADD, arity=(1, None), join=True)
class Add(Arithmetic):
    """The sum of tensors, or with a constant `by`.  (*S), (*S), … → (*S).

    Raises OpError: shapes that do not agree; both or neither of `by` and further inputs.
    Source: He et al. 2015, arXiv:1512.03385, §3.2.
    """

    by: float | None = None

    node = "Add"
    ufunc, text, cannot = "add", "{0} + {1}", "add {1} to {0}"
    known = ("torch.add",)
    keeps = NOTHING

    @property
    def joins(self) -> bool:
        """Unless it is the sum with a constant."""
        return self.by is None

    def common(self, x: Shape, y: Shape, number: int) -> Shape:
        """The larger of two shapes.  Raises OpError: they do not agree."""
        try:
            return Arithmetic.common(self, x, y, number)
        except OpError as error:
            error.help = _projection(x, y)
            raise


@op("sub", Family.ADD, arity=(1, 2))
class Sub(Arithmetic):
    """x − y, or x − `by`.  (*S), (*S) → (*S).

    Raises OpError: shapes that do not agree; both or neither of `by` and a second input.
    Source: Koch, Zemel & Salakhutdinov 2015, ICML workshop, §3.1 (differences).
    """

    by: float | None = None

    node = "Sub"
    ufunc, text, cannot = "subtract", "{0} - {1}", "subtract {1} from {0}"
    known = ("torch.sub",)
    elsewhere = "subtract minus difference"
    keeps = NOTHING


@op("mul", Family.ADD, arity=(1, 2))
class Mul(Arithmetic):
    """The product of two tensors, or with a constant `by`.  (*S), (*S) → (*S).

    Raises OpError: shapes that do not agree; both or neither of `by` and a second input.
    Source: Hu, Shen & Sun 2017, arXiv:1709.01507, §3.2 (the gate).
    """

    by: float | None = None

    node = "Mul"
    ufunc, text, cannot = "multiply", "{0} * {1}", "multiply {0} by {1}"
    known = ("torch.mul",)

    def saves(self, *inputs: Shape, grads: tuple[bool, ...]) -> Saved:
        """Each input that the other's gradient needs; nothing for a constant."""
        return Saved(
            inputs=tuple(n for n, other in enumerate(reversed(grads)) if other)
            if len(inputs) == 2
            else ()
        )


@op("div", Family.ADD, arity=(1, 2))
class Div(Arithmetic):
    """x / y, or x / `by`.  (*S), (*S) → (*S).

    Raises OpError: shapes that do not agree; both or neither of `by` and a second input.
    Source: Tan, Pang & Le 2019, arXiv:1911.09070, §3.3 (fast normalised fusion).
    """

    whole = False

    by: float | None = None

    node = "Div"
    ufunc, text, cannot = "divide", "{0} / {1}", "divide {0} by {1}"
    known = ("torch.div",)
    elsewhere = "divide quotient truediv"

    def saves(self, *inputs: Shape, grads: tuple[bool, ...]) -> Saved:
        """The divisor, and for its gradient what it divides; nothing for a constant."""
        if len(inputs) == 1:
            return NOTHING
        return Saved(inputs=(0, 1) if grads[1] else (1,))

    def special(self, *inputs: Shape) -> int:
        """A quotient an element, unless by a constant."""
        return each_element(self, *inputs) if self.by is None else 0


class Extreme(Arithmetic):
    """The larger or the smaller element of two.  (*S), (*S) → (*S)."""

    def saves(self, *inputs: Shape, grads: tuple[bool, ...]) -> Saved:
        """Both inputs."""
        return Saved(inputs=(0, 1))


@op("maximum", Family.ADD, arity=(2, 2))
class Maximum(Extreme):
    """The larger element of two tensors.  (*S), (*S) → (*S).

    Raises OpError: shapes that do not agree.
    Source: Goodfellow et al. 2013, arXiv:1302.4389, §2 (maxout).
    """

    whole = True
    node = "Max"
    ufunc, text, cannot = "maximum", "torch.maximum({0}, {1})", "compare {0} with {1}"
    known = ("torch.maximum",)
    elsewhere = "eltwisemax elementwisemax"

    def figure(self) -> str:
        """`max`."""
        return "max"


@op("minimum", Family.ADD, arity=(2, 2))
class Minimum(Extreme):
    """The smaller element of two tensors.  (*S), (*S) → (*S).

    Raises OpError: shapes that do not agree.
    Source: convention.
    """

    whole = True
    node = "Min"
    ufunc, text, cannot = "minimum", "torch.minimum({0}, {1})", "compare {0} with {1}"
    known = ("torch.minimum",)
    elsewhere = "eltwisemin elementwisemin"

    def figure(self) -> str:
        """`min`."""
        return "min"


# --- Of one tensor


class Function(Elementwise):
    """A function of each element, NumPy's of that name.  (*S) → (*S)."""

    ufunc: ClassVar[str]
    bucket = "elementwise"

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """NumPy's."""
        found: Array = getattr(np, self.ufunc)(inputs[0])
        return found


@op("neg", Family.ADD)
class Neg(Function):
    """−x.  (*S) → (*S).

    Source: convention.
    """

    whole = True
    ufunc, function, node = "negative", "torch.neg", "Neg"
    elsewhere = "negative negate"
    keeps = NOTHING

    def figure(self) -> str:
        """`−x`."""
        return "−x"

    def torch(self, *inputs: Shape) -> Torch:
        """`-x`."""
        return Torch(function=Template("-{0}"))


@op("abs", Family.ADD)
class Abs(Function):
    """|x|.  (*S) → (*S).

    Source: convention.
    """

    whole = True
    ufunc, function, node = "absolute", "torch.abs", "Abs"
    elsewhere = "absolute"
    keeps = INPUT

    def figure(self) -> str:
        """`|x|`."""
        return "|x|"


@op("sqrt", Family.ADD)
class Sqrt(Function):
    """√x, NaN where x is negative.  (*S) → (*S).

    Source: convention.
    """

    whole = False
    ufunc, function, node = "sqrt", "torch.sqrt", "Sqrt"
    keeps, special = OUTPUT, each_element

    def figure(self) -> str:
        """`√x`."""
        return "√x"


@op("exp", Family.ADD)
class Exp(Function):
    """eˣ.  (*S) → (*S).

    Source: convention.
    """

    whole = False
    ufunc, function, node = "exp", "torch.exp", "Exp"
    keeps, special = OUTPUT, each_element


@op("log", Family.ADD)
class Log(Function):
    """The natural logarithm; NaN where x is negative.  (*S) → (*S).

    Source: convention.
    """

    whole = False
    ufunc, function, node = "log", "torch.log", "Log"
    elsewhere = "logarithm"
    keeps, special = INPUT, each_element


@op("pow", Family.ADD)
class Pow(Elementwise):
    """x to the power of `exponent`; `pow(-1)` is 1 / x.  (*S) → (*S).

    Source: convention.
    """

    exponent: float

    function = "torch.pow"
    keeps, special = INPUT, each_element
    bucket = "elementwise"

    def takes_whole(self, operand: int) -> bool:
        """Not with a negative exponent: PyTorch refuses that."""
        return self.exponent >= 0

    def gives_whole(self, whole: Sequence[bool]) -> bool:
        """Where the exponent is whole."""
        return all(whole) and float(self.exponent).is_integer()

    def figure(self) -> str:
        """`x^2`."""
        return f"x^{self.exponent}"

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """NumPy's."""
        found: Array = np.power(inputs[0], float(self.exponent))
        return found

    def torch(self, *inputs: Shape) -> Torch:
        """`x ** 2`."""
        return Torch(function=Template("{0} ** {by}", {"by": self.exponent}))

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`Pow`."""
        return to("Pow", inputs[0], to.floats(self.exponent))


@op("clamp", Family.ADD)
class Clamp(Elementwise):
    """Not below `min` and not above `max`.  (*S) → (*S).

    Raises OpError: neither is given, or `min` is above `max`.
    Source: convention (PyTorch's `torch.clamp`).
    """

    min: float | None = None
    max: float | None = None

    function = "torch.clamp"
    keeps = INPUT
    whole = True
    titled = ("min", "max")
    bucket = "elementwise"

    def gives_whole(self, whole: Sequence[bool]) -> bool:
        """Where both bounds are whole."""
        bounds = (0 if bound is None else bound for bound in (self.min, self.max))
        return all(whole) and all(float(bound).is_integer() for bound in bounds)

    def shape(self, *inputs: Shape) -> Shape:
        """The input's."""
        if self.min is None and self.max is None:
            raise OpError("`clamp` needs a bound", help="write clamp(0, 6), clamp(min=0)")
        if self.min is not None and self.max is not None and self.min > self.max:
            message = f"min={self.min} is above max={self.max}"
            raise OpError(message, help="give the smaller bound first", attribute="min")
        return inputs[0]

    def figure(self) -> str:
        """`clamp 0, 6`, `clamp ≥ 0`."""
        if self.min is None or self.max is None:
            return f"clamp ≤ {self.max}" if self.min is None else f"clamp ≥ {self.min}"
        return f"clamp {self.min}, {self.max}"

    def run(self, *inputs: Array, **weights: Array) -> Array:
        """NumPy's."""
        lowest, highest = (None if b is None else float(b) for b in (self.min, self.max))
        found: Array = np.clip(inputs[0], lowest, highest)
        return found

    def torch(self, *inputs: Shape) -> Torch:
        """`torch.clamp(x, 0, 6)`, or `torch.clamp(x, min=0)`."""
        if self.min is not None and self.max is not None:
            return Torch(function=Call("torch.clamp", (Operand(0), self.min, self.max)))
        bounds: dict[str, tuple[object, object]] = {
            "min": (self.min, None),
            "max": (self.max, None),
        }
        return Torch(function=Call("torch.clamp", (Operand(0),), bounds))

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value:
        """`Clip`."""
        low, high = (None if b is None else to.floats(b) for b in (self.min, self.max))
        return to("Clip", inputs[0], low, high)


def _gates(gate: Shape, x: Shape) -> bool:
    return len(gate) == 1 < len(x) and gate[0] == x[0]


def _projection(wanted: Shape, found: Shape) -> str:
    """What would make the shapes equal."""
    if len(wanted) == len(found) and wanted[1:] == found[1:]:
        return f"project with a convolution: conv({int(wanted[0])}, 1x1)"
    return "give equal shapes, sizes of 1, or a vector [C] for [C, *S]"
