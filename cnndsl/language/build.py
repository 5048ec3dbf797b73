"""The parser's reductions: each grammar rule becomes one node of `tree`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lark import Token, v_args
from lark.tree import Meta as Place
from lark.visitors import Transformer_NonRecursive

from cnndsl.diagnostics import Source, Span, fault
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


@v_args(meta=True)
class Builder(Transformer_NonRecursive[Token, Any]):
    """One method a rule; `source` is the text being parsed."""

    source: Source

    def _span(self, place: Place | Token) -> Span:
        start = getattr(place, "start_pos", None) or 0
        stop = getattr(place, "end_pos", None) or start + 1
        return Span(self.source, start, stop)

    # Expressions

    def number(self, place: Place, items: Items) -> tree.Number:
        """`300M`."""
        value = read_number(items[0])
        if value is None:
            raise fault("E106", "the number is too large", self._span(place))
        return tree.Number(value, str(items[0]), self._span(place))

    def string(self, place: Place, items: Items) -> tree.Text:
        """`"v1"`."""
        return tree.Text(str(items[0])[1:-1], self._span(place))

    def size(self, place: Place, items: Items) -> tree.SizeLiteral:
        """`3x3`."""
        parts = str(items[0]).split("x")
        if any(len(part) > 12 for part in parts):
            raise fault("E106", "the size is too large", self._span(place))
        return tree.SizeLiteral(tuple(map(int, parts)), self._span(place))

    def list(self, place: Place, items: Items) -> tree.ListLiteral:
        """`[1, k]`."""
        found = tuple(i for i in items if i is not None)
        return tree.ListLiteral(found, self._span(place))

    def value(self, place: Place, items: Items) -> tree.Value:
        """`in.c`, `sqrt(2)`, `bn(eps=1e-3)`."""
        path = items[0]
        called = self._called(place, path)
        arguments = items[1] if items[1] is not None else (() if called else None)
        return tree.Value(path, arguments, self._span(place))

    def _called(self, place: Place, path: tree.NamePath) -> bool:
        """Whether a parenthesis follows the path."""
        stop = self._span(place).stop
        return self.source.text[path.span.stop : stop].lstrip().startswith("(")

    def _infix(self, place: Place, items: Items) -> tree.Binary:
        left, operator, right = items
        return tree.Binary(str(operator), left, right, self._span(place))

    sum = product = power = comparison = either = both = _infix

    def span(self, place: Place, items: Items) -> tree.Binary:
        """`0..n`."""
        return tree.Binary("..", items[0], items[1], self._span(place))

    def minus(self, place: Place, items: Items) -> tree.Unary:
        """`-a`."""
        return tree.Unary("-", items[1], self._span(place))

    def negate(self, place: Place, items: Items) -> tree.Unary:
        """`not a`."""
        return tree.Unary("not", items[1], self._span(place))

    def choice(self, place: Place, items: Items) -> tree.Choice:
        """`a if c else b`."""
        then, _, condition, _, otherwise = items
        return tree.Choice(condition, then, otherwise, self._span(place))

    def path(self, place: Place, items: Items) -> tree.NamePath:
        """`head[0].cls`."""
        return tree.NamePath(str(items[0]), tuple(items[1:]), self._span(place))

    def member(self, place: Place, items: Items) -> tree.Member:
        """`.name`."""
        return tree.Member(str(items[0]), self._span(place))

    def index(self, place: Place, items: Items) -> tree.Index:
        """`[i, j]`."""
        return tree.Index(tuple(items), self._span(place))

    def every(self, place: Place, items: Items) -> tree.Every:
        """`*`."""
        return tree.Every(self._span(place))

    def blank(self, place: Place, items: Items) -> None:
        """`-` in a table."""
        return

    def args(self, place: Place, items: Items) -> tuple[tree.Argument, ...]:
        """All the arguments of a call."""
        return tuple(items)

    def arg(self, place: Place, items: Items) -> tree.Argument:
        """`name=value then rest`."""
        path, value, _, rest = items if len(items) == 4 else (*items, None, None)
        name = str(path) if path is not None else None
        return tree.Argument(name, value, rest, False, self._span(place))

    def spread(self, place: Place, items: Items) -> tree.Argument:
        """`*S`."""
        where = self._span(items[1])
        path = tree.NamePath(str(items[1]), (), where)
        return tree.Argument(None, tree.Value(path, None, where), None, True, self._span(place))

    # Steps

    def call(self, place: Place, items: Items) -> tree.CallTerm:
        """`conv(64, 3x3) { … }`."""
        path, arguments, operands = items
        called = self._called(place, path)
        return tree.CallTerm(path, arguments or (), called, operands, self._span(place))

    def operands(self, place: Place, items: Items) -> tuple[tree.Statement, ...]:
        """The lines in a call's braces."""
        body: tuple[tree.Statement, ...] = items[0]
        return body

    def group(self, place: Place, items: Items) -> tree.GroupTerm:
        """`{ … }`."""
        return tree.GroupTerm(items[0], self._span(place))

    def body(self, place: Place, items: Items) -> tuple[tree.Statement, ...]:
        """The statements between braces."""
        return tuple(items)

    def row(
        self, place: Place, items: Items
    ) -> tuple[Span, tuple[tree.Expression | None, ...]]:
        """`| 6 | 24 |`."""
        return self._span(place), tuple(items)

    def for_table(self, place: Place, items: Items) -> tree.ForTerm:
        """`for | t | c | …`."""
        _, (_, head), *rows, body = items
        header = []
        for cell in head:
            plain = (
                isinstance(cell, tree.Value) and not cell.path.parts and cell.arguments is None
            )
            if not plain:
                where = cell.span if cell is not None else self._span(place)
                raise fault("E107", "the first row of a table names its columns", where)
            header.append((cell.path.name, cell.span))
        for span, cells in rows:
            if len(cells) != len(header):
                message = f"the row has {len(cells)} cells, and the table {len(header)} columns"
                raise fault("E107", message, span)
        return tree.ForTerm(
            tuple(header),
            tuple(cells for _, cells in rows),
            None,
            body,
            self._span(place),
            tuple(span for span, _ in rows),
        )

    def for_range(self, place: Place, items: Items) -> tree.ForTerm:
        """`for i in 0..n`."""
        _, name, _, values, body = items
        header = ((str(name), self._span(name)),)
        return tree.ForTerm(header, None, values, body, self._span(place))

    def each(self, place: Place, items: Items) -> tuple[Any]:
        """`each { … }` or `each row`, in a tuple: its absence is None."""
        target = items[1]
        if not isinstance(target, Token):
            return (target,)
        if target != "row":
            raise fault(
                "E108",
                f"`each {target}` has no meaning",
                self._span(place),
                help="`each { … }` names tensors, `each row` maps over the first axis",
            )
        return (None,)

    def term(self, place: Place, items: Items) -> tree.Term:
        """`term * n each { … }`."""
        found, star, times, each = items
        span = self._span(place)
        if star is not None:
            found = tree.RepeatTerm(found, times, span)
        if each is not None:
            found = tree.EachTerm(found, each[0], span)
        return found  # type: ignore[no-any-return]

    def chain(self, place: Place, items: Items) -> tuple[tree.Term, ...]:
        """`term -> term`."""
        return tuple(items)

    def labels(self, place: Place, items: Items) -> tuple[tree.NamePath, ...]:
        """`boxes, scores:`."""
        return tuple(items)

    def line(self, place: Place, items: Items) -> tree.LineStatement:
        """A whole line."""
        other, labels, chain, _, condition = items
        span = self._span(place)
        return tree.LineStatement(labels or (), chain, condition, other is not None, span)

    # Declarations

    def let(self, place: Place, items: Items) -> tree.Let:
        """`let name = value`."""
        _, name, value = items
        return tree.Let(str(name), value, self._span(place), self._span(name))

    def default(self, place: Place, items: Items) -> tree.Default:
        """`default conv(norm=bn)`."""
        names = tuple((str(t), self._span(t)) for t in items[1:-1])
        return tree.Default(names, items[-1], self._span(place))

    def use(self, place: Place, items: Items) -> tree.Use:
        """`use "file" (names)`."""
        _, path, *names = items
        used = tuple(n for n in names if n is not None)
        return tree.Use(str(path)[1:-1], used or None, self._span(place), self._span(path))

    def used(self, place: Place, items: Items) -> tree.Used:
        """`Name as Other`."""
        name, _, alias = items
        return tree.Used(str(name), str(alias or name), self._span(place))

    def meta(self, place: Place, items: Items) -> tree.Meta:
        """`@expect(…)`."""
        return tree.Meta(str(items[0]), items[1] or (), self._span(place))

    def doc(self, place: Place, items: Items) -> tree.Doc:
        '''`"""…"""`.'''
        return tree.Doc(str(items[0])[3:-3].strip(), self._span(place))

    def type_name(self, place: Place, items: Items) -> tree.Type:
        """`list[int]`."""
        name, item = items
        return tree.Type(str(name), str(item) if item else None, (), self._span(place))

    def type_words(self, place: Place, items: Items) -> tree.Type:
        """`"v1" | "v1_5"`."""
        words = tuple(str(i)[1:-1] for i in items)
        return tree.Type("words", None, words, self._span(place))

    def param(self, place: Place, items: Items) -> tree.Param:
        """`c: int = 64`."""
        name, kind, default = items
        return tree.Param(str(name), kind, default, self._span(place), self._span(name))

    def params(self, place: Place, items: Items) -> tuple[tree.Param, ...]:
        """All the parameters."""
        return tuple(items)

    def ports(self, place: Place, items: Items) -> tuple[tree.Port, ...]:
        """All the ports of one side."""
        return tuple(items)

    def signature(self, place: Place, items: Items) -> tuple[Any, Any]:
        """`inputs -> outputs`."""
        return items[0], items[1]

    def port(self, place: Place, items: Items) -> tree.Port:
        """`x[C, *S] as y when condition`."""
        star, name, shape, _, alias, _, condition = items
        other = str(alias) if alias else None
        return tree.Port(
            str(name), shape, star is not None, other, condition, self._span(place)
        )

    def shape(self, place: Place, items: Items) -> tuple[tree.Dim, ...]:
        """`[C, H, W]`."""
        return tuple(items)

    def dim_size(self, place: Place, items: Items) -> tree.Dim:
        """`2 * S`."""
        return tree.Dim(None, items[0], False, self._span(place))

    def dim_default(self, place: Place, items: Items) -> tree.Dim:
        """`H=224`."""
        return tree.Dim(str(items[0]), items[1], False, self._span(place))

    def dim_rest(self, place: Place, items: Items) -> tree.Dim:
        """`*S`."""
        return tree.Dim(str(items[1]), None, True, self._span(place))

    def decl(self, place: Place, items: Items) -> tree.Declaration:
        """`model Name(…): ports { … }`."""
        kind, name, params, signature, body = items
        inputs, outputs = signature or (None, None)
        return tree.Declaration(
            str(kind), str(name), params or (), inputs, outputs, body,
            self._span(place), self._span(name),
        )  # fmt: skip

    def start(self, place: Place, items: Items) -> tree.File:
        """The file: what stands above a declaration belongs to it."""
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
            message = f"`@{metas[0].name}` stands above no block or model"
            raise fault("E109", message, metas[0].span)
        return tree.File(
            tuple(uses), tuple(defaults), tuple(lets), tuple(declarations),
            file_doc, Span(self.source, 0, len(self.source.text)),
        )  # fmt: skip
