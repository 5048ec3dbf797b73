"""The calls of one block as one picture: the call that has all, and what others lack.

A line's condition may leave steps out. A call whose layers are all among another's, fed in
the same way, is shown by that one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from cnndsl.expressions import Expression
from cnndsl.figures.scene import Frame
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
    inside,
    walk,
)

Slot = tuple[object, ...]
"""Where a layer is written in its block: the keys of lines and steps down to it."""
NUMBERED = re.compile(r"_\d+$")
"""A second norm is `norm_2`, if there is a first."""
MINOR = (Family.NORM, Family.ACTIVATION, Family.REGULARIZE)


def identity(block: Block) -> object:
    """What is equal for calls of one block."""
    span = block.definition.span
    return (block.definition.name, span.source.name, span.start)


def slots(call: Call) -> dict[Slot, str]:
    """The layers of a call, by where they are written."""
    return dict(_slots(call.block.body, ()))


def _slots(items: Sequence[Item], path: Slot) -> Iterator[tuple[Slot, str]]:
    for item in items:
        here = (*path, item.key)
        match item:
            case Line(terms=terms):
                yield from _slots(terms, here)
            case Step(lines=lines, nodes=nodes, slots=places):
                yield from _slots(lines or (), here)
                yield from (
                    ((*here, NUMBERED.sub("", slot)), name)
                    for slot, name in zip(places, nodes, strict=True)
                )
            case Call(lines=lines, block=block):
                yield from _slots(lines or (), here)
                yield from _slots(block.body, here)
            case Group(body=body):
                yield from _slots(body, here)
            case Repeat(items=terms):
                for turn, term in enumerate(terms):
                    yield from _slots([term], (*here, turn))
            case Loop(bodies=bodies):
                for turn, body in enumerate(bodies):
                    yield from _slots(body, (*here, turn))
            case Each(lines=lines, calls=calls, nodes=nodes):
                yield from _slots(lines or (), here)
                for turn, term in enumerate(calls):
                    yield from _slots([term], (*here, turn))
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
            for call in sorted(every, key=lambda call: -len(self.slots[id(call)])):
                shown = next((one for one in kept if self._shows(one, call)), None)
                if shown is None:
                    kept.append(call)
                self.first[id(call)] = shown or call

    def aligned(self, first: Call, call: Call) -> tuple[str, ...]:
        """The layers of a call in the places of another's, empty for those that it has not."""
        mine = self.slots[id(call)]
        return tuple(mine.get(slot, "") for slot in self.slots[id(first)])

    def _shows(self, first: Call, call: Call) -> bool:
        whole, part = self.slots[id(first)], self.slots[id(call)]
        if not part.keys() <= whole.keys():
            return False
        op = self._op
        if any(_kind(op(part[slot])) != _kind(op(whole[slot])) for slot in part):
            return False
        return all(
            self._fed(call, part[slot]) <= self._reach(first, whole[slot], part)
            for slot in part
        )

    def _op(self, name: str) -> Op:
        return self.network.node(name).op

    def _fed(self, call: Call, name: str) -> set[object]:
        """Where a layer is fed from: places in the block, or from outside it."""
        places = self.places[id(call)]
        return {places.get(tail, "outside") for tail, _ in self.network.operands(name)}

    def _reach(self, call: Call, name: str, there: dict[Slot, str]) -> set[object]:
        """The same, through what another call has not."""
        found: set[object] = set()
        places, stack = self.places[id(call)], [name]
        while stack:
            for tail, _ in self.network.operands(stack.pop()):
                place = places.get(tail)
                if place is None:
                    found.add("outside")
                elif place in there:
                    found.add(place)
                else:
                    stack.append(tail)
        return found


def _kind(op: Op) -> object:
    """What must be equal for two steps to share a box of a frame."""
    return op.family if op.family in MINOR else op.name


def conditions(calls: Sequence[Call]) -> tuple[dict[str, str], dict[tuple[str, str, int], str]]:
    """When the first call's layers are there, by name; and what a join reads, by both ends.

    Only of lines that are off in another call.
    """
    off = {
        item.key
        for call in calls
        for item in walk(call.block.body)
        if isinstance(item, Line) and not item.on
    }
    layers: dict[str, str] = {}
    reads: dict[tuple[str, str, int], str] = {}
    for join, line, condition in conditioned(calls[0].block):
        if not line.on or line.key not in off:
            continue
        said = saying(line, condition)
        steps = [inner for inner in walk(line.terms) if isinstance(inner, Step)]
        for name in (name for step in steps for name in step.nodes):
            layers.setdefault(name, said)
        if join and not steps:
            reads |= {(join, t.node, t.output): said for t in line.outputs}
    return layers, reads


def longer(frame: Frame, name: str) -> str:
    """`if len(x) > 2`: a layer is there in just the calls that are given so many values."""
    stems = {given.rpartition("[")[0] for call in frame.calls for given in call.block.inputs}
    there = [bool(nodes[frame.nodes[0].index(name)]) for nodes in frame.nodes]
    for stem in sorted(stems - {""}):
        many = [
            sum(given.rpartition("[")[0] == stem for given in call.block.inputs)
            for call in frame.calls
        ]
        most = max((n for n, has in zip(many, there, strict=True) if not has), default=0)
        if all(has == (n > most) for n, has in zip(many, there, strict=True)):
            return f"if len({stem}) > {most}"
    return ""


def conditioned(block: Block) -> Iterator[tuple[str, Line, Expression | None]]:
    """The lines that may be off, each with the join that reads it, and its condition.

    An alternative is there where that does not hold.
    """
    for item in (block, *walk(block.body)):
        inner = inside(item)
        join = item.nodes[0] if isinstance(item, Step) and item.nodes else ""
        before: Expression | None = None
        for line in inner:
            if not isinstance(line, Line):
                continue
            if line.alternative:
                yield join, line, before
            elif line.condition is not None:
                before = line.condition
                yield join, line, before


def saying(line: Line, condition: Expression | None) -> str:
    """`if s = 1`: when a line is there."""
    if condition is None:
        return ""
    return f"{'unless' if line.alternative else 'if'} {spelled(condition.span.text)}"


def spelled(text: str) -> str:
    """A condition as papers print it: `s = 1 and in.c = c`."""
    text = " ".join(text.split())
    for written, shown in (
        ("==", "="),
        ("!=", "≠"),
        ("<=", "≤"),
        (">=", "≥"),
        (" * ", "·"),
        (" - ", " − "),
        (" // ", "/"),
    ):
        text = text.replace(written, shown)
    return text
