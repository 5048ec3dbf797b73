"""The types of parameters."""

from __future__ import annotations

import re

from cnndsl.diagnostics import Span, did_you_mean, fault
from cnndsl.language import tree
from cnndsl.language.evaluate import show
from cnndsl.language.names import (
    OpRef,
)
from cnndsl.ops.facts import Auto
from cnndsl.ops.values import divides
from cnndsl.symbolic import List


def coerce(param: tree.Param, value: object, span: Span) -> object:
    """A value as its parameter's type.  Raises Fault: it does not fit."""
    kind = param.type
    if kind.name == "bool" and value is None:
        return False  # an empty cell of a table
    if kind.words:
        if isinstance(value, str) and value in kind.words:
            return value
        near = did_you_mean(value, kind.words) if isinstance(value, str) else ""
        wanted = " or ".join(f'"{word}"' for word in kind.words)
        message = f"`{param.name}` is {show(value)}, but must be {wanted}"
        raise fault("E303", message, span, help=near)
    if kind.name not in _TYPES:
        near = did_you_mean(kind.name, _TYPES)
        raise fault("E303", f"unknown type `{kind.name}`", kind.span, help=near)
    if not _fits(value, kind.name, kind.item):
        wanted = _TYPES[kind.name].format(item=kind.item or "value")
        message = f"`{param.name}` is {show(value)}, but must be {wanted}"
        help = divides(value) if kind.name in {"int", "size"} else ""
        if isinstance(value, str) and re.fullmatch(r"[\w.]+", value):
            help = f"write it without quotes: `{value}`"
        raise fault("E303", message, span, help=help)
    return List(value) if kind.name == "list" and isinstance(value, tuple) else value


_TYPES = {
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "str": "a string",
    "size": "a size such as 3 or 3x3",
    "pad": "a padding: same, valid, a number or a list",
    "op": "an operation or a block, or none",
    "list": "a list of {item}s",
}


def _fits(value: object, kind: str, item: str | None) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    match kind:
        case "int":
            return number and isinstance(value, int)
        case "float":
            return number
        case "bool":
            return isinstance(value, bool)
        case "str":
            return isinstance(value, str)
        case "op":
            return value is None or isinstance(value, OpRef)
        case "list":
            items = value if isinstance(value, tuple) else None
            return items is not None and (
                item is None or all(_fits(each, item, None) for each in items)
            )
        case "size":
            sizes = value if isinstance(value, tuple) else (value,)
            return all(_fits(each, "int", None) for each in sizes)
        case _:
            return isinstance(value, Auto) or number or isinstance(value, tuple)
