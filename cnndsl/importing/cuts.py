"""Parts of tensors as a person would write them: one split, one crop, a causal padding."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import accumulate, chain, pairwise
from typing import Any

from cnndsl.importing.flow import Flow, Layer, Value
from cnndsl.importing.rewriting import Layers, chained, common, renamed, uses
from cnndsl.ops.base import OPS
from cnndsl.ops.facts import Family, Shape


def crops(flow: Flow) -> Flow:
    """Parts of two spatial axes or more, one after another, as one `crop`."""
    count, by_name = uses(flow), flow.by_name
    names: dict[Value, Value] = {}
    gone: set[str] = set()
    made: dict[str, Layer] = {}
    for layer in reversed(flow.layers):
        cuts: dict[int, tuple[int, int]] = {}
        chain: list[Layer] = []
        one: Layer | None = layer
        while one is not None and layer.name not in gone:
            cut = _cut(one, count, flow)
            value = one.inputs[0]
            if (
                cut is None
                or cut[0] in cuts
                or (chain and sum(count[v] for v in _all(one)) > 1)
            ):
                break
            cuts[cut[0]] = cut[1:]
            chain.append(one)
            one = by_name.get(value[0])
        if len(cuts) < 2:
            continue
        shape = flow.shape(chain[-1].inputs[0])
        whole = [(0, n) for n in shape]
        wanted = [cuts.get(axis, pair) for axis, pair in enumerate(whole)][1:]
        size = tuple(n for _, n in wanted)
        arguments: dict[str, object] = {"size": size}
        middle = [(n - m) // 2 for n, m in zip(shape[1:], size, strict=True)]
        if [start for start, _ in wanted] != middle:
            arguments["offset"] = tuple(start for start, _ in wanted)
        made[layer.name] = replace(
            chain[-1],
            name=layer.name,
            word="crop",
            arguments=arguments,
            shapes=((shape[0], *size),),
        )
        used = next(value for value in _all(layer) if count[value])
        if used != (layer.name, 0):
            names[used] = (layer.name, 0)
        gone.update(x.name for x in chain)
    kept = [made.get(x.name, x) for x in flow.layers if x.name in made or x.name not in gone]
    return renamed(flow, kept, names)


def _all(layer: Layer) -> list[Value]:
    return [(layer.name, number) for number in range(len(layer.shapes))]


def _cut(layer: Layer, count: Counter[Value], flow: Flow) -> tuple[int, int, int] | None:
    """The spatial axis of which a layer leaves one part, where it begins and how long it is."""
    used = [number for _, number in _all(layer) if count[layer.name, number]]
    axis = layer.arguments.get("axis", 0)
    if len(used) != 1 or not isinstance(axis, int) or axis < 1 or len(layer.shapes[0]) < 3:
        return None
    if layer.word != "split" and (layer.word != "slice" or "step" in layer.arguments):
        return None
    start, stop = _edges(layer, flow)[used[0]]
    return axis, start, stop - start


def _edges(layer: Layer, flow: Flow) -> list[tuple[int, int]]:
    """Where each part of a `split` or `slice` begins and ends."""
    axis: Any = layer.arguments.get("axis", 0)
    if layer.word == "split":
        return list(pairwise(accumulate([0, *(shape[axis] for shape in layer.shapes)])))
    start: Any = layer.arguments.get("start", 0)
    start += flow.shape(layer.inputs[0])[axis] if start < 0 else 0
    return [(start, start + layer.shapes[0][axis])]


def splits(flow: Flow) -> Flow:
    """Slices of one tensor along one axis as one `split`; a single part of one as a `slice`."""
    found: dict[tuple[Value, int], Layers] = {}
    for layer in flow.layers:
        axis: Any = layer.arguments.get("axis", 0)
        if layer.word == "split" or (layer.word == "slice" and "step" not in layer.arguments):
            found.setdefault((layer.inputs[0], axis), []).append(layer)
    count = uses(flow)
    names: dict[Value, Value] = {}
    gone: dict[str, Layer | None] = {}
    for (value, axis), layers in found.items():
        shape = flow.shape(value)
        wanted = {
            (layer.name, number): edges
            for layer in layers
            for number, edges in enumerate(_edges(layer, flow))
            if count[layer.name, number]
        }
        first, cuts = layers[0], sorted({0, shape[axis], *chain(*wanted.values())})
        parts = list(pairwise(cuts))
        sizes = [stop - start for start, stop in parts]
        alike = len(set(sizes)) == 1
        single = len(set(wanted.values())) == 1
        ends = not alike and axis and any(map(_from_end, layers))
        if single and (first.word == "slice" or (alike and first.shapes[0][axis] == sizes[0])):
            whole = first
        elif single:
            whole = _single(first, axis, shape, *next(iter(wanted.values())))
        elif len(layers) < 2 or ends or not all(pair in parts for pair in wanted.values()):
            continue
        else:
            shapes = tuple((*shape[:axis], size, *shape[axis + 1 :]) for size in sizes)
            sections: object = len(sizes) if alike else tuple(sizes)
            given = {"sections": sections} | ({"axis": axis} if axis else {})
            whole = replace(first, word="split", arguments=given, shapes=shapes)
        whole = replace(
            whole, name=f"{first.name}.parts", scopes=common([one.scopes for one in layers])
        )
        gone.update((layer.name, None) for layer in layers)
        gone[first.name] = whole
        names.update(
            (one, (whole.name, parts.index(edges) if whole.word == "split" else 0))
            for one, edges in wanted.items()
        )
    kept = [gone.get(layer.name, layer) for layer in flow.layers]
    return renamed(flow, [layer for layer in kept if layer is not None], names)


def _single(split: Layer, axis: int, shape: Shape, start: int, stop: int) -> Layer:
    """A part of a `split` as a `slice`."""
    given = {"start": start, "stop": stop if stop < shape[axis] else 0, "axis": axis}
    arguments: dict[str, object] = {name: n for name, n in given.items() if n}
    shapes = ((*shape[:axis], stop - start, *shape[axis + 1 :]),)
    return replace(split, word="slice", arguments=arguments, shapes=shapes)


def _from_end(layer: Layer) -> bool:
    """Whether a slice counts from the end: it takes any size."""
    ends = (layer.arguments.get(name) for name in ("start", "stop"))
    return any(isinstance(end, int) and end < 0 for end in ends)


def trimmed(flow: Flow) -> Flow:
    """Less padding where what a convolution by 1 makes of it is cut off: causal ones."""
    before = chained(flow, EACH | CONVS)
    names: dict[Value, Value] = {}
    made: dict[str, Layer] = {}
    gone: set[str] = set()
    for layer in flow.layers:
        axis: Any = layer.arguments.get("axis", 0)
        cut = layer.word == "slice" and axis and "step" not in layer.arguments
        conv, between = before(layer) if cut else None, []
        while conv is not None and conv.word in EACH:
            between.append(conv)
            conv = before(conv)
        if conv is None or conv.name in made:
            continue
        (start, stop), size = _edges(layer, flow)[0], conv.shapes[0][axis]
        given: Any = conv.arguments
        left, right = given["pad"][axis - 1]
        sides = (left - start, right - (size - stop))
        if given["stride"][axis - 1] == 1 and min(sides) >= 0:
            pad = (*given["pad"][: axis - 1], sides, *given["pad"][axis:])
            made[conv.name] = replace(conv, arguments={**given, "pad": pad})
            made.update((one.name, one) for one in between)
            for one in (conv, *between):
                made[one.name] = replace(made[one.name], shapes=layer.shapes)
            gone.add(layer.name)
            names[layer.name, 0] = layer.inputs[0]
    kept = [made.get(one.name, one) for one in flow.layers if one.name not in gone]
    return renamed(flow, kept, names)


CONVS = frozenset({"conv", "dwconv", "std_conv"})
EACH = frozenset(
    name for name, op in OPS.items() if op.family in (Family.ACTIVATION, Family.REGULARIZE)
) - {"softmax", "log_softmax"} | {"bn"}
"""Steps that do the same at every place of a map."""
