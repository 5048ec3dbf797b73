"""What an operation is: one class that answers about one layer.

A row of the table "operations × passes". The class's fields are its signature; its
methods answer from those attributes and the input shapes. Shapes are per sample,
channels first: `(C, *S)`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, dataclass_transform

from cnndsl.diagnostics import OpError
from cnndsl.ops.composition import Axes, size_of
from cnndsl.ops.facts import (
    BYTES,
    SAME,
    Array,
    Auto,
    Family,
    Integers,
    Place,
    Reading,
    Saved,
    Shape,
    Torch,
    Weight,
    Window,
)
from cnndsl.ops.initial import OWN, Init, Parameter, own_bias, parameters
from cnndsl.ops.strides import Laid, by_order, shapes_of
from cnndsl.ops.words import Words, listed, spoken
from cnndsl.records import Record, record
from cnndsl.symbolic import strip

if TYPE_CHECKING:
    from cnndsl.ops.onnx_steps import Onnx, Value


class Op(Record):
    """One operation with its attributes.

    A subclass is decorated with `@op(name, family)`, which makes it a frozen dataclass.
    Field types are read by `convert`: `int`, `float`, `bool`, `str`, `Size`, `Pad`, a
    `Literal` of words, or a union of these; a `Size` becomes one integer an axis.
    """

    name: ClassVar[str] = ""
    family: ClassVar[Family] = Family.RESHAPE
    arity: ClassVar[tuple[int, int | None]] = (1, 1)
    """The least and the largest number of inputs; None is any number."""
    fused: ClassVar[bool] = False
    """Takes `norm=` and `act=`."""
    chained: ClassVar[bool] = False
    """One input, one output, and PyTorch has a module for it: it may stand in a chain."""
    join: ClassVar[bool] = False
    """With one operand, it is that operand: what is left where `when` removes the others."""
    broadcasts: ClassVar[bool] = False
    """An axis of size 1 is repeated to the other operand's size."""
    shares: ClassVar[str] = ""
    """The attribute whose numbers add up to the input's size: the last is the rest."""
    ports: ClassVar[tuple[str, ...]] = ()
    """The names by which a step with several outputs feeds it; the last may be missing."""
    parameters: ClassVar[tuple[Parameter, ...]] = ()
    outputs: ClassVar[tuple[str, ...]] = ("out",)
    """The names of its outputs; `split` has as many as it makes."""

    # Facts; tests hold each of them, and each default, to what PyTorch does.
    written: ClassVar[bool] = True
    """A file may name it; else the compiler alone makes it."""
    elsewhere: ClassVar[str] = ""
    """What others call it, in lower case and without `_`: what a message knows it by."""
    empty: ClassVar[bool] = False
    """May give an axis of size 0 of inputs that have none: a number of rows."""
    rows_joined: ClassVar[int] = 0
    """1 where the first axis joins the batch, −1 where it leaves it."""
    integers: ClassVar[tuple[str, ...]] = ()
    """Outputs that are whole numbers: PyTorch's take 8 bytes an element."""
    whole: ClassVar[bool | None] = None
    """Takes whole numbers too, and gives whole ones of these, or real ones if false."""
    discrete: ClassVar[tuple[str, ...]] = ()
    """The outputs through which no gradient flows."""
    moves: ClassVar[bool] = False
    """What it gives are elements of its inputs, or zeros, in other places."""
    inplace: ClassVar[bool] = False
    """PyTorch lets it write over its input."""
    keeps: ClassVar[Saved | None] = None
    """What autograd keeps of it; None where that depends on its attributes (`saves`)."""
    keeps_inplace: ClassVar[Saved | None] = None
    """The same where it writes over its input; None is a copy of that input."""
    titled: ClassVar[tuple[str, ...]] = ()
    """Attributes with a default that its title says all the same (`figure`)."""
    beside: ClassVar[tuple[str, ...]] = ()
    """Attributes without a default that its title leaves out."""
    phrases: ClassVar[Mapping[str, str]] = {}
    """How an attribute is said beside the title: by default as in `PHRASES`, or by its name."""
    bucket: ClassVar[str] = ""
    """What its work is counted as, beside multiply-adds: by default what its family is."""
    known: ClassVar[tuple[str, ...]] = ()
    """What PyTorch calls it, the rank left out: `nn.Conv`, `F.conv`.  Counters go by it."""

    functions: ClassVar[Mapping[str, str]] = {}
    """The functions that a written file carries for it, with their source: `recalled`."""

    hints: ClassVar[Mapping[str, str]] = {}
    """The mend for an attribute whose value is of no type that it takes, or for one value."""

    @property
    def each(self) -> bool:
        """Whether each element of its output is a function of that of its only input."""
        return False

    @property
    def joins(self) -> bool:
        """Whether it may be left with one operand, as `join` says, with these attributes."""
        return self.join

    @classmethod
    def output_names(cls, count: int) -> tuple[str, ...]:
        """The names of that many outputs."""
        return cls.outputs if len(cls.outputs) == count else tuple(map(str, range(count)))

    def plain(self) -> Op:
        """The operation without the formulas that its sizes carry."""
        values = [getattr(self, name) for name in self.names_]
        return type(self)(*map(strip, values))

    def with_values(self, values: Mapping[str, object]) -> Op:
        """The operation with some attributes replaced."""
        return type(self)(*(values.get(name, getattr(self, name)) for name in self.names_))

    def resolved(self, *inputs: Shape) -> Op:
        """The operation with what depends on its inputs filled in (`pad=same`, `groups`)."""
        return self

    def unused(self, *inputs: Shape) -> Mapping[str, str]:
        """Attributes that have no effect, and with what: to give one is a fault."""
        return {}

    def shape(self, *inputs: Shape) -> Shape:
        """The output's shape.  Raises OpError."""
        raise NotImplementedError(type(self))

    def shapes(self, *inputs: Shape) -> tuple[Shape, ...]:
        """The shapes of all outputs, in order."""
        return (self.shape(*inputs),)

    def macs(self, *inputs: Shape) -> int:
        """Multiply-adds per sample.  Abstract: silence is not zero."""
        raise NotImplementedError(type(self))

    def weights(self, *inputs: Shape) -> dict[str, Weight]:
        """The tensors it owns, by their name in a `state_dict`."""
        return {}

    @classmethod
    def may_own(cls) -> bool:
        """Whether it has weights at some arguments, as a norm has: then it has a key."""
        return cls.weights is not Op.weights

    def window(self, *inputs: Shape) -> Window | None:
        """Its sliding window, where it has one."""
        return None

    def reads(self, *inputs: Shape) -> tuple[Reading, ...]:
        """Which positions of its inputs each output's positions read: its window.

        Abstract where it has none: silence is not pointwise.
        """
        window = self.window(*inputs)
        if window is None:
            raise NotImplementedError(type(self))
        return tuple(window.reading(inputs[0], shape) for shape in self.shapes(*inputs))

    def composition(self, node: str, *operands: Axes) -> tuple[Axes, ...]:
        """How the axes of its outputs are composed, where `operands` are those of its inputs.

        An axis stays what it was where each unit reads its own, or a window about it; all
        channels together give channels.
        """
        inputs = tuple(tuple(map(size_of, axes)) for axes in operands)
        readings = zip(self.reads(*inputs), self.shapes(*inputs), strict=True)
        return tuple(reading.composed(shape, operands) for reading, shape in readings)

    def pairs(self, *inputs: Shape) -> tuple[tuple[Place, Place], ...]:
        """Axes of its inputs whose entries belong together: those read by one unit."""
        found: dict[tuple[Place, Place], None] = {}
        for axis in (axis for reading in self.reads(*inputs) for axis in reading.axes):
            first, *others = [place for place, taps in axis.items() if taps == SAME] or [(0, 0)]
            found.update(((first, other), None) for other in others)
        return tuple(
            (one, other)
            for one, other in found
            if inputs[one[0]][one[1]] == inputs[other[0]][other[1]]
        )

    def laid(self, *inputs: Laid, training: bool = False) -> tuple[Laid, ...]:
        """How its outputs lie, where its inputs lie so: by default in new memory, in order."""
        return by_order(self, *inputs)

    def saves(self, *inputs: Shape, grads: tuple[bool, ...]) -> Saved:
        """What autograd keeps of it.  `grads` says which inputs have a gradient.

        Abstract, unless `keeps` says it: silence is not nothing.
        """
        if self.keeps is None:
            raise NotImplementedError(type(self))
        return self.keeps

    def takes_whole(self, operand: int) -> bool:
        """Whether an input may hold whole numbers: by default, if it only moves them."""
        return self.moves or self.whole is not None

    def gives_whole(self, whole: Sequence[bool]) -> bool:
        """Whether its outputs are whole numbers where these inputs are."""
        return all(whole) and bool(whole) and (self.moves or self.whole is True)

    def copied(self, *inputs: Laid) -> Integers:
        """The inputs of which autograd keeps a copy in order, where they lie so."""
        return ()

    def kept(self, *inputs: Laid, grads: tuple[bool, ...]) -> Saved:
        """What autograd keeps of it, where its inputs lie so."""
        shapes = shapes_of(inputs)
        found = self.saves(*shapes, grads=grads)
        copies = {*found.inputs}.intersection(self.copied(*inputs) if found.inputs else ())
        own = found.own + BYTES * sum(math.prod(shapes[number]) for number in copies)
        return Saved(
            tuple(n for n in found.inputs if n not in copies), found.outputs, own, found.fixed
        )

    def special(self, *inputs: Shape) -> int:
        """How many elements a function like an exponential, root or quotient gives."""
        return 0

    def figure(self) -> str:
        """The title of its box in a figure: `3×3, 64`."""
        return self.name.replace("_", " ")

    def said(self) -> Words:
        """What is said of it: its title, and beside it what that does not say.

        Two operations with unequal attributes have different words, but for what their
        weights begin with.
        """
        return Words(self.figure(), tuple(map(self.phrase, self.unusual())))

    def unusual(self) -> tuple[str, ...]:
        """The attributes that are said beside the title: those with a value of their own.

        What a weight begins with is no part of what is computed.
        """
        return tuple(
            p.name
            for p in type(self).parameters
            if not self.in_title(p)
            and not (p.name in BEGINNINGS.values() and "Init" in p.type)
            and (p.default is MISSING or not self.usual(p.name, p.default))
        )

    @classmethod
    def in_title(cls, parameter: Parameter) -> bool:
        """Whether the title says an attribute."""
        if parameter.default is not MISSING:
            return parameter.name in cls.titled
        return cls.figure is not Op.figure and parameter.name not in cls.beside

    def usual(self, name: str, default: object) -> bool:
        """Whether an attribute has the value that it has where it is not given."""
        value = getattr(self, name)
        if default is Auto.AUTO:
            return value is True or value is default
        if default is Auto.SAME and isinstance(value, tuple):
            return value == self._same()
        if isinstance(value, tuple) and not isinstance(default, tuple):
            flat = [v for one in value for v in (one if isinstance(one, tuple) else (one,))]
            return all(v == default for v in flat)
        return bool(value == default)

    def _same(self) -> object:
        """The zeros about a window that keep the size of a map."""
        kernel = getattr(self, "kernel", ())
        rates = getattr(self, "dilation", (1,) * len(kernel))
        wide = [int(d) * (int(k) - 1) for d, k in zip(rates, kernel, strict=True)]
        return tuple((n // 2, n // 2) for n in wide) if not any(n % 2 for n in wide) else None

    @property
    def causal(self) -> bool:
        """Whether its one axis is padded before what it reads, so that nothing reads ahead."""
        kernel: tuple[int, ...] = getattr(self, "kernel", ())
        rates: tuple[int, ...] = getattr(self, "dilation", (1,))
        if len(kernel) != 1 or kernel[0] == 1:
            return False
        return bool(getattr(self, "pad", ()) == ((rates[0] * (kernel[0] - 1), 0),))

    def phrase(self, name: str) -> str:
        """An attribute as it is said beside the title: `rate 2`, `no bias`."""
        value = getattr(self, name)
        parameter = next(p for p in type(self).parameters if p.name == name)
        if parameter.default is Auto.SAME and spoken(value) == "0":
            return "valid"
        if parameter.default is Auto.SAME and (self.causal or spoken(value) == CAUSAL):
            return CAUSAL
        said = type(self).phrases.get(name) or PHRASES.get(name)
        if said is None or (isinstance(value, bool) and "{" in said):
            plain = name.replace("_", " ")
            if isinstance(value, bool):
                return plain if value else f"no {plain}"
            said = f"{plain} {{}}"
        window = not {"Size", "Pad"}.isdisjoint(parameter.type.split(" | "))
        text = spoken(value) if window else listed(value)
        return said.replace("{}", "").strip() if text == name else said.format(text)

    def run(self, *inputs: Array, **weights: Array) -> Any:
        """What NumPy computes: arrays with the batch first; a tuple for several outputs."""
        raise NotImplementedError(type(self))

    def torch(self, *inputs: Shape) -> Torch:
        """How PyTorch says it."""
        raise NotImplementedError(type(self))

    @classmethod
    def recalled(cls, function: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """Its attributes, of a call of one of its `functions`: `torch` backwards.

        Of a tensor its shape is given. By default the arguments of the attributes' names.
        """
        return by_name(cls, given)

    def onnx(self, to: Onnx, *inputs: Value, **weights: Value) -> Value | tuple[Value, ...]:
        """How ONNX says it, as in evaluation.  Raises OpError: it has no form there."""
        raise OpError(f"ONNX cannot express `{self.name}`")

    def begun(
        self,
        shape: Shape,
        bias: int | None,
        usual: Init = OWN,
        usual_bias: Init | None = None,
    ) -> dict[str, Weight]:
        """`weight` of a shape, and a `bias`: begun as `init` and `bias_init` say.

        Raises OpError: one of them is not defined for it.
        """
        weights = {"weight": Weight(shape, init=self.beginnings.get("init", usual))}
        if bias is not None:
            first = self.beginnings.get("bias_init", usual_bias or own_bias(shape))
            weights["bias"] = Weight((bias,), init=first)
        for name, weight in weights.items():
            try:
                weight.init.check(tuple(map(int, weight.shape)))
            except OpError as error:
                error.attribute = BEGINNINGS[name]
                raise
        return weights

    @property
    def beginnings(self) -> dict[str, Init]:
        """The initialisations that it was given, by attribute."""
        found = {name: getattr(self, name, None) for name in BEGINNINGS.values()}
        return {name: init for name, init in found.items() if isinstance(init, Init)}


BEGINNINGS = {"weight": "init", "bias": "bias_init"}
"""A weight, and the attribute that says what it begins with."""


CAUSAL = "causal"
"""What zeros before what is read, and nowhere else, are called."""
PHRASES = {"dilation": "rate {}", "groups": "{} groups", "keep": "axes kept"}
"""How attributes that several operations have are said."""


def by_name(cls: type[Op], given: Mapping[str, Any]) -> dict[str, Any]:
    """What is given of an operation's attributes; equal numbers for both axes as one."""
    one = ("float | Numbers", "int | Integers")
    return {
        p.name: given[p.name][0]
        if p.type in one and len({*given[p.name]}) == 1
        else given[p.name]
        for p in cls.parameters
        if p.name in given
    }


def each_element(self: Op, *inputs: Shape) -> int:
    """Once for each element of the output: `special = each_element`."""
    return math.prod(self.shape(*inputs))


OPS: dict[str, type[Op]] = {}
"""Every operation by its name."""

T = TypeVar("T", bound=type[Op])


@dataclass_transform(frozen_default=True)
def op(
    name: str,
    family: Family,
    *,
    arity: tuple[int, int | None] = (1, 1),
    fused: bool = False,
    join: bool = False,
    outputs: tuple[str, ...] = ("out",),
) -> Callable[[T], T]:
    """Make a class an operation, and register it under its name."""

    def decorate(cls: T) -> T:
        cls = record(cls)
        cls.name, cls.family, cls.arity = name, family, arity
        cls.fused, cls.join, cls.outputs = fused, join, outputs
        cls.parameters = parameters(cls)
        OPS[name] = cls
        return cls

    return decorate
