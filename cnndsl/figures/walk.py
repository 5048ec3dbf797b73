"""Walks over the structure of a network: no recursion, in written order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cnndsl.figures.text import spell_argument
from cnndsl.structure import Block, Call, Line, Tensor, walk


def calls_of(lines: Sequence[Line]) -> Iterator[Call]:
    """Every call of a block below some lines, in order."""
    return (item for item in walk(lines) if isinstance(item, Call))


def labels_of(lines: Sequence[Line]) -> set[str]:
    """The labels of the lines that are on, blocks not opened."""
    items = walk(lines, into_blocks=False)
    on = (item for item in items if isinstance(item, Line) and item.on)
    return {label for line in on for label in line.labels}


def ratio(inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> int:
    """The whole stride of a block with one input and one output; 0 where it has none."""
    if len(inputs) != 1 or len(outputs) != 1:
        return 0
    before, after = inputs[0].shape, outputs[0].shape
    if len(before) != len(after) or len(before) < 2 or after[-1] < 2:
        return 0
    found = round(before[-1] / after[-1])
    return found if found > 1 else 0


def given(blocks: Sequence[Block]) -> list[dict[str, object]]:
    """By call of one block the values of the parameters that any of them gives."""
    names = dict.fromkeys(name for block in blocks for name in block.arguments)
    return [
        {name: block.arguments.get(name, block.names.get(name)) for name in names}
        for block in blocks
    ]


def varying(arguments: Sequence[dict[str, object]]) -> tuple[str, ...]:
    """The parameters of which the calls give different values, one of any equal pair."""
    found: dict[tuple[str, ...], str] = {}
    for name in arguments[0]:
        column = tuple(spell_argument(row.get(name)) for row in arguments)
        if len(set(column)) > 1:
            found.setdefault(column, name)
    return tuple(found.values())
