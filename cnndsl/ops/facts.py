"""What operations say of themselves: shapes, weights, readings, text of PyTorch."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any

from cnndsl.ops.composition import CHANNELS, Axes, Axis, kind_of, simple, size_of, unknown
from cnndsl.ops.initial import Init, Zeros
from cnndsl.records import Record, record

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
"""The type of an attribute: `same`, `causal`, or pairs as in `Pads` (see `convert`)."""


@record
class TfSame(Record):
    """`tf_same`, with the `Pads` that it comes to at the size at hand."""

    pads: Pads

    def __str__(self) -> str:
        """The word: the size at hand is no part of what is written."""
        return Auto.TF_SAME.value


class Family(Enum):
    """What an operation looks like in a figure, and which bucket its work falls into."""

    INPUT = "input"
    GIVEN = "given"
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
    """A tensor that a layer owns: its shape, whether it is trained, its first value."""

    shape: Shape
    trainable: bool = True
    init: Init = Zeros()
    integer: bool = False

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)


Place = tuple[int, int]
"""The number of an input, and one of its axes."""


@record
class Taps(Record):
    """One axis: unit i of a period reads the input from `first[i]` to `last[i]`.

    A period later it reads `advance` positions further. With `units` only those from the
    first to before the second read so, and the others nothing.
    """

    first: Integers
    last: Integers
    advance: int
    units: tuple[int, int] | None = None

    @property
    def period(self) -> int:
        """The number of units that take turns."""
        return len(self.first)

    def at(self, unit: int) -> tuple[int, int]:
        """The first and the last position that a unit reads."""
        turn, rest = divmod(unit, self.period)
        moved = turn * self.advance
        return self.first[rest] + moved, self.last[rest] + moved


SAME = Taps((0,), (0,), 1)
Along = Mapping[Place, Taps]
"""For one axis of an output: the axes of inputs that it goes along, and how."""


@record
class Reading(Record):
    """What one output reads: of an axis of an input that is named nowhere, all of it."""

    axes: tuple[Along, ...]
    whole: frozenset[Place] = frozenset()
    """Axes that are read whole, though the output's positions are still theirs."""
    anywhere: frozenset[Place] = frozenset()
    """Axes of which a unit reads a part that no window describes: their order is lost."""
    unread: frozenset[int] = frozenset()
    """The inputs of which only the size matters."""
    filled: bool = False
    """What reaches beyond a border reads the input again: mirrored, or from the other end."""

    def composed(self, shape: Shape, operands: Sequence[Axes]) -> Axes:
        """How the output's axes are composed of those that they go along."""
        moved = {place for axis in self.axes for place in axis} | self.anywhere
        found: list[Axis] = []
        for number, (axis, size) in enumerate(zip(self.axes, shape, strict=True)):
            known = [operands[source][place] for source, place in axis]
            same = [one for one in known if size_of(one) == size]
            taps = next(iter(axis.values()), None)
            if same and taps is not None and taps.advance == taps.period:
                found.append(same[0])
            elif taps is not None:
                found.append(simple(kind_of(known[0]), size))
            else:
                mixed = (0, number) not in moved and operands and number < len(operands[0])
                channels = mixed and kind_of(operands[0][number]) == CHANNELS
                found.append(simple(CHANNELS, size) if channels else unknown(size))
        return tuple(found)


@record
class Window(Record):
    """The sliding window of an operation: one entry a spatial axis.

    `whole` says that every output sees the whole input. Each of the `groups` of output
    channels sees one of the input's.
    """

    kernel: Size = ()
    stride: Size = ()
    padding: Pads = ()
    dilation: Size = ()
    whole: bool = False
    transposed: bool = False
    groups: int = 1

    def reading(self, x: Shape, shape: Shape) -> Reading:
        """What an output of that shape reads of the first input."""
        if self.whole:
            return Reading(({},) * len(shape))
        axes = [grouped(x[0], shape[0], self.groups)]
        rule = _transposed if self.transposed else _window
        for axis, kernel in enumerate(self.kernel):
            before, _ = self.padding[axis]
            taps = rule(int(kernel), int(self.stride[axis]), before, self.dilation[axis])
            axes.append({(0, axis + 1): taps})
        return Reading(tuple(axes))


def grouped(channels: int, out: int, groups: int) -> Along:
    """Each group of output channels reads one of the first input's."""
    if groups == 1 or not int(groups):  # a depthwise one of no channels has no group
        return {}
    size, units = int(channels) // int(groups), int(out) // int(groups)
    return {(0, 0): Taps((0,) * units, (size - 1,) * units, size)}


def _window(kernel: int, stride: int, pad: int, dilation: int) -> Taps:
    start = -int(pad)
    return Taps((start,), (start + int(dilation) * (kernel - 1),), stride)


def _transposed(kernel: int, stride: int, pad: int, dilation: int) -> Taps:
    """Output o is fed by inputs i with o = i·stride − pad + dilation·t for a tap t."""
    first, last = [], []
    for unit in range(stride):
        reached = [
            (unit + pad - dilation * tap) // stride
            for tap in range(kernel)
            if (unit + pad - dilation * tap) % stride == 0
        ]
        # A unit that no tap reaches stands for the position below it.
        first.append(min(reached, default=(unit + pad) // stride))
        last.append(max(reached, default=(unit + pad) // stride))
    return Taps(tuple(map(int, first)), tuple(map(int, last)), 1)


BYTES = 4
"""Of one element, in single precision."""


@record
class Saved(Record):
    """What autograd keeps of a layer until its gradient is computed, its weights left out.

    Inputs and outputs by their numbers. Beside them tensors that only the layer has (a
    mask, indices, statistics): `own` bytes a sample, and `fixed` for all samples together.
    """

    inputs: Integers = ()
    outputs: Integers = ()
    own: int = 0
    fixed: int = 0


NOTHING, INPUT, OUTPUT = Saved(), Saved(inputs=(0,)), Saved(outputs=(0,))


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
    """Text of a Python expression: `{0}` is an input, `{*}` all, `{name}` a value."""

    text: str
    values: dict[str, object] = dataclasses.field(default_factory=dict)


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


class Auto(Enum):
    """Values that the language spells as bare words."""

    AUTO = "auto"
    SAME = "same"
    VALID = "valid"
    CAUSAL = "causal"
    TF_SAME = "tf_same"


class Places(tuple[int, ...]):
    """The shape of whole numbers that are places in a map whose sizes are `plane`."""

    plane: Shape

    def __new__(cls, shape: Iterable[int], plane: Iterable[int]) -> Places:
        """Pair a shape with the sizes of the map."""
        self = super().__new__(cls, shape)
        self.plane = tuple(plane)
        return self

    def __getnewargs__(self) -> tuple[Shape, Shape]:
        """Both, for pickling and copying."""
        return tuple(self), self.plane

    def __eq__(self, other: object) -> bool:
        """Places in another map are others."""
        same = not isinstance(other, Places) or self.plane == other.plane
        return same and tuple.__eq__(self, other)

    __hash__ = tuple.__hash__

    def map(self, change: Callable[[int], int]) -> Places:
        """With every size changed."""
        return Places(map(change, self), map(change, self.plane))


def mapped(shape: Shape, change: Callable[[int], int]) -> Shape:
    """A shape with every size changed; places stay what they are."""
    return shape.map(change) if isinstance(shape, Places) else tuple(map(change, shape))


def real(value: float) -> float:
    """A number as a float; one that carries an expression stays as it is."""
    return value if hasattr(value, "key") else float(value)


def spell_shape(shape: Shape) -> str:
    """A shape as the language writes it: `[64, 56, 56]`."""
    return f"[{', '.join(str(int(n)) for n in shape)}]"
