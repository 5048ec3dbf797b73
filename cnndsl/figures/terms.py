"""The numbers of an opened block in the names that its reader knows.

A layer of a block that is opened in place within another has its formulas in the inner one's
names; the frame's reader knows the outer one's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cnndsl.figures.scene import Frame
from cnndsl.ops.base import Op
from cnndsl.structure import Block, Call, Step, walk
from cnndsl.symbolic import Axis, Formula, Sym, Symbol

Chain = tuple[Call, ...]
"""Calls within each other, outermost first."""


def chain(frame: Frame, call: Call, key: str | int) -> Chain:
    """The calls between one that a frame shows and a layer or a call (by `id`) in it."""
    if id(call) not in frame.chains:
        frame.chains[id(call)] = dict(enclosing(call.block))
    return frame.chains[id(call)].get(key, ())


def enclosing(block: Block, around: Chain = ()) -> Iterator[tuple[str | int, Chain]]:
    """The layers and the calls (by `id`) below a block, each with the calls around it."""
    for item in walk(block.body, into_blocks=False):
        if isinstance(item, Step):
            yield from ((name, around) for name in item.nodes)
        elif isinstance(item, Call):
            yield id(item), around
            yield from enclosing(item.block, (*around, item))


def operation(op: Op, chain: Chain) -> Op:
    """An operation with its formulas in the terms of the block around some calls."""
    if not chain:
        return op
    values = {p.name: getattr(op, p.name) for p in type(op).parameters}
    return op.with_values({name: outside(value, chain) for name, value in values.items()})


def outside(value: object, chain: Chain) -> object:
    """A value in the terms of the block around some calls; a plain number if it has none."""
    if isinstance(value, tuple):
        return tuple(outside(one, chain) for one in value)
    for call in reversed(chain):
        if isinstance(value, Sym):
            value = _bound(value, dict(_bindings(value, call)))
    return value


def _bindings(value: Sym, call: Call) -> Iterator[tuple[Symbol | Axis, int]]:
    block = call.block
    ports = dict(zip(block.inputs, call.inputs, strict=False))
    for atom in value.formula.atoms():
        if isinstance(atom, Symbol):
            known = block.arguments.get(atom.name, block.names.get(atom.name))
            given = atom.name in block.arguments
            if isinstance(known, int):
                yield atom, known if given else int(known)
        elif atom.tensor in ports and atom.axis < len(ports[atom.tensor].shape):
            yield atom, ports[atom.tensor].shape[atom.axis]


def _bound(value: Sym, bindings: Mapping[Symbol | Axis, int]) -> int:
    try:
        found = value.formula.evaluate(bindings)
    except (KeyError, ArithmeticError):
        return int(value)
    return Sym(int(value), found.formula) if isinstance(found, Sym) else int(value)


def constants(frame: Frame | None) -> dict[str, int]:
    """The numbers that the names of a block stand for in all the calls of a frame."""
    if frame is None or not frame.calls:
        return {}
    first, *others = [call.block.names for call in frame.calls]
    return {
        name: int(value)
        for name, value in first.items()
        if isinstance(value, int) and all(names.get(name) == value for names in others)
    }


def settled(value: object, known: Mapping[str, int]) -> object:
    """A number whose formula has the numbers of names that always have one."""
    if isinstance(value, tuple):
        return tuple(settled(one, known) for one in value)
    atoms = value.formula.atoms() if isinstance(value, Sym) else set()
    if not isinstance(value, Sym) or not any(str(atom) in known for atom in atoms):
        return value
    return _bound(value, {a: known.get(str(a), Sym(1, Formula({(a,): 1}))) for a in atoms})
