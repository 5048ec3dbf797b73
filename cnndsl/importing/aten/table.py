"""The rules of PyTorch's operations: a rule each, from a recorded call to layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cnndsl.importing.calls import Call, Seen
from cnndsl.importing.flow import Value
from cnndsl.ops.facts import Shape

Rule = Callable[[Call], Any]
RULES: dict[str, Rule] = {}
"""The rule of each operation, by its name without `aten.`."""

VIEWS = frozenset(
    (
        *("view", "reshape", "slice", "select", "split", "split_with_sizes", "chunk", "unbind"),
        *("permute", "transpose", "t", "unsqueeze", "squeeze", "expand", "expand_as", "narrow"),
        *("view_as", "reshape_as", "flatten", "unflatten", "alias", "detach", "contiguous"),
    )
)
"""What may give a view of its input's memory."""

COPIES = frozenset(("clone", "_to_copy", "lift_fresh_copy"))
"""What gives the same numbers in memory of their own."""

SAME = frozenset(
    (
        *("alias", "contiguous", "clone", "detach", "lift_fresh_copy", "to", "_to_copy"),
        *("_assert_tensor_metadata", "type_as"),
    )
)

AXES = "abcdefghijklmnop"


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Register the rule of these operations."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        return function

    return register


def nothing(call: Call) -> bool:
    """Whether a call returns its input as it is."""
    if call.word in SAME:
        dtype = call["dtype"]
        return dtype is None or str(dtype) in ("torch.float32", "torch.float")
    if call.word in ("dropout", "feature_dropout", "alpha_dropout"):
        return not call["p"]
    return False


def permuted(call: Call, x: Seen, order: Shape) -> Value:
    """`rearrange`: our axes in another order."""
    if order == tuple(range(len(order))):
        return x.value
    names = _axis_names(len(order))
    pattern = f"{' '.join(names)} -> {' '.join(names[i] for i in order)}"
    moved = tuple(x.ours[i] for i in order)
    return call.layer("rearrange", [x], [moved], pattern=pattern)


def _axis_names(rank: int) -> list[str]:
    return {3: list("chw"), 2: list("cl"), 4: list("cdhw")}.get(rank, list(AXES[:rank]))
