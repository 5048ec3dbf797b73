"""What an operation writes its ONNX form in: nodes and their tensors, without ONNX itself.

An operation's `onnx` is given the tensors that enter it and an `Onnx`, which it calls like
ONNX's operators: `to("Relu", x)`. Shapes are per sample, as everywhere; a tensor has the
batch before them. A size that the user of the file chooses is a `Sym`, and becomes a tensor
that is worked out when the file runs.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import field
from typing import Any

from cnndsl.ops.arrays import np
from cnndsl.ops.facts import Array, Pads, Shape
from cnndsl.records import Record, record
from cnndsl.symbolic import Formula, Sym, Symbol, formula


@record
class OnnxNode(Record):
    """One node: its operator, the names of what it reads (empty for nothing) and gives."""

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    place: str = ""
    """Where in a file it was written."""
    inside: str = ""
    """The path of the blocks around it."""
    domain: str = ""


class FreeSizeError(Exception):
    """A size that the user chooses stands where ONNX takes only a number."""

    def __init__(self, written: Formula) -> None:
        """Remember which."""
        self.written = written
        super().__init__(str(written))


class Value:
    """A tensor: its name, its shape where that is known, and whether it has whole numbers."""

    __slots__ = ("integer", "name", "shape", "to")

    def __init__(
        self, to: Onnx, name: str, shape: Shape = (), *, integer: bool = False
    ) -> None:
        """A tensor of that name."""
        self.to, self.name, self.shape, self.integer = to, name, shape, integer

    def _with(self, kind: str, other: Value | float) -> Value:
        return self.to(kind, self, self.to.like(self, other), shape=self.shape)

    def __add__(self, other: Value | float) -> Value:
        """The sum."""
        return self._with("Add", other)

    def __sub__(self, other: Value | float) -> Value:
        """The difference."""
        return self._with("Sub", other)

    def __mul__(self, other: Value | float) -> Value:
        """The product."""
        return self._with("Mul", other)

    def __truediv__(self, other: Value | float) -> Value:
        """The quotient, of whole numbers that without its remainder."""
        return self._with("Div", other)


class Onnx:
    """The nodes of one layer, written in order; `to(operator, …)` adds one."""

    def __init__(self, key: str, size: Callable[[Formula], str]) -> None:
        """`key` begins the names of what is inside; `size` names a formula's tensor."""
        self.key, self.size = key, size
        self.nodes: list[OnnxNode] = []

    def __call__(
        self,
        kind: str,
        *inputs: Value | None,
        shape: Shape = (),
        integer: bool | None = None,
        **attributes: Any,
    ) -> Value:
        """Add a node with one output, of the type of its first input unless it is said."""
        return self.several(kind, 1, *inputs, shape=shape, integer=integer, **attributes)[0]

    def several(
        self,
        kind: str,
        count: int,
        *inputs: Value | None,
        shape: Shape = (),
        integer: bool | None = None,
        **attributes: Any,
    ) -> tuple[Value, ...]:
        """Add a node with that many outputs.  Raises FreeSizeError: an attribute is free."""
        given = [*inputs]
        while given and given[-1] is None:
            given.pop()
        whole = bool(given and given[0] is not None and given[0].integer)
        whole = whole if integer is None else integer
        name = f"{self.key}/{len(self.nodes)}.{kind}"
        names = (name,) if count == 1 else tuple(f"{name}:{n}" for n in range(count))
        plain = {key: fixed(value) for key, value in attributes.items() if value is not None}
        read = tuple("" if value is None else value.name for value in given)
        self.nodes.append(OnnxNode(kind, read, names, plain))
        return tuple(Value(self, name, shape, integer=whole) for name in names)

    # Constants

    def constant(self, array: Array) -> Value:
        """An array as it is."""
        whole = array.dtype.kind in "iu"
        return self("Constant", integer=whole, value=array)

    def floats(self, values: Any) -> Value:
        """Numbers in float32, of the shape in which they are nested; some may be free."""
        array = np.array(values, np.float32)
        flat = [*_flat(values)]
        if not any(isinstance(n, Sym) for n in flat):
            return self.constant(array)
        parts = [self.doubles(number) for number in flat]
        whole = self("Concat", *parts, axis=0) if len(parts) > 1 else parts[0]
        return self("Reshape", self.single(whole), self.ints(*array.shape))

    def doubles(self, number: float) -> Value:
        """A list of one number in float64."""
        if isinstance(number, Sym):
            return self("Cast", self.ints(number), integer=False, to=DOUBLE)
        return self.constant(np.array([number], np.float64))

    def single(self, x: Value) -> Value:
        """As float32."""
        return self("Cast", x, integer=False, shape=x.shape, to=FLOAT)

    def ints(self, *numbers: int) -> Value:
        """A list of whole numbers; those that are free are worked out when the file runs."""
        if not any(isinstance(n, Sym) for n in numbers):
            return self.constant(np.array(numbers, np.int64))
        parts: list[Value] = []
        for free, some in itertools.groupby(numbers, lambda n: isinstance(n, Sym)):
            if free:
                names = [self.size(formula(number)) for number in some]
                parts += [Value(self, name, integer=True) for name in names]
            else:
                parts.append(self.ints(*some))
        return parts[0] if len(parts) == 1 else self("Concat", *parts, axis=0)

    def repeated(self, number: float, count: int) -> Value:
        """A list of one number, as often as is said, which may be free."""
        if not isinstance(count, Sym):
            return self.floats([number] * count)
        value = np.full(1, number, np.float32)
        return self("ConstantOfShape", self.ints(count), integer=False, value=value)

    def like(self, value: Value, other: Value | float) -> Value:
        """A number as a tensor of the type of another; a tensor as it is."""
        if isinstance(other, Value):
            return other
        return self.constant(np.array(other, np.int64 if value.integer else np.float32))

    # What many forms are made of

    def batch(self, x: Value) -> Value:
        """The size of the batch, a list of one."""
        return self("Shape", x, integer=True, start=0, end=1)

    def reshape(self, x: Value, shape: Shape) -> Value:
        """The elements of `x` in order, read as another shape; the batch stays."""
        if any(n == 0 for n in shape):
            sizes = self("Concat", self.batch(x), self.ints(*shape), axis=0)
            return self("Reshape", x, sizes, shape=shape, allowzero=1)
        known = [formula(n) for n in x.shape]
        free = [axis for axis, n in enumerate(shape) if isinstance(n, Sym)]
        same = {a for a in free if a < len(known) and known[a] == formula(shape[a])}
        # One size may be left to find (−1), and one that stays is taken over (0).
        found = next((axis for axis in free if axis not in same), None)
        numbers = (0 if a in same else -1 if a == found else n for a, n in enumerate(shape))
        return self("Reshape", x, self.ints(0, *numbers), shape=shape)

    def transpose(self, x: Value, order: tuple[int, ...]) -> Value:
        """Axes in another order, by their numbers without the batch."""
        if list(order) == list(range(len(order))):
            return x
        shape = tuple(x.shape[axis] for axis in order) if x.shape else ()
        return self("Transpose", x, shape=shape, perm=(0, *(axis + 1 for axis in order)))

    def unsqueeze(self, x: Value, *axes: int) -> Value:
        """New axes of size 1, by their numbers in the result, the batch's being 0."""
        return self("Unsqueeze", x, self.ints(*axes))

    def channelwise(self, vector: Value, rank: int) -> Value:
        """A vector (C) to be broadcast over maps with that many axes beside the channels."""
        return self("Reshape", vector, self.ints(-1, *(1,) * rank)) if rank else vector

    def pad(self, x: Value, pads: Pads, value: float = 0.0) -> Value:
        """A constant before and after each spatial axis."""
        if unpadded(pads):
            return x
        sides = zip(*pads, strict=True)
        before, after = ((0, 0, *side) for side in sides)
        return self("Pad", x, self.ints(*before, *after), self.like(x, value))

    def fill(self, x: Value, pads: Pads, mode: str) -> Value:
        """What is beyond each border, from the tensor itself."""
        if unpadded(pads):
            return x
        before, after = ((0, 0, *side) for side in zip(*pads, strict=True))
        word = {"replicate": "edge", "circular": "wrap"}.get(mode, mode)
        return self("Pad", x, self.ints(*before, *after), mode=word)

    def real(self, x: Value) -> Value:
        """Whole numbers as float32, others as they are."""
        return self.single(x) if x.integer else x

    def whole(self, x: Value) -> Value:
        """As int64; what is behind the point is cut off."""
        return x if x.integer else self("Cast", x, integer=True, shape=x.shape, to=INT64)

    def range(self, count: int) -> Value:
        """0, 1, … as whole numbers."""
        last = self("Squeeze", self.ints(count)) if isinstance(count, Sym) else None
        stop = last or self.constant(np.array(count, np.int64))
        start, step = (self.constant(np.array(n, np.int64)) for n in (0, 1))
        return self("Range", start, stop, step, integer=True)


BATCH = Symbol("the batch")
"""The size of the graph's batch, where no tensor tells it."""

FLOAT, INT64, BOOL, DOUBLE = 1, 7, 9, 11
"""Types by their numbers in the standard: `TensorProto.DataType`."""


def unpadded(pads: Pads) -> bool:
    """Whether nothing is added, whatever the sizes."""
    return not any(isinstance(n, Sym) or n for pair in pads for n in pair)


def both(*pairs: tuple[int, ...]) -> tuple[int, ...]:
    """Padding as ONNX's windows take it: all that is before, then all that is after."""
    return tuple(side for sides in zip(*pairs, strict=True) for side in sides)


def _flat(values: Any) -> Iterator[float]:
    if isinstance(values, list | tuple):
        for value in values:
            yield from _flat(value)
    elif not isinstance(values, np.ndarray):
        yield values


def fixed(value: Any) -> Any:
    """A value without formulas.  Raises FreeSizeError: a size in it is the user's choice."""
    if isinstance(value, tuple):
        return tuple(map(fixed, value))
    if isinstance(value, Sym):
        raise FreeSizeError(value.formula)
    return value
