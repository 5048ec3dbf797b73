"""What an operation is: one class that answers about one layer.

A row of the table "operations × passes". The class's fields are its signature; its
methods answer from those attributes and the input shapes. Shapes are per sample,
channels first: `(C, *S)`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import MISSING
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, dataclass_transform

from cnndsl.records import Record, record
from cnndsl.symbolic import strip

Shape = tuple[int, ...]
if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]
else:
    Array = Any  # only annotations ask: importing NumPy costs more than a whole `check`
Size = tuple[int, ...]
Integers = tuple[int, ...]
Pads = tuple[tuple[int, int], ...]
"""Zeros before and after each spatial axis."""
Pad = object
"""The type of an attribute: `same`, or pairs as in `Pads` (see `convert`)."""


class Family(Enum):
    """What an operation looks like in a figure, and which bucket its work falls into."""

    INPUT = "input"
    CONV = "conv"
    DEPTHWISE = "depthwise"
    LINEAR = "linear"
    POOL = "pool"
    NORM = "norm"
    ACTIVATION = "activation"
    CONCAT = "concat"
    ADD = "add"
    MATMUL = "matmul"
    UPSAMPLE = "upsample"
    RESHAPE = "reshape"
    REGULARIZE = "regularize"
    BOXES = "boxes"


@record
class Weight(Record):
    """A tensor that a layer owns: its shape, whether it is trained, its first value.

    `init` is `fan_out` (Kaiming normal for a ReLU), `linear` (uniform within ±1 / √fan_in),
    `zeros`, `ones`, or a constant.
    """

    shape: Shape
    trainable: bool = True
    init: str | float = "zeros"
    integer: bool = False

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)


@record
class Window(Record):
    """The sliding window of an operation, for receptive fields: one entry a spatial axis.

    `whole` says that every output sees the whole input (a global pool, a linear layer).
    """

    kernel: Size = ()
    stride: Size = ()
    padding: Pads = ()
    dilation: Size = ()
    whole: bool = False
    transposed: bool = False


@record
class Call(Record):
    """Text of a Python call: `function(*arguments, **keywords)`.

    An argument that is an `Operand` stands for an input. A keyword is a pair of a value
    and PyTorch's default, with which it is left out.
    """

    function: str
    arguments: tuple[object, ...] = ()
    keywords: dict[str, tuple[object, object]] = dataclasses.field(default_factory=dict)


@record
class Template(Record):
    """Text of a Python expression: `{0}` is an input, `{*}` all, `{name}` a value.

    `atomic` says that it needs no parentheses where it is an operand.
    """

    text: str
    values: dict[str, object] = dataclasses.field(default_factory=dict)
    atomic: bool = True


@record
class Operand(Record):
    """The input of that number, inside a `Call`."""

    index: int


@record
class Torch(Record):
    """How PyTorch says it: as a module, as an expression, or as either.

    An operation with weights has a `module`; `function` is what `forward` computes where
    there is none. `helper` is the source of a function or class that the file must then
    define; it names `torch`, `nn`, `F` and `Tensor`.
    """

    module: Call | None = None
    function: Call | Template | None = None
    helper: str = ""
    prepare: Call | Template | None = None
    """Applied to the input before the module (padding whose sides differ)."""
    also: tuple[tuple[str, Call], ...] = ()
    """Modules that must follow `module` in a chain, each with a name."""


class Auto(Enum):
    """Values that the language spells as bare words."""

    AUTO = "auto"
    SAME = "same"
    VALID = "valid"


@record
class Parameter(Record):
    """One attribute of an operation's signature."""

    name: str
    type: str
    default: object = MISSING


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
    join: ClassVar[bool] = False
    """With one operand, it is that operand: what is left where `when` removes the others."""
    ports: ClassVar[tuple[str, ...]] = ()
    """The names by which a step with several outputs feeds it; the last may be missing."""
    parameters: ClassVar[tuple[Parameter, ...]] = ()
    outputs: ClassVar[tuple[str, ...]] = ("out",)
    """The names of its outputs; `split` has as many as it makes."""

    @classmethod
    def output_names(cls, count: int) -> tuple[str, ...]:
        """The names of that many outputs."""
        return cls.outputs if len(cls.outputs) == count else tuple(map(str, range(count)))

    def plain(self) -> Op:
        """The operation without the formulas that its sizes carry."""
        values = [getattr(self, name) for name in self.names_]
        return type(self)(*map(strip, values))

    def resolved(self, *inputs: Shape) -> Op:
        """The operation with what depends on its inputs filled in (`pad=same`, `groups`)."""
        return self

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

    def window(self, *inputs: Shape) -> Window | None:
        """Its sliding window; None where each output sees one input position."""
        return None

    def figure(self) -> str:
        """What a figure writes in its box: `3×3, 64`."""
        return self.name

    def run(self, *inputs: Array, **weights: Array) -> Any:
        """What NumPy computes: arrays with the batch first; a tuple for several outputs."""
        raise NotImplementedError(type(self))

    def torch(self, *inputs: Shape) -> Torch:
        """How PyTorch says it."""
        raise NotImplementedError(type(self))


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
        cls.parameters = tuple(
            Parameter(f.name, _words(str(f.type)), f.default)
            for f in dataclasses.fields(cls)  # type: ignore[arg-type]
        )
        OPS[name] = cls
        return cls

    return decorate


def _words(kind: str) -> str:
    """A type as the language writes it: `"a" | "b"` for `Literal["a", "b"]`."""
    if not kind.startswith("Literal["):
        return kind
    words = kind[len("Literal[") : -1].replace("'", '"').split(",")
    return " | ".join(word.strip() for word in words)


def spell_shape(shape: Shape) -> str:
    """A shape as the language writes it: `[64, 56, 56]`."""
    return f"[{', '.join(str(int(n)) for n in shape)}]"
