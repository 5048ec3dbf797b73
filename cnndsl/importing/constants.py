"""What a program computes of its parameters and numbers alone, apart from what flows.

Numbers are computed as they are read. What parameters are in is kept as it is made, and becomes
layers only where it meets what flows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cnndsl.importing.calls import BATCH, Constant
from cnndsl.ops.facts import Shape

if TYPE_CHECKING:
    from torch import fx

ORDERLY = frozenset(
    (
        *("view", "reshape", "unsqueeze", "squeeze", "flatten", "alias", "detach", "to"),
        *("contiguous", "clone", "_to_copy", "lift_fresh_copy", "unflatten", "view_as"),
        "reshape_as",
    )
)
"""What leaves a parameter's elements as they are, in order."""


def made(word: str, flows: list[Any], shapes: tuple[Shape, ...]) -> list[Constant]:
    """What a call of parameters alone gives: one of them still, or what is computed of them."""
    found = []
    for shape in shapes or ((),):
        first = flows[0] if flows else None
        if not isinstance(first, Constant) or not first.name:
            found.append(Constant("", shape, getattr(first, "made", "") or word))
        elif _each(word, first.shape, shape):
            found.append(replace(first, each=shape[1:]))
        elif word in ORDERLY or (
            word == "expand" and math.prod(first.shape) == math.prod(shape)
        ):
            found.append(
                Constant(first.name, shape, first.made, buffer=first.buffer, saved=first.saved)
            )
        else:
            found.append(Constant("", shape, word))
    return found


def _each(word: str, before: Shape, after: Shape) -> bool:
    """Whether a call gives a parameter to each sample as it is."""
    if word == "expand":
        return before[1:] == after[1:]
    return word == "repeat" and after[0] == BATCH and _lone(before) == _lone(after[1:])


def _lone(shape: Shape) -> Shape:
    """A shape without the axes of size 1 before it."""
    return shape[next((n for n, size in enumerate(shape) if size != 1), len(shape)) :]


class Numbers:
    """The values of what no parameter is in, computed as the program computes them."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        """Take the buffers and constants by their names; those without values are unknown."""
        self.given = given
        self.known: dict[Any, Any] = {}

    def begin(self, node: fx.Node, name: str, value: Any = None) -> Any:
        """The value of a buffer, copied: the program may write into it."""
        value = self.given.get(name, value)
        real = hasattr(value, "detach") and not value.is_meta
        if real and type(value).__name__ in ("Tensor", "Buffer"):
            self.known[node] = value.detach().cpu().clone()
        return self.known.get(node)

    def run(self, node: fx.Node, *, like: bool) -> Any:
        """The value of a call, or None; `like`: of what flows it reads only the shape."""
        import torch
        from torch import fx

        def value(argument: Any) -> Any:
            if isinstance(argument, fx.Node):
                if argument in self.known:
                    return self.known[argument]
                if like:
                    shaped = argument.meta["val"]
                    return torch.empty(shaped.shape, dtype=shaped.dtype, device="meta")
                raise KeyError(argument)
            if isinstance(argument, list | tuple):
                return type(argument)(value(one) for one in argument)
            return argument

        try:
            given = {key: value(one) for key, one in node.kwargs.items()}
            if "device" in given or like:
                given["device"] = torch.device("cpu")
            target: Any = node.target
            self.known[node] = target(*map(value, node.args), **given)
        except (KeyError, TypeError, RuntimeError):
            return None
        return self.known[node]


LIKE = frozenset(
    (
        *("zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full"),
        "new_empty",
    )
)
"""What makes numbers of the shape, or on the device, of a tensor, and reads nothing of it."""
