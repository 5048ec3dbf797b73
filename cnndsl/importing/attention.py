"""Attention between tokens as one step, however a program spells it.

What is known of it is only how its tensors come from each other: two products with a softmax
between them, and of each operand which element of a tensor of tokens stands in which place.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from cnndsl.importing.axes import order_of
from cnndsl.importing.flow import Flow, Layer, Value
from cnndsl.importing.rewriting import uses
from cnndsl.ops.base import OPS
from cnndsl.ops.facts import Array, Shape
from cnndsl.ops.values import bind
from cnndsl.records import Record, record

MOVES = frozenset({"reshape", "flatten", "rearrange", "split", "slice"})
"""The words of steps that only move or select elements."""
LARGE = 1 << 22
"""The most elements that are compared."""


@record
class Operand(Record):
    """A tensor of tokens: rows of a source, or some of its channels, and a factor of them."""

    source: Value
    first: int
    channels: int
    factor: float = 1.0


@record
class Found(Record):
    """Attention: its three operands, what it does, and the layer that it ends in."""

    operands: tuple[Operand, Operand, Operand]
    heads: int
    scale: float | None
    last: Layer


def attentive(flow: Flow) -> Flow:
    """The flow with each attention over rows of tokens as one layer."""
    search = Search(flow)
    found = {one.last.name: one for layer in flow.layers if (one := search.found(layer))}
    kept: list[Layer] = []
    for layer in flow.layers:
        kept += _written(found[layer.name], flow) if layer.name in found else [layer]
    return replace(flow, layers=tuple(kept))


def _written(found: Found, flow: Flow) -> list[Layer]:
    """Parts of the sources, and the attention of them."""
    made: list[Layer] = []
    inputs: list[Value] = []
    last = found.last
    for number, operand in enumerate(found.operands):
        rows, whole = flow.shape(operand.source)
        ends = (operand.first, operand.channels, whole - operand.first - operand.channels)
        sizes = [n for n in ends if n]
        if len(sizes) == 1:
            inputs.append(operand.source)
            continue
        name = f"{last.name}.{'qkv'[number]}"
        sections: object = len(sizes) if len(set(sizes)) == 1 else tuple(sizes)
        arguments = {"sections": sections, "axis": 1}
        shapes = tuple((rows, n) for n in sizes)
        made.append(Layer(name, "split", arguments, (operand.source,), shapes, last.scopes))
        inputs.append((name, 1 if operand.first else 0))
    given: dict[str, Any] = {"heads": found.heads}
    given |= {} if found.scale is None else {"scale": found.scale}
    shape = (flow.shape(inputs[0])[0] if not made else flow.shape(found.operands[0].source)[0],)
    shapes = ((*shape, found.operands[0].channels),)
    attention = Layer(last.name, "attention", given, tuple(inputs), shapes, last.scopes)
    return [*made, attention]


class Search:
    """Where the products of a flow are attention."""

    def __init__(self, flow: Flow) -> None:
        """Take a flow whose runs of reshapes are single steps."""
        self.flow, self.by_name = flow, flow.by_name
        self.readers: dict[str, list[Layer]] = {}
        for layer in flow.layers:
            for name, _ in layer.inputs:
                self.readers.setdefault(name, []).append(layer)
        self.count = uses(flow)

    def found(self, layer: Layer) -> Found | None:
        """The attention whose second product this layer is, or None."""
        if layer.word != "einsum" or len(layer.inputs) != 2:
            return None
        sides, out = _pattern(layer)
        for number, value in enumerate(layer.inputs):
            weights = self._alone(value)
            names = sides[number]
            if weights is None:
                continue
            order = list(range(len(names)))
            if weights.word == "rearrange" and (moved := order_of(weights)) is not None:
                order, weights = moved, self._alone(weights.inputs[0])
            if weights is None or weights.word != "softmax":
                continue
            # The names of the softmax's axes, in its own order.
            named = [""] * len(names)
            for place, axis in enumerate(order):
                named[axis] = names[place]
            summed = named[int(str(weights.arguments["axis"]))]
            mixed = (layer.inputs[1 - number], sides[1 - number])
            if summed not in out and summed in mixed[1]:
                return self._whole(layer, weights.inputs[0], named, summed, mixed, out)
        return None

    def _whole(
        self,
        layer: Layer,
        scores: Value,
        named: list[str],
        summed: str,
        mixed: tuple[Value, list[str]],
        out: list[str],
    ) -> Found | None:
        product, factor = self._scaled(scores)
        if product is None or product.word != "einsum" or len(product.inputs) != 2:
            return None
        sides, result = _pattern(product)
        names = dict(zip(result, named, strict=True))
        sides = [[names.get(n, f"{n}'") for n in side] for side in sides]
        asked = [n for n, side in enumerate(sides) if summed not in side]
        if len(asked) != 1:
            return None
        query, key = sides[asked[0]], sides[1 - asked[0]]
        row = [n for n in named if n not in key]
        inner = [n for n in query if n in key and n not in named]
        wide = [n for n in mixed[1] if n not in named]
        outer = [n for n in named if n not in (summed, *row)]
        whole = len(row) == len(inner) == len(wide) == 1 and len(outer) < 2
        if not whole or set(out) != {*outer, *row, *wide}:
            return None
        wanted = [
            (product.inputs[asked[0]], query, [*row, *outer, *inner]),
            (product.inputs[1 - asked[0]], key, [summed, *outer, *inner]),
            (mixed[0], mixed[1], [summed, *outer, *wide]),
        ]
        operands: list[Operand] = []
        for value, has, order in wanted:
            operand = self._tokens(value, [has.index(n) for n in order])
            if operand is None:
                return None
            operands.append(operand)
        q, k, v = operands
        shape = self.flow.shape(wanted[0][0])
        heads = shape[query.index(outer[0])] if outer else 1
        if not q.channels == k.channels == v.channels or v.factor != 1:
            return None
        scale = factor * q.factor * k.factor
        usual = math.isclose(scale, (q.channels // heads) ** -0.5, rel_tol=1e-9)
        last = self._last(layer, [out.index(n) for n in (*row, *outer, *wide)])
        if last is None:
            return None
        return Found((q, k, v), heads, None if usual else scale, last)

    def _alone(self, value: Value) -> Layer | None:
        """The layer that makes a tensor which only one other reads."""
        return self.by_name.get(value[0]) if self.count[value] == 1 else None

    def _scaled(self, value: Value) -> tuple[Layer | None, float]:
        """What makes a tensor but for a constant factor, and that factor."""
        layer, factor = self._alone(value), 1.0
        while layer is not None and (by := _factor(layer)) is not None:
            layer, factor = self._alone(layer.inputs[0]), factor * by
        return layer, factor

    def _tokens(self, value: Value, order: list[int]) -> Operand | None:
        """The channels of rows that a tensor holds, its axes taken in this order."""
        path: list[tuple[Layer, int]] = []
        factor, source = 1.0, value
        found = self._rows(source, factor, path, order)
        while (layer := self.by_name.get(source[0])) is not None:
            by = _factor(layer) if self.count[source] == 1 else None
            if layer.word not in MOVES and by is None:
                break
            path.append((layer, source[1]))
            factor, source = factor * (by or 1.0), layer.inputs[0]
            found = self._rows(source, factor, path, order) or found
        return found

    def _rows(
        self, source: Value, factor: float, path: list[tuple[Layer, int]], order: list[int]
    ) -> Operand | None:
        """What a path of moves takes of a tensor of tokens, or None."""
        shape = self.flow.shape(source)
        if len(shape) != 2 or math.prod(shape) > LARGE:
            return None
        places: Array = np.arange(math.prod(shape), dtype=float).reshape(1, *shape)
        for layer, output in reversed(path):
            if layer.word in MOVES:
                made = _run(layer, places)
                places = made[output] if isinstance(made, tuple | list) else made
        rows = places[0].transpose(order).reshape(places.shape[1:][order[0]], -1)
        first, channels = int(rows[0, 0]), rows.shape[1]
        exact = np.arange(len(rows))[:, None] * shape[1] + np.arange(channels) + first
        plain = len(rows) == shape[0] and first + channels <= shape[1]
        return (
            Operand(source, first, channels, factor)
            if plain and (rows == exact).all()
            else None
        )

    def _last(self, layer: Layer, order: list[int]) -> Layer | None:
        """The layer that gives rows of tokens: the product, or what moves its axes."""
        if order == [0, 1]:
            return layer
        readers = self.readers.get(layer.name, [])
        if self.count[layer.name, 0] != 1 or not readers or readers[0].word not in MOVES:
            return None
        shape = layer.shapes[0]
        places = np.arange(math.prod(shape), dtype=float).reshape(1, *shape)
        rows = places[0].transpose(order).reshape(shape[order[0]], -1)
        moved = _run(readers[0], places)
        same = not isinstance(moved, tuple | list) and moved.shape[1:] == rows.shape
        return readers[0] if same and (moved[0] == rows).all() else None


def _run(layer: Layer, places: Array) -> Any:
    shape: Shape = places.shape[1:]
    op = bind(OPS[layer.word], dict(layer.arguments), max(0, len(shape) - 1)).resolved(shape)
    return op.run(places)


def _factor(layer: Layer) -> float | None:
    """The constant that a layer multiplies by."""
    by = layer.arguments.get("by")
    if layer.word not in ("mul", "div") or not isinstance(by, int | float) or not by:
        return None
    return float(by) if layer.word == "mul" else 1 / by


def _pattern(layer: Layer) -> tuple[list[list[str]], list[str]]:
    """The names of an `einsum`'s operands' axes, and of its result's."""
    left, _, right = str(layer.arguments["pattern"]).partition("->")
    return [side.split() for side in left.split(",")], right.split()
