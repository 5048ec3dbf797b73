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
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, dataclass_transform

from cnndsl.diagnostics import OpError, did_you_mean
from cnndsl.records import Record, record
from cnndsl.symbolic import minimum, strip

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


def bind(cls: type[Op], arguments: dict[str, object], rank: int) -> Op:
    """An operation from named values.  `rank` is the number of spatial axes of its input.

    Raises OpError: an unknown or missing attribute, or a value of the wrong type.
    """
    known = {p.name: p for p in cls.parameters}
    values: dict[str, object] = {}
    for name, value in arguments.items():
        if name not in known:
            names = [*known, *(("norm", "act") if cls.fused else ())]
            takes = f"it takes {', '.join(names)}" if names else "it takes no arguments"
            raise OpError(
                f"`{cls.name}` has no parameter `{name}`",
                help=did_you_mean(name, names) or takes,
                attribute=name,
                code="E301",
            )
        values[name] = convert(name, value, known[name].type, rank)
    defaults = _defaults(cls, rank)  # type: ignore[arg-type]
    for name in known:
        if name not in values:
            if name not in defaults:
                raise OpError(
                    f"`{cls.name}` needs `{name}`",
                    help=f"write {cls.name}({signature(cls)})",
                    code="E302",
                )
            values[name] = defaults[name]
    return cls(**values)


@cache
def _defaults(cls: type[Op], rank: int) -> dict[str, object]:
    """The values of the attributes that may be left out."""
    return {
        p.name: convert(p.name, p.default, p.type, rank)
        for p in cls.parameters
        if p.default is not MISSING
    }


def signature(cls: type[Op]) -> str:
    """The parameters as the language writes them: `out, kernel, stride=1, …`."""
    shown = [
        p.name if p.default is MISSING else f"{p.name}={spell(p.default)}"
        for p in cls.parameters
    ]
    return ", ".join(shown + (["norm=none", "act=none"] if cls.fused else []))


def spell(value: object) -> str:
    """A value as the language writes it."""
    if isinstance(value, Auto):
        return value.value
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        if len(value) > 1 and all(isinstance(v, int) and v >= 0 for v in value):
            return "x".join(map(str, value))
        return f"[{', '.join(map(spell, value))}]"
    if isinstance(value, int):
        return f"{int(value)}"
    return str(value)


def convert(name: str, value: object, kind: str, rank: int) -> object:
    """A value as the type `kind` of an attribute.  Raises OpError (E303)."""
    for alternative in kind.split(" | "):
        done = _converted(value, alternative, rank)
        if done is not MISSING:
            return done
    expected = " or ".join(_EXPECTED.get(k, k.strip("'\"")) for k in kind.split(" | "))
    raise OpError(
        f"`{name}` is {spell(value)}, but must be {expected.format(rank=rank)}",
        attribute=name,
        code="E303",
    )


_EXPECTED = {
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "str": "a string",
    "None": "none",
    "Size": "a size of {rank} positive numbers, or one for all axes",
    "Pad": "same, valid, a size of {rank}, or a list with two numbers for each of {rank} axes",
    "Auto": "auto",
    "Numbers": "a list of numbers",
    "Integers": "a list of integers",
    "Pairs": "a list of pairs of numbers",
}


def _converted(value: object, kind: str, rank: int) -> object:
    """The value as one type, or MISSING where it does not fit."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    match kind:
        case "bool" | "str" | "int" if (
            type(value) is {"bool": bool, "str": str, "int": int}[kind]
        ):
            return value
        case "int" if number and isinstance(value, int):
            return value
        case "float" if number:
            return value
        case "None" if value is None:
            return None
        case "Auto" if value is Auto.AUTO:
            return value
        case "Size":
            return _size(value, rank)
        case "Pad":
            return _pad(value, rank)
        case "Numbers" | "Integers" if isinstance(value, tuple):
            wanted = int if kind == "Integers" else int | float
            fits = all(isinstance(v, wanted) and not isinstance(v, bool) for v in value)
            return value if fits else MISSING
        case "Pairs" if isinstance(value, tuple):
            fits = all(isinstance(v, tuple) and len(v) == 2 for v in value)
            return value if fits else MISSING
        case "Any":
            return value
        case _ if kind[:1] in "'\"" and value == kind[1:-1]:
            return value
    return MISSING


def _size(value: object, rank: int) -> object:
    if isinstance(value, bool):
        return MISSING
    if isinstance(value, int):
        return (value,) * rank if value >= 1 else MISSING
    if isinstance(value, tuple) and len(value) == rank:
        return value if all(isinstance(v, int) and v >= 1 for v in value) else MISSING
    return MISSING


def _pad(value: object, rank: int) -> object:
    """`same`, or zeros before and after each axis, the first axis first."""
    if value is Auto.SAME:
        return value
    if value is Auto.VALID:
        return ((0, 0),) * rank
    if isinstance(value, int) and not isinstance(value, bool):
        return ((value, value),) * rank if value >= 0 else MISSING
    if not isinstance(value, tuple):
        return MISSING
    if len(value) == rank and all(_is_pair(v) for v in value):
        return value
    if not all(isinstance(v, int) and v >= 0 for v in value):
        return MISSING
    if len(value) == rank:
        return tuple((v, v) for v in value)
    if len(value) == 2 * rank:
        # As in PyTorch's `pad`: the last axis first (left, right, top, bottom).
        pairs = [(value[i], value[i + 1]) for i in range(0, 2 * rank, 2)]
        return tuple(reversed(pairs))
    return MISSING


def _is_pair(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 2


def same_padding(kernel: Size, dilation: Size) -> Pads:
    """`dilation·(kernel − 1)/2` zeros on both sides.  Raises OpError: an even kernel."""
    pads = []
    for k, d in zip(kernel, dilation, strict=True):
        if (d * (k - 1)) % 2:
            raise OpError(
                f"pad=same needs an odd kernel, and this one is {spell(kernel)}",
                help="give the padding by side: pad=[left, right, top, bottom]",
                attribute="pad",
                code="E304",
            )
        pads.append((d * (k - 1) // 2, d * (k - 1) // 2))
    return tuple(pads)


def window_size(
    size: int,
    kernel: int,
    stride: int,
    pads: tuple[int, int],
    dilation: int,
    ceil: bool = False,
) -> int:
    """The number of windows along an axis: `⌊(n + p − d·(k − 1) − 1) / s⌋ + 1`.

    With `ceil` the quotient is rounded up, less one where the last window would start in
    the padding after the input, as PyTorch does.  Source: Dumoulin & Visin 2016,
    arXiv:1603.07285, §2.  Raises OpError: the kernel does not fit.
    """
    before, after = pads
    span = dilation * (kernel - 1) + 1
    # The plain numbers first: what is added to a size is added to its formula too.
    room = size + (before + after - span)
    # Rounded up, a first window may be larger than the input.
    if room < 0 and not (ceil and room + stride > 0):
        padded = f" with {before} + {after} padding" if before or after else ""
        raise OpError(
            f"a kernel of {span} does not fit {int(size)}{padded}",
            help="pad the input, or use a smaller kernel",
            attribute="kernel",
        )
    if not ceil:
        return room // stride + 1
    more = (room + stride - 1) // stride
    if span - after < stride:
        more = minimum(more, (size + before - 1) // stride)
    return more + 1


def spatial(x: Shape, what: str, ranks: tuple[int, ...] = (1, 2, 3)) -> Size:
    """The spatial part of a shape.  Raises OpError: not of one of the ranks."""
    if len(x) - 1 not in ranks:
        wanted = " or ".join(str(r) for r in ranks)
        raise OpError(
            f"`{what}` needs {wanted} spatial axes, and the input is {spell_shape(x)}",
            operand=0,
        )
    return x[1:]


def spell_shape(shape: Shape) -> str:
    """A shape as the language writes it: `[64, 56, 56]`."""
    return f"[{', '.join(str(int(n)) for n in shape)}]"


def check_axis(axis: int, x: Shape, what: str) -> None:
    """Raises OpError: the shape has no such axis (0 is channels)."""
    if not 0 <= axis < len(x):
        raise OpError(
            f"`{what}` along axis {int(axis)} of {spell_shape(x)}",
            help=f"axes are 0 to {len(x) - 1}, the batch not counted",
            attribute="axis",
        )


def one(values: tuple[object, ...]) -> object:
    """`3` for `(3, 3)`, the tuple otherwise: PyTorch takes both."""
    return values[0] if values and all(v == values[0] for v in values) else values


def compact(size: Size) -> str:
    """`3×3` for a figure."""
    return "×".join(str(int(n)) for n in size)


def per_stride(stride: Size) -> str:
    """` /2` for a figure, ` /2×1` where the axes differ, nothing for 1."""
    if set(stride) == {1}:
        return ""
    return f" /{int(stride[0])}" if len(set(stride)) == 1 else f" /{compact(stride)}"


def even(pads: Pads) -> bool:
    """Both sides of each axis are padded alike, as PyTorch's modules want it."""
    return all(before == after for before, after in pads)


def torch_sides(pads: Pads) -> tuple[int, ...]:
    """Padding as `F.pad` takes it: the last axis first."""
    return tuple(side for pair in reversed(pads) for side in pair)
