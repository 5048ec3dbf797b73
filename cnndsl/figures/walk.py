"""Walks over the structure of a network: no recursion, in written order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cnndsl.figures.text import spell_argument
from cnndsl.graph import Call, Each, Group, Line, Loop, Repeat, Step, Tensor, Term


def calls_of(lines: Sequence[Line]) -> Iterator[Call]:
    """Every call of a block below some lines, in order."""
    stack: list[Line | Term] = list(reversed(lines))
    while stack:
        item = stack.pop()
        if isinstance(item, Call):
            yield item
        stack += reversed(_inside(item, opening=True))


def nodes_of(lines: Sequence[Line]) -> tuple[str, ...]:
    """Every graph node that the lines made, blocks opened."""
    found: list[str] = []
    stack: list[Line | Term] = list(reversed(lines))
    while stack:
        item = stack.pop()
        stack += reversed(_inside(item, opening=True))
        if isinstance(item, Step):
            found += item.nodes
    return tuple(found)


def _inside(item: Line | Term, *, opening: bool) -> list[Line | Term]:
    match item:
        case Line(terms=terms):
            return [*terms]
        case Step(lines=lines):
            return [*(lines or [])]
        case Call(block=block, lines=lines):
            return [*(lines or []), *(block.body if opening else [])]
        case Group(body=body):
            return [*body]
        case Repeat(items=items):
            return [*items]
        case Loop(bodies=bodies):
            return [line for body in bodies for line in body]
        case Each(calls=calls, lines=lines):
            return [*(lines or []), *calls]


def labels_of(lines: Sequence[Line]) -> set[str]:
    """The labels of the lines that are on, blocks not opened."""
    found: set[str] = set()
    stack: list[Line | Term] = list(lines)
    while stack:
        item = stack.pop()
        if isinstance(item, Line) and item.on:
            found |= set(item.labels)
        stack += _inside(item, opening=False)
    return found


def ratio(inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> int:
    """The whole stride of a block with one input and one output; 0 where it has none."""
    if len(inputs) != 1 or len(outputs) != 1:
        return 0
    before, after = inputs[0].shape, outputs[0].shape
    if len(before) != len(after) or len(before) < 2 or after[-1] < 2:
        return 0
    found = round(before[-1] / after[-1])
    return found if found > 1 else 0


def varying(arguments: Sequence[dict[str, object]]) -> tuple[str, ...]:
    """The parameters of which the calls give different values, one of any equal pair."""
    found: dict[tuple[str, ...], str] = {}
    for name in arguments[0]:
        column = tuple(spell_argument(row.get(name)) for row in arguments)
        if len(set(column)) > 1:
            found.setdefault(column, name)
    return tuple(found.values())
