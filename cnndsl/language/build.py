"""The parser's reductions: each grammar rule becomes one node of `tree`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lark import Token

from cnndsl.diagnostics import Source, Span, fault, short
from cnndsl.language import tree

Items = list[Any]
"""A rule's children; the name, because `Builder.list` hides the class in its body."""

SUFFIXES = {
    "": 1,
    "%": 100,
    **{"K": 10**3, "M": 10**6, "G": 10**9},
    **{"Ki": 2**10, "Mi": 2**20, "Gi": 2**30},
    **{"KiB": 2**10, "MiB": 2**20, "GiB": 2**30},
}


def read_number(text: str) -> int | float | None:
    """The value of a numeric literal; None where it is too large to be meant."""
    digits = text.replace("_", "")
    suffix = next((s for s in sorted(SUFFIXES, key=len)[::-1] if digits.endswith(s)), "")
    digits = digits.removesuffix(suffix)
    if len(digits) > 40:
        return None
    if suffix == "%":
        return float(digits) / 100
    if digits.isdigit():
        return int(digits) * SUFFIXES[suffix]
    value = float(digits) * SUFFIXES[suffix]
    if value in (float("inf"), float("-inf")):
        return None
    return int(value) if suffix and value == int(value) else value


class Reading:
    """A text while it is read: what the lexer has seen of it, for the builder."""

    def __init__(self, source: Source) -> None:
        """Begin a text."""
        self.source = source
        self.opened: list[Token] = []
        """The brackets that are still open."""
        self.stop = 0
        """Where the last token ends that the parser has taken."""


class Builder:
    """One method a rule, called as soon as the parser has read it.

    Positions are kept here: Lark's own, and its tree in between, cost more than all the
    rest of the parser. A rule begins where its first child does, so the grammar names the
    bracket that begins one; it ends where the parser stands.
    """

    reading: Reading

    def _from(self, first: Any) -> Span:
        """From a rule's first child to its end."""
        start = first.start_pos if isinstance(first, Token) else first.span.start
        assert start is not None
        return Span(self.reading.source, start, self.reading.stop)

    def _at(self, token: Token) -> Span:
        """One token."""
        start, stop = token.start_pos, token.end_pos
        assert start is not None
        assert stop is not None
        return Span(self.reading.source, start, stop)

    def _name(self, token: Token) -> str:
        """A name that is given a meaning here.  Raises Fault: Python keeps it for itself."""
        self._nameable(str(token), self._at(token))
        return str(token)

    def _nameable(
        self, name: str, span: Span, *, output: bool = False, loop: bool = False
    ) -> None:
        """Refuse names that Python keeps for itself.  Raises Fault."""
        if name.startswith("__"):
            message = f"`{short(name)}`: names that begin with two underscores are reserved"
            raise fault("E216", message, span, help="choose another name")
        if name == "_" and not loop:
            help = "choose another name; `_` is any size of a port, or an unused loop variable"
            raise fault("E216", "`_` cannot be a name here", span, help=help)
        if output and name.startswith("_"):
            message = f"the output `{short(name)}` begins with an underscore"
            help = f"begin it with a letter, for example `{name.lstrip('_')}`"
            raise fault("E216", message, span, help=help)

    # Expressions

    def number(self, items: Items) -> tree.Number:
        """`300M`."""
        value = read_number(items[0])
        if value is None:
            raise fault("E106", "the number is too large", self._from(items[0]))
        return tree.Number(value, str(items[0]), self._from(items[0]))

    def string(self, items: Items) -> tree.Text:
        """`"v1"`."""
        return tree.Text(str(items[0])[1:-1], self._from(items[0]))

    def size(self, items: Items) -> tree.SizeLiteral:
        """`3x3`."""
        parts = str(items[0]).split("x")
        if any(len(part) > 12 for part in parts):
            raise fault("E106", "the size is too large", self._from(items[0]))
        return tree.SizeLiteral(tuple(map(int, parts)), self._from(items[0]))

    def list(self, items: Items) -> tree.ListLiteral:
        """`[1, k]`."""
        found = tuple(i for i in items[1:] if i is not None)
        return tree.ListLiteral(found, self._from(items[0]))

    def grouped(self, items: Items) -> tree.Expression:
        """`(a + b)`: the expression, whose place now covers the parentheses."""
        found: tree.Expression = replace(items[1], span=self._from(items[0]))
        return found

    def value(self, items: Items) -> tree.Value:
        """`in.c`, `sqrt(2)`, `bn(eps=1e-3)`."""
        path, called, arguments = items
        given = (arguments or ()) if called else None
        return tree.Value(path, given, self._from(path))

    def _infix(self, items: Items) -> tree.Binary:
        left, operator, right = items
        return tree.Binary(str(operator), left, right, self._from(left))

    sum = product = power = comparison = either = both = _infix

    def span(self, items: Items) -> tree.Binary:
        """`0..n`."""
        return tree.Binary("..", items[0], items[1], self._from(items[0]))

    def minus(self, items: Items) -> tree.Unary:
        """`-a`."""
        return tree.Unary("-", items[1], self._from(items[0]))

    def negate(self, items: Items) -> tree.Unary:
        """`not a`."""
        return tree.Unary("not", items[1], self._from(items[0]))

    def choice(self, items: Items) -> tree.Choice:
        """`a if c else b`."""
        then, _, condition, _, otherwise = items
        return tree.Choice(condition, then, otherwise, self._from(then))

    def path(self, items: Items) -> tree.NamePath:
        """`head[0].cls`."""
        return tree.NamePath(str(items[0]), tuple(items[1:]), self._from(items[0]))

    def member(self, items: Items) -> tree.Member:
        """`.name`."""
        return tree.Member(str(items[1]), self._from(items[0]))

    def index(self, items: Items) -> tree.Index:
        """`[i, j]`."""
        return tree.Index(tuple(items[1:]), self._from(items[0]))

    def every(self, items: Items) -> tree.Every:
        """`*`."""
        return tree.Every(self._from(items[0]))

    def blank(self, _items: Items) -> None:
        """`-` in a table."""
        return

    def args(self, items: Items) -> tuple[tree.Argument, ...]:
        """All the arguments of a call."""
        return tuple(items)

    def arg(self, items: Items) -> tree.Argument:
        """`name=value then rest`."""
        path, value, _, rest = items if len(items) == 4 else (*items, None, None)
        name = str(path) if path is not None else None
        return tree.Argument(name, value, rest, False, self._from(path or value))

    def spread(self, items: Items) -> tree.Argument:
        """`*S`."""
        where = self._at(items[1])
        path = tree.NamePath(str(items[1]), (), where)
        return tree.Argument(
            None, tree.Value(path, None, where), None, True, self._from(items[0])
        )

    # Steps

    def call(self, items: Items) -> tree.CallTerm:
        """`conv(64, 3x3) { … }`."""
        path, called, arguments, operands = items
        where = self._from(path)
        return tree.CallTerm(path, arguments or (), called is not None, operands, where)

    def operands(self, items: Items) -> tuple[tree.Statement, ...]:
        """The lines in a call's braces."""
        body: tuple[tree.Statement, ...] = items[0]
        return body

    def group(self, items: Items) -> tree.GroupTerm:
        """`{ … }`."""
        return tree.GroupTerm(items[1], self._from(items[0]))

    def body(self, items: Items) -> tuple[tree.Statement, ...]:
        """The statements between braces."""
        return tuple(items)

    def row(self, items: Items) -> tuple[Span, tuple[tree.Expression | None, ...]]:
        """`| 6 | 24 |`."""
        return self._from(items[0]), tuple(items[1:])

    def for_table(self, items: Items) -> tree.ForTerm:
        """`for | t | c | …`."""
        _, (_, head), *rows, body = items
        header = []
        for cell in head:
            plain = (
                isinstance(cell, tree.Value) and not cell.path.parts and cell.arguments is None
            )
            if not plain:
                where = cell.span if cell is not None else self._from(items[0])
                raise fault("E107", "the first row of a table must hold column names", where)
            self._nameable(cell.path.name, cell.span, loop=True)
            header.append((cell.path.name, cell.span))
        for span, cells in rows:
            if len(cells) != len(header):
                count = f"{len(cells)} cell{'s' * (len(cells) > 1)}"
                columns = f"{len(header)} column{'s' * (len(header) > 1)}"
                message = f"the row has {count}, but the table has {columns}"
                less = len(cells) < len(header)
                help = "`-` is a cell without a value" if less else ""
                raise fault("E107", message, span, help=help)
        return tree.ForTerm(
            tuple(header),
            tuple(cells for _, cells in rows),
            None,
            body,
            self._from(items[0]),
        )

    def for_range(self, items: Items) -> tree.ForTerm:
        """`for i in 0..n`."""
        _, name, _, values, body = items
        self._nameable(str(name), self._at(name), loop=True)
        header = ((str(name), self._at(name)),)
        return tree.ForTerm(header, None, values, body, self._from(items[0]))

    def each(self, items: Items) -> tuple[Any]:
        """`each { … }` or `each row`, in a tuple: its absence is None."""
        target = items[1]
        if not isinstance(target, Token):
            return (target,)
        if target != "row":
            raise fault(
                "E108",
                f"unknown form `each {target}`",
                self._from(items[0]),
                help="write `each { a; b }`, or `each row` to map over the first axis",
            )
        return (None,)

    def term(self, items: Items) -> tree.Term:
        """`term * n shared each { … }`."""
        found, star, times, word, each = items
        span = self._from(found)
        if word not in (None, "shared"):
            message = f"`{short(word)}` follows a step directly"
            help = "steps are joined by `->`; one module in all turns is `step * n shared`"
            raise fault("E101", message, self._at(word), help=help)
        if star is not None:
            found = tree.RepeatTerm(found, times, span, word is not None)
        if each is not None:
            found = tree.EachTerm(found, each[0], span)
        return found  # type: ignore[no-any-return]

    def chain(self, items: Items) -> tuple[tree.Term, ...]:
        """`term -> term`."""
        return tuple(items)

    def labels(self, items: Items) -> tuple[tree.NamePath, ...]:
        """`boxes, scores:`."""
        for path in items:
            start = path.span.start
            self._nameable(path.name, Span(path.span.source, start, start + len(path.name)))
        return tuple(items)

    def line(self, items: Items) -> tree.LineStatement:
        """A whole line."""
        other, labels, chain, _, condition = items
        where = self._from(other or (labels or chain)[0])
        return tree.LineStatement(labels or (), chain, condition, other is not None, where)

    # Declarations

    def let(self, items: Items) -> tree.Let:
        """`let name = value`."""
        _, name, value = items
        return tree.Let(self._name(name), value, self._from(items[0]), self._at(name))

    def default(self, items: Items) -> tree.Default:
        """`default conv(norm=bn)`."""
        names = tuple((str(t), self._at(t)) for t in items[1:-1])
        return tree.Default(names, items[-1], self._from(items[0]))

    def use(self, items: Items) -> tree.Use:
        """`use "file" (names)`."""
        _, path, *names = items
        used = tuple(n for n in names if n is not None)
        return tree.Use(str(path)[1:-1], used or None, self._from(items[0]), self._at(path))

    def used(self, items: Items) -> tree.Used:
        """`Name as Other`."""
        name, _, alias = items
        return tree.Used(str(name), self._name(alias or name), self._from(items[0]))

    def meta(self, items: Items) -> tree.Meta:
        """`@expect(…)`."""
        return tree.Meta(str(items[1]), items[2] or (), self._from(items[0]))

    def doc(self, items: Items) -> tree.Doc:
        '''`"""…"""`.'''
        return tree.Doc(str(items[0])[3:-3].strip(), self._from(items[0]))

    def type_name(self, items: Items) -> tree.Type:
        """`list[int]`."""
        name, item = items
        return tree.Type(str(name), str(item) if item else None, (), self._from(items[0]))

    def type_words(self, items: Items) -> tree.Type:
        """`"v1" | "v1_5"`."""
        words = tuple(str(i)[1:-1] for i in items)
        return tree.Type("words", None, words, self._from(items[0]))

    def param(self, items: Items) -> tree.Param:
        """`c: int = 64`."""
        name, kind, default = items
        return tree.Param(self._name(name), kind, default, self._from(name), self._at(name))

    def params(self, items: Items) -> tuple[tree.Param, ...]:
        """All the parameters."""
        return tuple(items)

    def ports(self, items: Items) -> tuple[tree.Port, ...]:
        """All the ports of one side."""
        return tuple(items)

    def signature(self, items: Items) -> tuple[Any, Any]:
        """`inputs -> outputs`."""
        inputs, outputs = items
        for port in outputs:
            self._nameable(port.outside, port.name_span, output=True)
        return inputs, outputs

    def port(self, items: Items) -> tree.Port:
        """`x[C, *S] as y when condition`."""
        star, name, shape, _, alias, _, condition = items
        other = self._name(alias) if alias else None
        return tree.Port(
            self._name(name), shape, star is not None, other, condition,
            self._from(star or name), self._at(alias or name),
        )  # fmt: skip

    def shape(self, items: Items) -> tuple[tree.Dim, ...]:
        """`[C, H, W]`."""
        return tuple(items)

    def dim_size(self, items: Items) -> tree.Dim:
        """`2 * S`."""
        return tree.Dim(None, items[0], False, self._from(items[0]))

    def dim_default(self, items: Items) -> tree.Dim:
        """`H=224`."""
        return tree.Dim(self._name(items[0]), items[1], False, self._from(items[0]))

    def dim_rest(self, items: Items) -> tree.Dim:
        """`*S`."""
        return tree.Dim(self._name(items[1]), None, True, self._from(items[0]))

    def decl(self, items: Items) -> tree.Declaration:
        """`model Name(…): ports { … }`."""
        kind, name, params, signature, body = items
        inputs, outputs = signature or (None, None)
        return tree.Declaration(
            str(kind), self._name(name), params or (), inputs, outputs, body,
            self._from(kind), self._at(name),
        )  # fmt: skip

    def start(self, items: Items) -> tree.File:
        """The file: what stands above a declaration belongs to it."""
        source = self.reading.source
        uses, defaults, lets = [], [], []
        declarations: list[tree.Declaration] = []
        metas: list[tree.Meta] = []
        docs: list[tree.Doc] = []
        file_doc = ""
        for item in items:
            match item:
                case tree.Meta():
                    metas.append(item)
                case tree.Doc():
                    docs.append(item)
                case tree.Declaration():
                    above = docs.pop().text if docs else ""
                    declarations.append(replace(item, metas=tuple(metas), doc=above))
                    metas = []
                case tree.Use():
                    uses.append(item)
                case tree.Default():
                    defaults.append(item)
                case tree.Let():
                    lets.append(item)
            if docs and not isinstance(item, tree.Meta | tree.Doc):
                file_doc, docs = file_doc or docs[0].text, []
        if metas:
            message = f"`@{metas[0].name}` must stand above a block or a model"
            raise fault("E109", message, metas[0].span)
        return tree.File(
            tuple(uses), tuple(defaults), tuple(lets), tuple(declarations),
            file_doc, Span(source, 0, len(source.text)),
        )  # fmt: skip
