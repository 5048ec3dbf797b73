"""The names of files: what defines each, and every place that means it.

Worked out on trees alone, so that a file with faults has names too. A name that cannot be
told for certain has no symbol.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cnndsl.diagnostics import Span
from cnndsl.language import tree

Members = dict[str, "Symbol"]


@dataclass(eq=False)
class Symbol:
    """A name: `kind` is model, block, parameter, value, input, output, size, label or index."""

    name: str
    kind: str
    span: Span
    """Where it is defined."""
    declaration: tree.Declaration | None = None
    """The block that it names, or that it is a name of."""
    members: Members = field(default_factory=dict)
    """The labels inside what a label names."""
    calls: list[Symbol] = field(default_factory=list)
    """The blocks that a label's steps call, whose labels are members too."""
    parameters: Members = field(default_factory=dict)
    """Those of a block."""
    steps: tuple[tree.Term, ...] = ()

    def member(self, name: str) -> Symbol | None:
        """A label inside."""
        if name in self.members:
            return self.members[name]
        return next((found for call in self.calls if (found := call.members.get(name))), None)

    def inner(self) -> Members:
        """All labels inside."""
        found: Members = {}
        for call in reversed(self.calls):
            found |= call.members
        return found | self.members


@dataclass(frozen=True)
class Place:
    """A place that means a symbol."""

    span: Span
    symbol: Symbol
    defines: bool = False


class Scope:
    """The names that braces hold."""

    def __init__(self, parent: Scope | None, *, loop: bool = False) -> None:
        """Braces inside others."""
        self.parent = parent
        self.names: Members = {}
        self.home: Scope = parent.home if loop and parent is not None else self

    def lookup(self, name: str) -> Symbol | None:
        """The symbol of a name."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names:
                return scope.names[name]
            scope = scope.parent
        return None

    def visible(self) -> Members:
        """Every name that can be meant."""
        found = self.parent.visible() if self.parent is not None else {}
        return found | self.names


class Names:
    """The names of a file.  `other` gives those of a file that it uses."""

    def __init__(self, file: tree.File, other: Callable[[str], Names | None]) -> None:
        """Walk the file."""
        self.file = file
        self.path = Path(file.span.source.name)
        self.places: list[Place] = []
        self.top = Scope(None)
        self.scopes: list[tuple[Span, Scope]] = []
        self.blocks: dict[str, Symbol] = {}
        for use in file.uses:
            self._use(use, other(use.path))
        for declaration in file.declarations:
            symbol = Symbol(
                declaration.name, declaration.kind, declaration.name_span, declaration
            )
            self.top.names[declaration.name] = self.blocks[declaration.name] = symbol
            self._place(declaration.name_span, symbol, defines=True)
        for let in file.lets:
            self._let(let, self.top)
        for default in file.defaults:
            self._default(default, self.top)
        for declaration in file.declarations:
            self._declaration(declaration)
        self.places.sort(key=lambda place: (place.span.start, place.span.stop))

    def at(self, offset: int) -> Place | None:
        """The name at a place."""
        around = [p for p in self.places if p.span.start <= offset <= p.span.stop]
        # Between two names that touch, the one that begins.
        return max(around, key=lambda place: place.span.start, default=None)

    def scope_at(self, offset: int) -> Scope:
        """The names that can be meant at a place."""
        around = [(s, scope) for s, scope in self.scopes if s.start < offset < s.stop]
        found = min(around, key=lambda found: found[0].stop - found[0].start, default=None)
        return found[1] if found is not None else self.top

    # Walking

    def _place(self, span: Span, symbol: Symbol, *, defines: bool = False) -> None:
        self.places.append(Place(span, symbol, defines))

    def _part(self, span: Span, name: str, start: int = 0) -> Span:
        """The place of a name in a longer text."""
        text = span.text
        found = re.compile(rf"(?<!\w){re.escape(name)}(?!\w)").search(text, start)
        at = span.start + (found.start() if found else 0)
        return Span(span.source, at, at + len(name))

    def _use(self, use: tree.Use, other: Names | None) -> None:
        if other is None:
            return
        if use.names is None:
            self.top.names |= other.top.names
            return
        for used in use.names:
            symbol = other.blocks.get(used.name) or other.top.names.get(used.name)
            if symbol is None:
                continue
            self._place(self._part(used.span, used.name), symbol)
            self.top.names[used.alias] = symbol
            if used.alias != used.name:
                span = Span(used.span.source, used.span.stop - len(used.alias), used.span.stop)
                alias = Symbol(
                    used.alias, symbol.kind, span, symbol.declaration, symbol.members,
                    symbol.calls, symbol.parameters,
                )  # fmt: skip
                self._place(span, alias, defines=True)
                self.top.names[used.alias] = alias

    def _declaration(self, declaration: tree.Declaration) -> None:
        scope = Scope(self.top)
        self.scopes.append((declaration.span, scope))
        block = self.blocks[declaration.name]
        for param in declaration.params:
            self._define(scope, param.name, "parameter", param.name_span, declaration)
            block.parameters[param.name] = scope.names[param.name]
            if param.default is not None:
                self._expression(param.default, scope)
        for kind, ports in (("input", declaration.inputs), ("output", declaration.outputs)):
            for port in ports or ():
                self._port(port, kind, scope, declaration)
        members = self._body(declaration.body, scope, declaration)
        block.members |= members
        for port in declaration.outputs or ():
            if port.alias is not None:
                span = Span(port.span.source, port.span.start, port.span.stop)
                place = self._part(span, port.alias, len(port.name))
                block.members[port.alias] = Symbol(port.alias, "output", place, declaration)
                self._place(place, block.members[port.alias], defines=True)
            else:
                block.members[port.name] = scope.names[port.name]
        for meta in declaration.metas:
            for argument in meta.arguments:
                self._claim(argument, scope)

    def _define(
        self, scope: Scope, name: str, kind: str, span: Span, declaration: tree.Declaration
    ) -> Symbol:
        symbol = scope.names[name] = Symbol(name, kind, span, declaration)
        self._place(span, symbol, defines=True)
        return symbol

    def _port(
        self, port: tree.Port, kind: str, scope: Scope, declaration: tree.Declaration
    ) -> None:
        span = self._part(port.span, port.name)
        known = scope.names.get(port.name)
        if known is None:
            self._define(scope, port.name, kind, span, declaration)
        else:
            self._place(span, known)
        for dim in port.shape or ():
            name = dim.name
            path = dim.value.path if isinstance(dim.value, tree.Value) else None
            if name is None and path is not None and not path.parts:
                name = path.name
            if name is not None and name != "_" and scope.lookup(name) is None:
                self._define(scope, name, "size", self._part(dim.span, name), declaration)
                if dim.name is not None and dim.value is not None:
                    self._expression(dim.value, scope)
            elif dim.rest and name is not None:
                self._mention(name, self._part(dim.span, name), scope)
            elif dim.value is not None:
                self._expression(dim.value, scope)
        if port.condition is not None:
            self._expression(port.condition, scope)

    def _body(
        self,
        statements: tuple[tree.Statement, ...],
        scope: Scope,
        declaration: tree.Declaration,
    ) -> Members:
        """The labels of some lines, once they and all below them are walked."""
        own: Members = {}
        for statement in statements:
            if isinstance(statement, tree.LineStatement):
                for label in statement.labels:
                    own[label.name] = self._label(label, statement, scope, declaration)
            elif isinstance(statement, tree.Let):
                self._let(statement, scope)
        for statement in statements:
            match statement:
                case tree.LineStatement():
                    self._line(statement, scope, declaration, own)
                case tree.Default():
                    self._default(statement, scope)
        return own

    def _label(
        self,
        label: tree.NamePath,
        line: tree.LineStatement,
        scope: Scope,
        declaration: tree.Declaration,
    ) -> Symbol:
        span = Span(label.span.source, label.span.start, label.span.start + len(label.name))
        at = scope.home if label.parts else scope
        known = at.names.get(label.name)
        if known is None and (outer := at.lookup(label.name)) and outer.kind == "output":
            known = outer
        if known is None:
            known = self._define(at, label.name, "label", span, declaration)
        else:
            self._place(span, known, defines=True)
        known.steps += line.terms
        return known

    def _line(
        self,
        line: tree.LineStatement,
        scope: Scope,
        declaration: tree.Declaration,
        own: Members,
    ) -> None:
        for label in line.labels:
            self._parts(label, None, scope)
        inner: Members = {}
        calls: list[Symbol] = []
        for term in line.terms:
            found, called = self._term(term, scope, declaration)
            inner |= found
            calls += called
        if line.condition is not None:
            self._expression(line.condition, scope)
        for label in line.labels:
            own[label.name].members |= inner
            own[label.name].calls += calls
        if not line.labels:
            # What stands in a line without a label is seen through it.
            for name, symbol in inner.items():
                own.setdefault(name, symbol)

    def _term(
        self, term: tree.Term, scope: Scope, declaration: tree.Declaration
    ) -> tuple[Members, list[Symbol]]:
        match term:
            case tree.CallTerm():
                symbol = self._path(term.path, scope)
                block = symbol if symbol is not None and symbol.kind in BLOCKS else None
                self._arguments(term.arguments, block, scope)
                inner = self._braces(term.operands, term.span, scope, declaration)
                alone = symbol is not None and block is None and not inner
                if alone and symbol is not None:
                    return symbol.members, symbol.calls
                return inner, [block] if block is not None else []
            case tree.GroupTerm():
                return self._braces(term.body, term.span, scope, declaration), []
            case tree.ForTerm():
                return self._for(term, scope, declaration), self._calls(term.body, scope)
            case tree.RepeatTerm():
                self._expression(term.times, scope)
                return self._term(term.term, scope, declaration)
            case tree.EachTerm():
                inner = self._braces(term.operands, term.span, scope, declaration)
                found, calls = self._term(term.term, scope, declaration)
                return inner | found, calls

    def _calls(self, statements: tuple[tree.Statement, ...], scope: Scope) -> list[Symbol]:
        """The blocks that the unlabelled lines of a `for` call: its label's members."""
        found = []
        for statement in statements:
            if isinstance(statement, tree.LineStatement):
                for term in statement.terms:
                    inner: tree.Term = term
                    while isinstance(inner, tree.RepeatTerm | tree.EachTerm):
                        inner = inner.term
                    if isinstance(inner, tree.CallTerm):
                        symbol = scope.lookup(inner.path.name)
                        found += [symbol] if symbol and symbol.kind in BLOCKS else []
        return found

    def _braces(
        self,
        statements: tuple[tree.Statement, ...] | None,
        span: Span,
        scope: Scope,
        declaration: tree.Declaration,
        *,
        inner: Scope | None = None,
    ) -> Members:
        if statements is None:
            return {}
        opened = inner or Scope(scope)
        self.scopes.append((span, opened))
        return self._body(statements, opened, declaration)

    def _for(self, term: tree.ForTerm, scope: Scope, declaration: tree.Declaration) -> Members:
        if term.range is not None:
            self._expression(term.range, scope)
        for row in term.rows or ():
            for cell in row:
                if cell is not None:
                    self._expression(cell, scope)
        inner = Scope(scope, loop=True)
        for name, span in term.header:
            self._define(inner, name, "index", span, declaration)
        return self._braces(term.body, term.span, scope, declaration, inner=inner)

    def _let(self, let: tree.Let, scope: Scope) -> None:
        symbol = scope.names[let.name] = Symbol(let.name, "value", let.name_span)
        self._place(let.name_span, symbol, defines=True)
        self._expression(let.value, scope)

    def _default(self, default: tree.Default, scope: Scope) -> None:
        block = None
        for name, span in default.names:
            block = self._mention(name, span, scope)
        self._arguments(default.arguments, block, scope)

    def _mention(self, name: str, span: Span, scope: Scope) -> Symbol | None:
        symbol = scope.lookup(name)
        if symbol is not None:
            self._place(span, symbol)
        return symbol

    def _path(self, path: tree.NamePath, scope: Scope) -> Symbol | None:
        """What a path means in the end."""
        span = Span(path.span.source, path.span.start, path.span.start + len(path.name))
        return self._parts(path, self._mention(path.name, span, scope), scope)

    def _parts(self, path: tree.NamePath, symbol: Symbol | None, scope: Scope) -> Symbol | None:
        for part in path.parts:
            match part:
                case tree.Index(items=indices):
                    for index in indices:
                        if not isinstance(index, tree.Every):
                            self._expression(index, scope)
                case tree.Member(name=name, span=span):
                    symbol = symbol.member(name) if symbol is not None else None
                    if symbol is not None:
                        place = Span(span.source, span.stop - len(name), span.stop)
                        self._place(place, symbol)
        return symbol

    def _arguments(
        self, arguments: tuple[tree.Argument, ...], block: Symbol | None, scope: Scope
    ) -> None:
        for argument in arguments:
            if argument.name is not None and block is not None:
                known = block.parameters.get(argument.name)
                if known is not None:
                    start = argument.span.start
                    place = Span(argument.span.source, start, start + len(argument.name))
                    self._place(place, known)
            self._expression(argument.value, scope)
            if argument.rest is not None:
                self._expression(argument.rest, scope)

    def _claim(self, argument: tree.Argument, scope: Scope) -> None:
        """`body.c3=[256, 52, 52]`: the name is a path in the block."""
        if argument.name is not None:
            start, symbol = argument.span.start, None
            first = True
            for match in re.finditer(r"[^\W\d]\w*|\[[^\]]*\]", argument.name):
                if match[0].startswith("["):
                    continue
                name = match[0]
                if first:
                    symbol = scope.lookup(name)
                else:
                    symbol = symbol.member(name) if symbol is not None else None
                first = False
                if symbol is not None:
                    at = start + match.start()
                    self._place(Span(argument.span.source, at, at + len(name)), symbol)
        self._expression(argument.value, scope)

    def _expression(self, value: tree.Expression, scope: Scope) -> None:
        for item in _inside(value):
            if isinstance(item, tree.Value):
                symbol = self._path(item.path, scope)
                block = symbol if symbol is not None and symbol.kind in BLOCKS else None
                self._arguments(item.arguments or (), block, scope)


BLOCKS = ("block", "model")


def _inside(value: tree.Expression) -> Iterator[tree.Expression]:
    """An expression and its parts, but for the arguments of calls."""
    stack = [value]
    while stack:
        item = stack.pop()
        yield item
        match item:
            case tree.ListLiteral(items=items):
                stack += items
            case tree.Unary(operand=operand):
                stack.append(operand)
            case tree.Binary(left=left, right=right):
                stack += [left, right]
            case tree.Choice(condition=condition, then=then, otherwise=otherwise):
                stack += [condition, then, otherwise]


class Library:
    """The names of files, each worked out once for a tree."""

    def __init__(self, parse: Callable[[Path], tree.File | None]) -> None:
        """`parse` gives the tree of a file; None where it has none."""
        self.parse = parse
        self.known: dict[Path, Names | None] = {}

    def names(self, path: Path) -> Names | None:
        """Those of a file."""
        if path not in self.known:
            self.known[path] = None  # files that use each other in a circle
            file = self.parse(path)
            if file is not None:
                self.known[path] = Names(file, self.beside(path))
        return self.known[path]

    def beside(self, path: Path) -> Callable[[str], Names | None]:
        """The names of a file that one uses, by how it writes it."""

        def used(written: str) -> Names | None:
            found = used_path(path, written)
            return self.names(found) if found is not None else None

        return used


def used_path(path: Path, used: str) -> Path | None:
    """The file that a `use` in another one means."""
    from cnndsl.files import resolved, zoo

    if "\0" in used:
        return None
    for folder in (path.parent, zoo()):
        found = resolved(folder / used)
        if found.is_file():
            return found
    return None
