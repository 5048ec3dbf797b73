"""A flow as a person would write it: pads in their windows, shuffles in one step, one split.

Each rewrite keeps what is computed, exactly; the layers' shapes are checked again afterwards.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import Any

from cnndsl.importing.attention import attentive
from cnndsl.importing.axes import MOVES, norms_of_channels, one_step, turned
from cnndsl.importing.cuts import crops, splits, trimmed
from cnndsl.importing.flow import Flow, Layer, Value, refused
from cnndsl.importing.formulas import by_hand, normed
from cnndsl.importing.rewriting import Layers, chained, common, live, renamed, uses
from cnndsl.importing.unread import asked


def simplified(flow: Flow) -> Flow:
    """All rewrites, one after another.  Raises ArchError: an infinite pad outside a pool."""
    axes = (one_step, norms_of_channels, turned, attentive, live, crops, splits)
    windows = (_pads, trimmed, partial(global_pools, sure=True), _means, _responses, _lengths)
    joins = (_vectors, _affines, normed, _sums, _concats)
    for rewrite in (asked, live, by_hand, *axes, *windows, *joins, live):
        flow = rewrite(flow)
    return flow


# Windows

WINDOWS = ("conv", "dwconv", "std_conv", "maxpool", "avgpool")


def _pads(flow: Flow) -> Flow:
    """Zeros, and −∞, into the padding of the window that alone reads them."""
    before = chained(flow, frozenset({"zeropad", "infpad"}))
    names: dict[Value, Value] = {}
    gone: set[str] = set()
    kept: Layers = []
    for layer in flow.layers:
        pad = before(layer) if layer.word in WINDOWS else None
        joined = pad is not None and _joined(pad, layer)
        if pad is not None and joined:
            gone.add(pad.name)
            names[pad.name, 0] = pad.inputs[0]
            scopes = common([pad.scopes, layer.scopes])
            kept.append(replace(layer, arguments=joined, scopes=scopes))
        else:
            kept.append(layer)
    kept = [layer for layer in kept if layer.name not in gone]
    for layer in kept:
        if layer.word == "infpad":
            raise refused("`pad` with −∞ elsewhere than before a max pool", layer.where)
    return renamed(flow, kept, names)


def _joined(pad: Layer, layer: Layer) -> dict[str, object] | None:
    """The window's arguments with the padding in them, where that computes the same."""
    given: Any = layer.arguments
    sides: Any = pad.arguments["sides"]
    own = given["pad"] if "pad" in given else ((0, 0),) * len(sides)
    total = tuple((a + c, b + d) for (a, b), (c, d) in zip(sides, own, strict=True))
    if layer.word in WINDOWS[:3]:
        return {**given, "pad": total} if pad.word == "zeropad" else None
    # Pools: padded by one kind alone, and by no more than half of the kernel.
    half = all(max(pair) <= k // 2 for pair, k in zip(total, given["kernel"], strict=True))
    if any(map(any, own)) or not half or given.get("ceil"):
        return None
    if layer.word == "maxpool":
        return {**given, "pad": total} if pad.word == "infpad" else None
    return {**given, "pad": total} if pad.word == "zeropad" else None


def _means(flow: Flow) -> Flow:
    """`gap(keep=true) -> flatten` as `gap`; so a map whose places were put in a row before."""
    before, rows = chained(flow, frozenset({"gap"})), chained(flow, MOVES)
    kept: Layers = []
    names: dict[Value, Value] = {}
    for layer in flow.layers:
        row = rows(layer) if layer.word in ("gap", "gmp") and not layer.arguments else None
        if row is not None and row.arguments.get("pattern") in ROWS:
            kept = [one for one in kept if one.name != row.name]
            names[row.name, 0] = row.inputs[0]
        mean = before(layer) if layer.word in ("flatten", "reshape") else None
        if mean is None or len(layer.shapes[0]) != 1:
            kept.append(layer)
            continue
        place = next(n for n, one in enumerate(kept) if one.name == mean.name)
        kept[place] = replace(mean, arguments={}, shapes=layer.shapes)
        names[layer.name, 0] = (mean.name, 0)
    return renamed(flow, kept, names)


def global_pools(flow: Flow, *, sure: bool = False) -> Flow:
    """Means of whole maps by a kernel of their size as `gap`; the flow itself where none is.

    So `avg_pool2d(x, x.shape[2:])` is recorded, and `avg_pool2d(x, 7)` of a map of 7×7 as well:
    a second size tells, or a class in which kernels differ as the maps do; `sure` of these.
    """
    kernels: dict[str, set[object]] = {}
    whole: dict[str, str] = {}
    for layer in flow.layers:
        if layer.word == "avgpool":
            given: Any = layer.arguments
            size = flow.shape(layer.inputs[0])[1:]
            kind = layer.scopes[-1].kind if layer.scopes else ""
            plain = given["kernel"] == size and not any(map(any, given["pad"]))
            if plain and math.prod(layer.shapes[0][1:]) == 1 < math.prod(size):
                whole[layer.name] = kind
            kernels.setdefault(kind, set()).add(given["kernel"] if plain else None)
    if sure:
        varied = {
            kind for kind, of in kernels.items() if kind and len(of) > 1 and None not in of
        }
        whole = {name: kind for name, kind in whole.items() if kind in varied}
    if not whole:
        return flow
    kept = (
        replace(one, word="gap", arguments={"keep": True}) if one.name in whole else one
        for one in flow.layers
    )
    return _means(replace(flow, layers=tuple(kept)))


ROWS = ("c h w -> c (h w)", "c d h w -> c (d h w)")
"""A map's places in a row."""


def _responses(flow: Flow) -> Flow:
    """The steps of x / (k + α · mean of x² over n channels)^β as `lrn`."""
    by_name, count = flow.by_name, uses(flow)
    made: dict[str, Layer] = {}
    for layer in flow.layers:
        if layer.word != "div" or len(layer.inputs) != 2:
            continue
        steps: list[Layer] = []
        value = layer.inputs[1]
        while value[0] in by_name and count[value] == 1 and len(steps) < len(RESPONSE) + 1:
            steps.append(by_name[value[0]])
            value = steps[-1].inputs[0]
            if steps[-1].word == "mul" and len(steps[-1].inputs) == 2:
                break
        words = tuple("reshape" if step.word in MOVES else step.word for step in steps)
        if words != RESPONSE or steps[-1].inputs != (layer.inputs[0],) * 2:
            continue
        power, shift, factor, _, pool, *_ = steps
        kernel: Any = pool.arguments["kernel"]
        whole = (kernel[0] // 2, (kernel[0] - 1) // 2)
        sides: Any = pool.arguments["pad"]
        plain = kernel[1:] == (1, 1) and sides[0] == whole and not pool.arguments.get("ceil")
        if not plain or pool.arguments.get("count_include_pad") is False:
            continue
        given = {
            "n": kernel[0],
            "alpha": factor.arguments["by"],
            "beta": power.arguments["exponent"],
            "k": shift.arguments["by"],
        }
        made[layer.name] = replace(layer, word="lrn", arguments=given, inputs=layer.inputs[:1])
    return live(replace(flow, layers=tuple(made.get(x.name, x) for x in flow.layers)))


RESPONSE = ("pow", "add", "mul", "reshape", "avgpool", "reshape", "mul")
"""The steps to the divisor, from the last."""


def _lengths(flow: Flow) -> Flow:
    """The steps of x / max(‖x‖, ε), as PyTorch records its `normalize`, as `l2norm`."""
    by_name, count = flow.by_name, uses(flow)
    made: dict[str, Layer] = {}
    for layer in flow.layers:
        if layer.word != "div" or len(layer.inputs) != 2:
            continue
        bound = by_name.get(layer.inputs[1][0])
        length = by_name.get(bound.inputs[0][0]) if bound is not None else None
        if bound is None or length is None or (bound.word, length.word) != NORMALIZE:
            continue
        given, axis = length.arguments, length.arguments["axis"]
        alone = all(count[one.name, 0] == 1 for one in (bound, length))
        kept = given.get("keep") and length.inputs == layer.inputs[:1] and isinstance(axis, int)
        if alone and kept and given.get("p", 2) == 2 and [*bound.arguments] == ["min"]:
            eps = {"axis": axis, "eps": bound.arguments["min"]}
            made[layer.name] = replace(
                layer, word="l2norm", arguments=eps, inputs=length.inputs
            )
    return live(replace(flow, layers=tuple(made.get(x.name, x) for x in flow.layers)))


NORMALIZE = ("clamp", "vector_norm")
"""The steps to the divisor of `normalize`, from the last."""


# Joins

BOTH = frozenset({"add", "sub", "mul", "div", "maximum", "minimum"})


def _vectors(flow: Flow) -> Flow:
    """A vector is read as one where arithmetic would give it the map's axes by itself."""
    readers: dict[Value, list[Layer]] = {}
    for layer in flow.layers:
        for value in layer.inputs:
            readers.setdefault(value, []).append(layer)
    ends = set(flow.outputs.values())
    names: dict[Value, Value] = {}
    for layer in flow.layers:
        value = (layer.name, 0)
        if layer.word != "reshape" or value in ends:
            continue
        before, after = flow.shape(layer.inputs[0]), layer.shapes[0]
        if len(before) != 1 or after != (*before, *[1] * (len(after) - 1)) or len(after) < 3:
            continue
        if all(
            reader.word in BOTH
            and reader.shapes[0][0] == before[0]
            and any(flow.shape(o) == reader.shapes[0] for o in reader.inputs if o != value)
            for reader in readers.get(value, [])
        ):
            names[value] = layer.inputs[0]
    kept = [layer for layer in flow.layers if (layer.name, 0) not in names]
    return renamed(flow, kept, names)


def _affines(flow: Flow) -> Flow:
    """A learned factor for each channel and then a learned sum as `affine`."""
    count, by_name = uses(flow), flow.by_name
    made: dict[str, Layer] = {}
    for layer in flow.layers:
        first, second = ([*layer.inputs, ("", 0), ("", 0)])[:2]
        if layer.word != "add" or len(layer.inputs) != 2:
            continue
        for x, y in ((first, second), (second, first)):
            scale, bias = by_name.get(x[0]), by_name.get(y[0])
            if scale is None or bias is None or scale.word != "scale" or bias.word != "learned":
                continue
            shape = scale.shapes[0]
            plain = scale.arguments.get("per", "channel") == "channel" and len(shape) > 1
            alone = count[y] == 1 == count[x] - (bias.inputs[0] == x)
            if plain and alone and bias.shapes[0] == (shape[0], *[1] * (len(shape) - 1)):
                weights = {"weight": scale.weights["weight"], "bias": bias.weights["weight"]}
                made[layer.name] = replace(
                    layer, word="affine", arguments={}, inputs=scale.inputs, weights=weights
                )
                break
    return live(replace(flow, layers=tuple(made.get(x.name, x) for x in flow.layers)))


def _sums(flow: Flow) -> Flow:
    """`(a + b) + c` as one sum, where nothing else reads `a + b` and all are in one module."""
    count, by_name = uses(flow), flow.by_name
    gone: set[str] = set()
    kept: dict[str, Layer] = {}
    for layer in flow.layers:
        name = layer.inputs[0] if layer.inputs else ("", 0)
        inner = kept.get(name[0])
        same = (
            layer.word == "add"
            and inner is not None
            and inner.word == "add"
            and "by" not in {**inner.arguments, **layer.arguments}
            and count[name] == 1
            and by_name[inner.name].scopes == layer.scopes
            and name not in layer.inputs[1:]
        )
        if same and inner is not None:
            gone.add(inner.name)
            layer = replace(layer, inputs=(*inner.inputs, *layer.inputs[1:]))  # noqa: PLW2901
        kept[layer.name] = layer
    return renamed(flow, [x for x in kept.values() if x.name not in gone], {})


def _concats(flow: Flow) -> Flow:
    """Concatenations that begin with one another: `[a b]`, then `[a b] c`, then `… d`.

    So DenseNet's lists grow a layer at a time. A concatenation is the work of the module
    that holds what it joins, not of the one that reads it.
    """
    made: dict[tuple[Any, tuple[Value, ...]], Value] = {}
    longest = 0
    kept: Layers = []
    flat: dict[Value, tuple[Value, ...]] = {}
    names: dict[Value, Value] = {}
    for layer in flow.layers:
        if layer.word != "concat":
            kept.append(layer)
            continue
        axis = layer.arguments.get("axis", 0)
        inputs = tuple(names.get(value, value) for value in layer.inputs)
        if len(inputs) == 1:
            names[layer.name, 0] = inputs[0]
            continue
        if (axis, inputs) in made:
            names[layer.name, 0] = made[axis, inputs]
            continue
        short = inputs
        for length in range(min(len(inputs) - 1, longest), 1, -1):
            head = made.get((axis, inputs[:length]))
            if head is not None:
                short = (head, *inputs[length:])
                break
        made[axis, inputs] = (layer.name, 0)
        longest = max(longest, len(inputs))
        flat[layer.name, 0] = inputs
        kept.append(replace(layer, inputs=short))
    return renamed(flow, kept, names)
