"""Expressions as they are written: the part of the syntax that outlives elaboration.

A line's condition stays in the network's structure, so that generated code can say it.
Every node has its `Span`.
"""

from __future__ import annotations

from cnndsl.diagnostics import Span
from cnndsl.records import Record, record


@record
class Number(Record):
    """A literal; `text` keeps the digits as they were written."""

    value: int | float
    text: str
    span: Span


@record
class Text(Record):
    """A string literal."""

    value: str
    span: Span


@record
class SizeLiteral(Record):
    """`3x3`."""

    value: tuple[int, ...]
    span: Span


@record
class ListLiteral(Record):
    """`[1, k]`."""

    items: tuple[Expression, ...]
    span: Span


@record
class Every(Record):
    """`*` as an index: all of a family."""

    span: Span


@record
class Member(Record):
    """`.name` in a path."""

    name: str
    span: Span


@record
class Index(Record):
    """`[i, j]` in a path."""

    items: tuple[Expression | Every, ...]
    span: Span


@record
class NamePath(Record):
    """`head[0].cls`: a name, then members and indices."""

    name: str
    parts: tuple[Member | Index, ...]
    span: Span

    def __str__(self) -> str:
        """As it was written."""
        return self.span.text


@record
class Value(Record):
    """A path as a value, or a call of a function or an operation in an expression."""

    path: NamePath
    arguments: tuple[Argument, ...] | None
    span: Span


@record
class Unary(Record):
    """`-a` or `not a`."""

    operator: str
    operand: Expression
    span: Span


@record
class Binary(Record):
    """Arithmetic, a comparison, `and`, `or`, or the range `a..b`."""

    operator: str
    left: Expression
    right: Expression
    span: Span


@record
class Choice(Record):
    """`a if condition else b`."""

    condition: Expression
    then: Expression
    otherwise: Expression
    span: Span


Expression = Number | Text | SizeLiteral | ListLiteral | Value | Unary | Binary | Choice


@record
class Argument(Record):
    """`name=value`, `value then rest`, or `*S`."""

    name: str | None
    value: Expression
    rest: Expression | None
    spread: bool
    span: Span
