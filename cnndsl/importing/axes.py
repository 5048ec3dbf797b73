"""Reshapes and permutations in one step, and norms along the axis that they are moved for."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from cnndsl.importing.flow import Flow, Layer, Value
from cnndsl.importing.rewriting import Layers, chained, common, renamed, uses
from cnndsl.ops.facts import Shape

MOVES = frozenset({"reshape", "flatten", "rearrange"})


class Moves:
    """Reshapes and permutations one after another: the pieces of the axes, in order."""

    def __init__(self, shape: Shape) -> None:
        """Begin with a shape, whose axes are a piece each."""
        self.sizes: list[int] = list(shape)
        self.order = list(range(len(shape)))
        self.left = [[i] for i in range(len(shape))]
        self.right = [[i] for i in range(len(shape))]

    def permute(self, order: Iterable[int]) -> None:
        """Axes in another order."""
        self.right = [self.right[i] for i in order]

    def reshape(self, shape: Shape) -> bool:
        """Read as another shape; False where an axis would be cut unevenly."""
        pieces = [piece for axis in self.right for piece in axis]
        groups: list[list[int]] = []
        queue = pieces[::-1]
        for size in shape:
            group, product = [], 1
            while product < size:
                if not queue:
                    return False
                piece = queue.pop()
                need = size // product
                if size % product or (need % self.sizes[piece] and self.sizes[piece] % need):
                    return False
                if self.sizes[piece] > need:
                    rest = self._cut(piece, need)
                    queue.append(rest)
                group.append(piece)
                product *= self.sizes[piece]
            groups.append(group)
        # What is left are axes of size 1, which go with the last.
        if any(self.sizes[piece] != 1 for piece in queue):
            return False
        self.right = groups
        return True

    def _cut(self, piece: int, first: int) -> int:
        """Cut a piece in two; the number of the second."""
        rest = len(self.sizes)
        self.sizes.append(self.sizes[piece] // first)
        self.sizes[piece] = first
        for side in (self.left, self.right):
            for group in side:
                if piece in group:
                    group.insert(group.index(piece) + 1, rest)
        return rest

    def step(self) -> tuple[str, dict[str, object]] | None:
        """One step that does it all; None where nothing is done."""
        left = [[p for p in group if self.sizes[p] != 1] for group in self.left]
        right = [[p for p in group if self.sizes[p] != 1] for group in self.right]
        shape = [math.prod(self.sizes[p] for p in group) for group in right]
        if [p for group in left for p in group] == [p for group in right for p in group]:
            if left == right:
                return None
            if len(shape) == 1:
                return "flatten", {}
            starts = {group[0] for group in left if group}
            merged = all(not group or group[0] in starts for group in right)
            sized = all(left) and all(right)
            if merged and (sized or any(len(group) > 1 for group in right)):
                return self._pattern(left, right)  # axes are merged: no size is said
            return "reshape", {"sizes": tuple(shape)}
        return self._pattern(left, right)

    def _pattern(
        self, left: list[list[int]], right: list[list[int]]
    ) -> tuple[str, dict[str, object]]:
        names = _names(left, right)
        named = " -> ".join(
            " ".join(_group([names[p] for p in group]) for group in side)
            for side in (left, right)
        )
        axes = [(names[p], self.sizes[p]) for group in left for p in _given(group, names)]
        given: dict[str, object] = {"pattern": named}
        return "rearrange", given | ({"axes": tuple(axes)} if axes else {})


def _given(group: list[int], names: dict[int, str]) -> list[int]:
    """The pieces of an axis whose sizes must be said: all but one, the one named for it."""
    if len(group) < 2:
        return []
    kept = next((p for p in group if names[p] in "chwd"), group[-1])
    return [p for p in group if p != kept]


def _group(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"({' '.join(names)})" if names else "1"


def _names(left: list[list[int]], right: list[list[int]]) -> dict[int, str]:
    """Names of pieces: an axis keeps its own for one of them; the channels may be the last."""
    axes = {1: "c", 2: "cl", 3: "chw", 4: "cdhw"}.get(len(left), "abcdefghijkl")[: len(left)]
    if len(left) > 1 and right[0] == left[-1] and len(left[0]) == 1:
        axes = axes[1:] + axes[:1]
    spare = iter([x for x in "gabpqrstuvxyzefijkmno" if x not in axes])
    names: dict[int, str] = {}
    for axis, group in zip(axes, left, strict=True):
        for piece in group[:-1]:
            names[piece] = next(spare)
        if group:
            names[group[-1]] = axis
    return names


def order_of(layer: Layer) -> list[int] | None:
    """The permutation that a `rearrange` is, if it is no more than that."""
    pattern = str(layer.arguments["pattern"])
    left, right = (side.split() for side in pattern.split("->"))
    plain = "(" not in pattern and "1" not in left and len(set(left)) == len(left)
    return [left.index(name) for name in right] if plain and set(left) == set(right) else None


def one_step(flow: Flow) -> Flow:
    """Runs of reshapes and permutations as one step."""
    count = uses(flow)
    names: dict[Value, Value] = {}
    runs: dict[str, tuple[Layer, list[Layer]]] = {}
    kept: Layers = []
    for layer in flow.layers:
        if layer.word not in MOVES:
            kept.append(layer)
            continue
        source = layer.inputs[0]
        run = runs.pop(source[0], (layer, [])) if count[source] == 1 else (layer, [])
        if run[1]:
            kept = [one for one in kept if one.name != run[1][-1].name]
        chain = [*run[1], layer]
        runs[layer.name] = (run[0], chain)
        kept.append(layer)
    by_name = {layer.name: layer for layer in kept}
    for name, (first, chain) in runs.items():
        step = _merged(flow.shape(first.inputs[0]), chain)
        if step is NotImplemented:
            # As they were, each on its own.
            index = kept.index(by_name[name])
            kept[index:index] = chain[:-1]
        elif step is None:
            kept.remove(by_name[name])
            names[name, 0] = first.inputs[0]
        else:
            index = kept.index(by_name[name])
            scopes = common([one.scopes for one in chain])
            word, arguments = step
            kept[index] = replace(
                chain[-1], word=word, arguments=arguments, inputs=first.inputs, scopes=scopes
            )
    return renamed(flow, kept, names)


def _merged(shape: Shape, chain: Layers) -> Any:
    """A step, None for nothing, NotImplemented where no single step says it."""
    moves = Moves(shape)
    for layer in chain:
        if layer.word == "rearrange":
            order = order_of(layer)
            if order is None or "axes" in layer.arguments:
                return NotImplemented
            moves.permute(order)
        elif not moves.reshape(layer.shapes[0]):
            return NotImplemented
    return moves.step()


def norms_of_channels(flow: Flow) -> Flow:
    """A norm along the last axis, with the channels moved there and back, as one over them."""
    before = chained(flow, frozenset({"rearrange"}))
    inner = chained(flow, frozenset({"ln"}))
    names: dict[Value, Value] = {}
    gone: set[str] = set()
    made: dict[str, Layer] = {}
    for layer in flow.layers:
        norm = inner(layer) if layer.word == "rearrange" else None
        first = before(norm) if norm is not None else None
        if norm is None or first is None or norm.arguments.get("axis", 0) == 0:
            continue
        there, back = (order_of(x) for x in (first, layer))
        plain = not any("axes" in x.arguments for x in (first, layer))
        if there is None or back is None or not plain:
            continue
        if there[-1] or [there[i] for i in back] != list(range(len(there))):
            continue
        gone |= {first.name, layer.name}
        names[layer.name, 0] = (norm.name, 0)
        names[first.name, 0] = first.inputs[0]
        arguments = {n: v for n, v in norm.arguments.items() if n != "axis"}
        made[norm.name] = replace(norm, arguments=arguments, shapes=layer.shapes)
    kept = [made.get(x.name, x) for x in flow.layers if x.name not in gone]
    return renamed(flow, kept, names)


def turned(flow: Flow) -> Flow:
    """A norm of a map whose channels were moved to the end as one before they are."""
    before = chained(flow, frozenset({"rearrange"}))
    made: dict[str, Layer] = {}
    for layer in flow.layers:
        moved = before(layer) if layer.word == "ln" else None
        axis = layer.arguments.get("axis", 0)
        if moved is None or not axis or "axes" in moved.arguments:
            continue
        order = order_of(moved)
        if order is None or len(order) < 3 or order != [*range(1, len(order)), 0]:
            continue
        arguments = {n: v for n, v in layer.arguments.items() if n != "axis"}
        shape = flow.shape(moved.inputs[0])
        inner = f"{layer.name}.before"
        made[moved.name] = replace(
            layer, name=inner, arguments=arguments, inputs=moved.inputs, shapes=(shape,)
        )
        made[layer.name] = replace(
            moved, name=layer.name, inputs=((inner, 0),), scopes=layer.scopes[:-1]
        )
    return replace(flow, layers=tuple(made.get(x.name, x) for x in flow.layers))
