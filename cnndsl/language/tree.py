"""What a file says, before anything is looked up: the syntax tree.

Every node has its `Span`; expressions are in `cnndsl.expressions`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from cnndsl.diagnostics import Span
from cnndsl.expressions import (
    Argument,
    Binary,
    Choice,
    Every,
    Expression,
    Index,
    ListLiteral,
    Member,
    NamePath,
    Number,
    SizeLiteral,
    Text,
    Unary,
    Value,
)
from cnndsl.records import Record, record


@record
class Meta(Record):
    """`@cite(…)`, `@deviates(…)`, `@expect(…)`."""

    name: str
    arguments: tuple[Argument, ...]
    span: Span


@record
class Doc(Record):
    '''`"""…"""`.'''

    text: str
    span: Span


@record
class Used(Record):
    """`Name as Other` in a `use`."""

    name: str
    alias: str
    span: Span


@record
class Use(Record):
    """`use "resnet.arch" (Bottleneck)`; no names is everything."""

    path: str
    names: tuple[Used, ...] | None
    span: Span
    path_span: Span


@record
class Default(Record):
    """`default conv, dwconv(norm=bn)`."""

    names: tuple[tuple[str, Span], ...]
    arguments: tuple[Argument, ...]
    span: Span


@record
class Let(Record):
    """`let name = value`."""

    name: str
    value: Expression
    span: Span
    name_span: Span


@record
class Type(Record):
    """`int`, `list[float]`, or the words of an enumeration."""

    name: str
    item: str | None
    words: tuple[str, ...]
    span: Span

    def __str__(self) -> str:
        """As it was written."""
        return self.span.text


@record
class Param(Record):
    """`c: int = 64`."""

    name: str
    type: Type
    default: Expression | None
    span: Span
    name_span: Span


@record
class Dim(Record):
    """One size of a port: an expression, `H=224`, or `*S` for any number of axes."""

    name: str | None
    value: Expression | None
    rest: bool
    span: Span


@record
class Port(Record):
    """`x[C, *S]`, `*p[C, _, _]`, `o3 as p3`, `aux[classes] when aux`."""

    name: str
    shape: tuple[Dim, ...] | None
    many: bool
    alias: str | None
    condition: Expression | None
    span: Span
    name_span: Span
    """Of the name that a caller sees."""

    @property
    def outside(self) -> str:
        """The name that a caller sees."""
        return self.alias or self.name


@record
class CallTerm(Record):
    """`conv(64, 3x3) { … }`: a path, arguments, operands in braces."""

    path: NamePath
    arguments: tuple[Argument, ...]
    called: bool
    """Whether it has parentheses."""
    operands: tuple[Statement, ...] | None
    span: Span


@record
class GroupTerm(Record):
    """`{ … }`."""

    body: tuple[Statement, ...]
    span: Span


@record
class ForTerm(Record):
    """`for` over the rows of a table (`header`, `rows`) or a range (`header` of one)."""

    header: tuple[tuple[str, Span], ...]
    rows: tuple[tuple[Expression | None, ...], ...] | None
    range: Expression | None
    body: tuple[Statement, ...]
    span: Span


@record
class RepeatTerm(Record):
    """`term * n`; `shared` where all turns are one module."""

    term: Term
    times: Expression
    span: Span
    shared: bool = False


@record
class EachTerm(Record):
    """`term each { … }` (operands) or `term each row`."""

    term: Term
    operands: tuple[Statement, ...] | None
    span: Span


Term = CallTerm | GroupTerm | ForTerm | RepeatTerm | EachTerm


@record
class LineStatement(Record):
    """`[else] labels: term -> term when condition`; `number` counts them in the file."""

    labels: tuple[NamePath, ...]
    terms: tuple[Term, ...]
    condition: Expression | None
    alternative: bool
    span: Span


Statement = LineStatement | Let | Default
Item = Statement | Term


def inside(item: Item) -> Sequence[Item]:
    """What stands in an item, one level down and in the order of the text."""
    match item:
        case LineStatement(terms=terms):
            return terms
        case CallTerm(operands=operands):
            return operands or ()
        case GroupTerm(body=body) | ForTerm(body=body):
            return body
        case RepeatTerm(term=term):
            return (term,)
        case EachTerm(term=term, operands=operands):
            return (term, *(operands or ()))
    return ()


def walk(items: Iterable[Item]) -> Iterator[Item]:
    """Items and all that stands in them, each before what is in it, without recursion."""
    stack = [*items][::-1]
    while stack:
        item = stack.pop()
        yield item
        stack += reversed(inside(item))


@record
class Declaration(Record):
    """A `block` or a `model`, with what is written above it."""

    kind: str
    name: str
    params: tuple[Param, ...]
    inputs: tuple[Port, ...] | None
    outputs: tuple[Port, ...] | None
    body: tuple[Statement, ...]
    span: Span
    name_span: Span
    metas: tuple[Meta, ...] = ()
    doc: str = ""


@record
class File(Record):
    """A parsed file."""

    uses: tuple[Use, ...]
    defaults: tuple[Default, ...]
    lets: tuple[Let, ...]
    declarations: tuple[Declaration, ...]
    doc: str
    span: Span


__all__ = [
    "Argument",
    "Binary",
    "CallTerm",
    "Choice",
    "Declaration",
    "Default",
    "Dim",
    "Doc",
    "EachTerm",
    "Every",
    "Expression",
    "File",
    "ForTerm",
    "GroupTerm",
    "Index",
    "Let",
    "LineStatement",
    "ListLiteral",
    "Member",
    "Meta",
    "NamePath",
    "Number",
    "Param",
    "Port",
    "RepeatTerm",
    "SizeLiteral",
    "Statement",
    "Term",
    "Text",
    "Type",
    "Unary",
    "Use",
    "Used",
    "Value",
    "inside",
    "walk",
]
