"""What the rewrites of a flow share: who reads a tensor, and a flow with other layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from cnndsl.importing.flow import Flow, Layer, Value

Layers = list[Layer]


def uses(flow: Flow) -> Counter[Value]:
    """How often each tensor is read; as an output it is read once more, and so is `unread`."""
    found = Counter(value for layer in flow.layers for value in layer.inputs)
    found.update([*flow.outputs.values(), *flow.unread])
    return found


def live(flow: Flow) -> Flow:
    """What an output depends on, and what is `unread`."""
    wanted = {name for name, _ in (*flow.outputs.values(), *flow.unread)}
    kept = []
    for layer in reversed(flow.layers):
        if layer.name in wanted:
            kept.append(layer)
            wanted.update(name for name, _ in layer.inputs)
    return replace(flow, layers=tuple(reversed(kept)))


def renamed(flow: Flow, layers: Iterable[Layer], names: dict[Value, Value]) -> Flow:
    """The flow with other layers, where tensors that are gone are others now."""

    def now(value: Value) -> Value:
        while value in names:
            value = names[value]
        return value

    kept = tuple(replace(one, inputs=tuple(map(now, one.inputs))) for one in layers)
    outputs = {name: now(value) for name, value in flow.outputs.items()}
    unread = {now(value): path for value, path in flow.unread.items()}
    return replace(flow, layers=kept, outputs=outputs, unread=unread)


def chained(flow: Flow, words: frozenset[str]) -> Callable[[Layer], Layer | None]:
    """The layer that alone feeds another and is read by it alone, if it has such a word."""
    count, by_name = uses(flow), flow.by_name

    def before(layer: Layer) -> Layer | None:
        name, output = layer.inputs[0]
        found = by_name.get(name)
        alone = found is not None and len(layer.inputs) == 1 and count[name, output] == 1
        return found if alone and found is not None and found.word in words else None

    return before


def common(scopes: list[Any]) -> Any:
    """The scopes that several layers share."""
    first = scopes[0]
    length = 0
    while length < len(first) and all(
        len(other) > length and other[length] == first[length] for other in scopes
    ):
        length += 1
    return first[:length]
