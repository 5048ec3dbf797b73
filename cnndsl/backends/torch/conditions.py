"""A line's condition as Python, over what a constructor can name."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from cnndsl import expressions
from cnndsl.backends.torch.values import Env, identifier, literal, same, spell
from cnndsl.symbolic import strip

_MISSING = object()
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "//": operator.floordiv,
    "%": operator.mod,
}


def text(
    expression: expressions.Expression | None, envs: Sequence[Env], expected: Sequence[bool]
) -> str | None:
    """The condition's text; None where it cannot be said, or would be wrong somewhere."""
    if expression is None:
        return None
    found = _said(expression, envs)
    if found is None:
        return None
    values, words, _ = found
    return words if [bool(v) for v in values] == list(expected) else None


Said = tuple[list[Any], str, int]
"""The value in each instance, the text, and how tightly it binds: `or` 0, `and` 1, a
comparison 2, arithmetic 3, an atom 4."""


def _said(expression: expressions.Expression, envs: Sequence[Env]) -> Said | None:
    match expression:
        case (
            expressions.Number(value=value)
            | expressions.Text(value=value)
            | expressions.SizeLiteral(value=value)
        ):
            return [value] * len(envs), literal(value), 4
        case expressions.Value():
            return _name(expression, envs)
        case expressions.Unary(operator="not", operand=operand):
            inner = _said(operand, envs)
            if inner is None:
                return None
            return _folded([not v for v in inner[0]], f"not {_wrapped(inner, 2)}", 2)
        case expressions.Binary(operator="and" | "or"):
            return _logic(expression, envs)
        case expressions.Binary(operator=sign) if sign in _COMPARE or sign in _ARITHMETIC:
            left, right = _said(expression.left, envs), _said(expression.right, envs)
            if left is None or right is None:
                return None
            function = _COMPARE.get(sign) or _ARITHMETIC[sign]
            values = [function(a, b) for a, b in zip(left[0], right[0], strict=True)]
            bind = 3 if sign in _COMPARE else 4
            words = f"{_wrapped(left, bind)} {sign} {_wrapped(right, bind)}"
            return _folded(values, words, bind - 1)
        case _:
            return None


def _logic(expression: expressions.Binary, envs: Sequence[Env]) -> Said | None:
    left, right = _said(expression.left, envs), _said(expression.right, envs)
    if left is None or right is None:
        return None
    both = expression.operator == "and"
    pairs = list(zip(left[0], right[0], strict=True))
    values = [(a and b) if both else (a or b) for a, b in pairs]
    # A side that decides nothing is left out.
    for one, other in ((left, right), (right, left)):
        if all(v is both for v in one[0]):
            return _folded(values, other[1], other[2])
    bind = 1 if both else 0
    words = f"{_wrapped(left, bind)} {expression.operator} {_wrapped(right, bind)}"
    return _folded(values, words, bind)


def _folded(values: list[Any], words: str, bind: int) -> Said:
    if same(values):
        return values, literal(values[0]), 4
    return values, words, bind


def _wrapped(said: Said, bind: int) -> str:
    return said[1] if said[2] >= bind else f"({said[1]})"


def _name(expression: expressions.Value, envs: Sequence[Env]) -> Said | None:
    if expression.arguments is not None:
        return None
    values = [_value(expression.path, env) for env in envs]
    if any(v is _MISSING for v in values):
        return None
    if same(values):
        return values, literal(values[0]), 4
    words = spell(values, envs)
    return (
        None if words is None else ([strip(v) for v in values], words, 3 if " " in words else 4)
    )


def _value(path: expressions.NamePath, env: Env) -> Any:
    words = {"true": True, "false": False, "none": None}
    name = path.name
    if not path.parts:
        if name in env.block.names:
            found = env.block.names[name]
            return found if isinstance(found, int | float | str | tuple) else _MISSING
        return env.names.get(identifier(name), words.get(name, _MISSING))
    part = path.parts[0]
    if (
        len(path.parts) == 1
        and isinstance(part, expressions.Member)
        and name in env.block.inputs
    ):
        shape = env.block.inputs[name].shape
        places = {"c": 0, "h": len(shape) - 2, "w": len(shape) - 1}
        if part.name in places:
            return shape[places[part.name]]
    return _MISSING
