"""Settings of a model that tell formulas apart: where its generated code is proved.

At one point a formula is only a number: `round8(32 + width)` is right for a width of 1. So
each parameter is changed alone, as far as it goes, and each size of the inputs; what opens
a branch is changed together with each other; and every `@expect` is a point. What the
language refuses is none.
"""

from __future__ import annotations

from collections.abc import Iterator

from cnndsl.analysis.expect import expectation, shapes_under
from cnndsl.diagnostics import ArchError, Fault
from cnndsl.graph import Network
from cnndsl.language import tree
from cnndsl.language.elaborate import elaborate
from cnndsl.language.names import BlockDefinition
from cnndsl.ops.facts import Shape
from cnndsl.records import Record, record

FAR = 1009
"""Added to an integer, so that no sum or product of written numbers is as far by chance."""
ROOM = 8
"""A network of so many times the nodes is a count that was changed, and not a size."""


@record
class Point(Record):
    """The parameters that are set, the inputs that are given, and the network of both."""

    arguments: dict[str, object]
    inputs: dict[str, Shape]
    network: Network


def points(definition: BlockDefinition) -> Iterator[Point]:
    """The points of a model, its defaults first where it has them."""
    seen: list[tuple[dict[str, object], dict[str, Shape]]] = []
    limit: int | None = None
    for choices in _choices(definition):
        for arguments, inputs in choices:
            if (arguments, inputs) in seen:
                break
            network = _elaborated(definition, arguments, inputs, limit)
            if network is None:
                continue
            limit = limit or ROOM * len(network.wires) + 100
            seen.append((arguments, inputs))
            yield Point(arguments, inputs, network)
            break


Settings = tuple[dict[str, object], dict[str, Shape]]


def _choices(definition: BlockDefinition) -> Iterator[list[Settings]]:
    """What to try: of each list the first that the language takes is the point."""
    yield [({}, {})]
    declaration = definition.declaration
    usual = _elaborated(definition, {}, {}, None)
    for meta in declaration.metas:
        if meta.name == "expect":
            try:
                wanted = expectation(meta, definition)
                yield [(wanted.settings, shapes_under(definition, wanted))]
            except (Fault, ArchError):
                continue  # `check` says it
    if usual is None:
        return
    alone: list[list[Settings]] = []
    branches: list[Settings] = []
    for param in declaration.params:
        for values in _others(param, usual.arguments[param.name]):
            alone.append([({param.name: value}, {}) for value in values])
            if param.type.words or param.type.name == "bool":
                branches += alone[-1]
    inputs = {name: tuple(map(int, t.shape)) for name, t in usual.inputs.items()}
    alone += [[({}, given) for given in choices] for choices in _sizes(inputs)]
    yield from alone
    for switch, _ in branches:
        for change in alone:
            if not any(change[0][0].keys() & switch.keys() for _ in change):
                yield [({**switch, **arguments}, given) for arguments, given in change]


def _others(param: tree.Param, value: object) -> Iterator[list[object]]:
    """Values that a parameter might have instead, the farthest first."""
    match value:
        case bool():
            yield [not value]
        case str() if param.type.words:
            for word in param.type.words:
                yield [word] if word != value else []
        case int():
            yield [int(value) + FAR, int(value) + 8, int(value) + 1, int(value) - 1]
        case float():
            # What has to stay below 1 is changed as well.
            yield [float(value) * 97.3 or 0.3, float(value) * 0.9 + 0.01]
        case tuple() if value and all(
            type(n) is not bool and isinstance(n, int) for n in value
        ):
            numbers = [int(n) for n in value]
            yield [tuple(n + more for n in numbers) for more in (64, 2, 1)]


def _sizes(inputs: dict[str, Shape]) -> Iterator[list[dict[str, Shape]]]:
    """Other shapes: the channels, then each way to grow what is not channels."""
    channels = {name: (shape[0] + 2, *shape[1:]) for name, shape in inputs.items()}
    yield [channels]
    for steps in ((64, 32), (7, 5, 1)):
        # Each axis by another length: a height that stands for a width is seen.
        yield [
            {
                name: (shape[0], *(n + step * axis for axis, n in enumerate(shape[1:], 1)))
                for name, shape in inputs.items()
            }
            for step in steps
        ]


def _elaborated(
    definition: BlockDefinition,
    arguments: dict[str, object],
    inputs: dict[str, Shape],
    limit: int | None,
) -> Network | None:
    """The network, if the language takes these settings."""
    try:
        if limit is None:
            return elaborate(definition, arguments, inputs)
        return elaborate(definition, arguments, inputs, max_nodes=limit)
    except ArchError:
        return None
