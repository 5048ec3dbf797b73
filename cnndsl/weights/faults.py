"""What a mapping of weights is refused for: both sides, listed."""

from __future__ import annotations

from collections.abc import Sequence

from cnndsl.diagnostics import ArchError, Diagnostic, did_you_mean
from cnndsl.weights.layers import Layer
from cnndsl.weights.sets import union

SHOWN = 8
"""Layers listed of each side in a message."""

GIVEN = 'map={"prefix of theirs": "prefix of ours"} says which is which'


def unequal(theirs: Sequence[Layer], ours: Sequence[Layer]) -> Diagnostic:
    """Layers of either side for which the other has none."""
    message = f"the weights are not this network's\n{lists(theirs, ours)}"
    return Diagnostic("E605", message, help="these layers have no partner of the same shapes")


def ambiguous(theirs: Sequence[Layer], ours: Sequence[Layer]) -> Diagnostic:
    """Layers of one signature between which nothing decides."""
    message = f"{len(ours)} layers of one shape cannot be told apart\n{lists(theirs, ours)}"
    return Diagnostic("E605", message, help=GIVEN)


def lists(theirs: Sequence[Layer], ours: Sequence[Layer]) -> str:
    """Both sides, one layer a line."""
    lines = []
    for whose, layers in (("theirs", theirs), ("ours", ours)):
        shown = [f"  {whose:6}  {layer}" for layer in layers[:SHOWN]]
        if len(layers) > SHOWN:
            shown.append(f"  {'':6}  … and {len(layers) - SHOWN} more")
        lines += shown or [f"  {whose:6}  none"]
    return "\n".join(lines)


def named(layers: Sequence[Layer], prefix: str, whose: str) -> int:
    """The layers at or below a prefix; a tensor's name stands for its layer."""
    path = tuple(prefix.split("."))
    found = union(
        n
        for n, layer in enumerate(layers)
        if layer.path[: len(path)] == path
        or any(name == prefix for name, _ in layer.tensors.values())
    )
    if not found:
        known = {
            ".".join(layer.path[:d]) for layer in layers for d in range(1, len(layer.path) + 1)
        }
        help = did_you_mean(prefix, known) or GIVEN
        message = f"no layer of {whose} begins with `{prefix}`"
        raise ArchError([Diagnostic("E605", message, help=help)])
    return found
