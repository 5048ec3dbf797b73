"""The tree of modules in a flow, and the lines of each of them.

Containers and PyTorch's own modules make no blocks, nor does a module of one convolution: what
is left are the blocks that a paper would name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import field, replace

from cnndsl.importing.flow import Flow, Layer, Scope, Value, refused
from cnndsl.importing.rewriting import common, uses
from cnndsl.ops.base import OPS
from cnndsl.ops.facts import Family
from cnndsl.records import Record, record

SMALL = frozenset({Family.NORM, Family.ACTIVATION, Family.REGULARIZE, Family.RESHAPE})
"""A module of these alone is no block."""


@record(frozen=False)
class Part(Record):
    """An instance of a module: its layers and the parts within it, in order."""

    scope: Scope
    items: list[Layer | Part] = field(default_factory=list)
    inputs: tuple[Value, ...] = ()
    outputs: tuple[Value, ...] = ()
    calls: bool = False
    """Whether its items are calls of one module, or layers of one weight."""
    rows: bool = False
    """Whether its only item is what becomes of each row of its input."""
    unread: list[Value] = field(default_factory=list)
    """What leaves a part within, and nothing reads."""

    def __hash__(self) -> int:
        """By identity: a part changes while the tree is built."""
        return id(self)

    def __eq__(self, other: object) -> bool:
        """The same object."""
        return self is other

    def layers(self) -> Iterator[Layer]:
        """All layers within."""
        for item in self.items:
            if isinstance(item, Part):
                yield from item.layers()
            else:
                yield item

    def parts(self) -> Iterator[Part]:
        """The parts directly within."""
        return (item for item in self.items if isinstance(item, Part))


def tree(flow: Flow) -> Part:
    """The network as one part, and in it the modules that make blocks."""
    root, known = Part(Scope("", flow.name)), dict[tuple[str, int], Part]()
    scopes = _hoisted(flow)
    kept = _apart(flow, scopes)
    read = Counter(name for layer in flow.layers for name in layer.weights.values())
    again = {s.path for one in flow.layers for s in one.scopes if s.call and s.transparent}
    for layer in flow.layers:
        part = root
        left = flow.unread.get((layer.name, 0))
        for scope in scopes[layer.name]:
            if scope.transparent and (scope.path not in again or part.scope.call):
                continue
            if scope.transparent:
                scope = replace(scope, kind=scope.label)  # noqa: PLW2901
            place = (scope.path, scope.call)
            if place not in known:
                known[place] = Part(scope)
                part.items.append(known[place])
            if left is not None and not f"{part.scope.path}.".startswith(f"{left}."):
                part.unread.append((layer.name, 0))
            part = known[place]
        part.items.append(layer)
    count = uses(flow)
    _dissolve(root, count, read, kept)
    _gather(root, read)
    _ports(root, flow, count)
    _sorted(root, flow)
    _rows(root, count)
    _ordered(root, copies=flow.copies)
    return root


def _hoisted(flow: Flow) -> dict[str, tuple[Scope, ...]]:
    """Each layer's scopes; a concatenation stands where what it joins comes from.

    So DenseNet's layers take one tensor, as in the paper's figure, and not all before them.
    """
    found: dict[str, tuple[Scope, ...]] = dict.fromkeys(flow.inputs, ())
    for layer in flow.layers:
        scopes = layer.scopes
        inside = any(found[name][: len(scopes)] == scopes for name, _ in layer.inputs)
        if layer.word == "concat" and scopes and not inside:
            for name, _ in layer.inputs:
                pairs = zip(scopes, found[name], strict=False)
                same = next((n for n, (a, b) in enumerate(pairs) if a != b), len(found[name]))
                scopes = scopes[:same]
        found[layer.name] = scopes
    return found


def _apart(flow: Flow, scopes: dict[str, tuple[Scope, ...]]) -> set[str]:
    """The paths of the modules that take the rows of a tensor one by one.

    Where no module is just that, the layers between `unbatch` and `rebatch` get one.
    """
    found: set[str] = set()
    for first in (layer for layer in flow.layers if layer.word == "unbatch"):
        inside: list[str] = []
        ends = [first.name]
        for layer in flow.layers:
            if any(name in (first.name, *inside) for name, _ in layer.inputs):
                (ends if layer.word == "rebatch" else inside).append(layer.name)
        if not inside:
            continue
        shared = common([scopes[name] for name in inside])
        whole = {name for name, own in scopes.items() if own[: len(shared)] == shared}
        if not shared or whole != {*inside} or shared[-1].transparent:
            path = ".".join([*(scope.path for scope in shared[-1:]), "rows"])
            shared = (*shared, Scope(path, "Rows"))
            for name in inside:
                scopes[name] = (*shared, *scopes[name][len(shared) - 1 :])
        scopes.update(dict.fromkeys(ends, shared[:-1]))
        found.add(shared[-1].path)
    return found


def _rows(part: Part, count: Counter[Value]) -> None:
    """A part between `unbatch` and `rebatch` as what becomes of each row."""
    makers = {value: item for item in part.items for value in outputs_of(item)}
    for number, item in enumerate(part.items):
        if not isinstance(item, Part):
            continue
        first = makers.get(item.inputs[0]) if len(item.inputs) == 1 else None
        ends = {
            one.inputs[0]: one
            for one in part.items
            if isinstance(one, Layer) and one.word == "rebatch"
        }
        if not isinstance(first, Layer) or first.word != "unbatch":
            continue
        if all(count[v] == 1 and v in ends for v in item.outputs):
            outputs = tuple((ends[value].name, 0) for value in item.outputs)
            part.items[number] = Part(item.scope, [item], first.inputs, outputs, rows=True)
    held = [one for one in part.parts() if one.rows]
    whole = {value for one in held for value in one.outputs}
    gone = {value for one in held for inner in one.parts() for value in inner.inputs}
    part.items = [
        one for one in part.items if isinstance(one, Part) or (one.name, 0) not in whole | gone
    ]
    for inner in part.parts():
        _rows(inner, count)


def _dissolve(
    part: Part,
    count: Counter[Value],
    read: Counter[str],
    kept: set[str],
    *,
    inside: bool = False,
) -> None:
    """Put what is too small for a block, or is no block, into the part around it.

    What is called again is a block, so that all of it is called by one word.
    """
    items: list[Layer | Part] = []
    for item in part.items:
        if isinstance(item, Part):
            names = [name for layer in item.layers() for name in layer.weights.values()]
            again = not inside and bool(names) and all(read[name] > 1 for name in names)
            _dissolve(item, count, read, kept, inside=inside or again)
            again = again and len(item.items) > 1 and len(_boundary(item, count)[0]) == 1
            holds = item.scope.transparent and not again
            whole = again or item.scope.path in kept or (not holds and _worthy(item, count))
            items += [item] if whole else item.items
        else:
            items.append(item)
    part.items = items


def _gather(part: Part, read: Counter[str]) -> None:
    """Calls of one module, and layers of one weight, as one item."""
    groups: dict[object, list[Layer | Part]] = {}
    for item in part.items:
        layers = [item] if isinstance(item, Layer) else list(item.layers())
        names = [name for layer in layers for name in layer.weights.values()]
        alone = isinstance(item, Part) or len(item.inputs) == 1
        if names and alone and all(read[name] > 1 for name in names):
            alike = item.arguments if isinstance(item, Layer) else None
            key = (tuple(layer.word for layer in layers), tuple(names), str(alike))
            groups.setdefault(key, []).append(item)
    for calls in groups.values():
        if len(calls) > 1:
            first = calls[0]
            scope = (
                first.scope
                if isinstance(first, Part)
                else Scope(first.where or first.name, first.word)
            )
            part.items[part.items.index(first)] = Part(scope, list(calls), calls=True)
            part.items = [item for item in part.items if item not in calls[1:]]
    for item in part.items:
        for inner in item.items if isinstance(item, Part) and item.calls else [item]:
            if isinstance(inner, Part):
                _gather(inner, read)


def _worthy(part: Part, count: Counter[Value]) -> bool:
    """Whether a module is a block: it does more than one thing, and has inputs and outputs."""
    inputs, outputs = _boundary(part, count)
    if not inputs or not outputs:
        return False
    inner = list(part.parts())
    plain = [item for item in part.items if isinstance(item, Layer)]
    if not plain and len(inputs) > 1 and len(outputs) > 1:
        return False  # it only hands several tensors on
    large = [item for item in plain if OPS[item.word].family not in SMALL]
    return len(large) + len(inner) > 1


def _boundary(part: Part, count: Counter[Value]) -> tuple[tuple[Value, ...], tuple[Value, ...]]:
    """What a part reads from outside, and what outside reads of it."""
    if part.calls:
        ends = [
            _boundary(item, count)
            if isinstance(item, Part)
            else (item.inputs, outputs_of(item))
            for item in part.items
        ]
        return tuple(v for i, _ in ends for v in i), tuple(v for _, o in ends for v in o)
    layers = list(part.layers())
    made = {layer.name for layer in layers}
    read = Counter(value for layer in layers for value in layer.inputs)
    inputs = dict.fromkeys(value for value in read if value[0] not in made)
    read.update(part.unread)
    outputs = [
        (layer.name, number)
        for layer in layers
        for number in range(len(layer.shapes))
        if count[layer.name, number] > read[layer.name, number]
    ]
    return tuple(inputs), tuple(outputs)


def _ports(part: Part, flow: Flow, count: Counter[Value]) -> None:
    part.inputs, part.outputs = _boundary(part, count)
    if not part.scope.path:
        part.inputs = tuple((name, 0) for name in flow.inputs)
        part.outputs = tuple(flow.outputs.values())
    for inner in part.parts():
        _ports(inner, flow, count)


def _sorted(root: Part, flow: Flow) -> None:
    """Of three and more inputs, those made first before the others, as pyramids are written.

    Outputs that are as large as the inputs have their order. All modules of a class agree;
    where they would not, they keep the order in which they read and give.
    """
    kinds: dict[tuple[str, int, int], list[Part]] = {}
    around: dict[Part, Part] = {}
    waiting = [root]
    while waiting:
        part = waiting.pop()
        waiting += part.parts()
        around.update((inner, part) for inner in part.parts())
        if part is not root and len(part.inputs) > 2 and not part.calls:
            key = (part.scope.kind, len(part.inputs), len(part.outputs))
            kinds.setdefault(key, []).append(part)
    whole = [parts for parts in kinds.values() if not any(around[one].calls for one in parts)]
    for _ in range(len(whole)):  # what one class gives is what another takes
        before = [(part.inputs, part.outputs) for parts in whole for part in parts]
        for parts in whole:
            orders = {_order(part, around[part]) for part in parts}
            if len(orders) == 1:
                (order,) = orders
                for part in parts:
                    part.inputs = tuple(part.inputs[n] for n in order)
            ends = {_levels(part, flow) for part in parts}
            if len(ends) == 1:
                (order,) = ends
                for part in parts:
                    part.outputs = tuple(part.outputs[n] for n in order)
        if before == [(part.inputs, part.outputs) for parts in whole for part in parts]:
            break


def _order(part: Part, around: Part) -> tuple[int, ...]:
    """A part's inputs in the order in which they are made around it."""
    places = {value: (-1, n) for n, value in enumerate(around.inputs)}
    for number, item in enumerate(around.items):
        places.update((value, (number, n)) for n, value in enumerate(outputs_of(item)))
    return tuple(sorted(range(len(part.inputs)), key=lambda n: places[part.inputs[n]]))


def _levels(part: Part, flow: Flow) -> tuple[int, ...]:
    """A part's outputs in the order of the inputs that are as large, where each has its own."""
    sizes = [flow.shape(value)[1:] for value in part.inputs]
    given = [flow.shape(value)[1:] for value in part.outputs]
    if len({*sizes}) < len(sizes) or sorted(sizes) != sorted(given):
        return tuple(range(len(given)))
    return tuple(map(given.index, sizes))


def _ordered(part: Part, *, copies: bool) -> None:
    """Items such that each reads what is made above it; what forbids that is dissolved.

    Raises ArchError (E610): calls of one module, where its weights may not become several.
    """
    while True:
        made: dict[Value, int] = {}
        for number, item in enumerate(part.items):
            made.update(dict.fromkeys(outputs_of(item), number))
        waiting = [
            {made[value] for value in item.inputs if value in made} for item in part.items
        ]
        done: list[int] = []
        left = list(range(len(part.items)))
        while left:
            ready = next((n for n in left if waiting[n] <= set(done)), None)
            if ready is None:
                break
            done.append(ready)
            left.remove(ready)
        if not left:
            part.items = [part.items[n] for n in done]
            break
        whole = (n for n in left if isinstance(one := part.items[n], Part) and not one.calls)
        caught = next(whole, left[0])
        held = part.items[caught]
        assert isinstance(held, Part)
        if held.calls and not copies:
            names = (name for layer in held.layers() for name in layer.weights.values())
            raise refused(
                f"`{next(names)}` is read by {len(held.items)} layers, one behind another: a"
                " file would give each its own copy",
                held.scope.path,
            )
        part.items[caught : caught + 1] = held.items
    for inner in part.parts():
        _ordered(inner, copies=copies)


def outputs_of(item: Layer | Part) -> tuple[Value, ...]:
    """What a layer or part gives."""
    if isinstance(item, Part):
        return item.outputs
    return tuple((item.name, number) for number in range(len(item.shapes)))
