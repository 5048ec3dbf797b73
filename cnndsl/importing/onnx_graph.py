"""What ONNX's nodes are read into: tensors, constants that are worked out, layers in our words.

Every tensor of data has the batch first. Without a batch, as in ONNX's own tests of operators,
a tensor is one sample.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from cnndsl.diagnostics import OpError
from cnndsl.importing.flow import Layer, Scope, Value, refused
from cnndsl.ops.base import OPS
from cnndsl.ops.facts import Array, Shape, spell_shape
from cnndsl.ops.values import bind

if TYPE_CHECKING:
    from onnx import NodeProto

BATCH = 7919
"""How large a free batch is thought to be: no product of sizes gives it by chance."""

Change = Callable[[Array], Array]


class UnsayableError(Exception):
    """What a node does and a file cannot say."""


@dataclass(frozen=True, slots=True)
class Data:
    """A tensor worked out from the inputs: its place in the flow, its shape a sample."""

    value: Value
    shape: Shape
    at: int = 0
    """Which axis the batch is, where a model has moved it."""


@dataclass(frozen=True, slots=True)
class Known:
    """A constant: its value, and of which initializer, if it holds just its elements."""

    array: Array
    name: str = ""
    back: Change = lambda array: array
    """The value → the initializer."""


Tensor = Data | Known


@dataclass(frozen=True, slots=True)
class Learned:
    """A weight as we have it: of which initializer, and how to get from one to the other."""

    name: str
    array: Array
    back: Change
    """Ours → theirs."""


@dataclass(slots=True)
class Reading:
    """What is read so far."""

    batched: bool = True
    batch: int = BATCH
    """How large the batch is, or is thought to be."""
    tensors: dict[str, Tensor] = field(default_factory=dict)
    layers: list[Layer] = field(default_factory=list)
    learned: dict[str, Learned] = field(default_factory=dict)
    givens: Mapping[str, Array] = field(default_factory=dict)
    """Values of inputs, for what must be known of them."""

    @property
    def lead(self) -> int:
        """The axes before a sample's: 1, or 0 without a batch."""
        return int(self.batched)


class Call:
    """One node, as a rule sees it."""

    def __init__(
        self, node: NodeProto, reading: Reading, opset: int, scopes: tuple[Scope, ...]
    ) -> None:
        """Take the node with what is known before it."""
        from onnx import helper

        self.node, self.reading, self.opset, self.scopes = node, reading, opset, scopes
        self.kind: str = node.op_type
        self.attributes: dict[str, Any] = {}
        for attribute in node.attribute:
            value = helper.get_attribute_value(attribute)
            self.attributes[attribute.name] = short(value) if type(value) is float else value
        self.inputs = [reading.tensors[name] if name else None for name in node.input]

    # What enters

    def given(self, number: int) -> bool:
        """Whether there is an input of that number."""
        return number < len(self.inputs) and self.inputs[number] is not None

    def data(self, number: int, rank: int | None = None, *, moved: bool = False) -> Data:
        """An input that is data, or a learned tensor, of so many axes if it is said.

        Raises UnsayableError: it is another constant, or none; its batch has been moved.
        """
        found = self.inputs[number] if self.given(number) else None
        if isinstance(found, Known):
            return self._learned(number, found, rank)
        if found is None:
            raise UnsayableError("an input is left out")
        if found.at and not moved:
            raise UnsayableError("the batch is not the first axis")
        return found

    def _learned(self, number: int, found: Known, rank: int | None) -> Data:
        """An initializer as a learned tensor, the same for each sample."""
        if not found.name:
            raise UnsayableError("a constant takes part as a tensor")
        theirs, lead = found.array.shape, self.reading.lead
        missing = 0 if rank is None else max(0, rank + lead - len(theirs))
        whole = (1,) * missing + theirs
        rows = whole[0] if lead else 1
        given_once = rows in (1, self.reading.batch) and not missing
        if rows != 1 and not (given_once and (found.array == found.array[:1]).all()):
            raise UnsayableError("a constant differs by the sample")
        sizes = whole[lead:]

        def back(array: Array) -> Array:
            return np.concatenate([array.reshape(1, *sizes)] * rows).reshape(theirs)

        weight = self.weight(number, lambda a: a.reshape(rows, *sizes)[:1], back)
        given = (x for x in (*self.inputs, *self.reading.tensors.values()) if type(x) is Data)
        weights = {"weight": weight}
        return self.layer("learned", [next(given)], weights=weights, sizes=sizes)

    def every(self) -> list[Data]:
        """All inputs, as data."""
        return [self.data(number) for number in range(len(self.inputs))]

    def known(self, number: int) -> Array | None:
        """An input that must be a constant, None where it is left out."""
        if not self.given(number):
            return None
        found = self.inputs[number]
        if isinstance(found, Known):
            return found.array
        name = self.node.input[number]
        if name in self.reading.givens:
            return self.reading.givens[name]
        raise UnsayableError("an attribute depends on the data")

    def constant(self, number: int) -> Known | None:
        """An input as a constant, if it is one by itself."""
        found = self.inputs[number] if self.given(number) else None
        return found if isinstance(found, Known) else None

    def numbers(self, name: str, number: int = -1) -> tuple[int, ...] | None:
        """Whole numbers that an attribute or, in later opsets, an input gives."""
        if name in self.attributes:
            return tuple(map(int, self.attributes[name]))
        found = self.known(number) if number >= 0 else None
        return None if found is None else tuple(int(n) for n in found.reshape(-1))

    def text(self, name: str, default: str) -> str:
        """A word."""
        found = self.attributes.get(name, default)
        return found.decode() if isinstance(found, bytes) else str(found)

    def get(self, name: str, default: Any) -> Any:
        """An attribute."""
        return self.attributes.get(name, default)

    def axis(self, axis: int, rank: int, at: int = 0) -> int:
        """A number of an axis as ours, the batch being that one.

        Raises UnsayableError: it is the batch.
        """
        lead = self.reading.lead
        found = axis % (rank + lead) if rank + lead else 0
        if not rank or (lead and found == at):
            raise UnsayableError("it works on the batch")
        return found - (lead if found > at or not lead else 0)

    def no(self, **attributes: Any) -> None:
        """Raises UnsayableError: an attribute has another value than it must have."""
        for name, wanted in attributes.items():
            found = self.get(name, wanted)
            if found != wanted:
                shown = found.decode() if isinstance(found, bytes) else found
                raise UnsayableError(f"`{name}` is {shown}")

    # Weights

    def weight(
        self,
        number: int,
        forward: Change = lambda array: array,
        back: Change = lambda array: array,
    ) -> str:
        """An input as a weight, changed on the way: its name among the flow's weights."""
        name, found = str(self.node.input[number]), self.inputs[number]
        array = found.array if isinstance(found, Known) else self.known(number)
        assert array is not None
        whole = back
        if isinstance(found, Known):
            name, theirs = found.name, found.back
            if not name:
                raise UnsayableError("a weight is worked out from others")

            def whole(array: Array) -> Array:
                return theirs(back(array))

        made = forward(np.asarray(array, np.float64))
        at = name
        while at in self.reading.learned:
            other = self.reading.learned[at]
            if other.array.shape == made.shape and np.array_equal(other.array, made):
                return at
            at += "'"
        self.reading.learned[at] = Learned(name, made, whole)
        return at

    # Layers

    def layer(
        self,
        word: str,
        inputs: Sequence[Data],
        *,
        weights: Mapping[str, str] | None = None,
        **arguments: Any,
    ) -> Data:
        """A layer with one output.  Raises UnsayableError: ours refuses it."""
        return self.several(word, inputs, weights=weights, **arguments)[0]

    def several(
        self,
        word: str,
        inputs: Sequence[Data],
        *,
        weights: Mapping[str, str] | None = None,
        **arguments: Any,
    ) -> list[Data]:
        """A layer with all its outputs."""
        shapes = tuple(x.shape for x in inputs)
        rank = max(0, len(shapes[0]) - 1)
        if word not in OPS:
            raise UnsayableError("no operation of the language does this")
        try:
            op = bind(OPS[word], dict(arguments), rank).resolved(*shapes)
            found = tuple(tuple(map(int, shape)) for shape in op.shapes(*shapes))
        except OpError as error:
            raise UnsayableError(f"`{word}`: {error.message}") from None
        if any(n < 1 for shape in found for n in shape):
            raise UnsayableError("an axis has no elements")
        name = f"{self.node.name or self.kind}#{len(self.reading.layers)}"
        values = tuple(x.value for x in inputs)
        self.reading.layers.append(
            Layer(name, word, arguments, values, found, self.scopes, dict(weights or {}))
        )
        return [Data((name, number), shape) for number, shape in enumerate(found)]

    def made(self, x: Data) -> Layer | None:
        """The layer that gives a tensor, if it is one of the last."""
        return next((one for one in self.reading.layers[-4:] if one.name == x.value[0]), None)

    def chain(self, x: Data, *steps: tuple[str, dict[str, Any]]) -> Data:
        """Layers one after another."""
        for word, arguments in steps:
            x = self.layer(word, [x], **arguments)
        return x

    def reshaped(self, x: Data, shape: Sequence[int]) -> Data:
        """The elements of a sample in order, read as another shape."""
        sizes = tuple(map(int, shape))
        if sizes == x.shape:
            return x
        if not sizes:
            raise UnsayableError("a sample is a single number")
        if math.prod(sizes) != math.prod(x.shape):
            raise UnsayableError("it mixes samples of the batch")
        if len(sizes) == 1:
            return self.layer("flatten", [x])
        return self.layer("reshape", [x], sizes=sizes)

    def permuted(self, x: Data, order: Sequence[int]) -> Data:
        """Axes in another order."""
        if list(order) == list(range(len(x.shape))):
            return x
        names = letters(len(x.shape))
        right = " ".join(names[axis] for axis in order)
        return self.layer("rearrange", [x], pattern=f"{' '.join(names)} -> {right}")

    def cut(self, x: Data, axis: int, start: int, end: int) -> Data:
        """A part of an axis."""
        size = x.shape[axis]
        parts = (start, end - start, size - end)
        if end <= start:
            raise UnsayableError("an axis has no elements")
        if parts == (0, size, 0):
            return x
        stop = end if end < size else None
        return self.layer("slice", [x], start=start, stop=stop, axis=axis)

    def alike(self, *inputs: Data) -> list[Data]:
        """Tensors with as many axes each, those that miss some being of size 1 there."""
        rank = max(len(x.shape) for x in inputs)
        found = []
        for x in inputs:
            missing = rank - len(x.shape)
            if missing and self.reading.batched:
                raise UnsayableError("a tensor without the batch takes part")
            found.append(self.reshaped(x, ((1,) * missing + x.shape)) if missing else x)
        return found


def short(number: float) -> float:
    """A number in float32 as one would write it: 1e-05, and not 9.999999747378752e-06."""
    single = np.float32(number)
    return float(str(single)) if float(single) == number else number


def letters(count: int) -> list[str]:
    """Names of axes."""
    return list("abcdefghijklmnopqrstuvwxyz"[:count])


Rule = Callable[[Call], Data | Sequence[Data]]
RULES: dict[str, Rule] = {}
"""The rule of each operator, by its name."""


def rule(*kinds: str) -> Callable[[Rule], Rule]:
    """Register the rule of these operators."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(kinds, function))
        return function

    return register


def where(call: Call) -> str:
    """A node in words: `conv1` (Conv)."""
    name = call.node.name or (call.node.output[0] if call.node.output else "")
    return f"{name} ({call.kind})" if name else call.kind


def unsaid(call: Call, error: UnsayableError) -> Exception:
    """E610, with the node."""
    shapes = ", ".join(spell_shape(x.shape) for x in call.inputs if isinstance(x, Data))
    return refused(f"{error}" + (f", of {shapes}" if shapes else ""), where(call))
