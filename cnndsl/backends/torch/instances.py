"""The calls of a block that one class is written for, and their tensors."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field

from cnndsl.graph import Network
from cnndsl.structure import Block, Tensor

Identity = tuple[int, str, int]
"""A tensor as an instance reads it: its block, by `id`, the node, which output."""


class SplitError(Exception):
    """The instances of a class differ in what one class cannot say: it becomes several."""

    def __init__(self, keys: Sequence[tuple[Instance, object]]) -> None:
        """Take for each instance what tells it from the others."""
        super().__init__()
        self.keys = keys

    @property
    def turns(self) -> bool:
        """Whether one instance differs from itself: in the turns of a loop."""
        found: dict[int, str] = {}
        return any(
            found.setdefault(id(i.block), repr(key)) != repr(key) for i, key in self.keys
        )


class ExposeError(Exception):
    """A label inside a called block is read: its block must return it."""

    def __init__(self, instance: Instance, tensor: Tensor) -> None:
        """Take the tensor."""
        super().__init__()
        self.instance, self.tensor = instance, tensor


@dataclass(eq=False)
class Instance:
    """One call of a block in one of the networks; in a loop's body, in one of its turns."""

    number: int
    network: Network
    block: Block
    turns: dict[str, int] = field(default_factory=dict)


@dataclass(eq=False)
class T:
    """A tensor: its shape in the constructor's terms, and how `forward` says it."""

    shape: tuple[int, ...]
    run: ast.expr
    ids: list[Identity] = field(default_factory=list)
    turns: Sequence[tuple[dict[str, int], T]] = ()
    """Of an item of a family: what it is in each turn."""
    at: ast.expr | None = None
    """The item's index, for the variable `turn·` of these."""
