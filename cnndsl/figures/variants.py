"""The calls of one block as one picture: the call that has all, and what others lack.

A line's condition may leave steps out. A call whose layers are all among another's, fed in
the same way, is shown by that one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from cnndsl.expressions import Expression
from cnndsl.graph import Network
from cnndsl.ops.base import Op
from cnndsl.ops.facts import Family
from cnndsl.structure import (
    Block,
    Call,
    Each,
    Group,
    Item,
    Line,
    Loop,
    Repeat,
    Step,
)

Slot = tuple[object, ...]
"""Where a layer is written in its block: the keys of lines and steps down to it."""
NUMBERED = re.compile(r"_\d+$")
"""A second norm is `norm_2`, if there is a first."""
OUTSIDE = "outside"
"""Where what is no input of a block comes from."""
MINOR = (Family.NORM, Family.ACTIVATION, Family.REGULARIZE)


def identity(block: Block) -> object:
    """What is equal for calls of one block."""
    span = block.definition.span
    return (block.definition.name, span.source.name, span.start)


@dataclass(frozen=True, slots=True)
class Written:
    """A line that may be off: where it is written, and under what condition it is there.

    An alternative is there where that does not hold. `join` is what reads the line's value,
    `turns` are the variables of the loops around it.
    """

    slot: Slot
    line: Line
    condition: Expression | None
    join: str
    block: Block
    turns: dict[str, object]


def slots(call: Call) -> dict[Slot, str]:
    """The layers of a call, by where they are written."""
    around = _Around(call.block)
    return {
        slot: found
        for slot, found in _slots(call.block.body, (), around)
        if isinstance(found, str)
    }


def written(call: Call) -> tuple[dict[Slot, Written], set[Slot]]:
    """The lines of a call that may be off, and its steps, by where they are written."""
    found = dict(_slots(call.block.body, (), _Around(call.block)))
    lines = {slot: one for slot, one in found.items() if isinstance(one, Written)}
    return lines, {slot for slot, one in found.items() if isinstance(one, Step)}


@dataclass(frozen=True, slots=True)
class _Around:
    """What stands around an item."""

    block: Block
    join: str = ""
    turns: dict[str, object] = field(default_factory=dict)


def _slots(
    items: Sequence[Item], path: Slot, around: _Around
) -> Iterator[tuple[Slot, str | Written | Step]]:
    before: Expression | None = None
    free = replace(around, join="")
    for item in items:
        here = (*path, item.key)
        match item:
            case Line(terms=terms, alternative=alternative, condition=condition):
                before = before if alternative else condition or before
                if alternative or condition is not None:
                    found = Written(here, item, before, around.join, around.block, around.turns)
                    yield here, found
                listed = around if terms and isinstance(terms[0], Loop) else free
                yield from _slots(terms, here, listed)
            case Step(lines=lines, nodes=nodes, slots=places):
                yield here, item
                join = nodes[0] if nodes else ""
                yield from _slots(lines or (), here, replace(around, join=join))
                yield from (
                    ((*here, NUMBERED.sub("", slot)), name)
                    for slot, name in zip(places, nodes, strict=True)
                )
            case Call(lines=lines, block=block):
                yield from _slots(lines or (), here, free)
                yield from _slots(block.body, here, _Around(block))
            case Group(body=body):
                yield from _slots(body, here, free)
            case Repeat(items=terms):
                for turn, term in enumerate(terms):
                    yield from _slots([term], (*here, turn), free)
            case Loop(bodies=bodies, names=names, rows=rows):
                for turn, (body, row) in enumerate(zip(bodies, rows, strict=True)):
                    turns = around.turns | dict(zip(names, row, strict=True))
                    inner = _Around(around.block, around.join, turns)
                    yield from _slots(body, (*here, turn), inner)
            case Each(lines=lines, calls=calls, nodes=nodes):
                yield from _slots(lines or (), here, free)
                for turn, term in enumerate(calls):
                    yield from _slots([term], (*here, turn), free)
                yield from (((*here, turn, "rows"), name) for turn, name in enumerate(nodes))


class Variants:
    """By each call of a block, the one that shows it."""

    def __init__(self, network: Network, calls: Sequence[Call]) -> None:
        """Compare all calls of each block."""
        self.network = network
        self.calls = calls
        self.slots = {id(call): slots(call) for call in calls}
        self.places = {
            id(call): {name: slot for slot, name in self.slots[id(call)].items()}
            for call in calls
        }
        blocks: dict[object, list[Call]] = {}
        for call in calls:
            blocks.setdefault(identity(call.block), []).append(call)
        self.first: dict[int, Call] = {}
        for every in blocks.values():
            kept: list[Call] = []
            for call in sorted(every, key=self._size, reverse=True):
                shown = next((one for one in kept if self._shows(one, call)), None)
                if shown is None:
                    kept.append(call)
                self.first[id(call)] = shown or call

    def aligned(self, first: Call, call: Call) -> tuple[str, ...]:
        """The layers of a call in the places of another's, empty for those that it has not."""
        mine = self.slots[id(call)]
        return tuple(mine.get(slot, "") for slot in self.slots[id(first)])

    def _size(self, call: Call) -> tuple[int, int, int]:
        """How much a call shows: layers, inputs, and what its layers read."""
        nodes = self.slots[id(call)].values()
        reads = sum(len({*self.network.operands(name)}) for name in nodes)
        return len(nodes), len(call.block.inputs), reads

    def _shows(self, first: Call, call: Call) -> bool:
        whole, part = self.slots[id(first)], self.slots[id(call)]
        ports = call.block.inputs.keys() <= first.block.inputs.keys()
        ends = call.block.outputs.keys() <= first.block.outputs.keys()
        if not (ports and ends and part.keys() <= whole.keys()):
            return False
        op = self._op
        if any(_kind(op(part[slot])) != _kind(op(whole[slot])) for slot in part):
            return False
        return all(
            self._fed(call, part[slot], self._reach(first, whole[slot], part)) for slot in part
        )

    def _op(self, name: str) -> Op:
        return self.network.node(name).op

    def _fed(self, call: Call, name: str, reach: set[object]) -> bool:
        """Whether all that feeds a layer is in reach: places in the block, or inputs."""
        places, ports = self.places[id(call)], _ports(call)
        return all(
            places[tail] in reach
            if tail in places
            else not ports.get((tail, output), {OUTSIDE}).isdisjoint(reach)
            for tail, output in self.network.operands(name)
        )

    def _reach(self, call: Call, name: str, there: dict[Slot, str]) -> set[object]:
        """What feeds a layer, also through what another call has not."""
        found: set[object] = set()
        places, ports, stack = self.places[id(call)], _ports(call), [name]
        while stack:
            for tail, output in self.network.operands(stack.pop()):
                place = places.get(tail)
                if place is None:
                    found |= ports.get((tail, output), {OUTSIDE})
                elif place in there:
                    found.add(place)
                else:
                    stack.append(tail)
        return found


def partial(calls: Sequence[Sequence[str]]) -> dict[str, frozenset[int]]:
    """The layers of the first of some calls that others lack: which of them have each."""
    return {
        column[0]: frozenset(n for n, name in enumerate(column) if name)
        for column in zip(*calls, strict=True)
        if not all(column)
    }


def _ports(call: Call) -> dict[tuple[str, int], set[object]]:
    """The names of a call's inputs, by what is given to them."""
    found: dict[tuple[str, int], set[object]] = {}
    for name, tensor in call.block.inputs.items():
        found.setdefault((tensor.node, tensor.output), set()).add(name)
    return found


def _kind(op: Op) -> object:
    """What must be equal for two steps to share a box of a frame."""
    return op.family if op.family in MINOR else op.name
