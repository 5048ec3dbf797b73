"""Expressions as they are written: the part of the syntax that outlives elaboration.

A line's condition stays in the network's structure, so that generated code can say it.
Every node has its `Span`.
"""

from __future__ import annotations

from dataclasses import dataclass

from cnndsl.diagnostics import Span


@dataclass(frozen=True, slots=True)
class Number:
    """A literal; `text` keeps the digits as they were written."""

    value: int | float
    text: str
    span: Span


@dataclass(frozen=True, slots=True)
class Text:
    """A string literal."""

    value: str
    span: Span


@dataclass(frozen=True, slots=True)
class SizeLiteral:
    """`3x3`."""

    value: tuple[int, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class ListLiteral:
    """`[1, k]`."""

    items: tuple[Expression, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Every:
    """`*` as an index: all of a family."""

    span: Span


@dataclass(frozen=True, slots=True)
class Member:
    """`.name` in a path."""

    name: str
    span: Span


@dataclass(frozen=True, slots=True)
class Index:
    """`[i, j]` in a path."""

    items: tuple[Expression | Every, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class NamePath:
    """`head[0].cls`: a name, then members and indices."""

    name: str
    parts: tuple[Member | Index, ...]
    span: Span

    def __str__(self) -> str:
        """As it was written."""
        return self.span.text


@dataclass(frozen=True, slots=True)
class Value:
    """A path as a value, or a call of a function or an operation in an expression."""

    path: NamePath
    arguments: tuple[Argument, ...] | None
    span: Span


@dataclass(frozen=True, slots=True)
class Unary:
    """`-a` or `not a`."""

    operator: str
    operand: Expression
    span: Span


@dataclass(frozen=True, slots=True)
class Binary:
    """Arithmetic, a comparison, `and`, `or`, or the range `a..b`."""

    operator: str
    left: Expression
    right: Expression
    span: Span


@dataclass(frozen=True, slots=True)
class Choice:
    """`a if condition else b`."""

    condition: Expression
    then: Expression
    otherwise: Expression
    span: Span


Expression = Number | Text | SizeLiteral | ListLiteral | Value | Unary | Binary | Choice


@dataclass(frozen=True, slots=True)
class Argument:
    """`name=value`, `value then rest`, or `*S`."""

    name: str | None
    value: Expression
    rest: Expression | None
    spread: bool
    span: Span
