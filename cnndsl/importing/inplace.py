"""What a program writes in place: which names of that memory read it from then on."""

from __future__ import annotations

import operator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from cnndsl.importing.aten import COPIES, VIEWS, lifter
from cnndsl.importing.calls import Call, Constant, Reader, Seen
from cnndsl.importing.flow import refused

if TYPE_CHECKING:
    from torch import fx

    from cnndsl.diagnostics import ArchError


def word_of(node: fx.Node) -> tuple[str, bool]:
    """The operation without its namespace, and whether it writes in place."""
    full = str(node.target)
    parts = full.split(".")
    word = parts[1] if parts[0] in ("aten", "prims") and len(parts) > 1 else full
    inplace = word.endswith("_") and not word.startswith("_")
    return word.rstrip("_") if inplace else word, inplace


def aliases(
    node: fx.Node, seen: dict[Any, Any], memory: dict[Any, int], reader: Reader
) -> None:
    """What a call writes in place is what is read of that memory from now on.

    Raises ArchError: another view of it is read afterwards.
    """
    word, inplace = word_of(node)
    first = node.args[0] if node.args else None
    if isinstance(first, (list, tuple)) or not hasattr(first, "name"):
        first = None
    shares = first is not None and (
        inplace
        or word in VIEWS
        or node.target is operator.getitem
        or (seen[node] is seen[first] and word not in COPIES)
    )
    memory[node] = memory.setdefault(first, len(memory)) if shares else len(memory)
    if not inplace or first is None:
        return
    before = seen[first]
    for other, place in list(memory.items()):
        held = seen.get(other)
        if place != memory[node] or other is node or not isinstance(held, Seen | Constant):
            continue
        if isinstance(held, Constant):
            if held.value is None:  # else the numbers were written themselves
                seen[other] = (
                    seen[node] if other is first else _patched(node, other, seen, reader)
                )
        elif held.value == getattr(before, "value", None):
            seen[other] = replace(seen[node], shape=held.shape)
        elif any(user > node for user in other.users):
            raise _refused(node, reader)


def _refused(node: fx.Node, reader: Reader) -> ArchError:
    word, _ = word_of(node)
    return refused(f"`{word}_` writes into a part of a tensor in place", reader.where)


def _patched(node: fx.Node, base: fx.Node, seen: dict[Any, Any], reader: Reader) -> Constant:
    """What is computed of parameters, with what was written into a slice of it.

    Raises ArchError: it was written into another view of it, and is read afterwards.
    """
    held: Constant = seen[base]
    part: Any = node.args[0]
    if not any(user > node for user in base.users):
        return held
    given: dict[str, Any] = {"dim": 0, "start": None, "end": None, "step": 1}
    given |= zip(("of", *given), part.args)  # noqa: B905 - those at the end may be left out
    if word_of(part)[0] != "slice" or given["of"] is not base or given["step"] != 1:
        raise _refused(node, reader)
    dim, size = given["dim"], held.shape[given["dim"]]
    first, last, _ = slice(given["start"], given["end"]).indices(size)

    def made(word: str, along: int, **given: Any) -> Constant:
        shape = (*held.shape[:dim], along, *held.shape[dim + 1 :])
        call = Call(node.name, word, {"dim": dim, **given}, (shape,), reader)
        return Constant("", shape, word, lift=partial(lifter(call), 0), given=call.given)

    around = [(0, first), (last, size)]
    before, after = (
        [made("slice", b - a, self=held, start=a, end=b)] if b > a else [] for a, b in around
    )
    return made("cat", size, tensors=[*before, seen[node], *after])
